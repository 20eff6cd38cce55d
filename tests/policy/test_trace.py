"""W3C Trace Context: what continues a trace, what begins another, what is passed on."""

from proxy.policy import trace
from proxy.policy.admission import Admission
from proxy.policy.reading import read
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.trace import Parent, Trace
from proxy.policy.verdict import Asked, ask
from tests.each import each

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)
BASE = Base(scheme=b"https", authority=b"api.example.com")


def asked(*fields: bytes) -> Asked:
    """Return a request with these fields, as the data plane understands it."""
    block = b"".join(b"%b\r\n" % each for each in (b"Host: localhost", *fields))
    rules = Rules(base=BASE, admission=Admission())
    return ask(b"GET", b"/x", read(block, minor=1, rules=rules, local="127.0.0.1"), rules)


def parent_of(*fields: bytes) -> Parent | None:
    """Return where a request with these fields comes from."""
    return trace.parent(asked(*fields).start)


@each("name", [b"traceparent", b"Traceparent", b"TRACEPARENT"])
@each(("flags", "sampled"), [(b"00", False), (b"01", True), (b"ff", True)])
def test_a_trace_goes_on(name: bytes, flags: bytes, sampled: bool) -> None:
    """
    Its id, the span before ours and the sampled flag are taken over.
    """
    value = b"00-%b-%b-%b" % (TRACE, SPAN, flags)
    assert parent_of(b"%b: %b" % (name, value)) == Parent(TRACE, SPAN, sampled)


@each(
    "value",
    [
        b"",
        b"nonsense",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + b"-more",
        GOOD + b"0",
        b"ff" + GOOD[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"cc" + GOOD[2:] + b".more",
        GOOD.replace(b"-", b"_"),
        b"%b, %b" % (GOOD, GOOD),
    ],
)
def test_what_can_not_be_read_in_one_way_begins_another_trace(value: bytes) -> None:
    """
    A malformed traceparent counts as none, and takes its tracestate with it.
    """
    assert parent_of(b"traceparent: " + value, b"tracestate: a=1") is None


def test_two_parents_are_none() -> None:
    """
    Of two traceparents neither is chosen.
    """
    assert parent_of(b"traceparent: " + GOOD, b"Traceparent: " + GOOD) is None


@each("more", [b"", b"-", b"-what.comes.then"])
def test_of_a_version_to_come_the_known_part_is_read(more: bytes) -> None:
    """
    Section 3.2.2: a higher version is read as far as this one goes.
    """
    assert parent_of(b"traceparent: cc" + GOOD[2:] + more) == Parent(TRACE, SPAN, True)


@each(
    ("states", "expected"),
    [
        ([b"a=1"], b"a=1"),
        ([b"a=1,b=2 3", b"c@v=4"], b"a=1,b=2 3,c@v=4"),
        ([b"a=1, ,\t", b"b=2"], b"a=1,b=2"),
        ([b"a=1,a=2"], b""),
        ([b"A=1"], b""),
        ([b"a=1=2"], b""),
        ([b"a"], b""),
        ([b"a=\xff"], b""),
        ([b",".join(b"k%d=v" % each for each in range(33))], b""),
    ],
)
def test_a_tracestate_goes_on_whole_or_not_at_all(states: list[bytes], expected: bytes) -> None:
    """
    Several fields are one list; a list that is none is dropped without the trace being lost.
    """
    found = parent_of(b"traceparent: " + GOOD, *(b"tracestate: " + each for each in states))
    assert found == Parent(TRACE, SPAN, True, expected)


def test_a_parent_that_connection_names_is_another_hops() -> None:
    """
    What is nominated is gone before the trace is looked for.
    """
    assert parent_of(b"Connection: traceparent", b"traceparent: " + GOOD) is None


def test_nothing_of_the_clients_is_left_in_a_head() -> None:
    """
    All of them go, whatever their case and number, and nothing else does.
    """
    kept = [b"A: 1", b"X-Traceparent: " + GOOD, b"traceparent-x: 1", b"Tracestates: 2", b"B: 3"]
    gone = [b"TraceParent: " + GOOD, b"tracestate: a=1", b"TRACESTATE:  b=2", b"traceparent: x"]
    with_them = [line for pair in zip(kept, [*gone, b"C: 4"], strict=True) for line in pair]
    assert trace.without(asked(*with_them).start) == asked(*kept, b"C: 4").start


@each("sampled", [True, False])
@each("state", [b"", b"a=1,b=2"])
def test_what_is_sent_is_read_as_what_was_meant(sampled: bool, state: bytes) -> None:
    """
    Whoever receives our fields finds the trace, this hop's span, the decision and the state.
    """
    parent = Parent(TRACE, SPAN, True, state) if state else None
    place = Trace(TRACE, b"b" * 16, sampled, parent, asked().meaning, BASE, started=0.0)
    lines = place.field_lines(b"c" * 16)
    assert trace.parent(b"GET / HTTP/1.1\r\n" + lines) == Parent(TRACE, b"c" * 16, sampled, state)
