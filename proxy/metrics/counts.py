"""
What each request adds to.

Rule 1: a request costs additions to lists that are there already. Names, labels and families are
        made when somebody asks.

Rule 2: nothing that a client or an upstream chooses makes a new series: a method that is not in
        METHODS counts as ``other``.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from operator import add
from typing import Any

from proxy.errors import KINDS
from proxy.metrics import buckets
from proxy.metrics.buckets import BOUNDS, Row

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
OTHER = "other"
# Our own codes, and the one for a client that did not wait for its answer.
ERRORS = (*KINDS, "client_closed")
# A request that is over, in the order in which every journal is told what is known of it.
Facts = tuple[Any, ...]
_STATUSES = 1000
_CLASSES = 10


class Counts:
    """
    Totals since the process started. Read by anyone, written by ``add`` and ``refreshed`` alone.

    *errors* are our own answers by code, *upstream_failures* the upstream's answers of 500 or more.
    """

    __slots__ = (
        "_durations",
        "_first_bytes",
        "_methods",
        "_other",
        "errors",
        "overhead",
        "refreshes",
        "request_bytes",
        "response_bytes",
        "upstream_failures",
    )

    def __init__(self) -> None:
        self._methods = {name.encode(): [0] * _STATUSES for name in METHODS}
        self._other = [0] * _STATUSES
        self._durations = [buckets.empty() for _ in range(_CLASSES)]
        self._first_bytes = [buckets.empty() for _ in range(_CLASSES)]
        self.overhead = buckets.empty()
        self.refreshes = buckets.empty()
        self.errors = dict.fromkeys(ERRORS, 0)
        self.upstream_failures = 0
        self.request_bytes = 0
        self.response_bytes = 0

    def add(self, requests: Iterable[Facts]) -> None:
        """
        Count *requests*.

        A status is 0 to 999; a request's ``sent`` is when its head went to the upstream, seconds
        after it began, None if never.
        """
        # `buckets.count` by hand, three times: every request passes here.
        methods, other, overhead = self._methods, self._other, self.overhead
        durations, first_bytes, bounds = self._durations, self._first_bytes, BOUNDS
        for (
            _, method, _, status, _, duration, first_byte, request_bytes,
            response_bytes, _, error, _, sent, _,
        ) in requests:  # fmt: skip
            methods.get(method, other)[status] += 1
            status_class = status // 100
            row = durations[status_class]
            row[bisect_left(bounds, duration)] += 1
            row[-1] += duration
            if sent is not None:
                overhead[bisect_left(bounds, sent)] += 1
                overhead[-1] += sent
                if first_byte is not None:
                    waited = first_byte - sent
                    row = first_bytes[status_class]
                    row[bisect_left(bounds, waited)] += 1
                    row[-1] += waited
            self.request_bytes += request_bytes
            self.response_bytes += response_bytes
            if error:
                self.errors[error] = self.errors.get(error, 0) + 1
            elif status >= 500:
                self.upstream_failures += 1

    def portable(self) -> dict[str, Any]:
        """Return what requests were counted, as JSON has it, for another process' ``merge``."""
        return {
            "requests": [list(each) for each in self.requests()],
            "durations": self._durations,
            "first_bytes": self._first_bytes,
            "overhead": self.overhead,
            "errors": {code: number for code, number in self.errors.items() if number},
            "upstream_failures": self.upstream_failures,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
        }

    def merge(self, portable: Mapping[str, Any]) -> None:
        """Count what another one has counted; ValueError if that can't be what it is said to be."""
        try:
            other = Counts._of(portable)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError("no counts") from error
        for name, row in other._methods.items():
            self._methods[name] = list(map(add, self._methods[name], row))
        self._other = list(map(add, self._other, other._other))
        for rows, more in (
            (self._durations, other._durations),
            (self._first_bytes, other._first_bytes),
        ):
            rows[:] = [buckets.added(pair) for pair in zip(rows, more, strict=True)]
        self.overhead[:] = buckets.added((self.overhead, other.overhead))
        for code, number in other.errors.items():
            self.errors[code] += number
        self.upstream_failures += other.upstream_failures
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes

    @classmethod
    def _of(cls, portable: Mapping[str, Any]) -> "Counts":
        counts = cls()
        for name, status, number in portable["requests"]:
            counts._methods.get(name.encode(), counts._other)[_natural(status)] += _natural(number)
        counts._durations = [_row(each) for each in portable["durations"]]
        counts._first_bytes = [_row(each) for each in portable["first_bytes"]]
        if len(counts._durations) != _CLASSES or len(counts._first_bytes) != _CLASSES:
            raise ValueError("no counts")
        counts.overhead = _row(portable["overhead"])
        for code, number in portable["errors"].items():
            if code not in counts.errors:
                raise ValueError("no error of ours")
            counts.errors[code] = _natural(number)
        counts.upstream_failures = _natural(portable["upstream_failures"])
        counts.request_bytes = _natural(portable["request_bytes"])
        counts.response_bytes = _natural(portable["response_bytes"])
        return counts

    def refreshed(self, duration: float) -> None:
        """Count an exchange with the issuer that took *duration* seconds."""
        buckets.count(self.refreshes, duration)

    def requests(self) -> Iterator[tuple[str, int, int]]:
        """Yield method, status and number of the requests that there were."""
        named = ((name.decode(), row) for name, row in self._methods.items())
        for name, row in (*named, (OTHER, self._other)):
            yield from ((name, status, number) for status, number in enumerate(row) if number)

    def total(self) -> int:
        """Return how many requests there were."""
        return sum(map(sum, self._methods.values())) + sum(self._other)

    def durations(self) -> Iterator[tuple[str, Row]]:
        """Yield ``2xx`` and the like with how long those requests took."""
        return _used(self._durations)

    def first_bytes(self) -> Iterator[tuple[str, Row]]:
        """Yield ``2xx`` and the like with how long the upstream took to begin its answer."""
        return _used(self._first_bytes)

    def answered(self) -> Row:
        """Return how long requests took, whatever came of them, without tunnels (101)."""
        return buckets.added(self._durations[2:])


def _natural(number: object) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("no count")
    return number


def _row(numbers: Sequence[object]) -> Row:
    row: Row = [each for each in numbers if type(each) in (int, float)]  # type: ignore[misc]
    if len(row) != len(buckets.empty()) or not all(0 <= each < inf for each in row):
        raise ValueError("no histogram")
    return row


def _used(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    return ((f"{first}xx", row) for first, row in enumerate(rows) if buckets.total(row))
