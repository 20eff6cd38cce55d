"""When the issuer is asked: shares of a life, jitter, and a bound."""

from itertools import pairwise

import pytest

from proxy.tokens.schedule import ATTEMPTS, WINDOW_SECONDS, Attempts, back_off, plan, probe_delay
from proxy.tokens.schedule import retry_after as asked
from tests.each import each
from tests.tokens.fakes import middle

NOW = 1_700_000_000.0


@each("lives", [1.0, 2.0, 60.0, 300.0, 3600.0, 30 * 86_400.0])
@each("chance", [min, middle, max])
def test_a_refresh_starts_after_birth_and_ends_before_use_does(
    lives: float, chance: object
) -> None:
    """
    For every life: used for three quarters of it at least, and some of it is left for the refresh.
    """
    times = plan(lives, sent_at=50.0, uniform=chance)  # type: ignore[arg-type] # one of three
    assert 50 + 0.75 * lives < times.refresh_at < times.usable_until < times.expires_at
    assert times.expires_at == 50 + lives
    assert times.usable_until - times.refresh_at >= 0.12 * min(lives, 1_500)


@each(("lives", "ahead"), [(2, 0.4), (60, 12), (1_500, 300), (3_600, 300), (30 * 86_400, 300)])
def test_the_margin_is_a_fifth_of_the_life_and_five_minutes_at_most(
    lives: float, ahead: float
) -> None:
    """
    With ten per cent either way, so that a fleet does not refresh as one.
    """
    assert lives - plan(lives, sent_at=0, uniform=middle).refresh_at == pytest.approx(ahead)
    assert lives - plan(lives, sent_at=0, uniform=min).refresh_at == pytest.approx(0.9 * ahead)
    assert lives - plan(lives, sent_at=0, uniform=max).refresh_at == pytest.approx(1.1 * ahead)


def test_back_off_doubles_to_a_minute_under_full_jitter() -> None:
    """
    Anything below 1, 2, 4 … 60 s, but never nothing at all.
    """
    assert [back_off(n, uniform=max) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [back_off(n, uniform=min) for n in (1, 5, 10**6)] == [0.1] * 3
    assert back_off(10**6, uniform=max) == 60


def test_probes_double_to_an_hour() -> None:
    """
    5, 10, 20, 40, 60, 60 minutes; jitter makes them later and never earlier.
    """
    assert [probe_delay(n, uniform=min) / 60 for n in range(6)] == [5, 10, 20, 40, 60, 60]
    assert probe_delay(10**6, uniform=max) == pytest.approx(3_960)


@each(
    ("field", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", None),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("\u0663", None),
        ("42", 42),
        (" 42 ", 42),
        ("9" * 500, float("9" * 12)),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("Tue, 14 Nov 2023 22:13:20 GMT", None),
        ("Tue, 14 Nov 2023 22:12:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(field: str | None, seconds: float | None) -> None:
    """
    RFC 9110 section 10.2.3; a moment that is past, or nonsense, asks for nothing.
    """
    assert asked(field, now=NOW) == seconds


def test_ten_failures_close_the_window_until_the_first_is_ten_minutes_old() -> None:
    """
    The eleventh attempt waits.
    """
    attempts = Attempts()
    for second in range(ATTEMPTS):
        assert attempts.allowed_at() < 0
        attempts.add(100.0 + second)
    assert attempts.allowed_at() == 100 + WINDOW_SECONDS
    attempts.add(100 + WINDOW_SECONDS)
    assert attempts.allowed_at() == 101 + WINDOW_SECONDS


def test_what_brought_a_token_does_not_count() -> None:
    """
    However short the tokens, successes are not held against anyone.
    """
    attempts = Attempts()
    for second in range(100):
        attempts.add(float(second))
        attempts.forgive()
    assert attempts.allowed_at() < 0


def test_the_second_half_of_the_bound_is_spread_evenly() -> None:
    """
    Five quick failures, and the other five are kept for the rest of the ten minutes: no silence.
    """
    attempts = Attempts()
    now, starts = 0.0, []
    for _ in range(30):
        attempts.add(now)
        starts.append(now)
        now = max(now + 1.0 + attempts.spread(now), attempts.allowed_at())
    pauses = [after - before for before, after in pairwise(starts)]
    assert max(pauses) < 120
    assert min(after - before for before, after in zip(starts, starts[10:], strict=False)) >= 600
