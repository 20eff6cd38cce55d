"""
The two listeners for people and platforms, apart from the one for traffic.

The *admin* listener stays on the loopback. The *ops* listener has what probes and scrapes need and
nothing else, so that it may be bound where a kubelet reaches it.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable

from aiohttp import web

from proxy.admin import actions, answers, probes, scrape, status
from proxy.admin.address import join, split
from proxy.admin.connections import BOUNDS, Bounds, Connections, attended
from proxy.admin.console import Console
from proxy.admin.guard import HostRule, guard, known_here, known_nearby
from proxy.admin.vitals import Vitals
from proxy.errors import ProxyError
from proxy.metrics import Exposition

# How long an answer under way may take at the end; health answers take no time.
_PATIENCE_SECONDS = 1
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
        middlewares=[attended, _as_problem, guard(host_allowed)], client_max_size=_BODY_BYTES
    )
    app.add_routes(routes)
    app.on_response_prepare.append(_sign)
    return app


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    """Sign what aiohttp answers before any middleware is asked: an Expect that it does not know."""
    response.headers.update(answers.HEADERS)


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
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        # What is imported late, or read from /proc, is a file.
        return answers.refusal(
            ProxyError(
                "overloaded",
                f"The proxy has as many files and sockets open as it may, and none left for"
                f" {request.path}.",
                hint="Ask again a little later. Allow the process more descriptors (ulimit -n), or"
                " lower limits.connections.",
                retry_after=1,
            )
        )


class Running:
    """A listener at work; ``stop`` ends it."""

    def __init__(
        self, runner: web.AppRunner, listener: asyncio.Server, connections: Connections
    ) -> None:
        self._runner = runner
        self._listener = listener
        self._connections = connections
        host, port, *_ = listener.sockets[0].getsockname()
        self.address = connections.listen = join(host, port)

    async def stop(self) -> None:
        """Close the listener, then give answers under way a second."""
        self._listener.close()
        await self._runner.cleanup()
        self._connections.stop()
        await self._listener.wait_closed()


async def start(app: web.Application, address: str, bounds: Bounds = BOUNDS) -> Running:
    """
    Listen at *address* (``host:port``; port 0 takes a free one, see ``Running.address``).

    Raise ValueError for an address that is none, OSError where it can't be bound.
    """
    host, port = split(address)
    runner = web.AppRunner(app, shutdown_timeout=_PATIENCE_SECONDS)
    await runner.setup()
    assert runner.server is not None, "the runner is set up"
    connections = Connections(runner.server, bounds)
    try:
        listener = await asyncio.get_running_loop().create_server(connections, host, port)
    except BaseException:
        await runner.cleanup()
        raise
    return Running(runner, listener, connections)
