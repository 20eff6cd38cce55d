"""
A header block remembered line by line, so that the next one need not be read as a whole.

Clients repeat their fields but for one or two: a request id, a trace. Such a block differs from the
last in some values, each behind the very same name, and in nothing else.

Rule 1: only fields that mean nothing to the proxy may differ. Whatever frames, routes, admits or
        nominates has to be the same byte for byte; so has the number and the order of lines.

Rule 2: a doubt means that the block is read afresh. The result is the same either way; a property
        test holds the two together.

Values that differed once will differ again. So what stands around them is put together, and the
next head need only be compared in those few pieces.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.policy import headers, message
from proxy.policy.headers import Kind

_REQUEST_ID = b"x-request-id:"
# A client that varies more than an id, a trace or a signature is not worth remembering.
_MOST = 8
_SHORT = headers.REQUEST_ID_BYTES
_CRLF = b"\r\n"
# The same two expressions for all connections: one made for a pattern would hold what a client sent
# in the cache of ``re``, for the life of the process.
_Fits = Callable[[bytes], object]
_FITS_VALUE: _Fits = re.compile(message.BARE_VALUE).fullmatch
_FITS_ID: _Fits = re.compile(headers.REQUEST_ID).fullmatch


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    Heads that differ in the values of some fields, and in nothing else.

    Such a head is *before*, and then one value after the other, each with what stands *behind* it,
    from its line's end on. *sent* is what goes out, up to the credential, as a format for the
    values. *id_at* is the place of the request's id among them, -1 if it is none of them.
    """

    before: bytes
    behind: tuple[tuple[_Fits, bytes], ...]
    sent: bytes
    id_at: int

    def values(self, head: bytes) -> tuple[bytes, ...] | None:
        """Return the values of *head* as a whole, None if it is not of the pattern."""
        if not head.startswith(self.before):
            return None
        values, at = [], len(self.before)
        for fits, text in self.behind:
            end = head.find(b"\r\n", at)
            value = head[at:end]
            if not head.startswith(text, end):
                return None
            # Letters and digits, as most ids are, are told without an engine.
            if not ((end - at <= _SHORT and value.isalnum()) or fits(value)):
                return None
            values.append(value)
            at = end + len(text)
        return tuple(values) if at == len(head) else None


@dataclass(slots=True)
class Memory:
    """
    A block's *lines* as received, and what is *sent* for each, empty for what is not passed on.

    *names* has ``Name:`` for those whose value may be another next time, else nothing. *before* and
    *after* stand around what is sent. *request_id* is the client's, if it has one that is taken on.
    *varying* are the lines that have been others since the block was read as a whole.
    """

    lines: list[bytes]
    names: list[bytes]
    sent: list[bytes]
    before: bytes
    after: bytes
    request_id: bytes
    varying: frozenset[int] = field(default=frozenset(), repr=False)

    def fields(self) -> bytes:
        """Return all fields to send."""
        return self.before + b"".join(self.sent) + self.after

    def repeated(self, block: bytes) -> "Memory | None":
        """Return the memory of *block*, or None if it differs in more than Rule 1 allows."""
        lines = block.split(b"\r\n")
        if len(lines) != len(self.lines):
            return None
        sent, request_id = self.sent.copy(), self.request_id
        varying: list[int] = []
        for at, (line, last) in enumerate(zip(lines, self.lines, strict=True)):
            if line != last:
                name = self.names[at] if at < len(sent) else b""
                value = line[len(name) :].strip(b" \t")
                if not name or not line.startswith(name) or not message.is_value(value):
                    return None
                if name.lower() == _REQUEST_ID:
                    if not headers.acceptable_request_id(value):
                        return None
                    request_id = value
                sent[at] = b"%b %b\r\n" % (name, value)
                varying.append(at)
        seen = self.varying.union(varying)
        return Memory(lines, self.names, sent, self.before, self.after, request_id, seen)

    def pattern(self, line: bytes, sent_line: bytes) -> Pattern | None:
        """
        Return the heads that differ from this one in *varying* lines; None if those are too many.

        *line* is the request line without its end, *sent_line* the one to send.
        """
        if not 0 < len(self.varying) <= _MOST:
            return None
        # What stands around the values, as received; and what is sent.
        around, sent = [line + _CRLF], literal(sent_line + self.before)
        fits: list[_Fits] = []
        id_at = -1
        for at, (text, name) in enumerate(zip(self.lines, self.names, strict=False)):
            if at in self.varying:
                is_id = name.lower() == _REQUEST_ID
                id_at = len(fits) if is_id else id_at
                fits.append(_FITS_ID if is_id else _FITS_VALUE)
                value = text[len(name) :].lstrip(b" \t")
                around[-1] += text.removesuffix(value)
                around.append(_CRLF)
                sent += literal(name) + b" %b\r\n"
            else:
                around[-1] += text + _CRLF
                sent += literal(self.sent[at])
        around[-1] += _CRLF
        behind = zip(fits, around[1:], strict=True)
        return Pattern(around[0], tuple(behind), sent + literal(self.after), id_at)


def literal(text: bytes) -> bytes:
    """Return the format of *text* as it is."""
    return text.replace(b"%", b"%%")


class Block(NamedTuple):
    """
    A block that was read, and what else decides what is sent of it.

    A connection that does not vary needs no more of it, and its lines one by one are 2 KiB.
    """

    raw: bytes
    limit: int
    own: frozenset[bytes]
    minor: int
    before: bytes
    after: bytes
    request_id: bytes

    def sent(self, pairs: message.Fields) -> list[bytes]:
        """Return what goes upstream of each of *pairs*, empty for what is not passed on."""
        has_id = bool(self.request_id)
        return [
            b"%b: %b\r\n" % pair if _passes(pair[0], self.own, self.minor, has_id) else b""
            for pair in pairs
        ]

    def may_mean_the_same(self, block: bytes) -> bool:
        """Tell whether *block* differs in fields alone that may; no other is worth a memory."""
        ours, theirs = self.raw.split(b"\r\n"), block.split(b"\r\n")
        return len(ours) == len(theirs) and all(
            line == other or self._may_vary(line, other)
            for line, other in zip(ours, theirs, strict=True)
        )

    def _may_vary(self, line: bytes, other: bytes) -> bool:
        name = _varies(line.partition(b":")[0], self.own, bool(self.request_id))
        return bool(name) and other.startswith(name)

    def line_by_line(self) -> Memory:
        """Return the memory that tells which other blocks mean the same."""
        pairs = message.fields(self.raw, limit=self.limit)
        return Memory(
            lines=self.raw.split(b"\r\n"),
            names=[_varies(name, self.own, bool(self.request_id)) for name, _ in pairs],
            sent=self.sent(pairs),
            before=self.before,
            after=self.after,
            request_id=self.request_id,
        )


_PASSING = frozenset(
    (
        Kind.END_TO_END,
        Kind.CONTENT_LENGTH,
        Kind.ORIGIN,
        Kind.SEC_FETCH_SITE,
        Kind.EXPECT,
        Kind.VIA,
        Kind.REQUEST_ID,
        Kind.LOCATION,
        Kind.METHOD_OVERRIDE,
    )
)


def _passes(name: bytes, options: frozenset[bytes], minor: int, has_id: bool) -> bool:
    kind = headers.kind_of(name)
    if kind not in _PASSING or (options and name.lower() in options):
        return False
    if kind is Kind.EXPECT:
        return minor == 1  # RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored
    return has_id if kind is Kind.REQUEST_ID else True


def _varies(name: bytes, options: frozenset[bytes], has_id: bool) -> bytes:
    """Return *name* and colon if another value of that field would change nothing but itself."""
    kind = headers.kind_of(name)
    low = name.lower()
    if low in options or low.startswith(b"access-control-"):
        return b""
    return name + b":" if kind is Kind.END_TO_END or (kind is Kind.REQUEST_ID and has_id) else b""
