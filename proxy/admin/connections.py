"""
Who is connected to a listener, and how long a client is waited for.

Rule 1: a client has so much time and no more for whatever it is to do next: begin a head or end it,
        send the body, take the answer, ask again. Drops gain it none.

Rule 2: there is room for one more. Whenever too many are connected, that one goes which has been
        waited for longest: slow clients that fill the listener cost each other their connections,
        and a probe, which asks at once, is answered.

Rule 3: nobody is waited for whose request is being acted upon: the next move is ours. Where that
        holds for all, it is the newcomer that goes, after it has asked and been told.

aiohttp bounds nothing of this but the time between two requests.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from proxy.admin import answers
from proxy.errors import ProxyError
from proxy.seldom import Seldom

_log = structlog.get_logger()
_AIOHTTP: dict[str, Any] = {
    "access_log": None,  # probes are not logged
    "lingering_time": 1,  # how long a body is read that nobody asked for
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """*most* connections at a time, each of which may have us wait for *seconds*."""

    most: int
    seconds: float


# A browser opens six connections, Prometheus and a kubelet one or two, and tools that deploy may
# reload by the dozen; haproxy allows ten clients of its statistics. Their descriptors are set aside
# (``app.compose``).
BOUNDS = Bounds(most=32, seconds=15.0)
_SWEEPS = 15  # in that time


class Connections:
    """
    Those of one listener; calling it makes the protocol of the next one.

    ``listen`` is where they come in, for the log.
    """

    def __init__(self, server: web.Server, bounds: Bounds) -> None:
        self.listen = ""
        self._server = server
        self._bounds = bounds
        self._open: set[Connection] = set()
        self._too_many = 0  # since the last sweep
        self._dropped = Seldom("admin.clients_dropped")
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> "Connection":
        return Connection(self, self._server)

    def joined(self, connection: "Connection") -> None:
        """Count *connection* as open; make room for it, or have it be refused."""
        while len(self._open) >= self._bounds.most:
            self._too_many += 1
            longest = min(self._open, key=lambda each: each.waited_since)
            if longest.waited_since == math.inf:
                connection.refusal = _crowded(self._bounds.most)
                break
            self._drop(longest)
        self._open.add(connection)
        if self._timer is None:
            self._sweep_later()

    def left(self, connection: "Connection") -> None:
        """Count *connection* as closed."""
        self._open.discard(connection)

    def stop(self) -> None:
        """Look after nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep_later(self) -> None:
        pause = self._bounds.seconds / _SWEEPS
        self._timer = asyncio.get_running_loop().call_later(pause, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._dropped.count(self._too_many, listen=self.listen, limit=self._bounds.most)
        self._too_many = 0
        overdue = monotonic() - self._bounds.seconds
        for each in tuple(self._open):
            if each.waited_since <= overdue:
                self._drop(each)
        if self._open:
            self._sweep_later()

    def _drop(self, connection: "Connection") -> None:
        # At once: its loss is told in a later turn, and till then it must not count.
        self._open.discard(connection)
        # An answer that is not taken would keep it open.
        connection.abort()


class Connection(web.RequestHandler):
    """
    aiohttp's connection, with our voice where no application has been reached.

    The client is waited for since the time *waited_since*, which never comes while it waits for us.
    *refusal* is what it hears when there is no room for it.
    """

    __slots__ = ("_connections", "refusal", "waited_since")

    def __init__(self, connections: Connections, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_AIOHTTP)
        self._connections = connections
        self.waited_since = math.inf
        self.refusal: ProxyError | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.waited_since = monotonic()
        self._connections.joined(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no more."""
        self._connections.left(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close it without a further word."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """
        Answer for bytes that are no request, and for a failure of ours.

        aiohttp would name itself and its version, and log each port scan with a traceback.
        """
        gone = self.transport is None or self.transport.is_closing()
        if gone and isinstance(exc, ConnectionError):
            # The client left in the middle of its body, or had to: nobody hears this.
            answer = answers.problem(400, "This request has no end.")
        elif status >= 500:
            _log.error("admin.failed", path=request.path, exc_info=exc)
            answer = answers.problem(status, "This is a fault of the proxy; its log says more.")
        else:
            _log.debug("admin.request_malformed", client=request.remote, error=exc)
            answer = answers.problem(status, "This is not HTTP as this listener reads it.")
        answer.force_close()
        return answer


def _crowded(most: int) -> ProxyError:
    return ProxyError(
        "overloaded",
        f"{most} clients are connected already, and all wait for an answer.",
        hint="Ask again a little later.",
        retry_after=1,
    )


@web.middleware
async def attended(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Wait for the client until its request is whole, and again when there is an answer."""
    connection = _of(request)
    if connection.refusal is not None:
        answer = answers.refusal(connection.refusal)
        answer.force_close()
        return answer
    connection.waited_since = math.inf
    try:
        return await handler(request)
    finally:
        connection.waited_since = monotonic()


@contextmanager
def waiting_for_client(request: web.Request) -> Iterator[None]:
    """Have the block be such that the next move is the client's, and bounded like all others."""
    connection = _of(request)
    connection.waited_since = monotonic()
    try:
        yield
    finally:
        connection.waited_since = math.inf


def _of(request: web.Request) -> Connection:
    connection = request.protocol
    assert isinstance(connection, Connection), "made by Connections"
    return connection
