"""
Which trace a request belongs to: W3C Trace Context, out of one head and into another.

Rule 1: strip first, inject last. What the client sent as traceparent and tracestate is gone before
        ours exists; so is what Connection nominates, which belongs to another hop.

Rule 2: what can't be read in exactly one way begins a new trace: no traceparent, more than one, one
        that is malformed, all zeros, or of the version that is forbidden. A tracestate without its
        traceparent means nothing.

Rule 3: a tracestate is other vendors': it goes on as it came, or, if it is malformed, not at all.

Rule 4: no id is made here and no clock is read.

Reference: https://www.w3.org/TR/trace-context/, sections 3.2, 3.3 and 4.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.policy.target import Base
from proxy.policy.verdict import Meaning

# In a head of our own serialisation: no folds, no white space around a value.
_LINES = re.compile(rb"\r\n(?i:trace(parent|state)):[ \t]*([^\r\n]*)")
# Of a version to come only the beginning is known, and must be followed by a dash if by anything.
_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KNOWN_VERSION = b"00"
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16
_SAMPLED = 1
_MEMBER = re.compile(
    rb"[ \t]*([a-z0-9][a-z0-9_\-*/@]{0,255})=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*"
)
_MOST_MEMBERS = 32


class Parent(NamedTuple):
    """The span that a request comes from: ids in hexadecimal, and the *state* of other vendors."""

    trace_id: bytes
    span_id: bytes
    sampled: bool
    state: bytes = b""


@dataclass(slots=True)
class Attempt:
    """
    A request on its way to the upstream, once: a client span.

    *started* and *ended* are seconds on the monotonic clock, *remote* the address it went to, empty
    if there was no connection. *status* is 0 until an answer has come, *error* the code of what
    ended it otherwise.
    """

    span_id: bytes
    started: float
    ended: float = 0.0
    remote: str = ""
    status: int = 0
    error: str = ""


@dataclass(slots=True)
class Trace:
    """
    A request's place in a trace: the server span, and the *attempts* that stand under it.

    *started* is on the monotonic clock. Without *sampled* nobody records it, and whoever comes
    after is told so.
    """

    trace_id: bytes
    span_id: bytes
    sampled: bool
    parent: Parent | None
    meaning: Meaning
    base: Base
    started: float
    attempts: list[Attempt] = field(default_factory=list)

    def field_lines(self, span_id: bytes) -> bytes:
        """Return the field lines that make *span_id* the parent of whoever receives them."""
        line = b"traceparent: 00-%b-%b-0%d\r\n" % (self.trace_id, span_id, self.sampled)
        state = self.parent.state if self.parent else b""
        return b"%btracestate: %b\r\n" % (line, state) if state else line


def parent(head: bytes) -> Parent | None:
    """Return where a request with this *head* of ours, or lines of one, comes from."""
    found = _LINES.findall(head)
    if not found:
        return None
    parents = [value for name, value in found if name.lower() == b"parent"]
    match = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if (version == _KNOWN_VERSION and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    states = [value for name, value in found if name.lower() == b"state"] if found[1:] else []
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), _state(states))


def _state(values: list[bytes]) -> bytes:
    """Return the one list that *values* make; nothing if it is no such list."""
    if not values:
        return b""
    members = [member for value in values for member in value.split(b",") if member.strip(b" \t")]
    keys = {match[1] for member in members if (match := _MEMBER.fullmatch(member))}
    return b",".join(members) if len(keys) == len(members) <= _MOST_MEMBERS else b""


def without(head: bytes) -> bytes:
    """Return *head* without what says where it comes from."""
    return _LINES.sub(b"", head)
