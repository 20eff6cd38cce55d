"""
Not one request fails while the configuration changes, however often it does.

``RELOADS`` is how often: 150 unless told otherwise.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from proxy.demo import DemoAPI
from tests.e2e.load import Load, Upstream
from tests.e2e.process import ProxyProcess

RELOADS = int(os.environ.get("RELOADS", "150"))
pytestmark = pytest.mark.timeout(300)
KEPT, FRESH = 6, 2
# Far less than a thousand of anything that a configuration is made of.
MEMORY_BYTES = 4 * 1024 * 1024

# The two differ in what they admit, in what they bear, in how they serve. Nothing that is asked for
# is beyond either, but for one path each.
KEYS = {
    "a": """\
deny.paths = ["/only-b"]
limits.keep_alive_seconds = 20
""",
    "b": """\
allow.methods = ["GET", "POST"]
allow.paths = ["/x", "/up", "/stream", "/only-b"]
limits.requests_per_connection = 50
limits.body_bytes = 1_000_000
limits.head_fields = 50
upstream.connections = 100
upstream.replay_max_bytes = 100
upstream.send_via = false
log.access = "errors"
""",
}


class Proxy:
    """The command under load, alternating between its two configurations."""

    def __init__(self, process: ProxyProcess, file: Path, texts: dict[str, str]) -> None:
        self.process = process
        self.file = file
        self.texts = texts
        token = file.with_name("admin-token").read_text().strip()
        self._session = aiohttp.ClientSession(
            f"http://{process.wait_for('listener.opened')['admin']}",
            headers={"Authorization": f"Bearer {token}"},
        )

    async def close(self) -> None:
        """Close the connection to the admin listener."""
        await self._session.close()

    async def reload(self, name: str) -> None:
        """Go over to the configuration *name*."""
        beside = self.file.with_name("beside")
        await asyncio.to_thread(beside.write_text, self.texts[name])
        os.replace(beside, self.file)
        async with self._session.post("/-/reload") as answer:
            assert answer.status == 200, await answer.text()

    async def metrics(self) -> dict[str, float]:
        """Return all samples of the exposition."""
        async with self._session.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    async def open_descriptors(self) -> float:
        """Return how many there are besides those of idle connections, once none is in use."""
        busy, idle = (f'bearer_proxy_upstream_connections{{state="{s}"}}' for s in ("busy", "idle"))
        for _ in range(400):
            metrics = await self.metrics()
            workers = metrics.get("bearer_proxy_workers", 0)
            # Each worker has a pool of its own, and at one time or another all clients.
            if not metrics[busy] and metrics[idle] <= (KEPT + FRESH) * (workers or 1):
                # With workers the connections are theirs, and the descriptors told the keeper's.
                mine = 0.0 if workers else metrics[idle]
                return metrics["process_open_fds"] - mine
            await asyncio.sleep(0.05)  # former pools are looked after four times a second
        raise AssertionError(f"{metrics[busy]} busy and {metrics[idle]} idle connections are left")


@pytest.fixture
async def upstreams() -> AsyncIterator[dict[str, Upstream]]:
    """The two APIs, of the names that the configurations have."""
    upstreams = {name: Upstream(name) for name in KEYS}
    for upstream in upstreams.values():
        await upstream.start()
    yield upstreams
    for upstream in upstreams.values():
        await upstream.stop()


@pytest.mark.parametrize(("clients", "workers"), [(1, 0), (2, 0), (2, 2)])
async def test_not_one_request_fails(
    upstreams: dict[str, Upstream], tmp_path: Path, clients: int, workers: int
) -> None:
    """
    Connections that are kept and new ones, bodies at once and bit by bit, and streams, while
    limits, lists and upstream alternate: every request is admitted and answered by one and the same
    configuration. Afterwards as much is open as before, and memory is what it was.

    With two clients each API also has an issuer of its own, and never sees a token of the other's.
    All of that holds of two workers as it does of one process.
    """
    async with DemoAPI(token_seconds=3600) as one, DemoAPI(token_seconds=3600) as other:
        issuers = dict(zip(KEYS, (one, one if clients == 1 else other), strict=True))
        texts = {
            name: f'process.workers = {workers}\nupstream.url = "{upstreams[name].url}"\n{keys}'
            f'token.url = "{issuers[name].issue_url()}"\n'
            f'token.client_id = "{issuers[name].client_id}"\n'
            f'token.client_secret = "{issuers[name].client_secret}"\n'
            for name, keys in KEYS.items()
        }
        file = tmp_path / "config.toml"
        file.touch(0o600)
        file.write_text(texts["a"])
        environment = {"BEARER_PROXY_ADMIN_TOKEN_FILE": str(tmp_path / "admin-token")}
        arguments = ("--config", str(file))
        with ProxyProcess(environment, tmp_path, arguments=arguments) as process:
            await asyncio.to_thread(process.wait_for, "proxy.ready")
            proxy = Proxy(process, file, texts)
            try:
                await _loaded(proxy, RELOADS if clients == 1 else RELOADS // 5)
            finally:
                await proxy.close()
    shared = upstreams["a"].tokens & upstreams["b"].tokens
    assert bool(shared) == (clients == 1)


async def _loaded(proxy: Proxy, reloads: int) -> None:
    load = Load(proxy.process.port)
    descriptors, memory = await proxy.open_descriptors(), 0.0
    asking = asyncio.create_task(load.run(kept=KEPT, fresh=FRESH))
    for number in range(reloads):
        if number == reloads // 5:  # everything has happened several times
            memory = (await proxy.metrics())["process_resident_memory_bytes"]
        await proxy.reload("ba"[number % 2])
        if number % 10 == 0:
            proxy.process.process.send_signal(signal.SIGHUP)
        await load.further(5)
        if load.failures:
            break
    grown = (await proxy.metrics())["process_resident_memory_bytes"] - memory
    load.over = True
    await asking
    assert load.failures == []
    assert min(load.answered[name] for name in KEYS) > reloads
    assert load.answered["refused"] > reloads / 5
    assert await proxy.open_descriptors() == descriptors
    assert grown < MEMORY_BYTES
    sys.stdout.write(f"{reloads} reloads, {dict(load.answered)}, {grown / 1024:+.0f} KiB\n")
