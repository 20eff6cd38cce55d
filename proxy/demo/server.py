"""The embedded API as one object that starts and stops."""

import secrets
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Literal, Self

from aiohttp import web

from proxy.demo.api import API
from proxy.demo.control import Control
from proxy.demo.faults import KINDS, Faults, checked
from proxy.demo.issuer import Issuer
from proxy.demo.ledger import Ledger, TokenFormat
from proxy.demo.stats import Stats

Profile = Literal["hashrails", "oauth2"]

# More than any proxy in front is configured to pass: refusing heads is its part.
_HEAD_LIMITS: Final[dict[str, Any]] = {
    "max_line_size": 65_536,
    "max_field_size": 262_144,
    "max_headers": 1_000,
}
# Streams run for ever; nobody mourns one when the API stops.
_STOP_SECONDS: Final = 0.1


class DemoAPI:
    """
    An API with its issuer on a loopback port; *start* opens it, *stop* closes it at once.

    *client_id* and *client_secret* are made up unless given. Opaque tokens begin with
    *token_prefix*. Tokens live *token_seconds*; an
    issuance takes at least *issuing_seconds*. With *tls* it speaks https. *clock* is what token
    lives and faults run on. The secret is shown in nothing but ``client_secret`` and
    ``environment()``.
    """

    def __init__(
        self,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        token_seconds: int | float = 60,
        token_format: TokenFormat = "jwt",
        token_prefix: str = "",
        issuing_seconds: float = 0.02,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client_id = client_id or str(uuid.uuid4())
        self.client_secret = client_secret or secrets.token_urlsafe(32)
        self.token_seconds = token_seconds
        self._issuing_seconds = issuing_seconds
        self._tls = tls
        self._stats = Stats()
        self._faults = Faults(clock)
        self._ledger = Ledger(
            clock=clock,
            subject=self.client_id,
            token_format=token_format,
            prefix=token_prefix,
        )
        self._runner: web.AppRunner | None = None
        self._port = 0

    def __repr__(self) -> str:
        return f"<DemoAPI {self.origin}>"

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1, on a free port unless one is given. OSError when it is taken."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            # A client that hangs up is no longer in flight.
            handler_cancellation=True,
            # Bodies are counted and hashed as they were sent.
            auto_decompress=False,
            shutdown_timeout=_STOP_SECONDS,
            **_HEAD_LIMITS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=self._tls).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener and every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def origin(self) -> str:
        """Scheme and authority, such as ``http://127.0.0.1:39501``."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of the API, ending in ``/v1``."""
        return f"{self.origin}/v1"

    @property
    def control_url(self) -> str:
        """Where faults are asked for, ending in ``/_demo``."""
        return f"{self.origin}/_demo"

    def issue_url(self, profile: Profile = "hashrails") -> str:
        """Return where tokens are issued, in that dialect."""
        return (
            f"{self.origin}/oauth/token" if profile == "oauth2" else f"{self.url}/auth/token/issue"
        )

    def environment(self, profile: Profile = "hashrails") -> dict[str, str]:
        """Return the variables that point a proxy at this API. They hold the secret."""
        return {
            "BEARER_PROXY_UPSTREAM_URL": self.url,
            "BEARER_PROXY_TOKEN_PROFILE": profile,
            "BEARER_PROXY_TOKEN_URL": self.issue_url(profile),
            "BEARER_PROXY_TOKEN_CLIENT_ID": self.client_id,
            "BEARER_PROXY_TOKEN_CLIENT_SECRET": self.client_secret,
        }

    def issue(self) -> str:
        """Return a valid token without asking the issuer, and without counting it."""
        return self._ledger.issue(lives=self.token_seconds, claims=self.token_seconds)

    def fault(self, name: str, **parameters: str | int | float) -> str:
        """
        Break something, as ``POST /_demo/<name>`` does; return a sentence about it.

        FaultError, a ValueError, when the table has no such fault or parameter.
        """
        return self._break(name, {key: str(value) for key, value in parameters.items()})

    def stats(self) -> Stats:
        """Return the counts of this moment."""
        return replace(self._stats, faults=self._faults.active())

    def _break(self, name: str, given: Mapping[str, str]) -> str:
        settings = checked(name, given)
        if name == "revoke":
            return f"revoke: {self._ledger.revoke_all()} valid tokens are refused from now on"
        if name == "recover":
            self._faults.recover()
            return "recover: every fault has ended"
        fault = self._faults.begin(name, settings)
        return f"{name}: {KINDS[name].effect}, {fault.end()}"

    def _application(self) -> web.Application:
        issuer = Issuer(
            client_id=self.client_id,
            client_secret=self.client_secret,
            token_seconds=self.token_seconds,
            takes=self._issuing_seconds,
            ledger=self._ledger,
            faults=self._faults,
            stats=self._stats,
        )
        api = API(ledger=self._ledger, faults=self._faults, stats=self._stats)
        control = Control(break_it=self._break, stats=self.stats)
        app = web.Application()
        app.add_routes(
            [
                # Before /v1, whose every other path needs the token that this one issues.
                web.post("/v1/auth/token/issue", issuer.hashrails),
                web.post("/oauth/token", issuer.oauth2),
                web.route("*", "/elsewhere", self._elsewhere),
            ]
        )
        app.add_subapp("/v1/", api.application())
        app.add_subapp("/_demo/", control.application())
        return app

    async def _elsewhere(self, request: web.Request) -> web.Response:
        """Where the redirect fault leads: nobody should come."""
        self._stats.redirects_followed += 1
        return web.json_response({})
