"""An issuer on a loopback port that says what a test tells it to."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from proxy.tokens import Clock, Secret, Tokens
from proxy.tokens.schedule import Uniform
from tests.tokens.fakes import FixedSecret, config

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """A request for a token, as it came."""

    fields: Mapping[str, str]
    body: bytes


Say = Callable[[Call], Awaitable[web.StreamResponse]]


def token_answer(token: str, *, expires_in: object = 3600) -> web.Response:
    return web.json_response(
        {"access_token": token, "expires_in": expires_in, "token_type": "Bearer"}
    )


def says(status: int, document: object, **fields: str) -> Say:
    """Return an issuer's habit of giving always the same answer."""

    async def say(_: Call) -> web.StreamResponse:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return web.json_response(document, status=status, headers=headers)

    return say


class ScriptedIssuer:
    """
    Issues ``token-1``, ``token-2`` … unless *say* is set to say otherwise.

    ``calls`` are all requests so far, to whatever path; ``most_in_flight`` how many of them there
    were at once.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.lives: float = 3600
        self.takes: float = 0.0
        self.in_flight = self.most_in_flight = 0
        self.say: Say = self.issue
        self.url = ""

    @property
    def issued(self) -> str:
        """The token of the latest call."""
        return f"token-{len(self.calls)}"

    async def issue(self, _: Call) -> web.StreamResponse:
        """Issue the next token."""
        token = self.issued
        await asyncio.sleep(self.takes)
        return token_answer(token, expires_in=self.lives)

    async def down(self, _: Call) -> web.StreamResponse:
        """Be in trouble."""
        return web.json_response({"message": "in trouble"}, status=503)

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """Listen until the end of the block."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/token"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(dict(request.headers), await request.read())
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            answer = await self.say(call)
            if not answer.prepared:
                await answer.prepare(request)
            return answer
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def keeping(
    issuer: ScriptedIssuer,
    *,
    clock: Clock | None = None,
    secret: Secret | None = None,
    uniform: Uniform = min,
    **more: object,
) -> AsyncIterator[Tokens]:
    """Keep a token of *issuer*'s until the end of the block."""
    tokens = Tokens(
        config(issuer.url, **more), secret or FixedSecret(), clock=clock, uniform=uniform
    )
    await tokens.start()
    try:
        yield tokens
    finally:
        await tokens.stop()


async def until(tokens: Tokens, holds: Callable[[], bool]) -> None:
    """Return as soon as *holds* does, looking whenever the cache says that something changed."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            told = asyncio.Event()
            cancel = tokens.cache.on_change(told.set)
            try:
                await told.wait()
            finally:
                cancel()


async def token_of(tokens: Tokens) -> str:
    """Wait for a token as a request does."""
    await until(tokens, lambda: tokens.cache.current() is not None)
    credential = tokens.cache.current()
    assert credential is not None
    return credential.token


async def attempted(tokens: Tokens, calls: int) -> None:
    """Wait until so many exchanges have ended."""
    await until(tokens, lambda: sum(tokens.snapshot().counts.values()) >= calls)


def text(call: Call) -> object:
    """Return the JSON of a call."""
    return json.loads(call.body)
