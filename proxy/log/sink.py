"""Where lines end: a stream that may break, under a log that may not."""

import os
from typing import TextIO


class Sink:
    """
    Writes whole lines to *stream*, past its buffer, and never raises.

    *stream* is None where the process was started without one. ``lost`` counts the lines that could
    not be written. Writing waits for a slow reader, as everything on standard output does.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._descriptor = _descriptor(stream)
        self._torn = False
        self.lost = 0

    def write(self, line: str) -> None:
        """Write one *line*, given without its newline."""
        self.put([self.encoded(line)])

    def encoded(self, line: str) -> bytes:
        """Return *line* as ``put`` takes it."""
        return line.encode(self._encoding, "backslashreplace")

    def put(self, lines: list[bytes]) -> None:
        """Write *lines*, each without its newline, at once."""
        data = b"\n".join(lines) + b"\n"
        try:
            if self._descriptor is not None:
                self._put(self._descriptor, data)
            elif self._stream is not None:
                self._stream.write(data.decode(self._encoding))
            else:
                self.lost += len(lines)
        except (OSError, ValueError):
            self.lost += len(lines)

    def _put(self, descriptor: int, data: bytes) -> None:
        # A disk that fills up in the middle of a line must not swallow the next one as well.
        if self._torn:
            data = b"\n" + data
        while data:
            data = data[os.write(descriptor, data) :]
            self._torn = bool(data)


def _descriptor(stream: TextIO | None) -> int | None:
    """
    Return the descriptor under *stream*, if it has one.

    Writing to it directly saves two buffers, and leaves nothing in them for the interpreter's exit
    to fail on when the reader is gone.
    """
    try:
        if stream is None:
            return None
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return None
