"""What all connections of the data plane share: one route, the limits, the journal, the clock."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Protocol

from proxy.dataplane.exchange import Exchange
from proxy.policy.credential import Credentials
from proxy.policy.rules import Rules
from proxy.policy.trace import Trace
from proxy.policy.verdict import Asked

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.pool import Pool

    # For a client, what its request asks, and that one's values if it is of a pattern.
    MakeExchange = Callable[[Downstream, "Plane", Asked, tuple[bytes, ...]], Exchange]

# Time-outs are looked at this often: precise enough for limits of seconds, and one timer for all.
SWEEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Bounds on what a peer may send or take, in bytes and seconds; 0 means no limit.

    Of the clients beyond *connections* so many as *lingering* are given time to read why they are
    refused; the others are closed behind that answer at once.
    """

    connections: int = 0
    lingering: int = 32
    requests_per_connection: int = 0
    queue_seconds: float = 5
    head_bytes: int = 65536
    head_seconds: float = 10
    body_idle_seconds: float = 60
    keep_alive_seconds: float = 75
    response_head_seconds: float = 60
    response_idle_seconds: float = 300
    replay_max_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class Route:
    """All that belongs to one upstream; a second upstream is a second one of these."""

    rules: Rules
    credentials: Credentials
    pool: "Pool"
    wait_seconds: float = 5

    @property
    def name(self) -> str:
        """The upstream's base URL, for people."""
        return self.rules.base.url


class Journal(Protocol):
    """Where finished requests are told; called once for each, and must not block."""

    def record(
        self,
        time: float,
        method: bytes,
        target: bytes,
        status: int,
        side: str,
        duration: float,
        first_byte: float | None,
        request_bytes: int,
        response_bytes: int,
        request_id: bytes,
        error: str,
        client: str,
        sent: float | None,
        detail: str,
        *place: Trace,
    ) -> None:
        """
        Tell one that is over; *time* is Unix time.

        *duration*, *first_byte* (of the answer) and *sent* (the head, upstream) are seconds since
        the request began; None if that never came. *side* is whose answer it was, *error* the code
        of ours and *detail* its sentence, empty if it was not. Bytes are those of the bodies. A
        *place* in a trace is told by exchanges that have one alone.
        """
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """
    What the plane carries at a moment; *waiting_for_token* are among those *in_flight*.

    The bytes are those of the bodies that are still on their way.
    """

    connections: int
    in_flight: int
    waiting_for_token: int
    request_bytes: int
    response_bytes: int


class InFlight(Protocol):
    """A request, as the load is told."""

    @property
    def waits_for_token(self) -> bool:
        """Tell whether it is parked until there is a credential."""
        ...

    @property
    def moved_bytes(self) -> tuple[int, int]:
        """How many bytes of both bodies, the request's and the answer's, went through so far."""
        ...


class Swept(Protocol):
    """A connection, as the plane sees it."""

    @property
    def in_flight(self) -> InFlight | None:
        """The request that is being answered, if there is one."""
        ...

    def sweep(self, now: float) -> None:
        """Act on whatever is overdue at *now*, in seconds of the monotonic clock."""
        ...

    def forget(self) -> None:
        """Read the next request afresh: the rules have changed."""
        ...

    def drain(self) -> None:
        """Take no further request; close as soon as nothing is in flight."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...


class NoJournal:
    """A journal that nobody reads."""

    def record(self, *_: object) -> None:
        """Forget it."""


_LAST_DIGITS = [b"%02x" % number for number in range(256)]


def _request_ids(process: bytes) -> Iterator[bytes]:
    """Return ids that no other request of this *process* has, nor one of another."""
    # One addition for each, in C: a request that formats its own number spends twice as much.
    start = process.hex().encode() + b"-%04x"
    return chain.from_iterable(map((start % number).__add__, _LAST_DIGITS) for number in count())


@dataclass(slots=True)
class Plane:
    """
    The shared half of every connection.

    ``draining`` is set once and for good. ``connections`` are the clients' ones that are open.
    ``route`` and ``limits`` are replaced by ``change`` alone; a request keeps the route that it
    began with. ``retired`` are the pools of earlier routes that still have a connection.
    ``exchange`` makes the life of a request. ``turned_away`` are clients that were too many.
    """

    route: Route
    limits: Limits = field(default_factory=Limits)
    journal: Journal = field(default_factory=NoJournal)
    exchange: "MakeExchange" = Exchange
    draining: bool = False
    connections: set[Swept] = field(default_factory=set)
    retired: list["Pool"] = field(default_factory=list)
    turned_away: int = 0
    # Requests that were sent again after a 401, by what came of it.
    replays: dict[str, int] = field(default_factory=lambda: {"ok": 0, "refused": 0, "failed": 0})
    request_ids: Iterator[bytes] = field(default_factory=lambda: _request_ids(os.urandom(6)))
    _timer: asyncio.TimerHandle | None = None
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def load(self) -> Load:
        """Count what is on its way; walks all connections, so not for every request."""
        in_flight = [each.in_flight for each in self.connections if each.in_flight]
        moved = [each.moved_bytes for each in in_flight]
        return Load(
            connections=len(self.connections),
            in_flight=len(in_flight),
            waiting_for_token=sum(each.waits_for_token for each in in_flight),
            request_bytes=sum(up for up, _ in moved),
            response_bytes=sum(down for _, down in moved),
        )

    def change(self, route: Route, limits: Limits) -> None:
        """
        Serve what comes from now on by *route* and *limits*.

        Requests in flight end on the route that they began with. Another pool than before takes the
        former's place: what is idle in that closes now, and the rest as it becomes idle.
        """
        former, self.route, self.limits = self.route.pool, route, limits
        for connection in self.connections:
            connection.forget()
        if former is not route.pool:
            former.close()
            self.retired = [pool for pool in (*self.retired, former) if not pool.is_dry]

    @property
    def pools(self) -> list["Pool"]:
        """All that have connections: the route's, and those that are retired."""
        return [self.route.pool, *self.retired]

    def joined(self, connection: Swept) -> None:
        """Count *connection* as open."""
        self.connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def left(self, connection: Swept) -> None:
        """Count *connection* as closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _sweep(self) -> None:
        self._timer = None
        now = time.monotonic()
        for connection in self._all():
            connection.sweep(now)
        self.route.pool.sweep(now)
        for pool in self.retired:
            pool.close()
        self.retired = [pool for pool in self.retired if not pool.is_dry]
        if self.connections or self.route.pool.idle_count or self.retired:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _all(self) -> Iterable[Swept]:
        return tuple(self.connections)  # closing one changes the set

    async def drain(self, timeout_seconds: float) -> int:
        """
        Let what is in flight finish, for *timeout_seconds* at most; return how many did not.

        Idle connections close at once, the others after their answer. What is left is aborted.
        """
        self.draining = True
        for connection in self._all():
            connection.drain()
        if self.connections:
            self._empty.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._empty.wait()
            except TimeoutError:
                pass
        left = self._all()
        for connection in left:
            connection.abort()
        return len(tuple(left))

    def close(self) -> None:
        """Stop the timer and close the idle upstream connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for pool in self.pools:
            pool.close()
