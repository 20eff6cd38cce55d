"""The embedded API on a clock that stands still, and a client."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
import pytest

from proxy.demo import DemoAPI


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock that tokens and faults of the fixture ``api`` run on."""
    return Clock()


@pytest.fixture
async def api(clock: Clock) -> AsyncIterator[DemoAPI]:
    """The embedded API, started."""
    async with DemoAPI(client_id="acme", client_secret="pa:ss wörd", clock=clock) as api:
        yield api


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that follows no redirection and decompresses nothing."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
def bearer(api: DemoAPI) -> Mapping[str, str]:
    """The field that the API wants, with a valid token."""
    return {"Authorization": f"Bearer {api.issue()}"}
