"""``/_demo``: faults on demand, for someone at this machine who is not a web page."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo import faults
from proxy.demo.answers import as_json
from proxy.demo.stats import Stats

_SAME: Final = ("none", "same-origin")


class Control:
    """The routes below ``/_demo``; *break_it* performs a fault and says what it did."""

    def __init__(
        self, *, break_it: Callable[[str, Mapping[str, str]], str], stats: Callable[[], Stats]
    ) -> None:
        self._break_it = break_it
        self._stats = stats

    def application(self) -> web.Application:
        """Return it as an application to be mounted at ``/_demo``."""
        app = web.Application(middlewares=[_local])
        app.add_routes(
            [
                web.get("", self.table),
                web.get("/stats", self.show_stats),
                web.post("/{fault}", self.perform),
            ]
        )
        return app

    async def table(self, request: web.Request) -> web.Response:
        """Answer the table of faults."""
        return _line((faults.__doc__ or faults.table()).strip())

    async def show_stats(self, request: web.Request) -> web.Response:
        """Answer the counts and the active faults as JSON."""
        return as_json(asdict(self._stats()))

    async def perform(self, request: web.Request) -> web.Response:
        """Break what the path names; 400 with what there is instead, when there is no such."""
        try:
            return _line(self._break_it(request.match_info["fault"], dict(request.query)))
        except faults.FaultError as error:
            return _line(str(error), status=400)


@web.middleware
async def _local(request: web.Request, handler: Handler) -> web.StreamResponse:
    """
    Refuse whom it is not for.

    Any page in a browser on this machine can send such a POST without asking anyone (no preflight),
    and by DNS rebinding under a name of its own: hence the checks of Host, Sec-Fetch-Site, Origin.
    """
    if not _is_loopback(request.remote or "") or not _is_loopback(request.url.host or ""):
        return _line("only by a loopback address or localhost", status=403)
    if request.headers.get("Sec-Fetch-Site", "none") not in _SAME:
        return _line("not from another site's page", status=403)
    if request.headers.get("Origin", own := str(request.url.origin())) != own:
        return _line("not from another origin", status=403)
    return await handler(request)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _line(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text + "\n", status=status)
