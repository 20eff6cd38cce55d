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
_LENGTH = len(buckets.empty())


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
        up = down = 0
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
            up += request_bytes
            down += response_bytes
            if error:
                self.errors[error] = self.errors.get(error, 0) + 1
            elif status >= 500:
                self.upstream_failures += 1
        self.request_bytes += up
        self.response_bytes += down

    def portable(self) -> dict[str, Any]:
        """Return what requests were counted, as JSON has it, for another process' ``merge``."""
        return {
            "requests": list(self.requests()),
            "durations": [row if any(row) else None for row in self._durations],
            "first_bytes": [row if any(row) else None for row in self._first_bytes],
            "overhead": self.overhead,
            "errors": {code: number for code, number in self.errors.items() if number},
            "upstream_failures": self.upstream_failures,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
        }

    def merge(self, portable: Mapping[str, Any]) -> None:
        """Count what another one has counted; ValueError if that can't be what it is said to be."""
        try:
            requests = [
                (self._methods.get(name.encode(), self._other), _status(status), _natural(number))
                for name, status, number in portable["requests"]
            ]
            durations, first_bytes = _rows(portable["durations"]), _rows(portable["first_bytes"])
            overhead = _row(portable["overhead"])
            errors = {code: _natural(number) for code, number in portable["errors"].items()}
            failures, up, down = (
                _natural(portable[name])
                for name in ("upstream_failures", "request_bytes", "response_bytes")
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no counts") from error
        if not errors.keys() <= self.errors.keys():
            raise ValueError("no error of ours")
        # From here on nothing fails: it is all counted, or nothing.
        for row, status, number in requests:
            row[status] += number
        _add(self._durations, durations)
        _add(self._first_bytes, first_bytes)
        _add([self.overhead], [overhead])
        for code, number in errors.items():
            self.errors[code] += number
        self.upstream_failures += failures
        self.request_bytes += up
        self.response_bytes += down

    def refreshed(self, duration: float) -> None:
        """Count an exchange with the issuer that took *duration* seconds."""
        buckets.count(self.refreshes, duration)

    def requests(self) -> Iterator[tuple[str, int, int]]:
        """Yield method, status and number of the requests that there were."""
        named = ((name.decode(), row) for name, row in self._methods.items())
        for name, row in (*named, (OTHER, self._other)):
            if any(row):
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


def _status(number: object) -> int:
    status = _natural(number)
    if status >= _STATUSES:
        raise ValueError("no status")
    return status


def _rows(told: Sequence[Sequence[object] | None]) -> list[Row | None]:
    """Return one for each class, None where nothing was counted."""
    if len(told) != _CLASSES:
        raise ValueError("no classes")
    return [None if row is None else _row(row) for row in told]


def _row(numbers: Sequence[object]) -> Row:
    row: Row = [each for each in numbers if type(each) in (int, float)]  # type: ignore[misc]
    if len(row) != len(numbers) or len(row) != _LENGTH or not all(0 <= each < inf for each in row):
        raise ValueError("no histogram")
    return row


def _add(rows: Sequence[Row], more: Sequence[Row | None]) -> None:
    for row, further in zip(rows, more, strict=True):
        if further is not None:
            row[:] = map(add, row, further)


def _used(rows: list[Row]) -> Iterator[tuple[str, Row]]:
    return ((f"{first}xx", row) for first, row in enumerate(rows) if buckets.total(row))
