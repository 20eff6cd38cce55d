"""
``check --online``: everything that the proxy would need, tried once, a line for each step.

Nothing is sent to the upstream but a TLS handshake: which of its requests is harmless is not ours
to know. The issuer is asked for one token, which is dropped.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.app import compose, tracing
from proxy.app.secret import ProtectedSecret
from proxy.dataplane import Pool
from proxy.errors import ProxyError
from proxy.settings import Loaded
from proxy.tokens import Failure, Kind, SecretUnreadable

_REJECTED, _UNREACHABLE, _FAILED = 3, 4, 1
_AWAY = (Kind.UNREACHABLE, Kind.TIMEOUT, Kind.UNAVAILABLE)
_DAY_SECONDS = 86400


class _StepError(Exception):
    """A step that failed; *code* is the exit code that it means."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Steps:
    write: Callable[[str], object]

    def passed(self, name: str, said: str) -> None:
        self.write(f"  ok      {name:<14} {said}\n")

    def failed(self, name: str, said: str) -> None:
        self.write(f"  FAILED  {name:<14} {said}\n")


def check_online(loaded: Loaded, write: Callable[[str], object]) -> int:
    """
    Try each step, telling *write* a line for each; return the exit code.

    0: all went well. 3: the issuer rejects the credentials. 4: issuer or upstream can't be reached.
    1: anything else. Steps that do not depend on a failed one are tried all the same.
    """
    steps = _Steps(write)
    if problem := start_problem(loaded):
        steps.failed("configuration", problem)
        return _FAILED
    return asyncio.run(_check(loaded, steps))


def start_problem(loaded: Loaded) -> str:
    """Say why ``run`` would end before it listens, or return the empty string; opens nothing."""
    try:
        compose.tokens(loaded, compose.tls_context(loaded.settings))
        tracing.plan(loaded.settings, os.environ)
    except compose.StartError as error:
        return str(error)
    return ""


async def _check(loaded: Loaded, steps: _Steps) -> int:
    steps.passed("configuration", f"read from {loaded.path or 'environment and defaults'}")
    codes = []
    for name, step in (
        ("client secret", _secret),
        ("issuer", _connect_to_issuer),
        ("token", _token),
        ("upstream", _connect_to_upstream),
    ):
        try:
            steps.passed(name, await step(loaded))
        except _StepError as error:
            steps.failed(name, str(error))
            codes.append(error.code)
    # Rejected credentials are what only a person can mend: told before all else.
    return _REJECTED if _REJECTED in codes else codes[0] if codes else 0


async def _secret(loaded: Loaded) -> str:
    try:
        ProtectedSecret(loaded.secret).read()
    except SecretUnreadable as error:
        raise _StepError(_FAILED, str(error)) from None
    return loaded.secret.description


async def _connect_to_issuer(loaded: Loaded) -> str:
    return await _connected(loaded, loaded.settings.token.url)


async def _connect_to_upstream(loaded: Loaded) -> str:
    return await _connected(loaded, loaded.settings.upstream.url)


async def _connected(loaded: Loaded, url: str) -> str:
    """Return what a connection to *url* is like: address, TLS version, certificate, time."""
    settings = loaded.settings
    pool = Pool(compose.destination_of(url, settings, compose.tls_context(settings)))
    started = time.monotonic()
    try:
        upstream = await pool.connect()
    except ProxyError as error:
        raise _StepError(_UNREACHABLE, f"{error.detail} {error.hint}") from None
    took = (time.monotonic() - started) * 1000
    said = f"{url} at {upstream.remote}, {_tls(upstream.tls)}, connected in {took:.0f} ms"
    upstream.abort()
    return said


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
    return f"The issuer {failure.cause}{said}{retry}"


def _code_of(kind: Kind) -> int:
    if kind is Kind.REJECTED:
        return _REJECTED
    return _UNREACHABLE if kind in _AWAY else _FAILED
