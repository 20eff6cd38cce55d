"""A block remembered line by line says what reading it afresh says."""

from proxy.policy import reading, verdict
from proxy.policy.verdict import Alike
from tests.each import each
from tests.policy.heads import LINE, ask, head, read


def learned(block: bytes) -> Alike:
    """Return the requests that are alike two that differ in a number."""
    return alike(block % 1, block % 2)


def alike(first: bytes, second: bytes) -> Alike:
    """Return the requests that are alike these two."""
    received = read(first)
    assert received is not None
    known = verdict.again(ask(received), second)
    assert known is not None
    found = verdict.alike(known, LINE)
    assert found is not None
    return found


def test_another_value_of_a_plain_field_takes_the_short_way() -> None:
    """
    A request id and a trace change with every request, and cost no reading of the rest.
    """
    received = read(b"Host: localhost\r\nX-Request-Id: a-1\r\nX-Trace: 1\r\n")
    assert received is not None
    short = reading.reread(b"Host: localhost\r\nX-Request-Id: b-2\r\nX-Trace:  2 \r\n", received)
    assert short is not None
    assert short.request_id == b"b-2"
    assert b"\r\nX-Trace: 2\r\n" in short.fields


def test_another_host_takes_the_long_way() -> None:
    """
    What admission looks at is never taken over from the last request.
    """
    received = read(b"Host: localhost\r\nX-Trace: 1\r\n")
    assert received is not None
    assert reading.reread(b"Host: evil.test\r\nX-Trace: 1\r\n", received) is None


@each(
    "other",
    [
        b"Host: localhost\r\nContent-Length: 2\r\nX-A: 1\r\n",
        b"Host: localhost\r\nContent-Length: 1\r\nX-B: 1\r\n",
        b"Host: localhost\r\nContent-Length: 1\r\nX-A: 1\r\nX-B: 1\r\n",
        b"Host: localhost\r\nContent-Length: 1\r\n",
    ],
)
def test_what_can_not_mean_the_same_costs_no_memory(other: bytes) -> None:
    """
    A client that takes turns, or sends bodies of all lengths, has every block read, but once only.
    """
    received = read(b"Host: localhost\r\nContent-Length: 1\r\nX-A: 1\r\n")
    assert received is not None
    block = received.memory
    assert reading.reread(other, received) is None
    assert received.memory is block
    assert reading.remembered(received) is not block


def test_values_that_differed_are_a_pattern() -> None:
    """
    From the third head on nothing but the values is looked at, whatever stands around them.
    """
    blocks = [
        b"Host: localhost\r\nX-Request-Id:%b\r\nX-Rate: 100%%s \r\nTraceparent: %b\r\n" % values
        for values in ((b" a-1 ", b"t1"), (b"\tb-2", b"t2"), (b"\tc-3", b"t 3"))
    ]
    known = alike(blocks[0], blocks[1])
    values = known.pattern.values(head(blocks[2]))
    assert values == (b"c-3", b"t 3")
    found = verdict.filled(known, values)
    assert found.request_id == b"c-3"
    assert b"X-Request-Id: c-3\r\nX-Rate: 100%s\r\nTraceparent: t 3\r\n" in found.start
    long = read(blocks[2])
    assert long is not None
    assert found.start == ask(long).start


@each(
    "other",
    [
        b"Host: localhost\r\nX-Request-Id: not an id\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id-3\r\nX-A: 2\r\n",
        b"Host: localhost\r\nX-Request-Id: id\x00\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r3\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r\n 3\r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id\r\nX-A: 1\r\nX-B: 1\r\n",
        b"Host: localhost\r\nX-Request-Id: id \r\nX-A: 1\r\n",
        b"Host: localhost\r\nX-Request-Id:  id\r\nX-A: 1\r\n",
        b"Host: evil.test\r\nX-Request-Id: id\r\nX-A: 1\r\n",
        b"X-Request-Id: id\r\nX-A: 1\r\n",
    ],
)
def test_what_is_not_of_the_pattern_is_read_afresh(other: bytes) -> None:
    """
    A value that has to be looked at, another field, a line more or less.
    """
    pattern = learned(b"Host: localhost\r\nX-Request-Id: id-%d\r\nX-A: 1\r\n").pattern
    assert pattern.values(head(other)) is None
    assert pattern.values(head(b"")) is None
    assert pattern.values(b"") is None


def test_what_stands_before_a_value_is_no_part_of_what_stands_behind_it() -> None:
    """
    A head that is shorter than both begins with the one and ends with the other all the same.
    """
    block = b"Host: localhost\r\nX-A: 1\r\nX-A:%b\r\nX-A: 1\r\nX-A:\r\n"
    known = alike(block % b"1", block % b"")
    assert known.pattern.values(head(block % b"2")) == (b"2",)
    shorter = b"Host: localhost\r\nX-A: 1\r\nX-A:\r\n"
    assert known.pattern.values(head(shorter)) is None


@each("value", [b"a" * 128, b"a-" * 64])
def test_a_request_id_is_bounded_in_the_short_way_too(value: bytes) -> None:
    """
    Whether or not it is of letters and digits alone.
    """
    block = b"Host: localhost\r\nX-Request-Id: %b\r\n"
    pattern = alike(block % b"1", block % b"2").pattern
    assert pattern.values(head(block % value)) == (value,)
    assert pattern.values(head(block % (value + b"a"))) is None


@each("value", [b" " * 2_000_000 + b"\x01", b" " * 2_000_000, b"a" + b" " * 2_000_000 + b"\x01"])
def test_white_space_buys_no_time(value: bytes) -> None:
    """
    Matching is linear, or this would not end: 60 KB of spaces with no value behind them took
    seconds once, and this takes a thousand times as long with the square.
    """
    for rest in (b"", b"X-B: 1\r\nX-C: %d\r\n"):
        block = b"Host: localhost\r\nX-A: %d\r\n" + rest
        numbers = block.count(b"%d")
        pattern = alike(block % ((1,) * numbers), block % ((2,) * numbers)).pattern
        assert pattern.values(head(b"Host: localhost\r\nX-A: " + value + b"\r\n" + rest)) is None


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
    assert verdict.alike(ask(received), LINE) is None
    known = verdict.again(ask(received), second)
    assert known is not None
    assert verdict.alike(known, LINE) is None
