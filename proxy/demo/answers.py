"""The answers of the embedded API: its envelope, and those that a fault makes of them."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.demo.faults import Fault, Faults, Side

# Says what went wrong in the dialect of the endpoint: status, code, message.
Refusal = Callable[[int, str, str], web.Response]

_HALF_AN_ANSWER: Final = b'{"success": true, "message": "OK", "data": {"access_token": "eyJhbGciOi'
_CUT_OFF: Final = 512
_JSON: Final = "application/json"

_NONSENSE: Final = {
    "no-token": (b'{"success": true, "data": {"expires_in": 60}, "expires_in": 60}\n', _JSON),
    "garbage": (b'{"success": tru\xff\x00', _JSON),
    "empty": (b"", _JSON),
    "html": (b"<!doctype html><title>Welcome</title><p>Please sign in.\n", "text/html"),
}


class _NoAnswer(web.StreamResponse):
    """Closes the connection instead of answering."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        # What aiohttp's server takes for a client that has left: it closes and says nothing.
        raise ConnectionResetError("the fault is to give no answer")


class _CutShort(web.StreamResponse):
    """Announces more bytes than come before the connection closes."""

    def __init__(self) -> None:
        super().__init__(headers={"Content-Type": _JSON})
        self.content_length = len(_HALF_AN_ANSWER) + _CUT_OFF

    async def write_eof(self, data: bytes = b"") -> None:
        await self.write(_HALF_AN_ANSWER)
        raise ConnectionResetError("the fault is to stop here")


def as_json(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return JSON that ends its line, for it is read on terminals."""
    return web.Response(
        text=json.dumps(value, ensure_ascii=False) + "\n",
        status=status,
        headers=headers,
        content_type=_JSON,
    )


def enveloped(message: str, data: Any, **beside: Any) -> dict[str, Any]:
    """Return a success as Hashrails writes it."""
    return {"success": True, "message": message, "data": data, **beside}


def refusal(status: int, code: str, message: str) -> web.Response:
    """Return a failure as Hashrails writes it; the code stands at ``/code``."""
    return as_json(
        {"success": False, "code": code, "message": message},
        status=status,
    )


def origin(request: web.Request) -> str:
    """Return scheme and authority that the client used, as applications make absolute links."""
    return str(request.url.origin())


async def interfered(
    request: web.Request, faults: Faults, side: Side, refused: Refusal
) -> web.StreamResponse | None:
    """Wait or return what a fault has to say there instead of an answer; None: answer honestly."""
    if slow := faults.take("slow", side):
        await asyncio.sleep(slow.number("delay"))
    if down := faults.take("down", side):
        return _down(down, refused)
    if redirect := faults.take("redirect", side):
        return _redirection(redirect, origin(request))
    if limit := faults.take("rate-limit", side):
        return _rate_limited(limit, refused)
    if malformed := faults.take("malformed", side):
        return _malformed(malformed.word("how"), refused)
    if faults.take("truncate", side):
        return _CutShort()
    return None


def _down(fault: Fault, refused: Refusal) -> web.StreamResponse:
    status = int(fault.number("status"))
    return refused(status, "UNAVAILABLE", "Down for maintenance") if status else _NoAnswer()


def _rate_limited(fault: Fault, refused: Refusal) -> web.Response:
    response = refused(429, "RATE_LIMIT_EXCEEDED", "Too many requests; rate limit exceeded")
    seconds = fault.number("retry_after")
    if fault.word("form") == "seconds":
        response.headers["Retry-After"] = f"{seconds:.0f}"
    elif fault.word("form") == "date":
        response.headers["Retry-After"] = formatdate(time.time() + seconds, usegmt=True)
    return response


def _malformed(how: str, refused: Refusal) -> web.Response:
    if how == "failed":
        return refused(200, "INTERNAL_ERROR", "Something went wrong")
    body, content_type = _NONSENSE[how]
    return web.Response(body=body, content_type=content_type)


def _redirection(fault: Fault, home: str) -> web.Response:
    to = fault.word("to")
    location = home + to if to.startswith("/") else to
    return web.Response(status=int(fault.number("status")), headers={"Location": location})
