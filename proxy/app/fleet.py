"""
The keeper's side of several workers: it has the secret, the token and the listening sockets.

Rule 1: a worker gets what it needs to serve and nothing else: rules, the upstream's address, and
        the token of the moment.

Rule 2: what a worker says may come from whoever has taken it over. It is counted and shown; what
        can't be true ends that worker.

Rule 3: one that is gone is replaced; the others serve on. One that ends again and again is waited
        for longer every time.
"""

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from proxy.app.nursery import Nursery
from proxy.app.spread import Spread
from proxy.app.told import NUMBERS, Told, natural, read
from proxy.dataplane import Destination, Limits, Route
from proxy.dataplane.plane import Load
from proxy.dataplane.pool import Seen
from proxy.errors import ProxyError
from proxy.metrics import Counts, Recent
from proxy.policy.verdict import Rules
from proxy.tokens import TokenCache
from proxy.worker.channel import OBJECT, REPORT, Channel
from proxy.worker.messages import Configuration, Drain, TokenNews, heard, packed
from proxy.worker.serve import share, share_of

_log = structlog.get_logger()

_START_SECONDS = 20.0
# One that lived longer did not end because it can't live.
_LONG_ENOUGH_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 10.0
_GRACE_SECONDS = 1.0


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


class _Worker:
    """One worker, as the keeper knows it."""

    def __init__(self, fleet: "Fleet", pid: int, connections: socket.socket, *, part: int) -> None:
        self.pid = pid
        self.part = part  # which share of the limits is its own
        self.connections = connections
        self.born = time.monotonic()
        self.channel = Channel(
            lambda kind, content: fleet.received(self, kind, content), lambda: fleet.lost(self)
        )
        self.numbers: Mapping[str, int] = dict.fromkeys(NUMBERS, 0)
        self.replays: Mapping[str, int] = {}
        self.holds = 0  # connections
        self.offered: deque[socket.socket] = deque()  # those that it has not said it took
        self.configured = -1
        self.refusals = 0
        self.ready = asyncio.Event()
        self.drained: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def burden(self) -> int:
        """How many connections it has, as far as is known."""
        return self.holds + len(self.offered)


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
        self._nursery = Nursery(environment)
        self._workers: list[_Worker] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._configuration = 0
        self._short_lives = 0
        self._forget: Callable[[], None] | None = None
        self._closed = False
        self._departed: dict[str, int] = {"ok": 0, "refused": 0, "failed": 0}
        self.draining = False
        self.entrance = Spread(self._give)
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
        return [each.pid for each in self._workers if each.ready.is_set()]

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
        wanted, end = self._configuration, time.monotonic() + _START_SECONDS
        while late := [each for each in self._workers if each.configured < wanted]:
            if time.monotonic() > end:
                for each in late:
                    self._end(each)
                return
            await asyncio.sleep(0.005)

    async def start(self) -> None:
        """Start the workers; OSError if they don't come up."""
        self._listen_to_tokens()
        workers = [await self._hire() for _ in range(self._number)]
        try:
            async with asyncio.timeout(_START_SECONDS):
                for each in workers:
                    await each.ready.wait()
                    _log.info("worker.started", pid=each.pid)
        except TimeoutError:
            raise OSError("the worker processes did not come up") from None

    async def drain(self, timeout_seconds: float) -> int:
        """Let what is in flight finish, for *timeout_seconds* at most; return how many did not."""
        self.draining = True
        for each in self._workers:
            each.channel.send(OBJECT, packed(Drain(timeout_seconds)))
        ends = [each.drained for each in self._workers]
        if ends:
            await asyncio.wait(ends, timeout=timeout_seconds + _GRACE_SECONDS)
        return sum(each.result() if each.done() else 1 for each in ends)

    def close(self) -> None:
        """End all processes."""
        self._closed = True
        if self._forget is not None:
            self._forget()
        for task in self._tasks:
            task.cancel()
        for each in tuple(self._workers):
            self._end(each)
        self._nursery.close()

    # Workers.

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hire(self) -> _Worker:
        ours, theirs = socket.socketpair()
        our_way, their_way = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = await self._nursery.bear(theirs, their_way)
        except OSError:
            ours.close()
            our_way.close()
            raise
        finally:
            theirs.close()
            their_way.close()
        our_way.setblocking(False)
        taken = {each.part for each in self._workers}
        part = next(each for each in range(self._number) if each not in taken)
        worker = _Worker(self, pid, our_way, part=part)
        await asyncio.get_running_loop().create_connection(lambda: worker.channel, sock=ours)
        self._configure(worker)
        self._workers.append(worker)
        return worker

    def _end(self, worker: _Worker) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(worker.pid, signal.SIGKILL)

    def lost(self, worker: _Worker) -> None:
        """Replace *worker*, which is gone."""
        worker.connections.close()
        if not worker.drained.done():
            worker.drained.set_result(0 if self._closed else worker.numbers["in_flight"])
        if worker in self._workers:
            self._workers.remove(worker)
        # No byte of what it has not taken has been read.
        while worker.offered:
            if self._closed or self.draining:
                worker.offered.popleft().close()
            else:
                self.entrance.take_back(worker.offered.popleft())
        for name, number in worker.replays.items():
            self._departed[name] = self._departed.get(name, 0) + number
        if self._closed or self.draining:
            return
        lived = time.monotonic() - worker.born
        self._short_lives = self._short_lives + 1 if lived < _LONG_ENOUGH_SECONDS else 0
        pause = 0.0
        if self._short_lives > 1:
            pause = min(0.1 * 2 ** min(self._short_lives, 9), _LONGEST_PAUSE_SECONDS)
        _log.warning(
            "worker.ended",
            pid=worker.pid,
            lived_seconds=round(lived, 3),
            next_start_in_seconds=pause,
            message="a worker process has ended; it is replaced",
        )
        self._begin(self._replace(pause))

    async def _replace(self, pause: float) -> None:
        while not (self._closed or self.draining):
            await asyncio.sleep(pause)
            try:
                worker = await self._hire()
            except OSError as error:
                pause = min(max(2 * pause, 0.1), _LONGEST_PAUSE_SECONDS)
                _log.error("worker.not_started", error=error, next_try_in_seconds=pause)
                continue
            _log.info("worker.started", pid=worker.pid)
            return

    def _give(self, connection: socket.socket) -> bool:
        ready = [each for each in self._workers if each.ready.is_set()]
        for worker in sorted(ready, key=lambda each: each.burden):
            try:
                socket.send_fds(worker.connections, [b"c"], [connection.fileno()])
            except OSError:
                continue
            worker.offered.append(connection)
            return True
        return False

    # What workers are told.

    def _configure(self, worker: _Worker) -> None:
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

    def _tell(self, worker: _Worker) -> None:
        worker.channel.send(OBJECT, packed(TokenNews(self._cache.supply(), worker.refusals)))

    # What workers say.

    def received(self, worker: _Worker, kind: bytes, content: bytes) -> None:
        """Take what *worker* says; ValueError for what it can't mean."""
        if kind != REPORT:
            raise ValueError("no report")
        try:
            self._report(worker, heard(content))
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            _log.error("worker.not_understood", pid=worker.pid, error=error)
            self._end(worker)
            raise ValueError("no report") from error

    def _report(self, worker: _Worker, told: dict[str, Any]) -> None:
        if "configured" in told:
            worker.configured = natural(told["configured"])
            worker.ready.set()
        elif "took" in told:
            for _ in range(natural(told["took"])):
                worker.offered.popleft().close()
                worker.holds += 1
        elif "closed" in told:
            worker.holds = max(0, worker.holds - natural(told["closed"]))
        elif "refused" in told:
            self._refused(worker, str(told["refused"]))
        elif "drained" in told:
            if not worker.drained.done():
                worker.drained.set_result(natural(told["drained"]))
        else:
            self._account(worker, read(told))

    def _refused(self, worker: _Worker, fingerprint: str) -> None:
        held = self._cache.current()
        worker.refusals += 1
        if held is not None and held.fingerprint == fingerprint:
            self._cache.refused(held)
        self._tell(worker)

    def _account(self, worker: _Worker, told: Told) -> None:
        if told.counts is not None:
            self._accounts.counts.merge(told.counts)
            self._accounts.recent.merge(told.requests)
        worker.numbers, worker.replays = told.numbers, told.replays
        pool = self.route.pool
        if told.seen and (pool.seen is None or told.seen.at > pool.seen.at):
            pool.seen = told.seen
        if told.trouble and (pool.last_error is None or told.trouble[0] > pool.last_error[0]):
            pool.last_error = told.trouble
