"""What has to be true of any bytes at all; the fuzzers' and the tests' one oracle."""

from contextlib import suppress
from dataclasses import replace

from tests.fuzz import driver
from tests.fuzz.driver import Message, Stricter

# llhttp knows methods by name, and RTSP's too; others it refuses, which is no disagreement.
_TO_LLHTTP = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"))


def check(case: bytes) -> None:
    """Check a *case* of the kept corpus: a byte that says of what kind, and the stream."""
    if case[:1] == b"Q":
        check_requests(case[1:])
    else:
        check_answers(case[1:], to_head=case[:1] == b"H")


def check_requests(stream: bytes) -> int:
    """Return how many requests we would forward, all of them read alike by h11 and llhttp."""
    sent = b""
    expected: list[Message] = []
    for at, ours, written in driver.forwarded(stream):
        with suppress(Stricter):
            _same(_as_h11_has_it(ours), driver.h11_request(stream[at:]))
        if ours.start[0] in _TO_LLHTTP:
            with suppress(Stricter):
                _same(ours, driver.llhttp_request(stream[at:], ours.end))
        sent += written
        expected.append(ours)
    _check_sent(sent, expected)
    return len(expected)


def check_answers(stream: bytes, *, to_head: bool = False) -> int:
    """Return how many answers we would pass on, all of them read alike by h11 and llhttp."""
    number = 0
    for at, ours in driver.passed_on(stream, to_head=to_head):
        if ours.start == (101,):
            break  # from here on it is no HTTP
        with suppress(Stricter):
            _same(_as_h11_has_it(ours), driver.h11_answer(stream[at:], to_head=to_head))
        # httptools can't be told that a request was a HEAD.
        if not to_head:
            with suppress(Stricter):
                theirs = driver.llhttp_answer(stream[at:], ours.end, until_close=ours.until_close)
                _same(ours, theirs)
        number += 1
    return number


def _check_sent(sent: bytes, expected: list[Message]) -> None:
    """What we send is, to anyone, the requests that were understood, each with one credential."""
    at = 0
    for ours in expected:
        theirs = driver.h11_request(sent[at:])
        if ours.start[0] in _TO_LLHTTP:
            _same(theirs, driver.llhttp_request(sent[at:], theirs.end))
        assert theirs.start[0] == ours.start[0]
        assert (theirs.content, theirs.trailers) == (ours.content, ours.trailers)
        tokens = [value for name, value in theirs.fields if name.lower() == b"authorization"]
        assert tokens == [b"Bearer t0k3n"]
        assert [value for name, value in theirs.fields if name == b"Host"] == [b"api.example"]
        at += theirs.end
    assert at == len(sent)


def _as_h11_has_it(ours: Message) -> Message:
    """Return *ours* with the coding in lower case: h11 keeps no other form of it."""
    pairs = [(n, v.lower() if n.lower() == b"transfer-encoding" else v) for n, v in ours.fields]
    return replace(ours, fields=pairs)


def _same(ours: Message, theirs: Message) -> None:
    assert theirs == ours
