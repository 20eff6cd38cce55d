"""Another configuration for a proxy that runs in this very process."""

import asyncio
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from proxy.admin.console import Refusal
from proxy.app.reload import Reloader, reloading
from proxy.app.serving import Running, serving
from proxy.dataplane import Plane
from proxy.dataplane.plane import Load
from proxy.dataplane.pool import Pool
from proxy.dataplane.upstream import Upstream
from proxy.demo import DemoAPI
from proxy.log.output import Output
from proxy.log.pipeline import Pipeline
from proxy.log.sink import Sink
from proxy.settings.load import Loaded, load
from proxy.settings.model import Settings
from proxy.tokens.cache import TokenCache
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.refresher import Refresher
from proxy.tokens.source import TokenSource


def _pointing_to(api: DemoAPI) -> str:
    return (
        f'upstream.url = "{api.url}"\ntoken.url = "{api.issue_url()}"\n'
        f'token.client_id = "{api.client_id}"\ntoken.client_secret = "{api.client_secret}"\n'
    )


@dataclass(slots=True)
class World:
    """A proxy in front of *api*, whose configuration is the file at *path*."""

    api: DemoAPI
    path: Path
    running: Running
    reloader: Reloader
    events: list[EventDict]
    client: aiohttp.ClientSession

    def write(self, text: str = "", *, api: DemoAPI | None = None) -> None:
        """Have *text* be the configuration, besides what points it to *api*."""
        self.path.write_text(text + _pointing_to(api or self.api))

    def told(self, event: str) -> list[EventDict]:
        """Return the log's lines of that *event*."""
        return [each for each in self.events if each["event"] == event]

    def lines(self, event: str) -> int:
        """Return how many lines of the access log are of that *event*."""
        self.running.journal.flush()
        return self.path.with_name("log").read_text().count(f'"{event}"')

    async def get(self, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
        """Ask through the proxy; return status and JSON."""
        url = f"http://{self.running.addresses[0]}{path}"
        async with self.client.request(method, url, **options) as answer:
            return answer.status, json.loads(await answer.read() or b"null")

    async def until(self, so: Callable[[Load], bool]) -> None:
        """Wait until the plane's load is *so*."""
        for _ in range(1000):
            if so(self.running.plane.load()):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.running.plane.load())

    async def goes_to(self, *apis: DemoAPI) -> None:
        """Have the proxy be that of each of *apis*, one after the other, and use it."""
        for api in apis:
            self.write(api=api)
            said = await self.reloader.reload()
            assert said.startswith("Changed: upstream.url, token.url, token.client_id")
            assert (await self.get("/echo"))[0] == 200


@pytest.fixture
def events() -> Iterator[list[EventDict]]:
    """What is logged; whatever a proxy configures of the process' log is taken back."""
    before, level = structlog.get_config(), logging.getLogger().level
    with capture_logs() as events:
        yield events
    structlog.configure(**before)
    logging.getLogger().setLevel(level)


@pytest.fixture
async def world(tmp_path: Path, events: list[EventDict]) -> AsyncIterator[World]:
    """A proxy that is ready."""
    environment = {
        "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
        "BEARER_PROXY_ADMIN_ADDRESS": "127.0.0.1:0",
        "BEARER_PROXY_ADMIN_TOKEN_FILE": str(tmp_path / "admin-token"),
    }
    with (tmp_path / "log").open("w") as stream:
        pipeline = Pipeline(console=False, colours=False, hide=str, now=lambda: 0.0)
        output = Output(console=False, level=logging.INFO, pipeline=pipeline, sink=Sink(stream))
        async with DemoAPI() as api, aiohttp.ClientSession() as client:
            file = tmp_path / "config.toml"
            await asyncio.to_thread(file.write_text, _pointing_to(api))
            started = load({}, environment, file)
            async with serving(started, output) as running, reloading(running) as reloader:
                async with asyncio.timeout(10):
                    await running.ready()
                yield World(api, file, running, reloader, events, client)


async def _begun() -> None:
    """Let a reload that was just asked for take its turn and begin to read."""
    for _ in range(2):
        await asyncio.sleep(0)


async def test_who_asks_meanwhile_shares_the_next_reading(world: World) -> None:
    """
    One reading at a time; of those who ask while one is under way, all get the one that follows.
    """
    world.write("limits.queue = 7\n")
    first = asyncio.create_task(world.reloader.reload())
    await _begun()
    for _ in range(3):
        world.reloader.ask()
    said = await asyncio.gather(first, *(world.reloader.reload() for _ in range(5)))
    assert said == ["Changed: limits.queue.", *["Nothing changes now."] * 5]
    assert len(world.told("config.reloaded")) == 2


async def test_who_asked_may_leave(world: World) -> None:
    """
    A client that hangs up does not break off what it began.
    """
    world.write("limits.queue = 7\n")
    asking = asyncio.create_task(world.reloader.reload())
    await _begun()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await world.reloader.reload() == "Nothing changes now."
    assert world.running.settings.limits.queue == 7
    assert len(world.told("config.reloaded")) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("limits.queue = -1\n", "config.toml:1 limits.queue: "),
        ("limits.quue = 1\n", 'unknown key; did you mean "queue"?'),
        ("[limits\n", "config.toml:1"),
        ('upstream.ca_file = "/nonexistent.pem"\n', "cannot read /nonexistent.pem"),
        ('listen.local_token_file = "/nonexistent"\n', "cannot read /nonexistent"),
        ('token.cache_file = "/nonexistent/token"\n', "there is no directory /nonexistent"),
    ],
)
async def test_what_cannot_be_used_changes_nothing(world: World, text: str, problem: str) -> None:
    """
    Whatever is wrong with it, it is said in one line, and what was right beside it isn't taken.
    """
    before, route = world.running.loaded, world.running.plane.route
    limits, cache = world.running.plane.limits, world.running.tokens.cache
    world.write(f'log.level = "debug"\nallow.methods = ["GET"]\n{text}')
    with pytest.raises(Refusal, match="Nothing has changed: ") as refused:
        await world.reloader.reload()
    said = str(refused.value)
    assert problem.replace(":1", ":3") in said
    assert "\n" not in said
    record = world.running.reload
    assert not record.succeeded
    assert record.problem in said
    assert world.told("config.reload_failed")[0]["message"] == record.problem
    assert world.running.loaded is before
    assert (world.running.plane.route, world.running.plane.limits) == (route, limits)
    assert world.running.tokens.cache is cache
    assert world.running.output.level == logging.INFO
    assert (await world.get("/echo", "POST"))[0] == 200
    world.write()
    assert await world.reloader.reload() == "Nothing changes now."
    assert (record.succeeded, record.problem) == (True, "")


async def test_a_defect_of_ours_is_no_configuration_that_is_in_force(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is told like a bad file, by its type alone, and the next reading finds everything in place.
    """
    monkeypatch.setattr("proxy.app.compose.limits", lambda _: os.environ["A_SECRET"])
    with pytest.raises(Refusal, match=r"could not be taken: it failed \(KeyError\)") as refused:
        await world.reloader.reload()
    assert "A_SECRET" not in str(refused.value)
    assert not world.running.reload.succeeded
    monkeypatch.undo()
    await world.reloader.reload()
    assert (await world.get("/echo"))[0] == 200


async def test_recent_requests_and_access_log_follow(world: World) -> None:
    """
    The list keeps what fits, and the log has no line for what needs none.
    """
    for _ in range(3):
        await world.get("/echo")
    world.write('admin.recent_requests = 2\nlog.access = "off"\n')
    await world.reloader.reload()
    assert world.lines("request.completed") == 3
    await world.get("/status/404")
    await world.get("/echo")
    listed = world.running.console.view().requests
    assert listed is not None
    assert [each.path for each in listed] == ["/echo", "/status/404"]
    assert world.lines("request.completed") == 3
    world.write("admin.recent_requests = 0\n")
    await world.reloader.reload()
    await world.get("/echo")
    assert world.running.console.view().requests is None


async def test_after_a_reload_the_page_tells_the_new_configuration(world: World) -> None:
    """
    Values with their sources, and when it was read.
    """
    read_at = world.running.reload.at
    world.write("drain.timeout_seconds = 3\n")
    await world.reloader.reload()
    card = world.running.console.view().configuration
    row = next(each for each in card.settings if each.key == "drain.timeout_seconds")
    assert (row.value, row.source) == ("3", f"file {world.path}:1")
    assert card.loaded_at > read_at
    assert world.running.settings.drain.timeout_seconds == 3


async def test_local_tokens_change_with_their_file(world: World, tmp_path: Path) -> None:
    """
    The key is the same, what stands in the file is not: it is read again, and told.
    """
    tokens = tmp_path / "local"
    tokens.write_text("shop:first-token-of-the-shop\n")
    tokens.chmod(0o600)
    world.write(f'listen.local_token_file = "{tokens}"\n')
    said = await world.reloader.reload()
    assert said == "Changed: listen.local_token_file."
    shown = {"Proxy-Authorization": "Bearer first-token-of-the-shop"}
    assert (await world.get("/echo", headers=shown))[0] == 200
    tokens.write_text("shop:second-token-of-the-shop\n")
    assert (await world.get("/echo", headers=shown))[0] == 200
    assert await world.reloader.reload() == "Changed: listen.local_token_file."
    status, problem = await world.get("/echo", headers=shown)
    assert (status, problem["code"]) == (403, "caller_not_allowed")
    assert await world.reloader.reload() == "Nothing changes now."


async def test_a_token_that_is_still_served_does_not_move_with_its_successor(world: World) -> None:
    """
    One reload asks another issuer, which is down, so the former client's token serves on. The next
    names that client's own API: the token at hand is not for it.
    """
    async with DemoAPI() as another:
        another.fault("down", what="issuer")
        issuer = f'token.url = "{another.issue_url()}"\ntoken.client_id = "{another.client_id}"\n'
        secret = f'token.client_secret = "{another.client_secret}"\n'
        world.path.write_text(f'upstream.url = "{world.api.url}"\n{issuer}{secret}')
        await world.reloader.reload()
        assert (await world.get("/echo"))[0] == 200
        world.path.write_text(f'upstream.url = "{another.url}"\n{issuer}{secret}')
        with pytest.raises(Refusal, match="the token at hand is still good"):
            await world.reloader.reload()
        assert (await world.get("/echo"))[0] == 200
        assert another.stats().api_requests == 0
        another.fault("recover")
        assert await world.reloader.reload() == "Changed: upstream.url."
        assert (await world.get("/echo"))[0] == 200
        assert (another.stats().api_requests, another.stats().api_401s) == (1, 0)


async def test_who_waits_since_long_ago_gets_no_token_that_is_not_for_its_upstream(
    world: World,
) -> None:
    """
    A request waits under the first configuration, on no connection that would show. The second has
    another upstream, the third another client: its token is not for where the request goes.
    """
    wait = "token.wait_seconds = 30\n"
    world.write(wait)
    await world.reloader.reload()
    world.api.fault("revoke")
    world.api.fault("down", what="issuer")
    refused = asyncio.create_task(world.get("/echo"))
    await world.until(lambda load: load.waiting_for_token == 1)
    waiting = asyncio.create_task(world.get("/echo"))
    await world.until(lambda load: load.waiting_for_token == 2)
    refused.cancel()  # with it goes the last connection to the first upstream
    await world.until(lambda load: load.waiting_for_token == 1)
    async with DemoAPI() as another:
        text = wait + _pointing_to(world.api)
        world.path.write_text(text.replace(world.api.url, another.url, 1))
        assert await world.reloader.reload() == "Changed: upstream.url."
        assert world.running.plane.load().waiting_for_token == 1
        world.write(wait, api=another)
        await world.reloader.reload()
        status, problem = await waiting
        assert (status, problem["code"]) == (503, "token_pending")
        assert (await world.get("/echo"))[0] == 200
        assert another.stats().api_401s == 0
    assert world.api.stats().api_401s == 1


def _held() -> dict[str, int]:
    """Return how much there is of what a reload makes anew, and of what the system lends."""
    gc.collect()
    kinds = (Pool, Upstream, TokenCache, Lifecycle, TokenSource, Refresher, Loaded, Settings)
    kept = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))
    descriptors = len(os.listdir("/proc/self/fd"))
    return {**kept, "tasks": len(asyncio.all_tasks()), "descriptors": descriptors}


async def _held_by(world: World) -> dict[str, int]:
    """Return what is held once the former pools have run dry."""
    for _ in range(200):
        if not cast(Plane, world.running.plane).retired:
            return _held()
        await asyncio.sleep(0.02)
    raise AssertionError("a former pool is kept")


async def test_nothing_of_former_configurations_is_kept(world: World) -> None:
    """
    Pools, connections, caches, sources, tasks, descriptors: after many reloads, with requests on
    each configuration and another client each time, there is as much of all as before.
    """
    async with DemoAPI() as another:
        apis = (another, world.api)
        await world.goes_to(*apis, *apis)  # the executor has its threads, and each API a connection
        before = await _held_by(world)
        await world.goes_to(*apis * 5)
        assert await _held_by(world) == before
        assert another.stats().issued == world.api.stats().issued - 1 == 7
        assert another.stats().api_401s == world.api.stats().api_401s == 0


async def test_a_cache_file_is_taken_up(world: World, tmp_path: Path) -> None:
    """
    The token that is asked for next is kept there.
    """
    cache = tmp_path / "cache"
    world.write(f'token.cache_file = "{cache}"\n')
    assert await world.reloader.reload() == "Changed: token.cache_file."
    assert world.running.tokens.refresh_now()
    for _ in range(500):
        if cache.exists() and not world.running.tokens.snapshot().fetching:
            break
        await asyncio.sleep(0.01)
    assert cache.exists()
    assert world.api.stats().issued == 2


async def test_permissions_are_looked_at_by_the_new_rule(world: World) -> None:
    """
    A file that others can read is warned of, then refused, and taken once it is private.
    """
    world.path.chmod(0o644)
    await world.reloader.reload()
    assert "can be read by others" in world.told("configuration.questionable")[-1]["message"]
    world.write("token.strict_permissions = true\n")
    with pytest.raises(Refusal, match="can be read by others"):
        await world.reloader.reload()
    world.path.chmod(0o600)
    assert await world.reloader.reload() == "Changed: token.strict_permissions."
