"""
What the next head of a connection asks, as far as it is another than the last one.

A client repeats its request line now and then, its fields nearly always, or but for some values.
What is the same is not read again: the result is what reading it afresh would give.
"""

from proxy.dataplane import referee
from proxy.policy import message, reading, verdict
from proxy.policy.rules import Rules
from proxy.policy.verdict import Alike, Asked


def understand(
    head: bytes, *, last: bytes, asked: Asked | None, rules: Rules, local: str
) -> tuple[Asked, Alike | None]:
    """
    Return what *head* asks, and the requests that are alike this and the *last* one, if any.

    *head* is whole, with its empty line. *last* was understood as *asked* by the same *rules*;
    without one that is None. *local* is the address that the client connected to. Raise Malformed.
    """
    (line, block), (last_line, last_block) = _parted(head), _parted(last)
    if asked is not None and line == last_line:
        again = verdict.again(asked, block)
        if again is not None:
            return again, verdict.alike(again, line)
    method, target, minor = message.request_line(line, target_bytes=rules.target_bytes)
    received = None
    if asked is not None and minor == asked.meaning.received.minor:
        received = asked.meaning.received
        if block != last_block:
            received = reading.reread(block, received)
    if received is None:
        received = reading.read(block, minor=minor, rules=rules, local=local)
        referee.check_request(block, minor=minor, limit=rules.head_fields)
    return verdict.ask(method, target, received, rules), None


def _parted(head: bytes) -> tuple[bytes, bytes]:
    """Return a head's first line and its header block, each without the line end behind it."""
    line, _, rest = head.partition(b"\r\n")
    return line, rest[:-2]
