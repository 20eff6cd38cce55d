"""A block remembered line by line says what reading it afresh says."""

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from proxy.policy import verdict
from proxy.policy.admission import Admission
from proxy.policy.message import Malformed
from proxy.policy.target import Base
from proxy.policy.verdict import Received, Rules

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
