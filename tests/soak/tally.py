"""What came of requests: as the clients saw it, and as the proxy says."""

from collections import Counter
from collections.abc import Mapping


class Tally:
    """
    A count of requests by status and by code of error, as the proxy has to have them.

    ``answered`` came whole from the upstream, ``refused`` are answers of the proxy's own, ``cut``
    were broken off by the upstream, ``left`` by the client. What should not be is in ``failures``.
    """

    def __init__(self) -> None:
        self.answered: Counter[int] = Counter()
        self.refused: Counter[tuple[int, str]] = Counter()
        self.cut: Counter[tuple[int, str]] = Counter()
        self.left: Counter[tuple[int, str]] = Counter()
        self.failures: list[str] = []

    @property
    def total(self) -> int:
        """How many there were."""
        parts = (self.answered, self.refused, self.cut, self.left)
        return sum(part.total() for part in parts)

    @property
    def by_status(self) -> Counter[str]:
        """How many there were of each status; 499 is that of a client that left before any."""
        found = Counter({str(status): number for status, number in self.answered.items()})
        for part in (self.refused, self.cut, self.left):
            for (status, _), number in part.items():
                found[str(status)] += number
        return found

    @property
    def by_error(self) -> Counter[str]:
        """How many there were of each error."""
        found: Counter[str] = Counter()
        for part in (self.refused, self.cut, self.left):
            for (_, code), number in part.items():
                found[code] += number
        return found

    def __str__(self) -> str:
        refused, cut, left = (
            {f"{status} {code}": number for (status, code), number in sorted(part.items())}
            for part in (self.refused, self.cut, self.left)
        )
        return (
            f"{self.total} requests\n  answered {dict(sorted(self.answered.items()))}"
            f"\n  refused  {refused}\n  cut      {cut}\n  left     {left}"
        )


def told(metrics: Mapping[str, float], name: str, label: str) -> Counter[str]:
    """Return the counter *name* of an exposition by the values of *label*."""
    found: Counter[str] = Counter()
    for sample, value in metrics.items():
        if sample.startswith(f"{name}{{") and value:
            labels = sample.partition("{")[2].rstrip("}").split(",")
            [text] = [each.partition("=")[2] for each in labels if each.startswith(f"{label}=")]
            found[text.strip('"')] += int(value)
    return found
