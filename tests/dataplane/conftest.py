"""Fixtures: a data plane for each test, and proof that the test left nothing of it running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from proxy.dataplane import Destination
from tests.dataplane.rig import Rig, Setup

Start = Callable[..., Awaitable[Rig]]
LoopFactory = Callable[[], asyncio.AbstractEventLoop]
_TURNS = 10_000


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, LoopFactory]:
    """Use the event loop that the product runs on, but for a test that names another itself."""
    marker = item.get_closest_marker("asyncio")
    if marker is not None and "loop_factories" in marker.kwargs:
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


def _sockets() -> int:
    """Return how many sockets this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            count += link.readlink().name.startswith("socket:")
        except FileNotFoundError:  # the one that lists the directory
            continue
    return count


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """See that every task which began in the test is over after it, and every socket closed."""
    tasks, sockets = asyncio.all_tasks(), _sockets()
    yield
    assert not asyncio.all_tasks() - tasks - {asyncio.current_task()}
    # Transports close their sockets in turns of their own.
    for _ in range(_TURNS):
        if _sockets() <= sockets:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{_sockets() - sockets} sockets left open")


@pytest.fixture
async def start(nothing_is_left: None) -> AsyncIterator[Start]:
    """Start a rig that is set up in another way than ``rig``."""
    rigs: list[Rig] = []

    async def begin(setup: Setup, destination: Callable[[int], Destination] | None = None) -> Rig:
        rig = Rig()
        rigs.append(rig)
        await rig.start(setup, destination)
        return rig

    yield begin
    for rig in rigs:
        await rig.stop()


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A client, the proxy and an upstream, as nobody configured them."""
    return await start(Setup())
