"""
Tasks that outlive their own failures.

A supervised task ends in one way only: its owner cancels it. Everything else that goes wrong in a
step is counted, logged and tried again, because a background task that died in silence is a proxy
that works until its token runs out.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class Health:
    """How a supervised task fares; written by the task alone, read by anyone."""

    consecutive_failures: int = 0
    failures: int = 0
    last_error: str = ""


def full_jitter(failures: int) -> float:
    """Return seconds to wait after *failures* in a row: anywhere below 1 s doubling to 60 s."""
    return random.uniform(0.1, min(60.0, 2.0 ** min(failures - 1, 6)))


async def supervise(
    name: str,
    step: Callable[[], Awaitable[float]],
    *,
    health: Health,
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    backoff: Callable[[int], float] = full_jitter,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """
    Run *step* for ever, and *rest* for as long as each call asks.

    A step that raises is logged by its type alone (the text of a foreign exception may quote a
    secret), counted in *health* and tried again after *backoff(consecutive failures)*. That wait is
    slept out, where *rest* may be cut short by whoever knows of something to do: a broken step must
    not be driven round at the rate of its callers. Cancellation is the only way out.
    """
    while True:
        try:
            pause = await step()
        except Exception as error:
            health.failures += 1
            health.consecutive_failures += 1
            health.last_error = type(error).__name__
            pause = backoff(health.consecutive_failures)
            log.warning(
                "task.step_failed",
                task=name,
                failures=health.consecutive_failures,
                retry_in_seconds=round(pause, 3),
                error=health.last_error,
            )
            await sleep(pause)
        else:
            health.consecutive_failures = 0
            await rest(pause)


async def cancelled(task: asyncio.Task[NoReturn]) -> None:
    """
    Cancel *task* and return when it has ended; called by whoever created it.

    The caller's own cancellation is not mistaken for the task's: it passes through.
    """
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()
