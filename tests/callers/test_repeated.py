"""With callers to tell apart, a block that is remembered says what reading it afresh says."""

from dataclasses import fields

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy import reading, verdict
from proxy.policy.admission import Admission
from proxy.policy.callers import Callers, LocalToken
from proxy.policy.reading import Received
from proxy.policy.rules import Rules
from proxy.policy.target import Base

TOKENS = (LocalToken("shop", b"token-of-the-shop"), LocalToken("ci", b"token-of-the-pipeline"))
RULES = [
    Rules(
        base=Base(b"https", b"api.test", b"/v1"),
        admission=Admission(origins=frozenset({b"https://page.test"})),
        callers=callers,
    )
    for callers in (
        Callers(tokens=TOKENS, token_field=b"X-Token"),
        Callers(tokens=TOKENS, required_field=b"X-Local"),
        Callers(tokens=TOKENS, token_field=b"Authorization", required_field=b"X-Local"),
        Callers(required_field=b"X-Local", required_value=b"1"),
    )
]
LINE = b"GET /a HTTP/1.1"
# What shows a caller in one of these ways, or nearly; the first of them often, so that many pass.
SHOWN = (
    b"X-Token: token-of-the-shop",
    b"Proxy-Authorization: Bearer token-of-the-shop",
    b"Authorization: Bearer token-of-the-shop",
    b"X-Local: 1",
)
NEARLY = (
    b"X-Token: token-of-the-pipeline",
    b"x-token: token-of-the-shoq",
    b"X_Token: token-of-the-shop",
    b"Proxy-Authorization: Bearer token-of-the-pipeline",
    b"Proxy-Authorization: Basic token-of-the-shop",
    b"Proxy_Authorization: Bearer token-of-the-shop",
    b"Authorization: Bearer token-of-the-shoq",
    b"X-Local: 2",
    b"X_Local: 1",
    b"x-local:",
    b"X-A: 1",
    b"X-A: token-of-the-shop",
    b"X-Request-Id: id-1",
    b"X-Request-Id: id-2",
    b"Connection: x-token, x-local",
    b"Connection: x-a, authorization",
)
VALUES = (b"1", b"2", b"token-of-the-shop", b"Bearer token-of-the-pipeline", b"id-3", b"x-a", b"")

_shown = st.permutations(SHOWN).flatmap(
    lambda order: st.sampled_from((4, 4, 4, 3)).map(lambda many: list(order[:many]))
)
_blocks = st.tuples(_shown, st.lists(st.sampled_from(NEARLY), max_size=3)).map(
    lambda each: [b"Host: localhost", *each[0], *each[1]]
)


@st.composite
def neighbours(draw: st.DrawFn) -> list[bytes]:
    """Return three blocks, each with other values in a line or two than the one before."""
    lines = draw(_blocks)
    found = []
    for _ in range(3):
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(1, len(lines) - 1))
            lines[at] = lines[at].partition(b":")[0] + b": " + draw(st.sampled_from(VALUES))
        found.append(b"".join(line + b"\r\n" for line in lines))
    return found


def read(block: bytes, rules: Rules) -> Received:
    return reading.read(block, minor=1, rules=rules, local="127.0.0.1")


def said(received: Received) -> list[str]:
    """Return all that is known of a block, in a form that compares."""
    reading.remembered(received)
    return [repr(getattr(received, each.name)) for each in fields(received)]


@settings(max_examples=100)
@given(neighbours(), st.sampled_from(RULES))
def test_every_short_way_says_what_the_long_one_says(blocks: list[bytes], rules: Rules) -> None:
    """
    Who asks, whether it may, and which bytes go on: by comparing lines, and by the pattern of those
    that differed.
    """
    first, second, third = blocks
    received = read(first, rules)
    asked = verdict.ask(b"GET", b"/a", received, rules)
    short = reading.reread(second, received)
    if short is None:
        return
    assert said(short) == said(read(second, rules))
    again = verdict.again(asked, second)
    if again is None:
        assert asked.meaning.refusal is not None
        return
    alike = verdict.alike(again, LINE)
    values = alike and alike.pattern.values(LINE + b"\r\n" + third + b"\r\n")
    if alike and values:
        found = verdict.filled(alike, values)
        afresh = verdict.ask(b"GET", b"/a", read(third, rules), rules)
        assert afresh.meaning.refusal is None
        assert (found.start, found.request_id) == (afresh.start, afresh.request_id)
        assert found.meaning.received.caller == afresh.meaning.received.caller


@given(neighbours(), st.sampled_from(RULES))
def test_what_shows_a_caller_is_in_nothing_that_is_sent(blocks: list[bytes], rules: Rules) -> None:
    """
    In no spelling of the field's name, whatever else the block holds.
    """
    for block in blocks:
        asked = verdict.ask(b"GET", b"/a", read(block, rules), rules)
        sent = {line.partition(b":")[0].lower() for line in asked.start.split(b"\r\n")[1:]}
        names = {name.replace(b"_", b"-") for name in sent}
        assert rules.callers.required_field.lower() not in names - {b""}
        if rules.callers.tokens:
            assert rules.callers.token_field.lower() not in names


def test_the_property_has_what_to_look_at() -> None:
    """
    Among such blocks are some that pass in each way, that are read again, and that make a pattern.
    """
    for rules in RULES:
        block = b"".join(line + b"\r\n" for line in (b"Host: localhost", *SHOWN, b"X-A: %b"))
        asked = verdict.ask(b"GET", b"/a", read(block % b"1", rules), rules)
        again = verdict.again(asked, block % b"2")
        assert again is not None
        alike = verdict.alike(again, LINE)
        assert alike is not None
        assert alike.pattern.values(LINE + b"\r\n" + block % b"3" + b"\r\n") == (b"3",)
