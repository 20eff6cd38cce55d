"""What carries requests, as the rest of the process sees it: one plane, or several workers."""

from collections.abc import Mapping, Sequence, Sized
from typing import Protocol

from proxy.dataplane import Address, Destination, Limits, Route
from proxy.dataplane.plane import Load
from proxy.dataplane.pool import Seen
from proxy.errors import ProxyError
from proxy.policy.rules import Rules


class CarrierPool(Protocol):
    """Connections to the upstream; see ``dataplane.pool.Pool``."""

    seen: Seen | None
    last_error: tuple[float, ProxyError] | None

    @property
    def destination(self) -> Destination:
        """Where they lead."""
        ...

    @property
    def queued_count(self) -> int:
        """How many requests stand in line."""
        ...

    @property
    def idle_count(self) -> int:
        """How many connections wait for a request."""
        ...

    @property
    def busy_count(self) -> int:
        """How many connections serve a request."""
        ...


class CarrierRoute(Protocol):
    """What belongs to the upstream."""

    @property
    def rules(self) -> Rules:
        """What decides on a request."""
        ...

    @property
    def pool(self) -> CarrierPool:
        """The connections."""
        ...


class Carrier(Protocol):
    """See ``dataplane.plane.Plane``, whose shape this is."""

    draining: bool

    @property
    def route(self) -> CarrierRoute:
        """What requests that come now are served by."""
        ...

    @property
    def limits(self) -> Limits:
        """The bounds on what a peer may send or take."""
        ...

    @property
    def replays(self) -> Mapping[str, int]:
        """Requests that were sent again after a 401, by what came of it."""
        ...

    @property
    def connections(self) -> Sized:
        """The clients' connections."""
        ...

    @property
    def pools(self) -> Sequence[CarrierPool]:
        """All that have connections."""
        ...

    def load(self) -> Load:
        """Count what is on its way."""
        ...

    def change(self, route: Route, limits: Limits) -> None:
        """Serve what comes from now on by *route* and *limits*."""
        ...

    async def drain(self, timeout_seconds: float) -> int:
        """Let what is in flight finish; return how many did not."""
        ...

    def close(self) -> None:
        """Stop what runs by itself."""
        ...


class Entrance(Protocol):
    """Where clients come in; see ``dataplane.listener.Listener``."""

    @property
    def bound(self) -> list[Address]:
        """The addresses that are listened at."""
        ...

    async def start(self, addresses: list[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        ...

    def stop(self) -> None:
        """Accept no more."""
        ...
