"""A block remembered line by line says what reading it afresh says."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import verdict
from proxy.policy.admission import Admission
from proxy.policy.message import Malformed
from proxy.policy.target import Base
from proxy.policy.verdict import Asked, Received, Rules

RULES = Rules(
    base=Base(b"https", b"api.test", b"/v1"),
    admission=Admission(origins=frozenset({b"https://page.test"})),
)
NAMES = (
    b"Host", b"host", b"X-A", b"x-a", b"X-Request-Id", b"Accept", b"Connection", b"Content-Length",
    b"Transfer-Encoding", b"Authorization", b"Origin", b"Sec-Fetch-Site", b"Upgrade", b"Expect",
    b"TE", b"Via", b"X-Forwarded-For", b"X_Request_Id", b"Cookie", b"Access-Control-Request-Method",
    b"X-HTTP-Method-Override",
)  # fmt: skip
VALUES = (
    b"", b"localhost", b"evil.test", b"1", b"0", b"chunked", b"close", b"x-a", b"keep-alive, x-a",
    b"upgrade", b"websocket", b"h2c", b"100-continue", b"trailers", b"https://page.test",
    b"cross-site", b"1.1 bearer-proxy", b"id-1", b"id 2", b"a" * 200, b"\xff", b"bad\x00", b"b\rb",
    b"b\nb", b" around ", b"\ttabs\t", b"GET",
)  # fmt: skip

lines = st.builds(b"%b:%b%b\r\n".__mod__, st.tuples(
    st.sampled_from(NAMES), st.sampled_from((b"", b" ", b"\t")), st.sampled_from(VALUES)
))  # fmt: skip
blocks = st.lists(lines, max_size=6).map(lambda each: b"Host: localhost\r\n" + b"".join(each))


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return two blocks that differ in a line or two."""
    first = draw(blocks)
    second = first.split(b"\r\n")[:-1]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(second) - 1))
        name = second[at].partition(b":")[0]
        second[at] = name + b": " + draw(st.sampled_from(VALUES))
    if draw(st.integers(0, 9)) == 0:
        second.append(draw(lines)[:-2])
    return first, b"".join(line + b"\r\n" for line in second)


def read(block: bytes) -> Received | None:
    """Return what the long way says, None where it refuses to read."""
    try:
        return verdict.read(block, minor=1, rules=RULES, local="127.0.0.1")
    except Malformed:
        return None


def said(received: Received) -> list[str]:
    """Return all that is known of a block, in a form that compares."""
    verdict.remembered(received)
    return [repr(getattr(received, each.name)) for each in fields(received)]


@given(neighbours())
def test_the_short_way_says_what_the_long_one_says(pair: tuple[bytes, bytes]) -> None:
    """
    Whatever two blocks are read one after the other: the second means the same either way.
    """
    first, second = pair
    received = read(first)
    if received is None:
        return
    short = verdict.reread(second, received)
    if short is not None:
        long = read(second)
        assert long is not None
        assert said(short) == said(long)


def test_another_value_of_a_plain_field_takes_the_short_way() -> None:
    """
    A request id and a trace change with every request, and cost no reading of the rest.
    """
    received = read(b"Host: localhost\r\nX-Request-Id: a-1\r\nX-Trace: 1\r\n")
    assert received is not None
    short = verdict.reread(b"Host: localhost\r\nX-Request-Id: b-2\r\nX-Trace:  2 \r\n", received)
    assert short is not None
    assert short.request_id == b"b-2"
    assert b"\r\nX-Trace: 2\r\n" in short.fields


def test_another_host_takes_the_long_way() -> None:
    """
    What admission looks at is never taken over from the last request.
    """
    received = read(b"Host: localhost\r\nX-Trace: 1\r\n")
    assert received is not None
    assert verdict.reread(b"Host: evil.test\r\nX-Trace: 1\r\n", received) is None


LINE = b"GET /transactions?page=1%20 HTTP/1.1"
TAILS = (b"", b"x", b"\r\n", b"GET / HTTP/1.1\r\n", b"X-A: 1\r\n\r\n")


def ask(received: Received) -> Asked:
    """Return what a GET of one target asks for."""
    return verdict.ask(b"GET", b"/transactions?page=1%20", received, RULES)


def head(block: bytes) -> bytes:
    return LINE + b"\r\n" + block + b"\r\n"


def with_values(block: bytes, values: list[bytes]) -> bytes:
    """Return *block* with other values behind the names of its last lines."""
    lines = block.split(b"\r\n")[:-1]
    for at, value in zip(range(len(lines) - 1, 0, -1), values, strict=False):
        lines[at] = lines[at].partition(b":")[0] + b":" + value
    return b"".join(line + b"\r\n" for line in lines)


_spaced = st.builds(
    b"%b%b%b".__mod__,
    st.tuples(st.sampled_from((b"", b" ", b"\t ")), st.sampled_from(VALUES), st.just(b" ")),
)


@settings(max_examples=300)
@given(blocks, st.lists(_spaced, max_size=3), st.lists(_spaced, max_size=3), st.sampled_from(TAILS))
def test_a_head_of_the_pattern_asks_for_what_it_says(
    first: bytes, second: list[bytes], third: list[bytes], tail: bytes
) -> None:
    """
    Two heads give a pattern. Whatever a third one that matches it says, it says when read afresh,
    and the match ends where the head does.
    """
    received = read(first)
    known = received and verdict.again(ask(received), with_values(first, second))
    pattern = known and verdict.pattern(known, LINE)
    if not known or not pattern:
        return
    block = with_values(with_values(first, second), third)
    found = verdict.varied(known, pattern, head(block) + tail)
    if found is None:
        return
    varied, length = found
    assert (head(block) + tail)[:length] == head(block)
    long = read(block)
    assert long is not None
    afresh = ask(long)
    for each in ("method", "target", "start", "refusal", "settled", "request_id", "plain"):
        assert getattr(varied, each) == getattr(afresh, each)
    for each in ("framing", "host", "keep_alive", "upgrade", "expects_continue", "caller"):
        assert getattr(varied.received, each) == getattr(long, each)


def test_values_that_differed_are_a_pattern() -> None:
    """
    From the third head on nothing but the values is looked at, whatever stands around them.
    """
    blocks = [
        b"Host: localhost\r\nX-Request-Id:%b\r\nX-Rate: 100%%s\r\nTraceparent: %b \r\n" % values
        for values in ((b" a-1", b"t1"), (b"b-2", b"t2"), (b"\tc-3 ", b"t 3"))
    ]
    received = read(blocks[0])
    assert received is not None
    known = verdict.again(ask(received), blocks[1])
    assert known is not None
    pattern = verdict.pattern(known, LINE)
    assert pattern is not None
    found = verdict.varied(known, pattern, head(blocks[2]))
    assert found is not None
    assert found[0].request_id == b"c-3"
    assert b"X-Request-Id: c-3\r\nX-Rate: 100%s\r\nTraceparent: t 3\r\n" in found[0].start
    long = read(blocks[2])
    assert long is not None
    assert found[0].start == ask(long).start


@pytest.mark.parametrize(
    "other",
    [
        b"Host: localhost\r\nX-Request-Id: not an id\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id-3\r\nX-A: 2\r\n",
        b"Host: localhost\r\nX-Request-Id: id\x00\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r3\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r\n 3\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r\nX-A: 1\r\nX-B: 1\r\n",
        b"Host: evil.test\r\nX-Request-Id: id\r\nX-A: 1\r\n",
        b"X-Request-Id: id\r\nX-A: 1\r\n",
    ],
)
def test_what_is_not_of_the_pattern_is_read_afresh(other: bytes) -> None:
    """
    A value that has to be looked at, another field, a line more or less.
    """
    received = read(b"Host: localhost\r\nX-Request-Id: id-1\r\nX-A: 1\r\n")
    assert received is not None
    known = verdict.again(ask(received), b"Host: localhost\r\nX-Request-Id: id-2\r\nX-A: 1\r\n")
    assert known is not None
    pattern = verdict.pattern(known, LINE)
    assert pattern is not None
    assert verdict.varied(known, pattern, head(other)) is None
    assert verdict.varied(known, pattern, head(b"")) is None
    assert verdict.varied(known, pattern, b"") is None


def test_who_varies_nearly_everything_is_not_remembered() -> None:
    """
    Nine other values make no pattern, and nothing but repetition makes none either.
    """
    first, second = (
        b"Host: localhost\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n + more) for n in range(9))
        for more in (0, 1)
    )
    received = read(first)
    assert received is not None
    assert verdict.pattern(ask(received), LINE) is None
    known = verdict.again(ask(received), second)
    assert known is not None
    assert verdict.pattern(known, LINE) is None
