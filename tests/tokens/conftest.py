"""Time that stands still."""

import pytest

from tests.tokens.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()
