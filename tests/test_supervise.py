"""A supervised task ends when its owner ends it, and in no other way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest

from proxy.supervise import Health, cancelled, full_jitter, supervise
from tests.tokens.fakes import logged


class EndOfTestError(BaseException):
    """Not an Exception: it passes through a supervised task as cancellation does."""


class Pauses:
    """Notes what was slept, and ends the test after so many."""

    def __init__(self, at_most: int) -> None:
        self.taken: list[float] = []
        self._at_most = at_most

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        if len(self.taken) == self._at_most:
            raise EndOfTestError


def run(step: Callable[[], Awaitable[float]], health: Health, pauses: Pauses) -> None:
    """Supervise *step* by hand until *pauses* end it; nothing here needs an event loop."""
    task = supervise(
        "test", step, health=health, rest=pauses, sleep=pauses, backoff=lambda n: 100.0 * n
    )
    with pytest.raises(EndOfTestError):
        task.send(None)


def test_a_step_says_how_long_to_rest() -> None:
    """
    And is run again afterwards, for ever.
    """
    asked = iter([3.0, 0.0, 7.0])

    async def step() -> float:
        return next(asked)

    pauses, health = Pauses(3), Health()
    run(step, health, pauses)
    assert pauses.taken == [3, 0, 7]
    assert health == Health()


def test_a_failing_step_is_counted_logged_by_its_type_and_tried_again() -> None:
    """
    After a back-off that grows with the failures in a row and ends with the first success. The
    exception's text may quote a secret: it is not shown.
    """
    outcomes = iter([LookupError("s3cret"), ValueError("s3cret"), None, LookupError("s3cret")])

    async def step() -> float:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        return 1.0

    pauses, health = Pauses(4), Health()
    with logged() as lines:
        run(step, health, pauses)
    assert pauses.taken == [100, 200, 1, 100]
    assert (health.failures, health.consecutive_failures) == (3, 1)
    assert health.last_error == "LookupError"
    assert [line["error"] for line in lines] == ["LookupError", "ValueError", "LookupError"]
    assert {line["event"] for line in lines} == {"task.step_failed"}
    assert "s3cret" not in repr(lines) + repr(health)


def test_a_failures_wait_is_slept_out_and_a_rest_may_be_cut_short() -> None:
    """
    They are two functions: whoever wakes the task must not drive a broken step round.
    """
    rests, sleeps = Pauses(9), Pauses(2)
    outcomes = iter([True, False, True])

    async def step() -> float:
        if next(outcomes):
            raise LookupError
        return 1.0

    task = supervise("test", step, health=Health(), rest=rests, sleep=sleeps)
    with pytest.raises(EndOfTestError):
        task.send(None)
    assert rests.taken == [1]
    assert len(sleeps.taken) == 2


def test_full_jitter_stays_below_a_ceiling_that_doubles() -> None:
    """
    From a second to a minute, never nothing, whatever the count.
    """
    for failures, ceiling in ((1, 1), (2, 2), (3, 4), (7, 60), (10**9, 60)):
        drawn = [full_jitter(failures) for _ in range(200)]
        assert min(drawn) >= 0.1
        assert max(drawn) <= ceiling
    assert max(full_jitter(100) for _ in range(200)) > 30


async def forever(*, reluctant: asyncio.Event | None = None) -> NoReturn:
    """Run until cancelled; with *reluctant*, not before it is set."""
    while True:
        try:
            await asyncio.Event().wait()
        finally:
            if reluctant is not None:
                await reluctant.wait()


async def test_cancelled_returns_when_the_task_has_ended() -> None:
    """
    Not before.
    """
    may_end = asyncio.Event()
    task = asyncio.create_task(forever(reluctant=may_end))
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancelled(task))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not ending.done()
    may_end.set()
    await ending
    assert task.cancelled()


async def test_the_owners_own_cancellation_is_not_swallowed() -> None:
    """
    Who waits for a task's end can be cancelled meanwhile, and notices.
    """
    may_end = asyncio.Event()
    task = asyncio.create_task(forever(reluctant=may_end))
    await asyncio.sleep(0)
    ending = asyncio.create_task(cancelled(task))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    may_end.set()
    await asyncio.wait((task,))
