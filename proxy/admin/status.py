"""
The status page, in the form that the client asks for: HTML, JSON or a table.

What it is made by is imported when somebody first looks, in a thread: requests do not wait for it.
"""

import asyncio
import dataclasses
from functools import cache

from aiohttp import web

from proxy.admin import answers
from proxy.admin.console import Console
from proxy.admin.live import Live, prepare

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
        await asyncio.to_thread(prepare, console)
        from proxy.admin import page

        accept = request.headers.get("Accept", "")
        if "text/html" in accept:
            body = page.whole(console.view(), query=request.query.get("q", ""))
            headers = {**answers.HEADERS, **page.PAGE_HEADERS}
            return web.Response(text=body, content_type="text/html", headers=headers)
        if "application/json" in accept:
            return answers.document(dataclasses.asdict(console.view()))
        return answers.text(page.table(console.view()))

    async def status(_: web.Request) -> web.StreamResponse:
        await asyncio.to_thread(prepare, console)
        return answers.document(dataclasses.asdict(console.view()))

    app.add_routes(
        [
            web.get("/", shown),
            web.get("/api/status", status),
            web.get("/events", live.stream, allow_head=False),
            *(_asset(name, kind) for name, kind in _ASSETS.items()),
        ]
    )


@cache
def _content(name: str) -> bytes:
    from importlib import resources

    return resources.files("proxy.admin").joinpath("static", name).read_bytes()


def _asset(name: str, kind: str) -> web.RouteDef:
    headers = {**answers.HEADERS, "Content-Security-Policy": "default-src 'none'"}

    async def sent(_: web.Request) -> web.StreamResponse:
        content = await asyncio.to_thread(_content, name)
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)

    return web.get(f"/{name}", sent)
