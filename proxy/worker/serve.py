"""A worker: the data plane of one process, fed by the keeper with connections and the token."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from proxy import log
from proxy.dataplane import Destination, Limits, Plane, Pool, Route
from proxy.dataplane.downstream import Downstream
from proxy.dataplane.plane import Swept
from proxy.log import AccessLog, Output
from proxy.log.sink import Sink
from proxy.metrics import Counts, Finished, Recent
from proxy.policy.callers import ANYONE
from proxy.policy.credential import Credential
from proxy.worker.channel import OBJECT, REPORT, Channel
from proxy.worker.credentials import RemoteCredentials
from proxy.worker.messages import Configuration, Drain, TokenNews, said, unpacked

# What has happened is told this often, or where that is more than so many requests, once a second:
# a report and its reading take a millisecond or two of processor time, which must not add up.
_REPORT_SECONDS, _REPORT_SECONDS_UNDER_LOAD = 0.25, 1.0
_MANY = 250
_LATER_SECONDS = 0.01
_AT_ONCE = 64
_ACCEPTED_AT_ONCE = 64
_LONGEST_TARGET = 2048


async def serve(pipe: socket.socket, connections: socket.socket) -> None:
    """Serve until the keeper closes *pipe*; *connections* brings those of clients."""
    loop = asyncio.get_running_loop()
    worker = Worker()
    await loop.create_connection(lambda: worker.channel, sock=pipe)
    connections.setblocking(False)
    loop.add_reader(connections.fileno(), worker.accept, connections)
    try:
        await worker.over()
    finally:
        loop.remove_reader(connections.fileno())
        connections.close()


class _Journal:
    """Counts and writes by batches, as ``app.journal.Journal`` does, and keeps what is to tell."""

    def __init__(self, access_log: AccessLog, recent: int) -> None:
        self.access_log = access_log
        self.recent = Recent(recent)
        self.counts = Counts()
        self._has_news = False
        self._pending: list[tuple[Any, ...]] = []
        self._later = partial(asyncio.get_running_loop().call_later, _LATER_SECONDS, self.flush)

    def record(self, *facts: Any) -> None:
        """Note a request that is over."""
        pending = self._pending
        pending.append(facts)
        if len(pending) == 1:
            self._later()
        elif len(pending) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Count and write what was noted."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        self._has_news = True
        self.counts.add(pending)
        self.access_log.write(pending)
        self.recent.add(pending)

    def take(self) -> tuple[Counts | None, list[Finished]]:
        """Return what was counted since the last time, if anything, and the last requests."""
        self.flush()
        if not self._has_news:
            return None, []
        self._has_news = False
        counts, self.counts = self.counts, Counts()
        last = self.recent.newest_first()
        self.recent.forget()
        return counts, last


@dataclass(slots=True)
class _Plane(Plane):
    """Tells *closed* of every client's connection that is gone."""

    closed: Callable[[], None] = lambda: None

    def left(self, connection: Swept) -> None:
        """Count *connection* as closed."""
        # Not super(): a class with slots is made anew, and is not the one that this stands in.
        Plane.left(self, connection)
        self.closed()


class Worker:
    """The parts of one worker; everything begins with the keeper's first configuration."""

    def __init__(self) -> None:
        self.channel = Channel(self._received, self._lost)
        self._output: Output | None = None
        self._journal: _Journal
        self._credentials: RemoteCredentials
        self._plane: Plane | None = None
        self._destination: tuple[Destination, str | None] | None = None
        self._drain_seconds = 0.0
        self._cache = 0
        self._closed = 0  # connections, since the keeper was told
        self._is_busy = False
        self._over = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._told: dict[str, Any] = {}

    async def over(self) -> None:
        """Return when the keeper is gone and nothing is in flight any more."""
        await self._over.wait()
        if self._timer is not None:
            self._timer.cancel()
        if self._plane is not None:
            await self._plane.drain(self._drain_seconds)
            self._plane.close()
            self._journal.flush()
        if self._output is not None:
            self._output.sink.finish()

    # From the keeper.

    def _lost(self) -> None:
        self._over.set()

    def _received(self, kind: bytes, content: bytes) -> None:
        message = unpacked(content) if kind == OBJECT else None
        if isinstance(message, Configuration):
            self._configure(message)
            self.channel.send(REPORT, said(configured=message.number))
        elif isinstance(message, TokenNews):
            self._protect(message)
            self._credentials.take(message)
        elif isinstance(message, Drain):
            self._begin(self._drain(message.seconds))

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _configure(self, given: Configuration) -> None:
        self._follow_log(given)
        self._protect(given.token)
        former = None
        if self._plane is not None and given.cache == self._cache:
            self._credentials.take(given.token)
        else:
            former = None if self._plane is None else self._credentials
            self._credentials = RemoteCredentials(given.token, self._report_refusal)
        self._cache = given.cache
        self._drain_seconds = given.drain_seconds
        callers = given.rules.callers
        rules = replace(given.rules, callers=ANYONE if callers == ANYONE else callers)
        pool = self._pool(given)
        route = Route(
            rules=rules,
            credentials=self._credentials,
            pool=pool,
            wait_seconds=given.wait_seconds,
        )
        if self._plane is None:
            self._plane = _Plane(
                route, limits=given.limits, journal=self._journal, closed=self._one_closed
            )
            self._report_later()
        else:
            self._plane.change(route, given.limits)
        if former is not None:
            former.end()

    def _pool(self, given: Configuration) -> Pool:
        wanted = (given.destination, given.authorities)
        if self._plane is not None and wanted == self._destination:
            return self._plane.route.pool
        self._destination = wanted
        tls = _tls(given.authorities) if given.secure else None
        return Pool(replace(given.destination, tls=tls))

    def _follow_log(self, given: Configuration) -> None:
        for each in given.hidden:
            log.protect(each)
        if self._output is None:
            form: log.Format = "console" if given.console else "json"
            sink = Sink(sys.stderr if given.console else sys.stdout, shared=True)
            self._output = log.configure(form, given.level, sink=sink)
            access_log = AccessLog(given.access, self._output)  # type: ignore[arg-type]
            self._journal = _Journal(access_log, given.recent)
            return
        self._journal.flush()
        self._output.follow(given.level)
        self._journal.access_log.follow(given.access)  # type: ignore[arg-type]
        self._journal.recent.resize(given.recent)

    def _protect(self, token: TokenNews) -> None:
        if token.supply.held is not None:
            log.protect(token.supply.held.token, rotating=True)

    async def _drain(self, seconds: float) -> None:
        left = await self._plane.drain(seconds) if self._plane is not None else 0
        self._report()
        self.channel.send(REPORT, said(drained=left))

    # To the keeper.

    def _report_refusal(self, credential: Credential) -> None:
        self.channel.send(REPORT, said(refused=credential.fingerprint))

    def _report_later(self) -> None:
        seconds = _REPORT_SECONDS_UNDER_LOAD if self._is_busy else _REPORT_SECONDS
        self._timer = asyncio.get_running_loop().call_later(seconds, self._report_in_turn)

    def _report_in_turn(self) -> None:
        self._report()
        self._report_later()

    def _report(self) -> None:
        plane = self._plane
        if plane is None:
            return
        counts, last = self._journal.take()
        self._is_busy = counts is not None and counts.total() > _MANY
        load = _load(plane)
        # As long as nothing happens there is nothing to tell.
        if counts is not None or load != self._told:
            self._told = load
            counted = None if counts is None else counts.portable()
            recent = [_readable(each) for each in last]
            self.channel.send(REPORT, said(counts=counted, recent=recent, **load))

    def _one_closed(self) -> None:
        """Have the keeper know soon: it gives the next one to who has fewest."""
        self._closed += 1
        if self._closed == 1:
            asyncio.get_running_loop().call_later(_LATER_SECONDS, self._tell_closed)

    def _tell_closed(self) -> None:
        closed, self._closed = self._closed, 0
        self.channel.send(REPORT, said(closed=closed))

    # Clients.

    def accept(self, connections: socket.socket) -> None:
        """Take the connections that the keeper has handed over."""
        taken: list[int] = []
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sent, descriptors, _, _ = socket.recv_fds(connections, 1, 1)
            except BlockingIOError:
                break
            except OSError:
                sent, descriptors = b"", []
            if not sent:
                asyncio.get_running_loop().remove_reader(connections.fileno())
                break
            taken += descriptors
        if taken:
            # Said before a byte is read: what is not taken is offered to another worker.
            self.channel.send(REPORT, said(took=len(taken)))
        for each in taken:
            self._begin(self._take(socket.socket(fileno=each)))

    async def _take(self, sock: socket.socket) -> None:
        plane = self._plane
        if plane is None or plane.draining:
            sock.close()
            self._one_closed()
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                partial(Downstream, plane), sock
            )
        except OSError:
            self._one_closed()


def _tls(authorities: str | None) -> ssl.SSLContext:
    # As ``app.compose.tls_context``, out of what that has read and found to be of use.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if authorities is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cadata=authorities)
    return context


def _readable(facts: tuple[Any, ...]) -> list[Any]:
    """Return *facts* as JSON has them: bytes as the characters of the same numbers."""
    # Of the target the page shows the path alone, and not all of a long one.
    target = facts[2].partition(b"?")
    facts = (*facts[:2], target[0][:_LONGEST_TARGET] + target[1], *facts[3:])
    return [each.decode("latin-1") if isinstance(each, bytes) else each for each in facts]


def _load(plane: Plane) -> dict[str, Any]:
    load, pools = plane.load(), plane.pools
    pool = plane.route.pool
    seen, trouble = pool.seen, pool.last_error
    return {
        "connections": load.connections,
        "in_flight": load.in_flight,
        "waiting_for_token": load.waiting_for_token,
        "request_bytes": load.request_bytes,
        "response_bytes": load.response_bytes,
        "replays": dict(plane.replays),
        "queued": sum(each.queued_count for each in pools),
        "idle": sum(each.idle_count for each in pools),
        "busy": sum(each.busy_count for each in pools),
        "seen": seen and [seen.at, seen.remote, seen.tls_version, seen.certificate_expires_at],
        "trouble": trouble and [trouble[0], trouble[1].code, trouble[1].detail, trouble[1].hint],
    }


def share(limits: Limits, part: int, of: int) -> Limits:
    """Return what the worker number *part* *of* several may have of *limits* that are for all."""
    connections = limits.connections and max(1, _share(limits.connections, part, of))
    return replace(limits, connections=connections)


def share_of(destination: Destination, part: int, of: int) -> Destination:
    """Return *destination* with the share of its connections and queue, and without TLS context."""
    return replace(
        destination,
        tls=None,
        connections=_share(destination.connections, part, of),
        queue=_share(destination.queue, part, of),
    )


def _share(number: int, part: int, of: int) -> int:
    return number // of + (part < number % of)
