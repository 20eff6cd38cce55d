"""Time, as tokens see it, and that tests stand on the same."""

import time

import pytest

from proxy.tokens import Clock, Secret, SystemClock
from tests.tokens import fakes


def test_the_systems_clock_counts_sleep() -> None:
    """
    Where there is a boot-time clock it is used: the monotonic one stands still in sleep.
    """
    kind = getattr(time, "CLOCK_BOOTTIME", None)
    if kind is None:
        pytest.skip("no boot-time clock on this system")
    before = time.clock_gettime(kind)
    assert before <= SystemClock().now() <= time.clock_gettime(kind)


def test_the_wall_clock_is_the_worlds() -> None:
    """
    Seconds since the epoch, for what comes from somebody else or goes there.
    """
    before = time.time()
    assert before <= SystemClock().wall() <= time.time()


def test_fakes_keep_to_the_protocols() -> None:
    """
    What tests stand on is what the package asks for; mypy reads this as well.
    """
    clock: Clock = fakes.Clock(now=5.0)
    secret: Secret = fakes.FixedSecret("s3cret")
    assert (clock.now(), secret.read()) == (5.0, "s3cret")
