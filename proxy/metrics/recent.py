"""The last requests, for the status page: no body, no field, no query value."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple


class Finished(NamedTuple):
    """
    A request that is over, as every journal is told.

    *at* is Unix time; *duration*, *first_byte* and *sent* are seconds since it began. *target* is
    the client's, query and all: whoever shows it hides that.
    """

    at: float
    method: bytes
    target: bytes
    status: int
    side: str
    duration: float
    first_byte: float | None
    request_bytes: int
    response_bytes: int
    request_id: bytes
    error: str
    client: str
    sent: float | None = None
    detail: str = ""


class Recent:
    """The last *size* requests; with 0 nothing is remembered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._facts: deque[tuple[Any, ...]] = deque(maxlen=size)

    def add(self, requests: Iterable[tuple[Any, ...]]) -> None:
        """Remember *requests*, one after the other."""
        self._facts.extend(requests)

    def merge(self, requests: Iterable[tuple[Any, ...]]) -> None:
        """Remember *requests* of another process, each in its place by time."""
        in_order = sorted((*self._facts, *requests), key=itemgetter(0))
        self._facts.clear()
        self._facts.extend(in_order)

    def resize(self, size: int) -> None:
        """Remember *size* requests from now on; what is remembered stays as far as it fits."""
        self.size = size
        self._facts = deque(self._facts, maxlen=size)

    def newest_first(self, most: int | None = None) -> list[Finished]:
        """Return what is remembered, or *most* of it."""
        return [Finished(*facts) for facts in islice(reversed(self._facts), most)]

    def forget(self) -> None:
        """Drop what is remembered."""
        self._facts.clear()
