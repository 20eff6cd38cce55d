"""An issuer that listens, and time that stands still."""

from collections.abc import AsyncIterator

import pytest

from tests.keeping.issuer import ScriptedIssuer
from tests.tokens.fakes import Clock


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()


@pytest.fixture
async def issuer() -> AsyncIterator[ScriptedIssuer]:
    """An issuer on a loopback port."""
    async with ScriptedIssuer().serving() as issuer:
        yield issuer
