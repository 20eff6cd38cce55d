"""The one task that asks: step by step by hand, without an event loop."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.tokens import Exchange, Kind
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.refresher import BEAT_SECONDS, Refresher
from tests.tokens.fakes import Clock, drive, failed, granted, logged, middle


class Script:
    """A source that gives prepared answers, and a fingerprint that a test may change."""

    def __init__(self, *answers: Callable[[], Exchange]) -> None:
        self.answers = list(answers)
        self.current = "fp"
        self.calls = self.looks = 0

    async def exchange(self) -> Exchange:
        self.calls += 1
        return self.answers.pop(0)()

    async def fingerprint(self) -> str:
        self.looks += 1
        return self.current


class Stepped:
    """A refresher over a script."""

    def __init__(self, clock: Clock, *answers: Callable[[], Exchange]) -> None:
        self.clock = clock
        self.life = Lifecycle(now=clock.now(), uniform=middle)
        self.source = Script(*answers)
        self.changes = 0
        self.refresher = Refresher(
            self.life, self.source, clock=clock, changed=self.changed, woken=asyncio.Event()
        )

    def changed(self) -> None:
        self.changes += 1

    def step(self, *, after: float = 0.0) -> float:
        self.clock.advance(after)
        return drive(self.refresher.step())


def grants(clock: Clock, token: str = "t0k3n") -> Callable[[], Exchange]:
    return lambda: granted(token, sent_at=clock.now(), lives=100.0)


def broken() -> Exchange:
    raise LookupError("s3cret-of-acme")


def test_a_step_asks_when_it_is_due_and_says_how_long_to_rest(clock: Clock) -> None:
    """
    Until the next refresh; and nothing is asked before it.
    """
    stepped = Stepped(clock, grants(clock), grants(clock, "two"))
    assert stepped.step() == pytest.approx(80)
    assert stepped.step(after=79) == pytest.approx(1)
    assert stepped.source.calls == 1
    stepped.step(after=1.001)
    assert stepped.source.calls == 2


def test_requests_are_told_when_a_fetch_begins_and_when_it_ends(clock: Clock) -> None:
    """
    Those who wait look again at both.
    """
    stepped = Stepped(clock, grants(clock))
    stepped.step()
    assert stepped.changes == 2


def test_a_defect_backs_off_like_any_failure_and_its_text_is_not_shown(clock: Clock) -> None:
    """
    A source that raises must not ask the issuer in a loop, nor quote what it was handling.
    """
    stepped = Stepped(clock, broken)
    with logged() as lines:
        assert stepped.step() >= 0.1
    assert stepped.life.failure is not None
    assert stepped.life.failure.cause == "could not be asked (LookupError)"
    assert "s3cret" not in repr(lines)


def test_a_cancelled_exchange_is_abandoned(clock: Clock) -> None:
    """
    A stop in the middle leaves no exchange under way behind.
    """

    def cancelled() -> Exchange:
        raise asyncio.CancelledError

    stepped = Stepped(clock, cancelled)
    with pytest.raises(asyncio.CancelledError):
        stepped.step()
    assert not stepped.life.fetching


def test_the_secret_is_looked_at_once_a_beat_while_latched(clock: Clock) -> None:
    """
    However often requests wake the refresher meanwhile; and never while not latched.
    """
    stepped = Stepped(clock, lambda: failed(Kind.REJECTED))
    stepped.step()
    assert stepped.source.looks == 0
    assert stepped.step() <= BEAT_SECONDS
    for _ in range(40):
        assert stepped.step(after=0.1) <= BEAT_SECONDS
    assert stepped.source.looks == 1
    stepped.step(after=1.1)
    assert stepped.source.looks == 2
    assert stepped.source.calls == 1


def test_a_changed_secret_is_tried_in_the_same_step(clock: Clock) -> None:
    """
    Seen and used at once, with a line that says so.
    """
    stepped = Stepped(clock, lambda: failed(Kind.REJECTED), grants(clock))
    stepped.step()
    stepped.source.current = "another"
    with logged() as lines:
        stepped.step(after=5)
    assert stepped.life.usable(clock.now())
    assert [line["event"] for line in lines] == ["token.credential_changed", "token.recovered"]


def test_a_look_that_was_asked_for_is_answered_in_the_log(clock: Clock) -> None:
    """
    Whoever sent the SIGHUP sees that it was heard, also when nothing has changed.
    """
    stepped = Stepped(clock, grants(clock))
    stepped.step()
    stepped.refresher.look_now()
    with logged() as lines:
        stepped.step()
        stepped.step()
        stepped.source.current = ""
        stepped.refresher.look_now()
        stepped.step()
    assert [line["event"] for line in lines] == [
        "token.credential_unchanged",
        "token.credential_unreadable",
    ]
    assert stepped.source.calls == 1


def test_the_end_of_the_last_token_is_told_once(clock: Clock) -> None:
    """
    An error, since from now on requests fail; and those who wait are told.
    """
    away = [lambda: failed(Kind.TIMEOUT, retry_after=1000.0)]
    stepped = Stepped(clock, grants(clock), *away)
    stepped.step()
    stepped.step(after=81)
    changes = stepped.changes
    with logged() as lines:
        assert stepped.step(after=5) == pytest.approx(9)
        stepped.step(after=9)
        stepped.step(after=1)
    assert [(line["event"], line["log_level"]) for line in lines] == [("token.expired", "error")]
    assert stepped.changes == changes + 1


def test_the_same_failure_again_is_no_news(clock: Clock) -> None:
    """
    Told once, then on the debug level until the cause is another.
    """
    causes = ["answered 503", "answered 503", "answered 500", "answered 500"]
    stepped = Stepped(
        clock, *[lambda cause=cause: failed(Kind.UNAVAILABLE, cause=cause) for cause in causes]
    )
    with logged() as lines:
        for _ in causes:
            stepped.step(after=60)
    assert [line["log_level"] for line in lines] == ["warning", "debug", "warning", "debug"]
