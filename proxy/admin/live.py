"""
The page's live half: server-sent events with the parts that have changed.

However many look, the parts are rendered once for each moment; nobody looking costs nothing.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from time import monotonic

from aiohttp import web

from proxy.admin import answers
from proxy.admin.connections import BOUNDS, waiting_for_client
from proxy.admin.console import Console

# Every second, because a countdown is on the page; sooner when something happens, but not for each
# of a thousand requests.
_BEAT_SECONDS = 1.0
_LEAST_SECONDS = 0.1
# The other half of the connections is for whoever asks for the page, or for health.
_VIEWERS = BOUNDS.most // 2


def prepare(console: Console) -> None:
    """Import all that the page of *console* takes, which most proxies are never asked for."""
    import_module("proxy.admin.page")
    console.prepare()


class Live:
    """The streams of one listener; ``end`` closes them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rendered: Mapping[str, str] = {}
        self._rendered_at = float("-inf")
        self._viewers: set[asyncio.Event] = set()
        self._ended = False
        self._cancel: Callable[[], None] | None = None

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send all parts, then whatever changes, until either side ends it."""
        if len(self._viewers) >= _VIEWERS or self._ended:
            return answers.problem(503, "Too many look at this page.", headers={"Retry-After": "5"})
        response = web.StreamResponse(
            headers={**answers.HEADERS, "Content-Type": "text/event-stream"}
        )
        await response.prepare(request)
        news = asyncio.Event()
        self._join(news)  # before anything is waited for: the next one counts who is here
        try:
            await asyncio.to_thread(prepare, self._console)
            await self._feed(request, response, news)
        except ConnectionError:
            pass  # the viewer has left
        finally:
            self._leave(news)
        return response

    async def end(self, _: web.Application) -> None:
        """End every stream, so that the listener can stop."""
        self._ended = True
        self._tell()

    async def _feed(
        self, request: web.Request, response: web.StreamResponse, news: asyncio.Event
    ) -> None:
        sent: dict[str, str] = {}
        while not self._ended:
            changed = {id: html for id, html in self._parts().items() if sent.get(id) != html}
            sent.update(changed)
            # An empty event is a sign of life.
            with waiting_for_client(request):
                await response.write(f"data: {json.dumps(changed)}\n\n".encode())
            await asyncio.sleep(_LEAST_SECONDS)
            try:
                async with asyncio.timeout(_BEAT_SECONDS - _LEAST_SECONDS):
                    await news.wait()
            except TimeoutError:
                pass
            news.clear()

    def _parts(self) -> Mapping[str, str]:
        from proxy.admin.page import rendered

        now = monotonic()
        if now - self._rendered_at >= _LEAST_SECONDS / 2:
            self._rendered = rendered(self._console.view())
            self._rendered_at = now
        return self._rendered

    def _join(self, news: asyncio.Event) -> None:
        if not self._viewers:
            self._cancel = self._console.on_change(self._tell)
        self._viewers.add(news)

    def _leave(self, news: asyncio.Event) -> None:
        self._viewers.discard(news)
        if not self._viewers and self._cancel is not None:
            self._cancel()
            self._cancel = None

    def _tell(self) -> None:
        for news in self._viewers:
            news.set()
