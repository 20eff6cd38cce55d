"""
The last minutes as a row of ticks, made from the totals.

A request pays nothing for it: a tick is the difference between the totals of two moments.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from proxy.errors import KINDS, Side
from proxy.metrics import buckets
from proxy.metrics.buckets import Row
from proxy.metrics.counts import Counts

TICK_SECONDS = 5.0
TICKS = 180  # a quarter of an hour
SHARES = (0.50, 0.95, 0.99)

Quantiles = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """
    What happened in the *seconds* before *at* (Unix time).

    *errors* are by whose fault; *total* and *overhead* are the 50th, 95th and 99th percentile in
    seconds, None where there were no requests.
    """

    at: float
    seconds: float
    requests: int
    errors: Mapping[str, int]
    total: Quantiles
    overhead: Quantiles

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class _Totals:
    at: float
    requests: int
    errors: Mapping[str, int]
    durations: Row
    overhead: Row


class Traffic:
    """A quarter of an hour of *counts*; whoever owns it calls ``tick`` every TICK_SECONDS."""

    def __init__(self, counts: Counts, *, now: float) -> None:
        self._counts = counts
        self._last = _totals(counts, now)
        self.ticks: deque[Tick] = deque(maxlen=TICKS)

    def tick(self, now: float) -> Tick:
        """Close the interval that ends *now* (Unix time) and return it."""
        before, self._last = self._last, _totals(self._counts, now)
        tick = _between(before, self._last)
        self.ticks.append(tick)
        return tick


def _totals(counts: Counts, at: float) -> _Totals:
    errors = dict.fromkeys(map(str, Side), 0)
    for code, number in counts.errors.items():
        errors[KINDS[code].side if code in KINDS else Side.DOWNSTREAM] += number
    errors[Side.UPSTREAM] += counts.upstream_failures
    return _Totals(
        at, counts.total(), MappingProxyType(errors), counts.answered(), counts.overhead.copy()
    )


def _between(before: _Totals, after: _Totals) -> Tick:
    durations = buckets.difference(after.durations, before.durations)
    overhead = buckets.difference(after.overhead, before.overhead)
    return Tick(
        at=after.at,
        seconds=max(0.0, after.at - before.at),  # a wall clock may be set back
        requests=after.requests - before.requests,
        errors={side: after.errors[side] - before.errors[side] for side in after.errors},
        total=tuple(buckets.quantile(durations, share) for share in SHARES),
        overhead=tuple(buckets.quantile(overhead, share) for share in SHARES),
    )
