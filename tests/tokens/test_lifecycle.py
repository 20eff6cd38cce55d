"""The life of a token, told what happens and when; no clock, no task, no event loop."""

import pytest

from proxy.tokens import Kind, State
from proxy.tokens.lifecycle import Lifecycle
from tests.each import each
from tests.tokens.fakes import credential, failed, grant, granted, middle


def lifecycle(now: float = 0.0) -> Lifecycle:
    return Lifecycle(now=now, uniform=middle)


def fails(life: Lifecycle, now: float, kind: Kind = Kind.UNREACHABLE, **more: object) -> None:
    life.started(now)
    life.finished(now, failed(kind, **more))  # type: ignore[arg-type] # whichever they are


def holding(token: str = "t0k3n", *, at: float = 0.0, lives: float = 100.0) -> Lifecycle:
    life = lifecycle(at)
    life.started(at)
    life.finished(at, granted(token, sent_at=at, lives=lives))
    return life


def renew(life: Lifecycle, token: str, *, at: float) -> None:
    life.started(at)
    life.finished(at, granted(token, sent_at=at))


def test_the_first_exchange_is_due_at_once() -> None:
    """
    Pending, with nothing to send, and nothing held against anyone.
    """
    life = lifecycle(50.0)
    assert life.due(50.0)
    assert life.state(50.0) is State.PENDING
    assert not life.usable(50.0)
    assert life.policy is None


def test_there_are_never_two_exchanges() -> None:
    """
    A second start is a defect that does not pass in silence.
    """
    life = lifecycle()
    life.started(0.0)
    assert not life.due(1e9)
    with pytest.raises(RuntimeError, match="two exchanges"):
        life.started(1.0)


def test_a_token_is_replaced_ahead_of_its_end_and_used_no_longer_than_is_safe() -> None:
    """
    100 s: refreshed from 80 s on, used to 95 s.
    """
    life = holding(lives=100.0)
    assert life.next_at() == pytest.approx(80)
    assert life.usable(94.9)
    assert not life.usable(95.0)


def test_a_token_that_expired_on_its_way_is_a_bad_response() -> None:
    """
    An answer that took longer than its token's life brings nothing.
    """
    life = lifecycle()
    life.started(0.0)
    life.finished(96.0, granted(sent_at=0.0, lives=100.0))
    assert not life.usable(96.0)
    assert life.failure is not None
    assert life.failure.kind is Kind.BAD_RESPONSE


def test_a_failure_keeps_the_token_and_backs_off() -> None:
    """
    What is usable is served; the next try comes after a pause that grows.
    """
    life = holding()
    pauses = []
    now = 80.0
    for _ in range(4):
        fails(life, now)
        pauses.append(life.next_at() - now)
        now = life.next_at()
    assert pauses == [0.5, 1, 2, 4]
    assert life.usable(now)
    assert life.state(now) is State.FAILING


@each("kind", sorted(set(Kind) - {Kind.REJECTED, Kind.UNREADABLE}))
def test_retry_after_is_never_undercut_and_capped(kind: Kind) -> None:
    """
    The issuer's word counts for every failure, for five minutes at most.
    """
    life = lifecycle()
    fails(life, 0.0, kind, retry_after=42.0)
    assert 42 <= life.next_at() <= 42 * 1.1
    life = lifecycle()
    fails(life, 0.0, kind, retry_after=1e12)
    assert life.next_at() == 300


def test_a_rejection_latches_until_a_probe() -> None:
    """
    No exchange is due, whoever wants one, for 5, then 10, 20, 40 and 60 minutes.
    """
    life = lifecycle()
    now = 0.0
    for minutes in (5, 10, 20, 40, 60, 60):
        fails(life, now, Kind.REJECTED)
        assert life.latched
        assert not life.wanted(now + 1)
        assert not life.credential_is(now + 1, "fp")
        assert not life.due(now + 60 * minutes - 1)
        now = life.next_at()
        assert life.due(now)


def test_a_probe_that_fails_for_another_reason_proves_nothing() -> None:
    """
    The latch stays, and so does what requests are told.
    """
    life = lifecycle()
    fails(life, 0.0, Kind.REJECTED, cause="rejected it")
    fails(life, 330.0, Kind.TIMEOUT)
    assert life.latched
    assert life.failure is not None
    assert life.failure.cause == "rejected it"
    assert life.next_at() >= 330 + 600


def test_another_credential_opens_the_latch() -> None:
    """
    Seen in its file, it is tried at once; failing for another reason it backs off and no more.
    """
    life = lifecycle()
    fails(life, 0.0, Kind.REJECTED, fingerprint="old")
    assert life.credential_is(5.0, "new")
    assert life.due(5.0)
    fails(life, 5.0, Kind.TIMEOUT, fingerprint="new")
    assert not life.latched
    assert life.next_at() < 7


def test_a_new_credential_first_seen_by_a_probe_is_not_latched_for_the_old_ones_sake() -> None:
    """
    The probe read the file just after it changed, and the network failed: that is no rejection.
    """
    life = lifecycle()
    fails(life, 0.0, Kind.REJECTED, fingerprint="old")
    fails(life, 330.0, Kind.TIMEOUT, fingerprint="new")
    assert not life.latched
    assert life.next_at() < 332
    assert life.failure is not None
    assert life.failure.kind is Kind.TIMEOUT


def test_a_secret_that_vanishes_and_returns_opens_no_latch() -> None:
    """
    The same rejected credential, back in its file, waits for the next probe.
    """
    life = lifecycle()
    fails(life, 0.0, Kind.REJECTED, fingerprint="old")
    fails(life, 330.0, Kind.UNREADABLE, fingerprint="", called=False)
    assert not life.credential_is(335.0, "old")
    assert life.latched
    assert life.credential_is(335.0, "new")


def test_a_good_secret_that_vanishes_and_returns_is_tried_at_once() -> None:
    """
    Nobody rejected it; it could not be read, and that is over.
    """
    life = holding()
    fails(life, 80.0, Kind.UNREADABLE, fingerprint="", called=False)
    assert life.latched
    assert life.credential_is(85.0, "fp")
    assert life.due(85.0)


def test_what_never_left_the_house_is_no_attempt() -> None:
    """
    An unreadable secret uses up nothing of the bound.
    """
    life = lifecycle()
    for second in range(100):
        life.started(float(second))
        life.finished(float(second), failed(Kind.UNREADABLE, fingerprint="", called=False))
    assert life.credential_is(100.0, "fp")
    assert life.due(100.0)


def test_ten_attempts_in_ten_minutes_outrank_every_wish() -> None:
    """
    New credentials, operators and callers wait as well.
    """
    life = lifecycle()
    for second in range(10):
        fails(life, float(second), Kind.REJECTED, fingerprint=f"fp{second}")
    assert life.credential_is(10.0, "another")
    assert not life.due(599.0)
    assert not life.wanted(599.0)
    assert life.due(600.0)


def test_a_refused_token_is_taken_away_and_replaced_at_once() -> None:
    """
    Compare-and-invalidate: the first report forces, the others share.
    """
    life = holding("one")
    one = life.held
    assert one is not None
    assert life.refused(30.0, one)
    assert life.held is None
    assert life.due(30.0)
    assert life.refused(30.1, one)
    renew(life, "two", at=30.2)
    assert life.refused(30.3, one)
    assert life.held is not None
    assert life.held.token == "two"
    assert not life.due(30.3)


@each("why", ["latched", "rate-limited", "backing off"])
def test_a_refused_token_stays_when_there_is_no_other_to_be_had(why: str) -> None:
    """
    One 401, perhaps about one path, must not become a refusal of everything.
    """
    life = holding("one", lives=10_000.0)
    kind = {"latched": Kind.REJECTED, "rate-limited": Kind.RATE_LIMITED}.get(why, Kind.TIMEOUT)
    fails(life, 30.0, kind, retry_after=60.0)
    one = life.held
    assert one is not None
    assert not life.refused(31.0, one)
    assert life.held == one
    if why != "latched":
        # Yet a new one is wanted as soon as it may be.
        assert life.due(100.0)


def test_a_hangup_ends_our_own_back_off_and_nobody_elses() -> None:
    """
    Whoever mended the issuer need not wait; a Retry-After and a latch are not ours to end.
    """
    for kind, more, due in (
        (Kind.UNREACHABLE, {}, True),
        (Kind.RATE_LIMITED, {"retry_after": 30.0}, False),
        (Kind.REJECTED, {}, False),
    ):
        life = lifecycle()
        fails(life, 0.0, kind, **more)
        assert not life.due(0.1)
        life.hurried(0.1)
        assert life.due(0.1) is due


def test_two_fresh_tokens_refused_within_a_minute_are_flapping() -> None:
    """
    Then 401s pass for a while, the token stays, and afterwards one more is tried.
    """
    life = holding("one")
    for now, token in ((9.0, "two"), (18.0, "")):
        held = life.held
        assert held is not None
        assert life.refused(now, held) is (token != "")
        if token:
            renew(life, token, at=now)
    assert life.state(18.0) is State.FLAPPING
    two = life.held
    assert two is not None
    assert two.token == "two"
    assert not life.refused(77.0, two)
    assert life.refused(79.0, two)
    renew(life, "three", at=79.0)
    assert life.held is not None
    assert not life.refused(80.0, life.held)


def test_tokens_that_served_for_a_while_are_not_fresh() -> None:
    """
    Two revocations within a minute, of tokens that had been taken: each is replaced at once.
    """
    life = holding("one")
    for now, token in ((20.0, "two"), (45.0, "three"), (70.0, "four")):
        assert life.held is not None
        assert life.refused(now, life.held)
        renew(life, token, at=now)
    assert life.state(70.0) is State.READY


def test_refusals_far_apart_are_not_flapping() -> None:
    """
    Tokens revoked once an hour are each replaced.
    """
    life = holding("one")
    for hour in range(1, 5):
        assert life.held is not None
        assert life.refused(3600.0 * hour, life.held)
        renew(life, f"t{hour}", at=3600.0 * hour)
    assert life.held is not None
    assert life.state(3600.0 * 4) is State.READY


def test_the_same_token_again_is_flapping_at_once() -> None:
    """
    Asked after the refusal, the issuer stands by it: to ask again would be a loop.
    """
    life = holding("one")
    assert life.held is not None
    assert life.refused(10.0, life.held)
    renew(life, "one", at=10.1)
    assert life.held is not None
    assert life.state(10.2) is State.FLAPPING
    assert not life.refused(10.3, life.held)


def test_the_same_token_from_an_exchange_before_the_refusal_proves_nothing() -> None:
    """
    It was asked for when the token was still good; the issuer is asked once more.
    """
    life = holding("one")
    assert life.held is not None
    life.started(10.0)
    assert life.refused(11.0, life.held)
    life.finished(12.0, granted("one", sent_at=10.0))
    assert life.held is None
    assert life.due(12.0)
    renew(life, "two", at=12.0)
    assert life.usable(13.0)


def test_another_processs_token_spares_the_exchange() -> None:
    """
    Taken if it is usable, newer, and not the one refused here.
    """
    life = holding("one")
    assert not life.adopted(10.0, grant("one", sent_at=0.0))
    assert not life.adopted(10.0, grant("older", sent_at=-5.0))
    assert not life.adopted(10.0, grant("gone", sent_at=5.0, lives=4.0))
    assert life.adopted(85.0, grant("newer", sent_at=80.0))
    assert life.held is not None
    assert life.held.token == "newer"
    assert life.refused(86.0, life.held)
    assert not life.adopted(86.0, grant("newer", sent_at=80.0))
    assert life.held is None


def test_another_processs_rate_limit_holds_this_one_off() -> None:
    """
    As if it had been told itself, and with the same cap.
    """
    life = lifecycle()
    life.held_off(0.0, 60.0)
    assert life.next_at() == 60
    assert life.policy is not None
    assert life.policy.code == "issuer_rate_limited"
    life.held_off(0.0, 1e9)
    assert life.next_at() == 300
    life.held_off(0.0, 10.0)
    assert life.next_at() == 300


def test_an_abandoned_exchange_counts_and_proves_nothing() -> None:
    """
    Cancelled in the middle, it may be started again.
    """
    life = lifecycle()
    life.started(0.0)
    life.abandoned()
    assert life.due(0.0)
    assert life.failure is None


def test_a_snapshot_shows_all_but_the_token() -> None:
    """
    Times on the wall clock where they say ``at``, in seconds where they do not.
    """
    life = holding("s3cret-t0k3n", at=100.0)
    fails(life, 180.0, cause="answered 503", excerpt="in trouble")
    shown = life.snapshot(190.0, wall=1_000_190.0)
    assert "s3cret" not in repr(shown)
    assert (shown.state, shown.usable, shown.code) == (State.FAILING, True, "")
    assert (shown.age, shown.expires_in, shown.usable_for) == (90, 10, 5)
    assert (shown.issued_at, shown.expires_at) == (1_000_100, 1_000_200)
    assert (shown.lifetime, shown.lifetime_source) == (100, "expires_in")
    assert shown.next_try_in == 0
    assert shown.consecutive_failures == 1
    assert [(each.at, each.result, each.cause, each.excerpt) for each in shown.outcomes] == [
        (1_000_100, "ok", "", ""),
        (1_000_180, "unreachable", "answered 503", "in trouble"),
    ]
    assert (shown.issuances, shown.counts["ok"], shown.counts["unreachable"]) == (1, 1, 1)
    assert life.snapshot(195.0, wall=0.0).code == "issuer_unreachable"


def test_the_last_ten_outcomes_are_kept() -> None:
    """
    Ten, not more, however long it lasts.
    """
    life = lifecycle()
    for number in range(25):
        fails(life, 1000.0 * number)
    shown = life.snapshot(25_000.0, wall=0.0)
    assert len(shown.outcomes) == 10
    assert shown.counts["unreachable"] == 25


def test_a_credential_is_compared_by_its_token_alone() -> None:
    """
    So a waiter handed the same token again can tell that nothing has changed.
    """
    assert credential("a", issued_at=1) == credential("a", issued_at=2)
    assert credential("a") != credential("b")
    assert "t0k3n" not in repr(credential())
