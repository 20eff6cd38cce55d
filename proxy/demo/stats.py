"""What the embedded API counts, so that a promise about issuances can be checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """
    Counts since the start, and the faults that are active.

    *issuer_requests* are all that reached the issuer, whatever came of them; *issued* and
    *rejected* (wrong credentials, or the fault) are two outcomes. *max_in_flight* is how many of
    them were under way at one moment: 1 for a client that keeps to single-flight. *api_requests*
    counts *api_401s* too.
    """

    issuer_requests: int = 0
    issued: int = 0
    rejected: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    api_requests: int = 0
    api_401s: int = 0
    redirects_followed: int = 0
    faults: list[dict[str, str | float]] = field(default_factory=list)

    @contextmanager
    def issuing(self) -> Iterator[None]:
        """Count a request to the issuer for as long as it is in flight."""
        self.issuer_requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield
        finally:
            self.in_flight -= 1
