"""
The issuer: client credentials in, a token out, in two dialects.

Hashrails' takes JSON and answers in its envelope; RFC 6749 section 4.4 takes a form, with the
credentials in it or in Basic (section 2.3.1), and answers as its sections 5.1 and 5.2 say.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
from abc import ABC, abstractmethod
from typing import Any, Final
from urllib.parse import unquote_plus

from aiohttp import web

from proxy.demo.answers import as_json, enveloped, interfered, refusal
from proxy.demo.faults import Faults, Side
from proxy.demo.ledger import Ledger
from proxy.demo.stats import Stats

Number = int | float


class _Unreadable(Exception):
    """The request does not say who is asking; the text is for the client."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Dialect(ABC):
    """How a request for a token is read, and how it is answered."""

    @abstractmethod
    async def credentials(self, request: web.Request) -> tuple[str, str]:
        """Return client id and secret as claimed. _Unreadable when the request is not one."""

    @abstractmethod
    def granted(self, token: str, expires_in: Number | None) -> web.Response:
        """Return the answer that carries the token."""

    @abstractmethod
    def refused(self, status: int, code: str, message: str) -> web.Response:
        """Return a failure; *code* is Hashrails' word for it."""


class Hashrails(Dialect):
    """``POST <base>/auth/token/issue``."""

    async def credentials(self, request: web.Request) -> tuple[str, str]:
        try:
            asked = await request.json()
        except (ValueError, LookupError):
            raise _Unreadable("The body is not JSON", "VALIDATION_ERROR") from None
        match asked:
            case {"client_id": str(client_id), "client_secret": str(client_secret)}:
                return client_id, client_secret
        raise _Unreadable("client_id and client_secret are required strings", "VALIDATION_ERROR")

    def granted(self, token: str, expires_in: Number | None) -> web.Response:
        data = _grant(token, expires_in)
        return as_json(enveloped("API token issued successfully", data), headers=_NOT_STORED)

    def refused(self, status: int, code: str, message: str) -> web.Response:
        return refusal(status, code, message)


class OAuth2(Dialect):
    """``POST /oauth/token``."""

    async def credentials(self, request: web.Request) -> tuple[str, str]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise _Unreadable("The body is not a form", "invalid_request")
        try:
            form = await request.post()
        except (ValueError, LookupError):
            raise _Unreadable("The form is not text", "invalid_request") from None
        if form.get("grant_type") != "client_credentials":
            raise _Unreadable("grant_type must be client_credentials", "unsupported_grant_type")
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            if "client_secret" in form:
                raise _Unreadable("Credentials came in two ways", "invalid_request")
            return _basic(encoded)
        match (form.get("client_id"), form.get("client_secret")):
            case (str(client_id), str(client_secret)):
                return client_id, client_secret
        raise _Unreadable("No client credentials", "invalid_request")

    def granted(self, token: str, expires_in: Number | None) -> web.Response:
        return as_json(_grant(token, expires_in), headers=_NOT_STORED | {"Pragma": "no-cache"})

    def refused(self, status: int, code: str, message: str) -> web.Response:
        error = _OAUTH_ERRORS.get(code, code)
        response = as_json({"error": error, "error_description": message}, status=status)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="demo"'
        return response


class Issuer:
    """
    Issues to one client.

    *takes* is how many seconds an issuance lasts at least: at zero, two that overlap on the wire
    could still be answered one after the other, and ``max_in_flight`` would not show them.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_seconds: Number,
        takes: float,
        ledger: Ledger,
        faults: Faults,
        stats: Stats,
    ) -> None:
        self._client = _digest(client_id), _digest(client_secret)
        self._token_seconds = token_seconds
        self._takes = takes
        self._ledger = ledger
        self._faults = faults
        self._stats = stats

    async def hashrails(self, request: web.Request) -> web.StreamResponse:
        """Answer a request in Hashrails' dialect."""
        return await self._answer(request, Hashrails())

    async def oauth2(self, request: web.Request) -> web.StreamResponse:
        """Answer a request in RFC 6749's."""
        return await self._answer(request, OAuth2())

    async def _answer(self, request: web.Request, dialect: Dialect) -> web.StreamResponse:
        with self._stats.issuing():
            await asyncio.sleep(self._takes)
            broken = await interfered(request, self._faults, Side.ISSUER, dialect.refused)
            if broken is not None:
                return broken
            try:
                claimed = await dialect.credentials(request)
            except _Unreadable as error:
                return dialect.refused(400, error.code, str(error))
            if self._faults.take("reject", Side.ISSUER) or not self._knows(*claimed):
                self._stats.rejected += 1
                message = "Invalid client_id or client_secret"
                return dialect.refused(401, "INVALID_CREDENTIALS", message)
            return self._granted(dialect)

    def _granted(self, dialect: Dialect) -> web.Response:
        self._stats.issued += 1
        lives, says = self._token_seconds, str(self._token_seconds)
        if lie := self._faults.take("lie", Side.ISSUER):
            lives, says = lie.number("lives"), lie.word("claims") or says
        claims = None if says == "none" else _number(says)
        token = self._ledger.issue(
            lives=lives, claims=self._token_seconds if claims is None else claims
        )
        return dialect.granted(token, claims)

    def _knows(self, client_id: str, client_secret: str) -> bool:
        # Digests have one length, and `&` always compares both: the time taken says nothing.
        known_id, known_secret = self._client
        return hmac.compare_digest(known_id, _digest(client_id)) & hmac.compare_digest(
            known_secret, _digest(client_secret)
        )


_NOT_STORED: Final = {"Cache-Control": "no-store"}

# RFC 6749 section 5.2, and section 4.1.2.1's word where that one has none.
_OAUTH_ERRORS: Final = {
    "INVALID_CREDENTIALS": "invalid_client",
    "RATE_LIMIT_EXCEEDED": "temporarily_unavailable",
    "UNAVAILABLE": "temporarily_unavailable",
    "INTERNAL_ERROR": "server_error",
}


def _grant(token: str, expires_in: Number | None) -> dict[str, Any]:
    life = {} if expires_in is None else {"expires_in": expires_in}
    return {"access_token": token, **life, "token_type": "Bearer"}


def _basic(encoded: str) -> tuple[str, str]:
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _Unreadable("Basic is not base64 of UTF-8", "invalid_request") from None
    client_id, _, client_secret = pair.partition(":")
    # RFC 6749 section 2.3.1: each half was form-encoded first.
    return unquote_plus(client_id), unquote_plus(client_secret)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _number(text: str) -> Number:
    value = float(text)
    return int(value) if value.is_integer() else value
