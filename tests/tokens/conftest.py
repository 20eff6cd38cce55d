"""An issuer that listens, and time that stands still."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.tokens.fakes import Clock
from tests.tokens.issuer import ScriptedIssuer


@pytest.fixture
def clock() -> Clock:
    """A clock that a test moves."""
    return Clock()


@pytest.fixture
async def issuer() -> AsyncIterator[ScriptedIssuer]:
    """An issuer on a loopback port."""
    async with ScriptedIssuer().serving() as issuer:
        yield issuer


@pytest.fixture
def silence() -> Iterator[None]:
    """Nothing is logged: a month has many lines."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
