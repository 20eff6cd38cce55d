"""
Histograms as lists of integers.

A row is one count for each bound of BOUNDS, the count of what lies above all of them, and last the
sum of the values. It is finer than what Prometheus is given, so that the status page's percentiles,
which are read between two bounds, are right to a few per cent.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Row = list[float]

_FIRST_DECADE, _LAST_DECADE = -5, 1  # 10 µs, what a busy proxy adds, to 100 s
_STEPS = (1, 1.5, 2, 2.5, 3.5, 5, 7)
BOUNDS: tuple[float, ...] = (
    *(
        float(f"{step}e{decade}")
        for decade in range(_FIRST_DECADE, _LAST_DECADE + 1)
        for step in _STEPS
    ),
    100.0,
)
# The customary 1, 2.5, 5 of each decade.
EXPOSED = tuple(i for i, bound in enumerate(BOUNDS) if f"{bound:e}"[:3] in ("1.0", "2.5", "5.0"))


def empty() -> Row:
    """Return a row in which nothing has been counted."""
    return [0] * (len(BOUNDS) + 1) + [0.0]


def count(row: Row, value: float) -> None:
    """Count *value* in *row*: it belongs to the first bound that it does not exceed."""
    row[bisect_left(BOUNDS, value)] += 1
    row[-1] += value


def cumulative(row: Row, *, least: float, most: float) -> Iterator[tuple[str, float]]:
    """Yield Prometheus' buckets, ``le`` and count, for the exposed bounds *least* to *most*."""
    for index in EXPOSED:
        if least <= BOUNDS[index] <= most:
            yield f"{BOUNDS[index]:g}", sum(row[: index + 1])
    yield "+Inf", total(row)


def total(row: Row) -> float:
    """Return how many values were counted."""
    return sum(row[:-1])


def difference(later: Row, earlier: Row) -> Row:
    """Return what was counted in between."""
    return [a - b for a, b in zip(later, earlier, strict=True)]


def added(rows: Sequence[Row]) -> Row:
    """Return the *rows* as one."""
    return [sum(column) for column in zip(*rows, strict=True)]


def quantile(row: Row, share: float) -> float | None:
    """
    Return the value below which *share* (0 to 1) of what was counted lies; None if there is none.

    It is interpolated between the bounds around it; above the last bound it is that bound.
    """
    wanted = share * total(row)
    if not wanted:
        return None
    before, lower = 0.0, 0.0
    for bound, here in zip(BOUNDS, row, strict=False):
        if before + here >= wanted:
            return lower + (bound - lower) * (wanted - before) / here
        before, lower = before + here, bound
    return BOUNDS[-1]
