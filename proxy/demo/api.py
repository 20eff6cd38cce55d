"""``/v1``: what the API offers to those who bring a valid token, and to nobody else."""

import hashlib
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo import streams
from proxy.demo.answers import as_json, enveloped, interfered, refusal
from proxy.demo.faults import Faults, Side
from proxy.demo.ledger import Ledger
from proxy.demo.stats import Stats
from proxy.demo.transactions import Transactions

_ECHOED_BYTES: Final = 4_096
_MASKED: Final = (b"authorization", b"proxy-authorization")


class API:
    """The endpoints below ``/v1``; everything there, unknown paths included, needs a token."""

    def __init__(self, *, ledger: Ledger, faults: Faults, stats: Stats) -> None:
        self._ledger = ledger
        self._faults = faults
        self._stats = stats

    def application(self) -> web.Application:
        """Return it as an application to be mounted at ``/v1``."""
        app = web.Application(middlewares=[self._counted, self._broken, self._admitted, _plain])
        app.add_routes(Transactions().routes())
        app.add_routes(streams.routes())
        app.add_routes(
            [
                web.route("*", "/echo", echo),
                web.route("*", "/echo/{rest:.*}", echo),
                web.route("*", "/status/{code}", status),
            ]
        )
        return app

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._stats.api_requests += 1
        response = await handler(request)
        self._stats.api_401s += response.status == 401
        return response

    @web.middleware
    async def _broken(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        broken = await interfered(request, self._faults, Side.API, refusal)
        return broken if broken is not None else await handler(request)

    @web.middleware
    async def _admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fields = request.headers.getall("Authorization", [])
        if not fields:
            return _unauthorized("A bearer token is required", "Bearer")
        scheme, _, token = fields[0].partition(" ")
        if len(fields) > 1 or scheme.lower() != "bearer" or not self._ledger.accepts(token.strip()):
            return _unauthorized(
                "The token is not valid, expired or revoked", 'Bearer error="invalid_token"'
            )
        return await handler(request)


async def echo(request: web.Request) -> web.Response:
    """
    Answer what came: method, request target, fields, body.

    ``target`` and ``fields`` are as they stood on the wire, a character a byte (ISO 8859-1), in
    their order and case; the value of Authorization is masked. ``text`` is the body if it is UTF-8
    of at most 4096 bytes, else null; ``bytes`` and ``sha256`` are those of the body as sent.
    """
    count, digest, start = 0, hashlib.sha256(), b""
    async for chunk in request.content.iter_any():
        count += len(chunk)
        digest.update(chunk)
        start += chunk[: _ECHOED_BYTES - len(start)]
    return as_json(
        {
            "method": request.method,
            "target": request.raw_path.encode("utf-8", "surrogateescape").decode("latin-1"),
            "version": f"HTTP/{request.version.major}.{request.version.minor}",
            "fields": [
                [name.decode("latin-1"), _shown(name, v)] for name, v in request.raw_headers
            ],
            "bytes": count,
            "sha256": digest.hexdigest(),
            "text": _text(start) if count <= _ECHOED_BYTES else None,
        }
    )


async def status(request: web.Request) -> web.Response:
    """Answer with the status in the path, 200 to 599."""
    code = request.match_info["code"]
    if not (code.isascii() and code.isdigit() and 200 <= int(code) <= 599):
        return refusal(400, "VALIDATION_ERROR", "The status must be 200 to 599")
    if int(code) in (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED):
        return web.Response(status=int(code))
    if int(code) < 400:
        return as_json(enveloped("As asked", {"status": int(code)}), status=int(code))
    return refusal(int(code), "AS_ASKED", "As asked")


@web.middleware
async def _plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put aiohttp's own refusals (404, 405, 413) in the envelope."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        response = refusal(error.status, error.reason.upper().replace(" ", "_"), error.reason)
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
        return response


def _unauthorized(message: str, challenge: str) -> web.Response:
    response = refusal(401, "UNAUTHORIZED", message)
    response.headers["WWW-Authenticate"] = challenge
    return response


def _shown(name: bytes, value: bytes) -> str:
    if name.lower() not in _MASKED:
        return value.decode("latin-1")
    scheme, space, _ = value.partition(b" ")
    return f"{scheme.decode('latin-1')} [masked]" if space else "[masked]"


def _text(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
