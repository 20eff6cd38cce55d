"""
Months of a token's life in seconds: any schedule of lives, faults, sleeps, secrets and requests.

What is promised is checked by the world after everything that happens in it; see ``World.check``,
``_check_call``, ``_note_failure`` and ``recover`` there.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from proxy.tokens import Kind
from tests.simulation.world import World

SCHEDULES = 1_000
DAYS = 30
# How long schedules are varies with the modules that are loaded: hypothesis looks into them.
_ABUNDANCE = 1.5
_DAY_SECONDS = 86_400.0

LIVES = st.sampled_from([2.0, 5.0, 60.0, 300.0, 3600.0, 30 * _DAY_SECONDS])
LATENCIES = st.sampled_from([0.01, 0.1, 1.0, 10.0])
# Whatever an issuer can do: a secret that is not there is no answer of its.
FAULTS = st.sampled_from([kind for kind in Kind if kind is not Kind.UNREADABLE])
RETRY_AFTERS = st.sampled_from([None, None, 1.0, 30.0, 300.0, 1e9])
COUNTS = st.integers(1, 5)
GAPS = st.sampled_from([0.0, 0.05, 3.0, 20.0])
PAUSES = st.one_of(st.floats(0.01, 10.0), st.floats(10.0, 600.0), st.floats(3600.0, 28_800.0))


class Book:
    """What the machines have been through, together."""

    schedules = 0
    seconds = 0.0
    outcomes: dict[str, int] = {}  # noqa: RUF012 - one book for all


class Schedule(RuleBasedStateMachine):
    """One schedule, as hypothesis makes it up."""

    world: World

    @initialize(
        seed=st.integers(0, 2**32),
        lives=LIVES,
        latency=LATENCIES,
        uptime=st.sampled_from([0.0, 1e7]),
    )
    def begin(self, seed: int, lives: float, latency: float, uptime: float) -> None:
        self.world = World(seed=seed, lives=lives, latency=latency, uptime=uptime)
        self.world.settle()

    @rule(seconds=PAUSES)
    def time_passes(self, seconds: float) -> None:
        # Not more refreshes than the tenth thousand would show.
        self.world.advance(min(seconds, 300 * self.world.issuer.lives))

    @rule(seconds=st.one_of(st.floats(1.0, 300.0), st.floats(300.0, 3 * _DAY_SECONDS)))
    def the_machine_sleeps(self, seconds: float) -> None:
        self.world.sleep(seconds)

    @rule(fault=FAULTS, retry_after=RETRY_AFTERS)
    def the_issuer_fails(self, fault: Kind, retry_after: float | None) -> None:
        self.world.issuer.fault = fault
        self.world.issuer.retry_after = retry_after
        self.world.disturb()

    @rule()
    def the_issuer_is_well(self) -> None:
        self.world.issuer.fault = None

    @rule(lives=LIVES, latency=LATENCIES, repeats=st.booleans())
    def the_issuer_changes(self, lives: float, latency: float, repeats: bool) -> None:
        self.world.issuer.lives = lives
        self.world.issuer.latency = latency
        self.world.issuer.repeats = repeats
        self.world.disturb()

    @rule(secret=st.sampled_from(["A", "B"]))
    def the_issuer_wants_another_secret(self, secret: str) -> None:
        self.world.issuer.secret = secret
        self.world.disturb()

    @rule(secret=st.sampled_from(["A", "B", None]))
    def the_secret_changes(self, secret: str | None) -> None:
        self.world.put_secret(secret)

    @rule()
    def somebody_sends_a_hangup(self) -> None:
        self.world.look_now()

    @rule()
    def somebody_wants_a_new_token(self) -> None:
        self.world.refresh_now()

    @rule(accepts=st.booleans(), count=COUNTS, apart=GAPS)
    def the_upstream_changes_its_mind(self, accepts: bool, count: int, apart: float) -> None:
        self.world.upstream_accepts = accepts
        self.requests_come(count, apart)

    @rule(count=COUNTS, apart=GAPS)
    def all_tokens_are_revoked(self, count: int, apart: float) -> None:
        self.world.revoked |= set(self.world.issued)
        self.requests_come(count, apart)

    @rule(count=COUNTS, apart=GAPS)
    def requests_come(self, count: int, apart: float) -> None:
        for _ in range(count):
            self.world.request()
            self.world.advance(apart)

    @rule()
    def an_old_answer_comes(self) -> None:
        self.world.report_old()

    @rule()
    def everything_recovers(self) -> None:
        self.world.recover()

    @invariant()
    def all_promises_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        if not self.world.broken:
            self.world.recover()
            assert not self.world.waiting
        Book.schedules += 1
        Book.seconds += self.world.loop_time
        for outcome, count in self.world.outcomes.items():
            Book.outcomes[outcome] = Book.outcomes.get(outcome, 0) + count


@pytest.mark.usefixtures("silence")
# Twenty seconds when all is well; a broken promise is reduced to its shortest schedule first.
@pytest.mark.timeout(400)
def test_no_schedule_of_a_month_breaks_a_promise() -> None:
    """
    Never an expired or a taken-away token, two calls at once, an eleventh failure in ten minutes, a
    call while latched, a request that waits beyond its limit or for nothing; and a token within
    one back-off of recovery, whatever went before.
    """
    run_state_machine_as_test(
        Schedule,
        settings=settings(
            max_examples=int(_ABUNDANCE * SCHEDULES),
            stateful_step_count=20,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Book.schedules >= SCHEDULES
    assert Book.seconds >= DAYS * _DAY_SECONDS
    # A world in which one of these never happens would prove nothing about it.
    assert min(Book.outcomes.values()) > SCHEDULES / 10, Book.outcomes
