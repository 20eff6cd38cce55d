"""
An upstream that does what the path of a request says, most of it wrong.

It takes any token but those that it has revoked, and answers these with 401.
"""

import asyncio
import socket
import struct
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

from tests.e2e.load import chunks, head

EVENTS = 5
BULK = bytes(range(256)) * 4096
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BEGUN = _OK + b"Content-Length: 1000\r\n\r\nbegun"


class _Gone(Exception):
    """The connection has to be closed now."""


class Upstream:
    """
    Listens on a port of its own, ``url``; ``tokens`` are those that it was sent.

    A client that wants to leave amid a request waits for ``arrival`` of it.
    """

    def __init__(self) -> None:
        self.url = ""
        self.tokens: set[bytes] = set()
        self._revoked: set[bytes] = set()
        self._arrivals: dict[bytes, asyncio.Event] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Listen no more, and end what is still open."""
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def revoke(self) -> None:
        """Take none of the tokens any more that were sent so far."""
        self._revoked |= self.tokens

    async def arrival(self, request_id: bytes) -> None:
        """Wait until that request has arrived at a path that waits."""
        arrived = self._arrivals[request_id] = asyncio.Event()
        try:
            await arrived.wait()
        finally:
            del self._arrivals[request_id]

    def _begin(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                line, fields = await head(reader)
                body = await self._body(reader, fields)
                token = fields[b"authorization"]
                self.tokens.add(token)
                if token in self._revoked:
                    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
                    continue
                path = line.split()[1].removeprefix(b"/v1/")
                if path in _PATHS:
                    await _PATHS[path](reader, writer)
                elif path == b"echo":
                    await _whole(writer, b"%d" % zlib.crc32(body or b""))
                elif path in (b"hold", b"begun"):
                    writer.write(_BEGUN if path == b"begun" else b"")
                    if arrived := self._arrivals.get(fields[b"x-request-id"]):
                        arrived.set()
                    await reader.read()
                    break
                else:
                    await _status(writer, path)
        except (asyncio.IncompleteReadError, ConnectionError, _Gone):
            pass
        finally:
            writer.close()

    async def _body(self, reader: StreamReader, fields: dict[bytes, bytes]) -> bytes | None:
        if length := fields.get(b"content-length"):
            return await reader.readexactly(int(length))
        return await chunks(reader) if b"transfer-encoding" in fields else None


async def _whole(writer: StreamWriter, body: bytes, *fields: bytes) -> None:
    lines = b"".join(b"%b\r\n" % field for field in fields)
    writer.write(_OK + lines + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()


async def _status(writer: StreamWriter, path: bytes) -> None:
    writer.write(b"HTTP/1.1 %b Said\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno" % path)


def _after(said: bytes, *, reset: bool) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """Return what says only this and is gone."""

    async def die(_: StreamReader, writer: StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        await asyncio.sleep(0.01)  # for a reset not to overtake it
        if reset:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        raise _Gone

    return die


def _then_nothing(said: bytes) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """Return what says this and waits until it is left."""

    async def stall(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        raise _Gone

    return stall


async def _small(_: StreamReader, writer: StreamWriter) -> None:
    await _whole(writer, b"small")


async def _small_and_close(_: StreamReader, writer: StreamWriter) -> None:
    """Close an idle connection without a word, as servers do."""
    await _whole(writer, b"small")
    raise _Gone


async def _last(_: StreamReader, writer: StreamWriter) -> None:
    await _whole(writer, b"small", b"Connection: close")
    raise _Gone


async def _bulk(_: StreamReader, writer: StreamWriter) -> None:
    await _whole(writer, BULK)


async def _events(_: StreamReader, writer: StreamWriter) -> None:
    writer.write(_CHUNKED)
    for number in range(EVENTS):
        event = b"data: %d\n\n" % number
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await asyncio.sleep(0.01)
    writer.write(b"0\r\n\r\n")


async def _bad_chunk(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(_CHUNKED + b"5\r\nbegun\r\n")
    await asyncio.sleep(0.01)  # for the client to see that an answer has begun
    writer.write(b"nonsense\r\n")
    await reader.read()
    raise _Gone


async def _tunnel(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    while piece := await reader.read(65536):
        writer.write(piece)
    raise _Gone


_PATHS: dict[bytes, Callable[[StreamReader, StreamWriter], Awaitable[None]]] = {
    b"small": _small,
    b"small-and-close": _small_and_close,
    b"last": _last,
    b"bulk": _bulk,
    b"events": _events,
    b"tunnel": _tunnel,
    b"dies": _after(b"", reset=True),
    b"leaves": _after(b"", reset=False),
    b"dies-in-head": _after(b"HTTP/1.1 200 OK\r\nA: b", reset=True),
    b"dies-after-hint": _after(b"HTTP/1.1 103 Early Hints\r\n\r\n", reset=True),
    b"dies-in-body": _after(_BEGUN, reset=True),
    b"leaves-in-body": _after(_BEGUN, reset=False),
    b"dies-in-chunk": _after(_CHUNKED + b"9\r\nbegun", reset=True),
    b"says-nonsense": _after(b"\0\1\2\3", reset=False),
    b"says-two-lengths": _after(_OK + b"Content-Length: 1\r\n" * 2 + b"\r\nx", reset=False),
    b"says-a-bad-chunk": _bad_chunk,
    b"says-nothing": _then_nothing(b""),
    b"stalls-in-body": _then_nothing(_BEGUN),
}
