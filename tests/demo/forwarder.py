"""
A stand-in for the proxy: forwards with a token, and with one flaw if told to.

Enough of one to show that the demo's checks see what they say they see.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web

# Written afresh by either side; everything else is passed on.
_OWN: Final = {"host", "transfer-encoding", "content-length", "connection", "upgrade", "date"}
_KEPT_OUT: Final = _OWN | {"server", "sec-websocket-key", "sec-websocket-version"}


class Forwarder:
    """
    Forwards to the upstream that *environ* names.

    *flaw*: ``never-ready``, ``no-token``, ``two-tokens``, ``buffering``, ``location``, ``short``,
    ``no-upgrade``, ``hangs``; empty for none.
    """

    def __init__(self, environ: Mapping[str, str], *, flaw: str = "") -> None:
        self.environ = environ
        self.addresses: list[str] = []
        self.admin_address = (
            "127.0.0.1:1" if environ["BEARER_PROXY_ADMIN_ADDRESS"] != "off" else None
        )
        self.admin_url: str | None = None
        self._upstream = environ["BEARER_PROXY_UPSTREAM_URL"]
        self._flaw = flaw
        self._token = ""
        self._session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)

    async def start(self) -> None:
        """Ask for a token, and listen."""
        for _ in range(2 if self._flaw == "two-tokens" else 1):
            self._token = await self._issued()
        await self._runner.setup()
        host, _, port = self.environ["BEARER_PROXY_LISTEN_ADDRESS"].rpartition(":")
        await web.TCPSite(self._runner, host, int(port)).start()
        self.addresses.append(f"{host}:{self._runner.addresses[0][1]}")

    async def stop(self) -> None:
        """Close everything."""
        await self._runner.cleanup()
        await self._session.close()

    async def ready(self) -> None:
        """Return at once: there is a token since the start."""
        if self._flaw == "never-ready":
            await asyncio.Event().wait()

    def next_refresh_seconds(self) -> float | None:
        """Return what a schedule for 60 s would."""
        return 48.0

    async def _issued(self) -> str:
        asked = {
            "client_id": self.environ["BEARER_PROXY_TOKEN_CLIENT_ID"],
            "client_secret": self.environ["BEARER_PROXY_TOKEN_CLIENT_SECRET"],
        }
        async with self._session.post(self.environ["BEARER_PROXY_TOKEN_URL"], json=asked) as answer:
            return str((await answer.json())["data"]["access_token"])

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        if self._flaw == "hangs":
            await asyncio.Event().wait()
        url = self._upstream + request.raw_path
        fields = _passed(request.headers)
        if self._flaw != "no-token":
            fields["Authorization"] = f"Bearer {self._token}"
        if "Upgrade" in request.headers and self._flaw != "no-upgrade":
            return await self._tunnel(request, url, fields)
        body = request.content.iter_any() if request.body_exists else None
        async with self._session.request(
            request.method, url, headers=fields, data=body, allow_redirects=False
        ) as answer:
            return await self._answer(request, answer)

    async def _answer(
        self, request: web.Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
        if "Location" in response.headers and self._flaw != "location":
            local = response.headers["Location"].replace(
                self._upstream, f"http://{self.addresses[0]}"
            )
            response.headers["Location"] = local
        held = await answer.read() if self._flaw in ("buffering", "short") else None
        await response.prepare(request)
        if held is not None:
            await response.write(held[:-1] if self._flaw == "short" else held)
            return response
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        return response

    async def _tunnel(
        self, request: web.Request, url: str, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        downstream = web.WebSocketResponse()
        await downstream.prepare(request)
        async with self._session.ws_connect(url, headers=fields) as upstream:
            back = asyncio.create_task(_relay(upstream, downstream))
            await _relay(downstream, upstream)
            await upstream.close()
            await back
        return downstream


@asynccontextmanager
async def serving(environ: Mapping[str, str], *, flaw: str = "") -> AsyncIterator[Forwarder]:
    """Run a forwarder until the context is left."""
    forwarder = Forwarder(environ, flaw=flaw)
    try:
        await forwarder.start()
        yield forwarder
    finally:
        await forwarder.stop()


def _passed(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name.lower() not in _KEPT_OUT}


async def _relay(source: Any, sink: Any) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        else:
            await sink.send_bytes(message.data)
