"""``/metrics``."""

import asyncio

from aiohttp import web

from proxy.admin.answers import HEADERS
from proxy.metrics import Exposition


def routes(exposition: Exposition) -> list[web.RouteDef]:
    """Return the route that Prometheus scrapes."""

    async def scraped(request: web.Request) -> web.StreamResponse:
        # The first time it imports a library: requests must not wait for that.
        await asyncio.to_thread(exposition.prepare)
        body, content_type = exposition.write(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={**HEADERS, "Content-Type": content_type})

    return [web.get("/metrics", scraped)]
