"""Histograms as lists of integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metrics import buckets
from proxy.metrics.buckets import BOUNDS, EXPOSED

durations = st.floats(0, BOUNDS[-1], allow_nan=False)


def row(*values: float) -> buckets.Row:
    """Return a row in which *values* were counted."""
    made = buckets.empty()
    for value in values:
        buckets.count(made, value)
    return made


def test_bounds_rise_and_the_exposed_ones_are_the_customary() -> None:
    """
    1, 2.5 and 5 of each decade from 10 µs to 100 s.
    """
    assert list(BOUNDS) == sorted(set(BOUNDS))
    exposed = [BOUNDS[index] for index in EXPOSED]
    assert exposed[:4] == [1e-5, 2.5e-5, 5e-5, 1e-4]
    assert exposed[-3:] == [25.0, 50.0, 100.0]


def test_a_bound_contains_itself() -> None:
    """
    Prometheus' ``le`` is less than or equal.
    """
    cumulated = dict(buckets.cumulative(row(0.0025, 0.0026), least=0.001, most=1))
    assert cumulated["0.0025"] == 1
    assert cumulated["0.005"] == 2


@given(st.lists(durations))
def test_cumulative_counts_agree_with_counting_one_by_one(values: list[float]) -> None:
    """
    Each bucket holds what does not exceed it, the last one everything; the sum is the sum.
    """
    made = row(*values)
    for text, count in buckets.cumulative(made, least=1e-5, most=100):
        assert count == sum(value <= float(text) for value in values)
    assert made[-1] == pytest.approx(sum(values))


def test_what_exceeds_every_bound_is_counted() -> None:
    """
    A day-long download is in +Inf and nowhere else.
    """
    *_, (last, _), (infinite, count) = buckets.cumulative(row(86_400), least=1e-5, most=100)
    assert (last, infinite, count) == ("100", "+Inf", 1)


@given(st.lists(st.floats(1.1e-5, 99), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_off_by_a_step_at_most(values: list[float], share: float) -> None:
    """
    It lies within the bounds of the value that it stands for.
    """
    found = buckets.quantile(row(*values), share)
    rank = next(n for n in range(1, len(values) + 1) if n >= share * len(values) - 1e-9)
    exact = sorted(values)[rank - 1]
    assert found is not None
    assert exact / 1.5001 <= found <= exact * 1.5001


def test_there_is_no_quantile_of_nothing() -> None:
    """
    A quiet interval has none, rather than 0.
    """
    assert buckets.quantile(buckets.empty(), 0.5) is None
    assert buckets.quantile(row(1e6), 0.5) == BOUNDS[-1]


def test_rows_are_added_and_subtracted() -> None:
    """
    Of two moments' totals the difference is what came between.
    """
    both = buckets.added([row(0.1), row(2)])
    assert both == row(0.1, 2)
    assert buckets.total(buckets.difference(both, row(0.1))) == 1
