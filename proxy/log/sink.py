"""
Where lines end: a stream that may break or stall, under a log that may not.

Rule 1: nobody waits for whoever reads the log. What a pipe, a terminal or a socket does not take at
        once is kept, up to a bound, and goes before the next line. Beyond the bound lines are lost,
        and counted: a log that stands still must not stop what it is about.

Rule 2: a line is written whole or, if the stream breaks, not at all visible as another's part.

Rule 3: several processes may share a stream. Linux writes to a regular file one after the other,
        and so it does to pipes and sockets with what is no longer than PIPE_BUF (pipe(7)): what is
        written to those is pieces of whole lines.
"""

import os
import select
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

_PIPE_BUF = select.PIPE_BUF
# A minute of a busy proxy's lines fits in a few MiB; a reader that is behind further has stalled.
_BACKLOG_BYTES = 4 * 1024 * 1024

_Write = Callable[[bytes | bytearray], int]


class Sink:
    """
    Writes whole lines to *stream*, past its buffer, and never raises or waits.

    *stream* is None where the process was started without one; *shared* if other processes write to
    it. ``lost`` counts the lines that could not be written. A regular file is written to directly:
    its disk is waited for.
    """

    def __init__(self, stream: TextIO | None, *, shared: bool = False) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._descriptor = _descriptor(stream)
        self._write = None if self._descriptor is None else _writer(self._descriptor)
        self._in_pieces = shared and self._descriptor is not None and _mixes(self._descriptor)
        self._torn = False
        self._backlog = bytearray()
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
            if self._write is not None:
                self._put(self._write, data, len(lines))
            elif self._stream is not None:
                self._stream.write(data.decode(self._encoding))
            else:
                self.lost += len(lines)
        except (OSError, ValueError):
            self.lost += len(lines)

    def finish(self, patience_seconds: float = 1.0) -> None:
        """Write what was kept back, at the process' end; a reader that stalls is not waited for."""
        if self._write is None or self._descriptor is None:
            return
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        end = time.monotonic() + patience_seconds
        with suppress(OSError):
            while self._backlog and poll.poll(max(0.0, end - time.monotonic()) * 1000):
                self._put_backlog(self._write)

    def _put(self, write: _Write, data: bytes, lines: int) -> None:
        if self._backlog:
            if len(self._backlog) + len(data) > _BACKLOG_BYTES:
                self.lost += lines
            else:
                self._backlog += data
            self._put_backlog(write)
            return
        # A disk that fills up in the middle of a line must not swallow the next one as well.
        if self._torn:
            data = b"\n" + data
        while data:
            piece = _first_lines(data) if self._in_pieces else data
            try:
                written = write(piece)
            except BlockingIOError:
                self._backlog += data
                self._torn = False
                return
            data = data[written:]
            self._torn = written < len(piece)

    def _put_backlog(self, write: _Write) -> None:
        """
        Write as much of the backlog as is taken, and forget it where the stream breaks.

        It is never copied as a whole: megabytes for every line would be a millisecond of each.
        """
        data, self._backlog = self._backlog, bytearray()
        while data:
            piece = _first_lines(data) if self._in_pieces else data
            try:
                written = write(piece)
            except BlockingIOError:
                self._backlog = data
                self._torn = False
                return
            self._torn = written < len(piece)
            del data[:written]


def _first_lines(data: bytes | bytearray) -> bytes | bytearray:
    """Return as many lines of *data* as are written at once, and one at least."""
    if len(data) <= _PIPE_BUF:
        return data
    end = data.rfind(b"\n", 0, _PIPE_BUF)
    return data[: (data.find(b"\n") if end < 0 else end) + 1]


def _mixes(descriptor: int) -> bool:
    """Tell whether long writes of several processes to *descriptor* may get into each other."""
    return not stat.S_ISREG(os.fstat(descriptor).st_mode)


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


def _writer(descriptor: int) -> _Write:
    """
    Return what writes to *descriptor* and raises BlockingIOError where that would have to wait.

    O_NONBLOCK belongs to the open file, which other processes may share. So a pipe or a terminal is
    opened once more, for us alone; a socket is asked not to wait with every call.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(descriptor))
        return lambda data: sock.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            ours = os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            return lambda data: os.write(descriptor, data)
        return lambda data: os.write(ours, data)
    return lambda data: os.write(descriptor, data)
