"""One end of a TCP connection in a test's hands: every byte seen, and every way of ending it."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable
from functools import partial
from typing import cast

PATIENCE_SECONDS = 5.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Awaited:
    """Something that changes; whoever waits for it to be as it should looks after each change."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def change(self) -> None:
        """Have everyone look again."""
        self._changed.set()

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait for *so*; TimeoutError when that takes longer than any test's patience."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not so():
                self._changed.clear()
                await self._changed.wait()


class Wire(asyncio.Protocol, Awaited):
    """
    A client of the proxy, or a connection that the proxy made to the upstream.

    ``unread`` is what came and was not taken; the ``take`` methods return it piece by piece.
    ``at_eof`` says that the peer has ended its half, ``lost`` that the connection is gone and
    ``was_reset`` that it went by a reset: an answer that ends so is not whole.
    """

    def __init__(self, opened: Callable[["Wire"], None] | None = None) -> None:
        super().__init__()
        self._opened = opened
        self.unread = bytearray()
        self._pieces: list[bytes] = []
        self.at_eof = False
        self.lost = False
        self.was_reset = False
        self._transport: asyncio.Transport

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport."""
        self._transport = cast(asyncio.Transport, transport)
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Keep *data*."""
        self._pieces.append(data)
        self.unread += data
        self.change()

    def eof_received(self) -> bool:
        """Keep the own half open: only the test ends it."""
        self.at_eof = True
        self.change()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Note how it ended."""
        self.lost = True
        self.was_reset = isinstance(error, ConnectionResetError | BrokenPipeError)
        self.change()

    # What came.

    @property
    def received(self) -> bytes:
        """Everything that ever came."""
        return b"".join(self._pieces)

    async def take(self, size: int) -> bytes:
        """Return the next *size* bytes."""
        await self.until(lambda: len(self.unread) >= size or self.lost)
        return self._give(size)

    async def take_until(self, end: bytes) -> bytes:
        """Return what comes up to and with *end*."""
        await self.until(lambda: end in self.unread or self.lost)
        assert end in self.unread, f"the connection ended after {self.unread!r}"
        return self._give(self.unread.index(end) + len(end))

    async def head(self) -> bytes:
        """Return the next head, with its empty line."""
        return await self.take_until(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Return what comes until the peer ends its half or the connection."""
        await self.until(lambda: self.at_eof or self.lost)
        return self._give(len(self.unread))

    def _give(self, size: int) -> bytes:
        taken = bytes(self.unread[:size])
        del self.unread[:size]
        return taken

    # What goes.

    def send(self, data: bytes) -> None:
        """Send *data*, in one segment if it fits."""
        self._transport.write(data)

    @property
    def is_broken(self) -> bool:
        """Tell whether the peer has reset the connection; asked after its end, which hides it."""
        with self._duplicate() as sock:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    @property
    def unsent(self) -> int:
        """How many bytes have not even left this process, because nobody takes them."""
        return self._transport.get_write_buffer_size()

    def send_now(self, data: bytes) -> None:
        """Have *data* on its way before this returns: the event loop would take its time."""
        with self._duplicate() as sock:
            assert sock.send(data) == len(data)

    def half_close_now(self) -> None:
        """Have the end on its way before this returns."""
        with self._duplicate() as sock:
            sock.shutdown(socket.SHUT_WR)

    def _duplicate(self) -> socket.socket:
        return socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno()))

    def half_close(self) -> None:
        """Say that nothing more will come from here."""
        self._transport.write_eof()

    def close(self) -> None:
        """Close after everything written has been sent."""
        self._transport.close()

    def reset(self) -> None:
        """Break the connection off, so that the peer sees an error."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def stop_reading(self) -> None:
        """Let the peer's bytes pile up."""
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    async def ended(self) -> None:
        """Wait until the peer has ended the connection, or at least its half."""
        await self.until(lambda: self.at_eof or self.lost)


class Script(Awaited):
    """An upstream that does what the test says: ``accept`` gives each connection to it."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: list[Wire] = []
        self._accepted = 0
        self._server: asyncio.Server
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port of the loopback; on the same one if it is not the first time."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            partial(Wire, self._connected), host="127.0.0.1", port=self.port, ssl=tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _connected(self, wire: Wire) -> None:
        self.connections.append(wire)
        self.change()

    async def accept(self) -> Wire:
        """Return the next connection that the proxy makes."""
        await self.until(lambda: len(self.connections) > self._accepted)
        wire = self.connections[self._accepted]
        self._accepted += 1
        return wire

    def refuse(self) -> None:
        """Listen no more: the next connection is refused."""
        self._server.close()

    def stop(self) -> None:
        """End everything."""
        self._server.close()
        for wire in self.connections:
            if not wire.lost:
                wire.reset()
