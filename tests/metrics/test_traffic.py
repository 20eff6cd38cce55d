"""The last quarter of an hour."""

import pytest

from proxy.metrics import Counts, Traffic
from proxy.metrics.traffic import TICKS
from tests.metrics.facts import request


def test_a_tick_is_what_came_since_the_last() -> None:
    """
    Rate, percentiles and faults of five seconds, and of nothing before.
    """
    counts = Counts()
    counts.add([request(duration=50.0)])
    traffic = Traffic(counts, now=100.0)
    for _ in range(10):
        counts.add([request(duration=0.1, sent=0.0001)])
    tick = traffic.tick(105.0)
    assert (tick.at, tick.requests, tick.rate) == (105.0, 10, 2.0)
    assert tick.total[0] == pytest.approx(0.1, rel=0.3)
    assert tick.overhead[2] == pytest.approx(0.0001, rel=0.3)
    assert traffic.tick(110.0).requests == 0
    assert [each.at for each in traffic.ticks] == [105.0, 110.0]


def test_errors_are_by_whose_fault_they_are() -> None:
    """
    Our own by their code's side, the upstream's 5xx as the upstream's, a passed 404 as nobody's.
    """
    counts = Counts()
    traffic = Traffic(counts, now=0.0)
    for status, error in ((503, "token_pending"), (403, "host_not_allowed"), (500, ""), (404, "")):
        counts.add([request(status=status, error=error)])
    counts.add([request(status=502, error="upstream_unreachable")])
    counts.add([request(status=499, error="client_closed")])
    tick = traffic.tick(5.0)
    assert tick.errors == {"downstream": 2, "token": 1, "upstream": 2, "proxy": 0}


def test_a_quiet_interval_has_no_percentiles() -> None:
    """
    None is drawn as a gap; 0 would be a lie.
    """
    tick = Traffic(Counts(), now=0.0).tick(5.0)
    assert tick.total == tick.overhead == (None, None, None)
    assert tick.rate == 0.0


def test_what_is_older_than_a_quarter_of_an_hour_is_gone() -> None:
    """
    Memory is bounded, however long the process lives.
    """
    traffic = Traffic(Counts(), now=0.0)
    for n in range(TICKS + 5):
        traffic.tick(5.0 * (n + 1))
    assert len(traffic.ticks) == TICKS
    assert traffic.ticks[0].at == 30.0


def test_a_clock_set_back_divides_by_nothing() -> None:
    """
    The rate of an interval that ended before it began is 0.
    """
    counts = Counts()
    traffic = Traffic(counts, now=100.0)
    counts.add([request()])
    assert traffic.tick(50.0).rate == 0.0
