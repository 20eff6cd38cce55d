"""
``check --online``: everything that the proxy would need, tried once, a line for each step.

Nothing is sent to the upstream but a TLS handshake: which of its requests is harmless is not ours
to know. The issuer is asked for one token, which is dropped.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from proxy.app import compose, tracing
from proxy.app.secret import ProtectedSecret
from proxy.dataplane import Pool
from proxy.errors import ProxyError
from proxy.settings import Loaded
from proxy.settings.report import printable
from proxy.tokens import POLICY, Failure, Kind, SecretUnreadable

_REJECTED, _UNREACHABLE, _FAILED = 3, 4, 1
_AWAY = (Kind.UNREACHABLE, Kind.TIMEOUT, Kind.UNAVAILABLE)
_DAY_SECONDS = 86400


class _StepError(Exception):
    """A step that failed; *code* is the exit code that it means."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


class _Steps:
    """Tells *write* a line for each step, and keeps the exit codes of those that failed."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._codes: dict[str, int] = {}

    async def take(
        self, name: str, step: Coroutine[Any, Any, str], *, needs: tuple[str, ...] = ()
    ) -> None:
        """Await *step*, unless one that it *needs* has failed."""
        if missing := next((each for each in needs if each in self._codes), ""):
            step.close()
            self._codes[name] = 0
            self._tell("skipped", name, f"needs the step {missing}")
            return
        try:
            self._tell("ok", name, await step)
        except _StepError as error:
            self._codes[name] = error.code
            self._tell("FAILED", name, str(error))

    def _tell(self, outcome: str, name: str, said: str) -> None:
        self._write(f"  {outcome:<7} {name:<13} {printable(said)}\n")

    @property
    def code(self) -> int:
        """The exit code of it all."""
        codes = [each for each in self._codes.values() if each]
        # Rejected credentials are what only a person can mend: told before all else.
        return _REJECTED if _REJECTED in codes else codes[0] if codes else 0


def check_online(loaded: Loaded, write: Callable[[str], object]) -> int:
    """
    Try each step, telling *write* a line for each; return the exit code.

    0: all went well. 3: the issuer rejects the credentials. 4: issuer or upstream can't be reached.
    1: anything else. What does not need a step that failed is tried all the same.
    """
    return asyncio.run(_check(loaded, _Steps(write)))


def start_problem(loaded: Loaded) -> str:
    """Say why ``run`` would end before it listens, or return the empty string; opens nothing."""
    try:
        compose.tokens(loaded, compose.tls_context(loaded.settings))
        tracing.plan(loaded.settings, os.environ)
    except compose.StartError as error:
        return str(error)
    return ""


async def _check(loaded: Loaded, steps: _Steps) -> int:
    settings = loaded.settings
    issuer, upstream = settings.token.url, settings.upstream.url
    await steps.take("configuration", _configuration(loaded))
    if steps.code:
        return steps.code
    await steps.take("client secret", _secret(loaded))
    await steps.take("issuer DNS", _resolved(issuer, "token.url"))
    tls = _connected(loaded, issuer, "token.url")
    await steps.take("issuer TLS", tls, needs=("issuer DNS",))
    await steps.take("issuer", _token(loaded), needs=("client secret", "issuer TLS"))
    await steps.take("upstream DNS", _resolved(upstream, "upstream.url"))
    tls = _connected(loaded, upstream, "upstream.url")
    await steps.take("upstream TLS", tls, needs=("upstream DNS",))
    return steps.code


async def _configuration(loaded: Loaded) -> str:
    if problem := start_problem(loaded):
        raise _StepError(_FAILED, problem)
    return f"read from {loaded.path or 'environment and defaults'}"


async def _secret(loaded: Loaded) -> str:
    try:
        ProtectedSecret(loaded.secret).read()
    except SecretUnreadable as error:
        raise _StepError(_FAILED, str(error)) from None
    return loaded.secret.description


async def _resolved(url: str, key: str) -> str:
    """Return which addresses the host of *url* has, and how long it took to learn them."""
    host, started = urlsplit(url).hostname or "", time.monotonic()
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        said = f"The name {host} could not be resolved. Check {key} and this machine's resolver."
        raise _StepError(_UNREACHABLE, said) from None
    addresses = ", ".join(dict.fromkeys(str(each[4][0]) for each in found))
    return f"{host} is {addresses}, in {_milliseconds(started)}"


async def _connected(loaded: Loaded, url: str, key: str) -> str:
    """Return what a connection to *url* is like: address, TLS version, certificate, time."""
    settings = loaded.settings
    pool = Pool(compose.destination_of(url, settings, compose.tls_context(settings)))
    started = time.monotonic()
    try:
        upstream = await pool.connect()
    except ProxyError as error:
        # Said of whatever a pool connects to, in terms of the upstream.
        said = error.said.replace("upstream.url", key)
        raise _StepError(_UNREACHABLE, said) from None
    took = _milliseconds(started)
    said = f"{url} at {upstream.remote}, {_tls(upstream.tls)}, connected in {took}"
    upstream.abort()
    return said


def _milliseconds(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"


def _tls(session: ssl.SSLObject | None) -> str:
    if session is None:
        return "without TLS"
    certificate = session.getpeercert() or {}
    expires = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((expires - time.time()) // _DAY_SECONDS)
    return f"by {session.version()}, certificate valid for {days} more days"


async def _token(loaded: Loaded) -> str:
    """Return what the issuer's answer was like; the token itself is dropped."""
    settings = loaded.settings
    tokens = compose.tokens(loaded, compose.tls_context(settings))
    exchange = await tokens.exchange_once()
    result = exchange.result
    if isinstance(result, Failure):
        raise _StepError(_code_of(result.kind), _failure(result))
    skew = "" if result.clock_skew is None else f", its clock {result.clock_skew:+.0f} s from ours"
    lifetime = result.lifetime
    return (
        f"issued in {exchange.duration * 1000:.0f} ms, valid for {lifetime.seconds:.0f} s"
        f" (by {lifetime.source}){skew}"
    )


def _failure(failure: Failure) -> str:
    said = f": {failure.excerpt}" if failure.excerpt else ""
    retry = f"; it asks to wait {failure.retry_after:.0f} s" if failure.retry_after else ""
    return f"The issuer {failure.cause}{said}{retry}. {POLICY[failure.kind].hint}"


def _code_of(kind: Kind) -> int:
    if kind is Kind.REJECTED:
        return _REJECTED
    return _UNREACHABLE if kind in _AWAY else _FAILED
