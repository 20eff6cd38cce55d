"""
Time, as tokens see it.

A token ages while the machine sleeps, so its times are kept on a clock that does not stop then:
``CLOCK_BOOTTIME`` on Linux. The monotonic clock of other systems is the next best (macOS's counts
sleep as well). The wall clock serves only where a time comes from, or goes to, somebody else.
"""

import time
from functools import partial
from typing import Protocol

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The one source of time in this package."""

    def now(self) -> float:
        """Return seconds that never go back and pass while the machine sleeps."""
        ...

    def wall(self) -> float:
        """Return seconds since the epoch, as this machine believes them to be."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # The boot-time clock; one call in the vDSO, and none of Python's around it, for every request.
    now = staticmethod(partial(time.clock_gettime, _CLOCK))

    def wall(self) -> float:
        """Return the wall clock."""
        return time.time()
