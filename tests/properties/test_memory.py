"""Whatever two blocks are read in turn, the short way says what the long one says."""

from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import reading, verdict
from proxy.policy.credential import Credential
from proxy.policy.reading import Received
from proxy.policy.verdict import Asked, Forward
from tests.policy.heads import LINE, ask, head, read

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
TAILS = (b"", b"x", b"\r\n", b"GET / HTTP/1.1\r\n", b"X-A: 1\r\n\r\n")

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


def said(received: Received) -> list[str]:
    """Return all that is known of a block, in a form that compares."""
    reading.remembered(received)
    return [repr(getattr(received, each.name)) for each in fields(received)]


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


@given(neighbours())
def test_the_short_way_says_what_the_long_one_says(pair: tuple[bytes, bytes]) -> None:
    """
    Whatever two blocks are read one after the other: the second means the same either way, and the
    short way is open whether or not the first has been taken apart before.
    """
    first, second = pair
    received, apart = read(first), read(first)
    if received is None or apart is None:
        return
    short = reading.reread(second, received)
    reading.remembered(apart)
    assert (reading.reread(second, apart) is None) == (short is None)
    if short is not None:
        long = read(second)
        assert long is not None
        assert said(short) == said(long)


@settings(max_examples=300)
@given(blocks, st.lists(_spaced, max_size=3), st.lists(_spaced, max_size=3), st.sampled_from(TAILS))
def test_a_head_of_the_pattern_asks_for_what_it_says(
    first: bytes, second: list[bytes], third: list[bytes], tail: bytes
) -> None:
    """
    Two heads give a pattern. Whatever a third one that matches it says, it says when read afresh;
    and it matches as a whole, or not at all.
    """
    received = read(first)
    known = received and verdict.again(ask(received), with_values(first, second))
    alike = verdict.alike(known, LINE) if known else None
    if alike is None:
        return
    block = with_values(with_values(first, second), third)
    if tail:
        assert alike.pattern.values(head(block) + tail) is None
    values = alike.pattern.values(head(block))
    if values is None:
        return
    varied = verdict.filled(alike, values)
    long = read(block)
    assert long is not None
    afresh = ask(long)
    assert (varied.start, varied.request_id) == (afresh.start, afresh.request_id)
    for each in ("method", "target", "line", "refusal", "settled", "repeatable", "plain"):
        assert getattr(varied.meaning, each) == getattr(afresh.meaning, each)
    for each in ("framing", "host", "keep_alive", "upgrade", "expects_continue", "caller"):
        assert getattr(varied.meaning.received, each) == getattr(long, each)


# Names and values that mean something to whoever formats or matches, and nothing to the proxy.
PASSING = (b"X-A", b"x-a", b"%b", b"X-%%-100", b"X.+*|^$", b"Cookie", b"Traceparent")
PLAIN = (
    b"", b"1", b"a b", b"%b", b"%(a)s", b"100%", b"%%", b"\xff\xb2", b"a\tb", b"X-A: 1", b"X-A:",
    b"(?>x)*", b"v" * 128, b"v" * 129,
)  # fmt: skip
IDS = (b"1", b"id-1", b"a" * 127, b"a" * 128, b"a-" * 64, b"/+=:@~._")
CREDENTIAL = Credential("100%s%%", issued_at=0, usable_until=1, expires_at=1)


@st.composite
def families(draw: st.DrawFn) -> list[bytes]:
    """Return three blocks that differ in the values of the same few lines; the first two in all."""
    names = draw(st.lists(st.sampled_from(PASSING), min_size=1, max_size=5))
    if draw(st.booleans()):
        names.insert(draw(st.integers(0, len(names))), b"X-Request-Id")
    varying = draw(st.sets(st.integers(0, len(names) - 1), min_size=1, max_size=3))
    spaces = st.sampled_from((b"", b" ", b"\t "))
    # Nobody puts white space behind a value that varies, and such a head is read afresh.
    lines = [
        (b"%b:%b" % (name, draw(spaces)), (b"" if at in varying else draw(spaces)) + b"\r\n")
        for at, name in enumerate(names)
    ]
    values = [IDS if name == b"X-Request-Id" else PLAIN for name in names]
    chosen = [draw(st.sampled_from(each)) for each in values]
    blocks = []
    for _ in range(3):
        blocks.append(
            b"Host: localhost\r\n"
            + b"".join(value.join(line) for line, value in zip(lines, chosen, strict=True))
        )
        for at in varying:
            others = [value for value in values[at] if value != chosen[at]]
            chosen[at] = draw(st.sampled_from(others))
    return blocks


def sent(asked: Asked, *values: bytes) -> bytes:
    """Return the head that goes upstream, but for an id of ours."""
    forward = verdict.judge(asked, CREDENTIAL)
    assert isinstance(forward, Forward)
    return forward.head % values if values else forward.head


@given(families())
def test_what_is_sent_by_a_pattern_is_what_is_sent_otherwise(blocks: list[bytes]) -> None:
    """
    Byte for byte, whatever of a format or of an expression stands in the fields or the token; and
    a head that differs where others did is always of the pattern.
    """
    received, long = read(blocks[0]), read(blocks[2])
    assert received is not None
    assert long is not None
    known = verdict.again(ask(received), blocks[1])
    assert known is not None
    alike = verdict.alike(known, LINE)
    assert alike is not None
    values = alike.pattern.values(head(blocks[2]))
    assert values is not None
    assert sent(alike, *values) == sent(ask(long))
    assert verdict.filled(alike, values).request_id == ask(long).request_id
