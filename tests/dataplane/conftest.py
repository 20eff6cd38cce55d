"""Fixtures: a data plane for each test, and proof that the test left nothing of it running."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.dataplane import Destination
from tests.dataplane.rig import Rig, Setup

Start = Callable[..., Awaitable[Rig]]


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """See that every task which began in the test is over after it."""
    before = asyncio.all_tasks()
    yield
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}


@pytest.fixture
async def start(no_task_is_left: None) -> AsyncIterator[Start]:
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
