"""The status page, in the form that the client asks for: HTML, JSON or a table."""

import dataclasses
from importlib import resources

from aiohttp import web

from proxy.admin import answers, page
from proxy.admin.live import Live
from proxy.admin.view import Console

_ASSETS = {
    "page.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}


def add_to(app: web.Application, console: Console) -> None:
    """Add the page, what it loads and its live events to *app*."""
    live = Live(console)
    app.on_shutdown.append(live.end)

    async def shown(request: web.Request) -> web.StreamResponse:
        accept = request.headers.get("Accept", "")
        if "text/html" in accept:
            body = page.whole(console.view(), query=request.query.get("q", ""))
            headers = {**answers.HEADERS, **page.PAGE_HEADERS}
            return web.Response(text=body, content_type="text/html", headers=headers)
        if "application/json" in accept:
            return await status(request)
        return answers.text(page.table(console.view()))

    async def status(_: web.Request) -> web.StreamResponse:
        return answers.document(dataclasses.asdict(console.view()))

    app.add_routes(
        [
            web.get("/", shown),
            web.get("/api/status", status),
            web.get("/events", live.stream, allow_head=False),
            *(_asset(name, kind) for name, kind in _ASSETS.items()),
        ]
    )


def _asset(name: str, kind: str) -> web.RouteDef:
    content = resources.files("proxy.admin").joinpath("static", name).read_bytes()
    headers = {**answers.HEADERS, "Content-Security-Policy": "default-src 'none'"}

    async def sent(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)

    return web.get(f"/{name}", sent)
