"""
Where the data plane tells what is over: one call for each request, all listeners in it.

Rule 1: on the request's path a fact is only put down. Counting and writing happen for many at once,
        which costs half: their code and data stay in the processor's caches.

Rule 2: nobody waits long for a line: it is written within 10 ms, and at every stop.
"""

from collections.abc import Callable
from typing import Any, Protocol

from proxy.metrics import Counts, Recent
from proxy.metrics.recent import Finished

LATER_SECONDS = 0.01
# So many take a quarter of a millisecond: no request notices that it stands behind them.
_AT_ONCE = 64
# What is known of every request; then comes its place in a trace, if it has one.
_PLAIN = len(Finished._fields)


def _now(call: Callable[[], None]) -> None:
    call()


class Log(Protocol):
    """An access log."""

    def write(self, requests: list[tuple[Any, ...]]) -> None:
        """Write of requests that are over."""
        ...


class Journal:
    """
    Tells *counts*, *recent* and *access_log*.

    *later* has a function called within LATER_SECONDS; without it nothing is put off.
    """

    def __init__(
        self,
        counts: Counts,
        recent: Recent,
        access_log: Log,
        *,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._count = counts.add
        self._remember = recent.add
        self._write = access_log.write
        self._later = later or _now
        self._pending: list[tuple[Any, ...]] = []

    def record(self, *facts: Any) -> None:
        """Note a request that is over; the facts are those of ``dataplane.plane.Journal``."""
        pending = self._pending
        pending.append(facts)
        waiting = len(pending)
        if waiting == 1:
            self._later(self.flush)
        elif waiting >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Tell everyone what was noted: before anything is read, and at the end."""
        pending, self._pending = self._pending, []
        self._count(pending)
        self._remember(pending)
        self._write(pending)


class TracedJournal(Journal):
    """Tells *trace* as well: which spans the requests were."""

    def __init__(
        self,
        counts: Counts,
        recent: Recent,
        access_log: Log,
        trace: Callable[[list[tuple[Any, ...]]], None],
        *,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        super().__init__(counts, recent, access_log, later=later)
        self._trace = trace

    def flush(self) -> None:
        """Tell everyone what was noted: before anything is read, and at the end."""
        pending, self._pending = self._pending, []
        plain = [facts[:_PLAIN] for facts in pending]
        self._count(plain)
        self._remember(plain)
        self._write(pending)
        self._trace(pending)
