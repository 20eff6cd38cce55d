"""What the admin and ops listeners answer with: text, JSON, and problems (RFC 9457)."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from proxy.errors import ProxyError

# Nothing here may be kept by a cache or guessed at by a browser; nor is it a stranger's to embed.
HEADERS = {
    "Server": "bearer-proxy",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def text(body: str, *, status: int = 200) -> web.Response:
    """Return *body*, which ends in a newline, as plain text."""
    return web.Response(text=body, status=status, headers=HEADERS, content_type="text/plain")


def document(body: Mapping[str, object], *, status: int = 200) -> web.Response:
    """Return *body* as one line of JSON."""
    return _json(body, status=status, content_type="application/json", headers=HEADERS)


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    title: str = "",
    hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a problem document; *title* is by default the status's own phrase."""
    members = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    }
    return _json(
        {name: value for name, value in members.items() if value},
        status=status,
        content_type="application/problem+json",
        headers={**HEADERS, **(headers or {})},
    )


def refusal(error: ProxyError) -> web.Response:
    """Return the problem document of an error that the data listener has as well."""
    return problem(
        error.status,
        error.detail,
        code=error.code,
        title=error.kind.title,
        hint=error.hint,
        headers={} if error.retry_after is None else {"Retry-After": str(error.retry_after)},
    )


def _json(
    body: Mapping[str, object], *, status: int, content_type: str, headers: Mapping[str, str]
) -> web.Response:
    line = json.dumps(body) + "\n"
    return web.Response(
        body=line.encode("ascii"), status=status, content_type=content_type, headers=headers
    )
