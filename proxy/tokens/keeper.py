"""One issuer's tokens, put together: what the composition root makes, starts, reads and stops."""

import asyncio
import random
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn

from proxy.supervise import Health, cancelled
from proxy.tokens.cache import TokenCache
from proxy.tokens.clock import Clock, SystemClock
from proxy.tokens.config import IssuerConfig
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.outcome import Exchange, Secret
from proxy.tokens.refresher import Refresher
from proxy.tokens.schedule import Uniform
from proxy.tokens.snapshot import Snapshot
from proxy.tokens.source import TokenSource
from proxy.tokens.store import Store


class Tokens:
    """
    Keeps a token for *config*'s issuer, from ``start`` to ``stop``.

    ``cache`` is all that the data plane needs. *tls* None means the system's certificates. With a
    *cache_file*, ``seal.Unavailable`` if it cannot be encrypted here. Not bound to an event loop
    before ``start``; ``look_now`` and ``refresh_now`` belong to that loop's thread.
    """

    def __init__(
        self,
        config: IssuerConfig,
        secret: Secret,
        *,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
        cache_file: Path | None = None,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._clock = clock = clock or SystemClock()
        self._lifecycle = Lifecycle(
            now=clock.now(),
            retry_max=config.retry_max_seconds,
            flap=config.flap_seconds,
            uniform=uniform,
        )
        self._source = TokenSource(
            config, secret, clock=clock, tls=tls, hidden=self._lifecycle.known_tokens
        )
        self._woken = asyncio.Event()
        self.cache = TokenCache(
            self._lifecycle, clock=clock, issuer=config.label, wake=self._woken.set
        )
        self._refresher = Refresher(
            self._lifecycle,
            self._source,
            clock=clock,
            changed=self.cache.changed,
            woken=self._woken,
            store=Store(cache_file, config, secret, clock=clock) if cache_file else None,
        )
        self._open = AsyncExitStack()
        self._task: asyncio.Task[NoReturn] | None = None

    @property
    def health(self) -> Health:
        """How the refreshing task itself fares; it fails only by a defect of ours."""
        return self._refresher.health

    async def start(self) -> None:
        """Start to keep a token and return at once; the first is on its way."""
        if self._task is not None:
            raise RuntimeError("started already")
        await self._open.enter_async_context(self._source)
        self._task = asyncio.create_task(self._refresher.run(), name="token refresher")

    async def stop(self) -> None:
        """End the task and its connections; the cache keeps what it holds. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            await cancelled(task)
        await self._open.aclose()

    def look_now(self) -> None:
        """Look at the client secret now (SIGHUP): a changed one is tried at once."""
        self._refresher.look_now()

    def refresh_now(self) -> bool:
        """
        Ask for a new token now, whatever is held, which is served until then.

        False if that is held off by a latch, a back-off or the bound on attempts.
        """
        forced = self._lifecycle.wanted(self._clock.now())
        self._woken.set()
        return forced

    def snapshot(self) -> Snapshot:
        """Return all that may be shown, as of now."""
        return self._lifecycle.snapshot(self._clock.now(), wall=self._clock.wall())

    async def exchange_once(self) -> Exchange:
        """Ask the issuer once and keep nothing: for ``check --online``, before any ``start``."""
        if self._task is not None:
            raise RuntimeError("a started keeper asks by itself")
        async with self._source:
            return await self._source.exchange()
