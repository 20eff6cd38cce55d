"""
Where a body ends.

Rule 1: exactly one thing says so. Content-Length beside Transfer-Encoding, either of them twice,
        a coding other than exactly ``chunked``: refused (RFC 9112 section 6.3 lets a recipient
        repair some of these; request smuggling is what follows).

Rule 2: a chunked body is read here and written afresh. Extensions and the sender's cutting into
        chunks are not passed on, so nothing can hide in them.

Rule 3: bytes behind the end belong to nobody here; they are handed back.

A framing is an int: a length of 0 or more, CHUNKED, or UNTIL_CLOSE (responses alone).
"""

import re
from typing import Protocol

from proxy.policy.message import TOKEN, Malformed, TooLarge, fields

CHUNKED = -1
UNTIL_CLOSE = -2

# A leading zero is an octal number to some; 18 digits fit in any peer's 64 bits.
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_QUOTED = rb"\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\""
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, _QUOTED)
# 15 digits are an exabyte: no overflow in any peer's 64-bit signed arithmetic.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:%b)*" % _EXTENSION)
_BEGUN_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?)?")
# Chunk extensions have no use that anyone ships; Go allows 16 KiB in all, we 256 bytes a line.
_CHUNK_LINE_LIMIT = 256
_TRAILER_LIMIT = 8192
_TRAILER_FIELDS = 32

# RFC 9110 section 6.5.1: framing, routing, authentication and content negotiation don't trail.
_NEVER_TRAILING = frozenset(
    (
        b"authorization",
        b"proxy-authorization",
        b"connection",
        b"content-length",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"proxy-connection",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
        b"www-authenticate",
    )
)


def of_request(lengths: list[bytes], codings: list[bytes], *, minor: int) -> int:
    """Return the framing that Content-Length and Transfer-Encoding values of a request give."""
    if codings:
        if not minor:
            raise Malformed("Transfer-Encoding in an HTTP/1.0 message")
        if lengths:
            raise Malformed("both Content-Length and Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Malformed("a Transfer-Encoding other than chunked")
        return CHUNKED
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise Malformed("more than one Content-Length")
    if _LENGTH.fullmatch(lengths[0]) is None:
        raise Malformed("a Content-Length that is not a number")
    return int(lengths[0])


def of_response(status: int, lengths: list[bytes], codings: list[bytes], *, minor: int) -> int:
    """
    Return the framing of the response with *status* to anything but a HEAD request.

    A 1xx or 204 that announces a body is Malformed: it must not (RFC 9112 section 6.1, RFC 9110
    section 8.6), and parsers differ on whether what follows is one. A length of 0 promises nothing,
    and many servers send it with a 204. Envoy draws the same line.
    """
    stated = of_request(lengths, codings, minor=minor)
    if (status < 200 or status == 204) and stated:
        raise Malformed(f"a body announced by a {status}, which has none")
    if status < 200 or status in (204, 304):
        return 0
    if not lengths and not codings:
        return UNTIL_CLOSE
    return stated


class Body(Protocol):
    """The reader of one body, fed with whatever the connection brings."""

    done: bool
    trailers: bytes

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the body's bytes in *data* and, once done, those behind its end."""
        ...


def reader(framing: int) -> Body:
    """Return the reader for a body of this *framing*."""
    if framing == CHUNKED:
        return _Chunked()
    if framing == UNTIL_CLOSE:
        return UntilClose()
    return _Counted(framing)


class _Counted:
    """A body of known length: counted and passed on as it comes."""

    __slots__ = ("_missing", "done", "trailers")

    def __init__(self, length: int) -> None:
        self._missing = length
        self.done = length == 0
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        missing = self._missing - len(data)
        if missing > 0:
            self._missing = missing
            return data, b""
        self.done = True
        if missing == 0:
            return data, b""
        end, self._missing = self._missing, 0
        return data[:end], data[end:]


class UntilClose:
    """A body that the end of the connection ends."""

    __slots__ = ("done", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


class _Chunked:
    """A chunked body, decoded; *trailers* are its checked field lines, serialised afresh."""

    __slots__ = ("_buffer", "_missing", "done", "trailers")

    def __init__(self) -> None:
        self._buffer = b""
        self._missing = 0  # bytes of the current chunk still to come, its CRLF included
        self.done = False
        self.trailers = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        data, self._buffer = self._buffer + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._missing:
                at = self._take(data, at, pieces)
                continue
            size, after = _chunk_size(data, at)
            if after < 0:
                break
            if size == 0:
                return self._finish(data, at, after, pieces)
            self._missing, at = size + 2, after
        self._buffer = data[at:]
        return b"".join(pieces), b""

    def _take(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Move what *data* holds of the current chunk into *pieces*; return where it ends."""
        content = self._missing - 2
        have = len(data) - at
        if content > 0:
            taken = min(content, have)
            pieces.append(data[at : at + taken])
            self._missing -= taken
            at += taken
        if self._missing <= 2 and at < len(data):
            expected = b"\r\n"[2 - self._missing :]
            end = data[at : at + self._missing]
            if not expected.startswith(end):
                raise Malformed("a chunk that does not end where it said")
            self._missing -= len(end)
            at += len(end)
        return at

    def _finish(self, data: bytes, at: int, after: int, pieces: list[bytes]) -> tuple[bytes, bytes]:
        """Read the trailer section behind the last chunk, or wait for the rest of it."""
        if data.startswith(b"\r\n", after):
            self.done = True
            return b"".join(pieces), data[after + 2 :]
        end = data.find(b"\r\n\r\n", after)
        if end < 0:
            if len(data) - after > _TRAILER_LIMIT:
                raise TooLarge(f"a trailer section over {_TRAILER_LIMIT} bytes")
            self._buffer = data[at:]  # the last chunk's line is read again with what follows
            return b"".join(pieces), b""
        self.trailers = _trailers(data[after : end + 2])
        self.done = True
        return b"".join(pieces), data[end + 4 :]


def _chunk_size(data: bytes, at: int) -> tuple[int, int]:
    """Return the size announced at *at* and where its line ends; -1 for that if it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        partial = data[at:]
        if len(partial) > _CHUNK_LINE_LIMIT:
            raise TooLarge(f"a chunk line over {_CHUNK_LINE_LIMIT} bytes")
        if _BEGUN_CHUNK_LINE.fullmatch(partial.removesuffix(b"\r")) is None and partial != b"\r":
            raise Malformed("a malformed chunk size")
        return 0, -1
    match = _CHUNK_LINE.fullmatch(data, at, end)
    if match is None or end - at > _CHUNK_LINE_LIMIT:
        raise Malformed("a malformed chunk size")
    return int(match[1], 16), end + 2


def _trailers(block: bytes) -> bytes:
    pairs = fields(block, limit=_TRAILER_FIELDS)
    for name, _ in pairs:
        low = name.lower().replace(b"_", b"-")
        if low in _NEVER_TRAILING or low.startswith(b"x-forwarded-"):
            raise Malformed(f"{name.decode('ascii')} is not allowed as a trailer")
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def chunk(piece: bytes) -> bytes:
    """Return *piece*, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def last_chunk(trailers: bytes) -> bytes:
    """Return the end of a chunked body."""
    return b"0\r\n%b\r\n" % trailers
