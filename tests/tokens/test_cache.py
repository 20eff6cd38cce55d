"""What the data plane sees: an answer at once, whatever the state; no event loop."""

import pytest

from proxy.errors import Side
from proxy.policy.credential import Credentials
from proxy.tokens import Kind, TokenCache
from proxy.tokens.lifecycle import Lifecycle
from tests.tokens.fakes import Clock, credential, failed, granted, logged, middle


class Wakes:
    """Counts how often the refresher was woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class Cached:
    """A cache over a lifecycle of its own, on the clock that a test moves."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.life = Lifecycle(now=clock.now(), uniform=middle)
        self.woken = Wakes()
        self.cache = TokenCache(
            self.life, clock=clock, issuer="https://issuer.test/token", wake=self.woken
        )

    def fetch(self, token: str = "t0k3n", *, lives: float = 100.0) -> None:
        now = self.clock.now()
        self.life.started(now)
        self.life.finished(now, granted(token, sent_at=now, lives=lives))

    def fail(self, kind: Kind, **more: object) -> None:
        now = self.clock.now()
        self.life.started(now)
        self.life.finished(now, failed(kind, **more))  # type: ignore[arg-type] # any of them


@pytest.fixture
def cached(clock: Clock) -> Cached:
    """A cache with nothing in it."""
    return Cached(clock)


def test_it_is_what_the_data_plane_asks_for(cached: Cached) -> None:
    """
    The protocol of policy, method by method.
    """
    credentials: Credentials = cached.cache
    assert credentials.current() is None


def test_a_token_is_current_until_it_is_not_safe_to_send(cached: Cached) -> None:
    """
    Every call looks at the clock.
    """
    cached.fetch()
    cached.clock.advance(94.9)
    assert cached.cache.current() == credential()
    cached.clock.advance(0.1)
    assert cached.cache.current() is None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.UNREACHABLE, "issuer_unreachable"),
        (Kind.TIMEOUT, "issuer_unreachable"),
        (Kind.UNAVAILABLE, "issuer_unreachable"),
        (Kind.RATE_LIMITED, "issuer_rate_limited"),
        (Kind.REJECTED, "credentials_rejected"),
        (Kind.BAD_RESPONSE, "issuer_bad_response"),
    ],
)
def test_a_shortage_says_which_and_when(cached: Cached, kind: Kind, code: str) -> None:
    """
    One code for each thing that an operator would do differently, and the seconds to the next try,
    which fall. The issuer's words are not for the local caller.
    """
    cached.fail(kind, cause="is odd", retry_after=100.0, excerpt="words of the issuer")
    first = cached.cache.shortage()
    cached.clock.advance(10)
    second = cached.cache.shortage()
    assert (first.code, first.status, first.kind.side) == (code, 503, Side.TOKEN)
    assert first.detail.startswith(
        "No usable token: the issuer https://issuer.test/token is odd. It is asked again in "
    )
    assert "words" not in first.detail + first.hint
    assert first.hint
    assert first.retry_after is not None
    assert second.retry_after == first.retry_after - 10
    assert first.retry_after >= 100


def test_a_shortage_for_want_of_the_secret_says_so(cached: Cached) -> None:
    """
    It is nobody's rejection; and since the secret is looked for every five seconds, that is when
    to come again.
    """
    cached.fail(Kind.UNREADABLE, cause="was not asked: /run/secret is empty")
    shortage = cached.cache.shortage()
    assert (shortage.code, shortage.retry_after) == ("secret_unreadable", 5)
    assert shortage.detail == (
        "No usable token: the issuer https://issuer.test/token was not asked: /run/secret is empty."
        " It is asked again in 5 s."
    )
    assert "token.client_secret_file" in shortage.hint


def test_before_the_first_answer_the_shortage_is_pending(cached: Cached) -> None:
    """
    Nothing has gone wrong yet; a second is the least that may be asked for.
    """
    shortage = cached.cache.shortage()
    assert (shortage.code, shortage.retry_after) == ("token_pending", 1)


def test_a_shortage_during_a_try_says_so(cached: Cached) -> None:
    """
    What went wrong last, and that it is being tried again.
    """
    cached.fail(Kind.TIMEOUT)
    cached.clock.advance(60)
    cached.life.started(cached.clock.now())
    shortage = cached.cache.shortage()
    assert shortage.detail.endswith("It is being asked again.")
    assert shortage.retry_after == 1


def test_waiting_is_worth_it_while_a_fetch_is_under_way_or_near(cached: Cached) -> None:
    """
    Under way: yes. Due within the limit: yes. Later: no, at once.
    """
    assert cached.cache.worth_waiting(0)
    assert cached.woken.count == 1
    cached.life.started(cached.clock.now())
    assert cached.cache.worth_waiting(0)
    assert cached.woken.count == 1
    cached.life.finished(cached.clock.now(), failed(Kind.RATE_LIMITED, retry_after=10.0))
    assert not cached.cache.worth_waiting(5)
    assert cached.woken.count == 1
    cached.clock.advance(6)
    assert cached.cache.worth_waiting(5)


def test_watchers_are_told_until_they_cancel(cached: Cached) -> None:
    """
    Also when one cancels another in the middle of being told, or itself twice.
    """
    told: list[str] = []

    def first() -> None:
        told.append("first")
        cancel_second()

    def second() -> None:
        told.append("second")

    cancel_first = cached.cache.on_change(first)
    cancel_second = cached.cache.on_change(second)
    cached.cache.changed()
    assert told == ["first"]
    cancel_first()
    cancel_first()
    cached.cache.changed()
    assert told == ["first"]


def test_one_watcher_may_watch_twice(cached: Cached) -> None:
    """
    The same function, registered by two, is two watchers.
    """
    told: list[int] = []

    def watcher() -> None:
        told.append(1)

    cancel = cached.cache.on_change(watcher)
    cached.cache.on_change(watcher)
    cached.cache.changed()
    cancel()
    cached.cache.changed()
    assert len(told) == 3


def test_a_refusal_wakes_the_refresher_and_tells_watchers_once(cached: Cached) -> None:
    """
    The first report of a token does; the others change nothing.
    """
    cached.fetch("one")
    told: list[bool] = []
    cached.cache.on_change(lambda: told.append(cached.cache.current() is None))
    with logged() as lines:
        assert cached.cache.refused(credential("one"))
        assert cached.cache.refused(credential("one"))
    assert told == [True]
    assert cached.woken.count == 1
    assert [(line["event"], line["log_level"]) for line in lines] == [("token.refused", "warning")]
    assert "one" not in {str(value) for line in lines for value in line.values()}


def test_refusals_that_force_nothing_wake_nobody(cached: Cached) -> None:
    """
    Latched, a storm of 401s costs neither a call nor a look at the secret's file.
    """
    cached.fetch("one")
    cached.fail(Kind.REJECTED)
    for _ in range(100):
        assert not cached.cache.refused(credential("one"))
    assert cached.woken.count == 0
    assert cached.cache.current() == credential("one")


def test_flapping_is_told_once(cached: Cached) -> None:
    """
    One line when 401s begin to be passed on, with for how long.
    """
    cached.fetch("one")
    assert cached.cache.refused(credential("one"))
    cached.fetch("two")
    with logged() as lines:
        for _ in range(10):
            assert not cached.cache.refused(credential("two"))
    assert [line["event"] for line in lines] == ["token.flapping"]
    assert lines[0]["passed_on_for_seconds"] == 60


def test_the_report_of_an_old_token_costs_the_new_one_nothing(cached: Cached) -> None:
    """
    Compare-and-invalidate: what was replaced meanwhile is not what is held.
    """
    cached.fetch("one")
    assert cached.cache.refused(credential("one"))
    cached.fetch("two")
    assert cached.cache.refused(credential("one"))
    assert cached.cache.refused(credential("zero"))
    assert cached.cache.current() == credential("two")
