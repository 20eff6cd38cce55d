"""
The proxy one writes with aiohttp in an afternoon: server, client, both bodies streamed, uvloop.

It reads no settings, checks nothing, logs nothing and has a fixed token. Run as a program:
``python -m bench.peers.aiohttp_idiom PORT BASE_URL CA_FILE TOKEN``.
"""

import ssl
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bench.peers.site import Site
from bench.processes import Launch
from bench.upstream import TOKEN

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
     "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip


def launch(site: Site) -> Launch:
    """Say how to start this module as a proxy on *site*."""
    arguments = [str(site.port), site.base_url, str(site.upstream.ca_file), TOKEN]
    return Launch(command=[sys.executable, "-m", "bench.peers.aiohttp_idiom", *arguments])


class Proxy:
    """Forwards every request below *base_url*, authenticated by *token*."""

    def __init__(self, session: ClientSession, *, base_url: str, token: str) -> None:
        self._session = session
        self._base_url = base_url
        self._authorization = f"Bearer {token}"

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Send *request* on and stream the answer back."""
        fields = _end_to_end(request.headers)
        fields.popall("Host", None)
        fields["Authorization"] = self._authorization
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
