"""A pipe between two processes that carries frames: a letter for the kind, a length, the bytes."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

# To a worker: an object, pickled. From one: JSON.
OBJECT, REPORT = b"O", b"R"
_HEAD = struct.Struct("!cI")
# A configuration with a bundle of authorities is the largest that there is.
MOST_BYTES = 16 * 1024 * 1024


class Channel(asyncio.Protocol):
    """
    One end of the pipe: *received* is called with each frame, *lost* once, when the other end goes.

    A frame that is too long, or that *received* can't make sense of (ValueError), ends it.
    """

    def __init__(self, received: Callable[[bytes, bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def send(self, kind: bytes, content: bytes) -> None:
        """Send a frame; nothing once the other end is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEAD.pack(kind, len(content)) + content)

    def close(self) -> None:
        """Close it once everything has been sent."""
        if self._transport is not None:
            self._transport.close()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(buffer)
            end = _HEAD.size + length
            if length > MOST_BYTES:
                self._give_up()
                return
            if len(buffer) < end:
                return
            content = bytes(buffer[_HEAD.size : end])
            del buffer[:end]
            try:
                self._received(kind, content)
            except ValueError:
                self._give_up()
                return

    def _give_up(self) -> None:
        self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that the other end is gone."""
        self._lost()
