"""
The two listeners for people and platforms, apart from the one for traffic.

The *admin* listener stays on the loopback. The *ops* listener has what probes and scrapes need and
nothing else, so that it may be bound where a kubelet reaches it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from proxy.admin import actions, answers, probes, scrape, status
from proxy.admin.address import join, split
from proxy.admin.guard import HostRule, guard, known_here, known_nearby
from proxy.admin.view import Console
from proxy.admin.vitals import Vitals
from proxy.metrics import Exposition

_log = structlog.get_logger()

# How long an answer under way may take at the end, and a body that nobody asked for; health answers
# take no time.
_PATIENCE_SECONDS = 1
_CONNECTION: dict[str, Any] = {
    "access_log": None,  # probes are not logged
    # A connection that says nothing, or half a head, is closed after this long.
    "keepalive_timeout": 15,
    "lingering_time": _PATIENCE_SECONDS,
}
# No probe, scrape or page sends more; aiohttp reads it whole.
_BODY_BYTES = 64 * 1024


def admin_app(
    vitals: Vitals,
    exposition: Exposition,
    console: Console,
    *,
    token: str,
    host_allowed: HostRule = known_here,
) -> web.Application:
    """Return the admin listener's application; *token* is what its actions need."""
    app = _app(
        [*probes.routes(vitals), *scrape.routes(exposition), *actions.routes(console, token)],
        host_allowed,
    )
    status.add_to(app, console)
    return app


def ops_app(
    vitals: Vitals, exposition: Exposition, *, host_allowed: HostRule = known_nearby
) -> web.Application:
    """Return the ops listener's application: health and metrics alone."""
    return _app([*probes.routes(vitals), *scrape.routes(exposition)], host_allowed)


def _app(routes: list[web.RouteDef], host_allowed: HostRule) -> web.Application:
    app = web.Application(
        middlewares=[_as_problem, guard(host_allowed)], client_max_size=_BODY_BYTES
    )
    app.add_routes(routes)
    return app


@web.middleware
async def _as_problem(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return answers.problem(405, f"Use {allowed}.", headers={"Allow": allowed})
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return answers.problem(error.status, f"{error.reason}: {request.path}")


class Running:
    """A listener at work; ``stop`` ends it."""

    def __init__(self, runner: web.AppRunner, listener: asyncio.Server) -> None:
        self._runner = runner
        self._listener = listener
        host, port, *_ = listener.sockets[0].getsockname()
        self.address = join(host, port)

    async def stop(self) -> None:
        """Close the listener, then give answers under way a second."""
        self._listener.close()
        await self._runner.cleanup()
        await self._listener.wait_closed()


async def start(app: web.Application, address: str) -> Running:
    """
    Listen at *address* (``host:port``; port 0 takes a free one, see ``Running.address``).

    Raise ValueError for an address that is none, OSError where it can't be bound.
    """
    host, port = split(address)
    runner = web.AppRunner(app, shutdown_timeout=_PATIENCE_SECONDS)
    await runner.setup()
    try:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: _connection(runner, loop), host, port)
    except BaseException:
        await runner.cleanup()
        raise
    return Running(runner, listener)


def _connection(runner: web.AppRunner, loop: asyncio.AbstractEventLoop) -> "_Connection":
    server = runner.server
    assert server is not None, "the runner is set up before it listens"
    return _Connection(server, loop=loop, **_CONNECTION)


class _Connection(web.RequestHandler):
    """aiohttp's connection, with our voice where no application has been reached."""

    __slots__ = ()

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
        if status >= 500:
            _log.error("admin.failed", path=request.path, exc_info=exc)
            answer = answers.problem(status, "This is a fault of the proxy; its log says more.")
        else:
            _log.debug("admin.request_malformed", client=request.remote, error=exc)
            answer = answers.problem(status, "This is not HTTP as this listener reads it.")
        answer.force_close()
        return answer
