"""Fixtures: the real data plane with a tracer in it, and what became of its requests as spans."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import uvloop

from proxy.dataplane import traced_by
from proxy.log.access import shown
from proxy.tracing import Tracer, spans
from proxy.tracing.sampling import Sampling
from proxy.tracing.spans import Span
from tests.dataplane.rig import Rig, Setup
from tests.dataplane.wire import Awaited


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use the event loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Told(Awaited):
    """The journal: facts of requests that are over, and the spans that they are."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[tuple[Any, ...]] = []

    def record(self, *facts: Any) -> None:
        """Keep them."""
        self.facts.append(facts)
        self.change()

    async def trees(self, requests: int = 1) -> list[tuple[Span, ...]]:
        """Wait until so many are over; return the spans of each, the server's first."""
        await self.until(lambda: len(self.facts) >= requests)
        show = partial(shown, hide=str)
        return [tuple(spans.of_request(each, show=show, hide=str)) for each in self.facts]

    async def tree(self) -> tuple[Span, ...]:
        """Return the spans of the one request."""
        (found,) = await self.trees()
        return found


class TracedRig(Rig):
    """A rig whose requests stand in traces."""

    def __init__(self) -> None:
        super().__init__()
        self.told_of = Told()

    async def begin(self, setup: Setup, sampling: Sampling) -> None:
        """Start with a tracer."""
        await self.start(setup)
        self.plane.exchange = traced_by(Tracer(sampling))
        self.plane.journal = self.told_of


@pytest.fixture
async def closed() -> AsyncIterator[None]:
    """Let transports close their sockets before the loop ends; they take turns of it for that."""
    yield
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.fixture
async def begin(closed: None) -> AsyncIterator[Callable[..., Any]]:
    """Start a rig that is set up or samples in another way than ``rig``."""
    rigs: list[TracedRig] = []

    async def start(
        setup: Setup = Setup(),  # noqa: B008  (it is frozen)
        sampling: Sampling = Sampling(),  # noqa: B008
    ) -> TracedRig:
        rig = TracedRig()
        rigs.append(rig)
        await rig.begin(setup, sampling)
        return rig

    yield start
    for rig in rigs:
        await rig.stop()


@pytest.fixture
async def rig(begin: Callable[..., Any]) -> TracedRig:
    """A client, the traced proxy and an upstream, as nobody configured them."""
    made: TracedRig = await begin()
    return made
