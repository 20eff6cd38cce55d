"""When a refusal by the upstream is passed on, and for how long."""

import pytest

from proxy.policy.credential import Credential
from proxy.tokens.flapping import Flapping

SECONDS = 60.0


def token(text: str, *, issued_at: float) -> Credential:
    return Credential(text, issued_at=issued_at, usable_until=3600.0, expires_at=3600.0)


@pytest.fixture
def flapping() -> Flapping:
    return Flapping(SECONDS)


def test_one_refused_token_is_replaced(flapping: Flapping) -> None:
    """
    However fresh it was, and however often the requests in flight tell of it.
    """
    one = token("one", issued_at=0.0)
    assert not flapping.refused(1.0, one)
    assert not flapping.refused(1.1, one)
    assert not flapping.lasts(1.2)


@pytest.mark.parametrize("apart", [0.5, 60.0])
def test_two_fresh_ones_within_a_minute_are_passed_on_for_a_while(
    flapping: Flapping, apart: float
) -> None:
    """
    A third token would be refused as well.
    """
    flapping.refused(5.0, token("one", issued_at=0.0))
    now = 5.0 + apart
    assert flapping.refused(now, token("two", issued_at=now - 0.1))
    assert flapping.lasts(now + SECONDS - 0.1)
    assert not flapping.lasts(now + SECONDS)


def test_two_within_more_than_a_minute_are_not(flapping: Flapping) -> None:
    """
    Revoked now and then, a token is replaced each time.
    """
    flapping.refused(5.0, token("one", issued_at=0.0))
    assert not flapping.refused(65.1, token("two", issued_at=65.0))


@pytest.mark.parametrize("lived", [10.0, 3000.0])
def test_a_token_that_served_for_a_while_does_not_count(flapping: Flapping, lived: float) -> None:
    """
    Neither as the first of two nor as the second: it was revoked, and another one helps.
    """
    assert not flapping.refused(lived, token("one", issued_at=0.0))
    assert not flapping.refused(lived + 1, token("two", issued_at=lived))
    assert not flapping.refused(2 * lived + 1, token("three", issued_at=lived + 1))


def test_the_same_token_once_more_is_passed_on_at_once(flapping: Flapping) -> None:
    """
    To ask an issuer again that stands by it would be a loop.
    """
    one = token("one", issued_at=0.0)
    flapping.refused(1.0, one)
    flapping.came_again(2.0, one)
    assert flapping.refused(2.1, one)
    assert not flapping.lasts(2.0 + SECONDS)


def test_afterwards_one_more_refused_token_suffices(flapping: Flapping) -> None:
    """
    The issuer is asked once a minute then, not twice: whoever is refused while refusals pass stays
    fresh for the count.
    """
    flapping.refused(1.0, token("one", issued_at=0.0))
    two = token("two", issued_at=1.0)
    assert flapping.refused(2.0, two)
    assert flapping.refused(50.0, two)
    assert not flapping.refused(62.0, two)
    assert flapping.refused(63.0, token("three", issued_at=62.0))
    assert flapping.lasts(122.9)


def test_another_length_holds_from_the_next_time_on(flapping: Flapping) -> None:
    """
    A reload shortens nothing that has been said to last.
    """
    one = token("one", issued_at=0.0)
    flapping.came_again(0.0, one)
    flapping.seconds = 1.0
    assert flapping.lasts(SECONDS - 0.1)
    flapping.came_again(100.0, one)
    assert not flapping.lasts(101.0)
