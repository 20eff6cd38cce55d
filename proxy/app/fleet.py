"""
The keeper's side of several workers: it has the secret, the token and the listening sockets.

Rule 1: a worker gets what it needs to serve and nothing else: rules, the upstream's address, and
        the token of the moment.

Rule 2: what a worker says may come from whoever has taken it over. It is counted and shown; what
        can't be true ends that worker.

Which processes there are, and who of them gets a client, is the business of ``workers``.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from proxy.app.told import NUMBERS, Told, natural, read
from proxy.app.workers import START_SECONDS, Worker, Workers
from proxy.dataplane import Destination, Limits, Route
from proxy.dataplane.plane import Load
from proxy.dataplane.pool import Seen
from proxy.errors import ProxyError
from proxy.metrics import Counts, Recent
from proxy.policy.rules import Rules
from proxy.tokens import TokenCache
from proxy.worker.channel import OBJECT, REPORT
from proxy.worker.messages import Configuration, TokenNews, heard, packed
from proxy.worker.serve import share, share_of

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where workers' requests are told: *counts*, *recent* ones, and a log in *console* form."""

    counts: Counts
    recent: Recent
    console: bool


@dataclass(frozen=True, slots=True)
class Manner:
    """What of the configuration is neither route nor limits: *level* and *access* are the log's."""

    level: str
    access: str
    drain_seconds: float
    authorities: str | None


class FleetPool:
    """The upstream connections of all workers, as they last told."""

    def __init__(self, fleet: "Fleet", destination: Destination) -> None:
        self._fleet = fleet
        self.destination = destination
        self.seen: Seen | None = None
        self.last_error: tuple[float, ProxyError] | None = None

    @property
    def queued_count(self) -> int:
        """How many requests stand in line."""
        return self._fleet.sum("queued")

    @property
    def idle_count(self) -> int:
        """How many connections wait for a request."""
        return self._fleet.sum("idle")

    @property
    def busy_count(self) -> int:
        """How many connections serve a request."""
        return self._fleet.sum("busy")


@dataclass(frozen=True, slots=True)
class FleetRoute:
    """What the workers serve by."""

    rules: Rules
    pool: FleetPool


class Fleet:
    """
    *number* workers that serve *route* within *limits*; has the shape of ``carrier.Carrier``.

    *manner* tells the rest of the configuration in force. ``entrance`` is where clients come in.
    """

    def __init__(
        self,
        route: Route,
        limits: Limits,
        *,
        number: int,
        accounts: Accounts,
        manner: Callable[[], Manner],
        environment: Mapping[str, str],
    ) -> None:
        self._cache_number = 0
        self._cache: TokenCache
        self._served: Route
        self._serve_by(route)
        self._limits = limits
        self._number = number
        self._accounts = accounts
        self._manner = manner
        self._workers = Workers(
            number, environment, greet=self._configure, heard=self._heard, parted=self._parted
        )
        self._configuration = 0
        self._forget: Callable[[], None] | None = None
        self._departed: dict[str, int] = {"ok": 0, "refused": 0, "failed": 0}
        self.draining = False
        self.entrance = self._workers.entrance
        self.route = FleetRoute(route.rules, FleetPool(self, route.pool.destination))

    # The carrier.

    @property
    def replays(self) -> Mapping[str, int]:
        """Requests that were sent again after a 401, by what came of it."""
        told = [self._departed, *(each.replays for each in self._workers)]
        return {name: sum(each.get(name, 0) for each in told) for name in self._departed}

    @property
    def limits(self) -> Limits:
        """The bounds that hold for all of them together."""
        return self._limits

    @property
    def connections(self) -> range:
        """The clients' connections, in number."""
        return range(self.sum("connections"))

    @property
    def pools(self) -> Sequence[FleetPool]:
        """The one pool that stands for all."""
        return [self.route.pool]

    @property
    def pids(self) -> list[int]:
        """The processes that serve."""
        return [each.pid for each in self._workers.ready]

    def sum(self, name: str) -> int:
        """Return the total of what the workers told under *name*."""
        return sum(each.numbers[name] for each in self._workers)

    def load(self) -> Load:
        """Return what is on its way."""
        return Load(**{name: self.sum(name) for name in NUMBERS[:5]})

    def change(self, route: Route, limits: Limits) -> None:
        """Have all workers serve what comes from now on by *route* and *limits*."""
        former, self._limits = self.route.pool, limits
        self._serve_by(route)
        pool = former if route.pool.destination == former.destination else None
        self.route = FleetRoute(route.rules, pool or FleetPool(self, route.pool.destination))
        self._listen_to_tokens()
        self._configuration += 1
        # In a turn of its own: what else of the configuration changes does so in this one.
        asyncio.get_running_loop().call_soon(self._configure_all)

    def _configure_all(self) -> None:
        for worker in self._workers:
            self._configure(worker)

    def _serve_by(self, route: Route) -> None:
        cache = route.credentials
        assert isinstance(cache, TokenCache)
        if self._cache_number == 0 or cache is not self._cache:
            self._cache_number += 1
        self._served, self._cache = route, cache

    async def taken(self) -> None:
        """Wait until all workers serve by the latest configuration; one that does not is ended."""
        wanted, end = self._configuration, time.monotonic() + START_SECONDS
        while late := [each for each in self._workers if each.configured < wanted]:
            if time.monotonic() > end:
                for each in late:
                    each.end()
                return
            await asyncio.sleep(0.005)

    async def start(self) -> None:
        """Start the workers; OSError if they don't come up."""
        self._listen_to_tokens()
        await self._workers.start()

    async def drain(self, timeout_seconds: float) -> int:
        """Let what is in flight finish, for *timeout_seconds* at most; return how many did not."""
        self.draining = True
        return await self._workers.drain(timeout_seconds)

    def close(self) -> None:
        """End all processes."""
        if self._forget is not None:
            self._forget()
        self._workers.close()

    # What workers are told.

    def _configure(self, worker: Worker) -> None:
        manner, route, number = self._manner(), self._served, self._number
        worker.channel.send(
            OBJECT,
            packed(
                Configuration(
                    number=self._configuration,
                    cache=self._cache_number,
                    rules=route.rules,
                    destination=share_of(route.pool.destination, worker.part, number),
                    secure=route.pool.destination.tls is not None,
                    authorities=manner.authorities,
                    limits=share(self._limits, worker.part, number),
                    wait_seconds=route.wait_seconds,
                    drain_seconds=manner.drain_seconds,
                    console=self._accounts.console,
                    level=manner.level,
                    access=manner.access,
                    recent=self._accounts.recent.size,
                    hidden=tuple(each.token.decode() for each in route.rules.callers.tokens),
                    token=TokenNews(self._cache.supply(), worker.refusals),
                )
            ),
        )

    def _listen_to_tokens(self) -> None:
        # The route's cache and no other: a token of another client goes with another route.
        if self._forget is not None:
            self._forget()
        self._forget = self._cache.on_change(self._tell_all)

    def _tell_all(self) -> None:
        for worker in self._workers:
            self._tell(worker)

    def _tell(self, worker: Worker) -> None:
        worker.channel.send(OBJECT, packed(TokenNews(self._cache.supply(), worker.refusals)))

    # What workers say.

    def _heard(self, worker: Worker, kind: bytes, content: bytes) -> None:
        if kind != REPORT:
            raise ValueError("no report")
        try:
            self._report(worker, heard(content))
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            _log.error("worker.not_understood", pid=worker.pid, error=error)
            worker.end()
            raise ValueError("no report") from error

    def _report(self, worker: Worker, told: dict[str, Any]) -> None:
        if "configured" in told:
            worker.configured = natural(told["configured"])
            worker.ready.set()
        elif "took" in told:
            worker.took(natural(told["took"]))
        elif "closed" in told:
            worker.closed(natural(told["closed"]))
        elif "refused" in told:
            self._refused(worker, str(told["refused"]))
        elif "drained" in told:
            if not worker.drained.done():
                worker.drained.set_result(natural(told["drained"]))
        else:
            self._account(worker, read(told))

    def _refused(self, worker: Worker, fingerprint: str) -> None:
        held = self._cache.current()
        worker.refusals += 1
        if held is not None and held.fingerprint == fingerprint:
            self._cache.refused(held)
        self._tell(worker)

    def _account(self, worker: Worker, told: Told) -> None:
        if told.counts is not None:
            self._accounts.counts.merge(told.counts)
            self._accounts.recent.merge(told.requests)
        worker.numbers, worker.replays = told.numbers, told.replays
        pool = self.route.pool
        if told.seen and (pool.seen is None or told.seen.at > pool.seen.at):
            pool.seen = told.seen
        if told.trouble and (pool.last_error is None or told.trouble[0] > pool.last_error[0]):
            pool.last_error = told.trouble

    def _parted(self, worker: Worker) -> None:
        for name, number in worker.replays.items():
            self._departed[name] = self._departed.get(name, 0) + number
