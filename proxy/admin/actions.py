"""
What can be done to a running proxy from outside.

Rule 1: POST alone. A GET changes nothing, so that no link, image or prefetch does.

Rule 2: the admin token, in ``Authorization`` or in the page's form, on every one of them. That a
        request comes from the loopback proves nothing: every page in a browser and every user of
        the machine comes from there. The guard's rules hold as well.
"""

import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from aiohttp import web

from proxy.admin import answers
from proxy.admin.connections import waiting_for_client
from proxy.admin.console import Console, Refusal

_log = structlog.get_logger()
_FORM = "application/x-www-form-urlencoded"


def routes(console: Console, token: str) -> list[web.RouteDef]:
    """Return the actions, for whoever knows *token*."""

    async def refresh() -> str:
        return console.refresh()

    async def drain() -> str:
        return console.drain()

    async def quit() -> str:
        return console.quit()

    actions = {"refresh": refresh, "drain": drain, "quit": quit, "reload": console.reload}
    return [web.post(f"/-/{name}", _acting(name, act, token)) for name, act in actions.items()]


def _acting(
    name: str, act: Callable[[], Awaitable[str]], token: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def acted(request: web.Request) -> web.StreamResponse:
        if not hmac.compare_digest(await _given(request), token.encode("ascii")):
            _log.warning("admin.action_refused", action=name, client=request.remote)
            return answers.problem(
                403,
                "This needs the admin token.",
                code="admin_token_required",
                hint="Open the address that `bearer-proxy status --url` prints, or send its token "
                "as Authorization: Bearer.",
            )
        try:
            done = await act()
        except Refusal as refusal:
            return answers.problem(409, str(refusal), code="not_now")
        _log.info("admin.action_taken", action=name, client=request.remote)
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=303, headers={**answers.HEADERS, "Location": "/"})
        return answers.document({"done": done})

    return acted


async def _given(request: web.Request) -> bytes:
    """Return the token that came with *request*, empty for none; what is no ASCII is no token."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("ascii", "replace")
    if request.content_type == _FORM:
        with waiting_for_client(request), suppress(LookupError, UnicodeError):
            field = (await request.post()).get("token", "")
            return field.encode("ascii", "replace") if isinstance(field, str) else b""
    return b""
