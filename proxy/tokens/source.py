"""
The token source: one exchange with the issuer over the network.

Rule 1: nothing is followed, kept or inherited: no redirect, no cookie, no proxy from the
        environment, no connection (one an hour is never worth the doubt whether it still lives).

Rule 2: every foreign exception ends here and becomes a Failure. What aiohttp puts into the text of
        its exceptions is never shown: a request's head may be among it.

Rule 3: the secret is read afresh for every exchange, so a changed file needs no watcher.
"""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Self

import aiohttp

from proxy.tokens import answer as answers
from proxy.tokens import redact, request
from proxy.tokens.clock import Clock
from proxy.tokens.config import IssuerConfig
from proxy.tokens.outcome import Exchange, Failure, Grant, Kind, Secret, SecretUnreadable

ANSWER_BYTES = 64 * 1024
# Of fingerprints, so that they say nothing outside this process, not even to who guesses secrets.
_KEY = os.urandom(32)


class TokenSource:
    """
    One issuer, asked by one caller at a time.

    Opened and closed by its owner: ``async with TokenSource(…) as source``. *tls* None means the
    system's certificates and verification. *hidden* gives the tokens that an issuer may know of
    and quote; like the secret, they are removed from what is quoted of it.
    """

    def __init__(
        self,
        config: IssuerConfig,
        secret: Secret,
        *,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        hidden: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._config = config
        self._secret = secret
        self._clock = clock
        self._tls = tls
        self._hidden = hidden
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                ssl=True if self._tls is None else self._tls,
                use_dns_cache=False,
                force_close=True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fingerprint(self) -> str:
        """Return what tells the credential of this moment from others; empty if unreadable."""
        try:
            return self._fingerprint(await self._read())
        except (OSError, ValueError):
            return ""

    async def exchange(self) -> Exchange:
        """Ask once, for at most ``timeout_seconds``. Raises nothing that is the issuer's fault."""
        begun = self._clock.now()
        try:
            secret = await self._read()
        except SecretUnreadable as error:
            return self._unasked(str(error), begun)
        except (OSError, ValueError) as error:
            return self._unasked(f"the client secret can't be read ({type(error).__name__})", begun)
        result, status = await self._ask(secret)
        return Exchange(result, self._fingerprint(secret), self._clock.now() - begun, status)

    def _unasked(self, why: str, begun: float) -> Exchange:
        unread = Failure(Kind.UNREADABLE, f"was not asked: {why}", called=False)
        return Exchange(unread, "", self._clock.now() - begun)

    async def _read(self) -> str:
        """Return the secret of this moment; SecretUnreadable also if no request can carry it."""
        secret = await asyncio.to_thread(self._secret.read)
        # The exception holds the secret, and one raised while it is handled would carry it along.
        with suppress(UnicodeEncodeError):
            secret.encode()
            return secret
        raise SecretUnreadable("the client secret is not Unicode text")

    def _fingerprint(self, secret: str) -> str:
        sent = f"{self._config.identity}\n{secret}".encode()
        return hashlib.blake2b(sent, key=_KEY, digest_size=16).hexdigest()

    async def _ask(self, secret: str) -> tuple[Grant | Failure, int | None]:
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                answer = await self._converse(secret)
        except TimeoutError:
            limit = self._config.timeout_seconds
            return Failure(Kind.TIMEOUT, f"did not answer within {limit:g} s"), None
        except _TooLong:
            cause = f"sent an answer of more than {ANSWER_BYTES} bytes"
            return Failure(Kind.BAD_RESPONSE, cause), None
        except (aiohttp.ClientError, OSError) as error:
            return _translated(error), None
        config = self._config
        hide = (
            *redact.spellings(secret, client_id=config.client_id),
            *(form for token in self._hidden() for form in redact.spellings(token)),
            *config.headers.values(),
            *config.extra.values(),
        )
        return answers.read(answer, config=config, hide=hide), answer.status

    async def _converse(self, secret: str) -> answers.Answer:
        fields, body = request.build(self._config, secret)
        sent_at, sent_wall = self._clock.now(), self._clock.wall()
        async with self._posted(fields, body) as response:
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > ANSWER_BYTES:
                    raise _TooLong
        return answers.Answer(
            status=response.status,
            body=bytes(received),
            sent_at=sent_at,
            sent_wall=sent_wall,
            received_wall=self._clock.wall(),
            fields={name.lower(): value for name, value in response.headers.items()},
        )

    @asynccontextmanager
    async def _posted(
        self, fields: dict[str, str], body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("the token source is not open")
        async with self._session.post(
            self._config.url, data=body, headers=fields, allow_redirects=False
        ) as response:
            yield response


class _TooLong(Exception):
    """The answer exceeds what any issuer has to say."""


def _translated(error: aiohttp.ClientError | OSError) -> Failure:
    """Return the failure that a foreign exception stands for, in words of our own."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Failure(Kind.UNREACHABLE, "has a name that cannot be resolved")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure(Kind.UNREACHABLE, f"failed the TLS handshake: {_tls_reason(error)}")
        case aiohttp.ClientConnectorError():
            return Failure(Kind.UNREACHABLE, f"cannot be connected to: {_os_reason(error)}")
        case aiohttp.ClientPayloadError():
            return Failure(Kind.BAD_RESPONSE, "sent an answer that ends too early")
        case aiohttp.InvalidURL():
            return Failure(Kind.BAD_RESPONSE, "has a URL that cannot be used")
        case aiohttp.ServerDisconnectedError() | OSError():
            return Failure(Kind.UNREACHABLE, "closed the connection without an answer")
        case _:
            return Failure(Kind.BAD_RESPONSE, "sent something that is not HTTP")


def _tls_reason(error: aiohttp.ClientError | OSError) -> str:
    inner: object = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message
    reason = getattr(inner, "reason", None)
    return reason.lower().replace("_", " ") if isinstance(reason, str) else "no reason given"


def _os_reason(error: aiohttp.ClientConnectorError) -> str:
    number = error.os_error.errno
    return os.strerror(number) if number and number > 0 else "no reason given"
