"""
Minutes of all that can happen (``make soak``), and seconds of it among the other tests.

The quiet before and after is what is compared: memory, descriptors, tasks, connections. In between
every request is counted twice, by the clients and by the proxy, and the counts are the same.
"""

import asyncio
import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from proxy.app import serving_from_environment
from proxy.demo import DemoAPI
from tests.e2e.process import ProxyProcess
from tests.soak.clients import Clients
from tests.soak.tally import Tally, told
from tests.soak.upstream import Upstream

SECONDS = float(os.environ.get("SOAK_SECONDS", "5"))
WARM_SECONDS = min(60.0, SECONDS / 2)
CLIENTS = 32
MEMORY_SHARE = 0.05
PATIENCE_SECONDS = 30.0
_BUSY, _IDLE = (f'bearer_proxy_upstream_connections{{state="{it}"}}' for it in ("busy", "idle"))

# So that whatever waits for a limit meets it, and what must not meet one does not.
_SETTINGS = {
    "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
    "BEARER_PROXY_ADMIN_ADDRESS": "127.0.0.1:0",
    "BEARER_PROXY_LIMITS_HEAD_SECONDS": "1",
    "BEARER_PROXY_LIMITS_BODY_IDLE_SECONDS": "1",
    "BEARER_PROXY_LIMITS_RESPONSE_HEAD_SECONDS": "2",
    "BEARER_PROXY_LIMITS_RESPONSE_IDLE_SECONDS": "2",
    "BEARER_PROXY_LIMITS_QUEUE": "4",
    "BEARER_PROXY_LIMITS_QUEUE_SECONDS": "0.5",
    "BEARER_PROXY_UPSTREAM_CONNECTIONS": "20",
    "BEARER_PROXY_TOKEN_WAIT_SECONDS": "1",
    "BEARER_PROXY_TOKEN_FLAP_SECONDS": "1",
    "BEARER_PROXY_LOG_ACCESS": "errors",
}


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use the event loop that the product runs on."""
    return {"uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def _scene(directory: Path) -> AsyncIterator[tuple[DemoAPI, Upstream, dict[str, str]]]:
    """An issuer, an upstream, and the settings of a proxy between them."""
    upstream = Upstream()
    async with DemoAPI(token_seconds=20) as issuer:
        await upstream.start()
        yield (
            issuer,
            upstream,
            {
                **issuer.environment(),
                **_SETTINGS,
                "BEARER_PROXY_UPSTREAM_URL": upstream.url,
                "BEARER_PROXY_TOKEN_URL": issuer.issue_url(),
                "BEARER_PROXY_ADMIN_TOKEN_FILE": str(directory / "admin-token"),
            },
        )
        await upstream.stop()


class Metrics:
    """The exposition of the proxy whose admin listener is at *address*."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/metrics"

    async def read(self) -> dict[str, float]:
        """Return all samples."""
        async with aiohttp.ClientSession() as session, session.get(self._url) as answer:
            lines = (await answer.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def quiet(self) -> dict[str, float]:
        """Return all samples once nothing is in flight any more."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                metrics = await self.read()
                if not metrics["bearer_proxy_requests_in_flight"] and not metrics[_BUSY]:
                    return metrics
                await asyncio.sleep(0.1)


class Trouble:
    """
    Tokens are revoked again and again, and the issuer fails now and then when it is asked.

    Not so often that the proxy would spare the issuer (five failures in ten minutes), or would let
    the upstream's 401s pass (tokens that are refused within 10 s): then most requests would go
    unserved, which is another test.
    """

    def __init__(self, issuer: DemoAPI, upstream: Upstream, *, seconds: float) -> None:
        self._issuer = issuer
        self._upstream = upstream
        self._pause = max(1.2, min(seconds / 4, 15.0))
        self._revocations = itertools.count(1)
        self._between = max(2, round(seconds / self._pause / 4))
        failures: list[Callable[[], object]] = [
            lambda: issuer.fault("down", count=1),
            lambda: issuer.fault("rate-limit", retry_after=1, count=1),
            lambda: issuer.fault("malformed", how="html", count=1),
        ]
        self._failures = iter(failures)

    async def make(self) -> None:
        """Go on for as long as there is load."""
        while True:
            await asyncio.sleep(self._pause)
            self._upstream.revoke()
            self._issuer.fault("slow", delay=0.1, count=1)
            if next(self._revocations) % self._between == 0:
                for fail in itertools.islice(self._failures, 1):
                    fail()


async def _load(port: int, upstream: Upstream, tally: Tally, trouble: Trouble, time: float) -> None:
    """Have all clients ask for so long, and end in their own time."""
    clients = Clients(port, upstream, tally)
    troubling = asyncio.create_task(trouble.make())
    asking = asyncio.create_task(clients.run(CLIENTS))
    await asyncio.wait((asking,), timeout=time)
    clients.over = True
    troubling.cancel()
    await asyncio.wait((asking, troubling))


def _account_for(tally: Tally, metrics: dict[str, float]) -> None:
    """See that clients and proxy have counted the same, and that most was answered."""
    assert tally.failures == []
    assert tally.answered[200] > tally.total / 2, str(tally)
    statuses = told(metrics, "bearer_proxy_requests_total", "code")
    assert statuses == tally.by_status, str(tally)
    assert told(metrics, "bearer_proxy_errors_total", "code") == tally.by_error, str(tally)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


async def _until(so: Callable[[], Awaitable[bool]]) -> bool:
    """Tell whether *so* comes about in time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if await so():
            return True
        await asyncio.sleep(0.1)
    return False


@pytest.mark.timeout(SECONDS * 2 + 120)
async def test_nothing_grows_and_nothing_is_lost(tmp_path: Path) -> None:
    """
    Whatever clients, upstream and issuer do to the command: afterwards its memory is what it was
    when it was warm, its descriptors are those of the start, and of every request it is known what
    came of it.
    """
    tally = Tally()
    async with _scene(tmp_path) as (issuer, upstream, environment):
        with ProxyProcess(environment, tmp_path) as proxy:
            await asyncio.to_thread(proxy.wait_for, "proxy.ready")
            metrics = Metrics(proxy.wait_for("listener.opened")["admin"])
            start = await metrics.quiet()
            trouble = Trouble(issuer, upstream, seconds=SECONDS)
            await _load(proxy.port, upstream, tally, trouble, WARM_SECONDS)
            warm = await metrics.quiet()
            await _load(proxy.port, upstream, tally, trouble, SECONDS - WARM_SECONDS)
            last = await metrics.quiet()

            async def closed() -> bool:
                nonlocal last
                last = await metrics.quiet()
                return _descriptors(last) <= _descriptors(start)

            assert await _until(closed), f"{_descriptors(start)} to {_descriptors(last)}"
            _account_for(tally, last)
            assert proxy.stop() == 0
            assert proxy.errors == ""
    memory = "process_resident_memory_bytes"
    _say(f"{SECONDS:g} s: {tally}")
    _say(f"  memory {start[memory] / 1e6:.1f} MB at the start, {warm[memory] / 1e6:.1f} warm,")
    _say(f"  {last[memory] / 1e6:.1f} at the end; {_descriptors(last):.0f} descriptors")
    assert last[memory] < warm[memory] * (1 + MEMORY_SHARE)
    assert len(tally.refused) > 5
    assert len(upstream.tokens) > 1


def _descriptors(metrics: dict[str, float]) -> float:
    """Return how many there are besides those of idle upstream connections."""
    return metrics["process_open_fds"] - metrics[_IDLE]


@pytest.mark.timeout(SECONDS + 120)
async def test_no_task_and_no_connection_is_left(tmp_path: Path) -> None:
    """The same with the proxy in this process, where its tasks and connections can be counted."""
    tally = Tally()
    async with _scene(tmp_path) as (issuer, upstream, environment):
        async with serving_from_environment(environment) as running:
            await running.ready()
            assert running.admin_address
            metrics = Metrics(running.admin_address)
            await metrics.read()
            before = _tasks()
            port = int(running.addresses[0].rpartition(":")[2])
            seconds = min(30.0, SECONDS / 5)
            trouble = Trouble(issuer, upstream, seconds=60)
            await _load(port, upstream, tally, trouble, seconds)

            async def over() -> bool:
                return not running.plane.connections and _tasks() == before

            assert await _until(over), f"{running.plane.connections} {_tasks() - before}"
            _account_for(tally, await metrics.quiet())
        assert not _tasks()
    _say(f"in process: {tally}")


def _tasks() -> Counter[str]:
    """Return the proxy's own tasks, by the function that each runs."""
    found: Counter[str] = Counter()
    for task in asyncio.all_tasks():
        code: Any = getattr(task.get_coro(), "cr_code", None)
        if code and "/proxy/" in code.co_filename and "/proxy/demo/" not in code.co_filename:
            found[code.co_qualname] += 1
    return found
