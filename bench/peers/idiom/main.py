"""
The proxy one writes with aiohttp in an afternoon: server, client, both bodies streamed, uvloop.

It reads no settings, checks nothing, logs nothing and has a fixed token. Run as a program:
``python main.py PORT BASE_URL CA_FILE TOKEN``.
"""

import ssl
import sys
from itertools import count

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
     "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip


class Proxy:
    """Forwards every request below *base_url*, authenticated by *token*."""

    def __init__(self, session: ClientSession, *, base_url: str, token: str) -> None:
        self._session = session
        self._base_url = base_url
        self._authorization = f"Bearer {token}"
        self._number = count(1)

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Send *request* on and stream the answer back."""
        fields = _end_to_end(request.headers)
        fields.popall("Host", None)
        fields["Via"] = "1.1 aiohttp"
        fields["Authorization"] = self._authorization
        if "X-Request-Id" not in fields:
            fields["X-Request-Id"] = f"aiohttp-{next(self._number):06x}"
        url = URL(self._base_url + request.raw_path, encoded=True)
        body = request.content.iter_any() if request.can_read_body else None
        async with self._session.request(
            request.method, url, headers=fields, data=body, allow_redirects=False
        ) as received:
            answer = web.StreamResponse(
                status=received.status,
                reason=received.reason,
                headers=_end_to_end(received.headers),
            )
            await answer.prepare(request)
            async for chunk in received.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer


def _end_to_end(received: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    kept = ((name, text) for name, text in received.items() if name.lower() not in _HOP_BY_HOP)
    return CIMultiDict(kept)


async def application(base_url: str, ca_file: str, token: str) -> web.Application:
    """Return the proxy as an aiohttp application with one pooled session."""
    tls = ssl.create_default_context(cafile=ca_file)
    session = ClientSession(
        connector=TCPConnector(limit=256, ssl=tls),
        timeout=ClientTimeout(total=None),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", Proxy(session, base_url=base_url, token=token).forward)

    async def close(_: web.Application) -> None:
        await session.close()

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    port, base, ca, bearer = sys.argv[1:]
    uvloop.install()
    web.run_app(
        application(base, ca, bearer),
        host="127.0.0.1",
        port=int(port),
        access_log=None,
        print=None,
    )
