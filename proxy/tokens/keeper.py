"""One issuer's tokens, put together: what the composition root makes, starts, reads and stops."""

import asyncio
import random
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
from proxy.watchers import Watchers


class NoToken(Exception):
    """The issuer of another configuration gave no token; the text says why: ``answered 401``."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What belongs to one configuration."""

    config: IssuerConfig
    lifecycle: Lifecycle
    cache: TokenCache
    source: TokenSource
    refresher: Refresher


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
        self._clock = clock or SystemClock()
        self._uniform = uniform
        self._woken = asyncio.Event()
        self._watchers = Watchers()
        self._kept = self._keeping(config, secret, tls=tls, cache_file=cache_file)
        self.cache.on_change(self._watchers.tell)
        self._open = AsyncExitStack()
        self._task: asyncio.Task[NoReturn] | None = None

    def _keeping(
        self,
        config: IssuerConfig,
        secret: Secret,
        *,
        tls: ssl.SSLContext | None,
        cache_file: Path | None,
        before: _Kept | None = None,
    ) -> _Kept:
        """Return what keeps tokens of *config*, on from what *before* holds if that is given."""
        clock = self._clock
        lifecycle = before.lifecycle if before else self._lifecycle_of(config)
        cache = (
            before.cache
            if before
            else TokenCache(lifecycle, clock=clock, issuer=config.label, wake=self._woken.set)
        )
        source = TokenSource(config, secret, clock=clock, tls=tls, hidden=lifecycle.known_tokens)
        refresher = Refresher(
            lifecycle,
            source,
            clock=clock,
            changed=cache.changed,
            woken=self._woken,
            store=Store(cache_file, config, secret, clock=clock) if cache_file else None,
        )
        return _Kept(config, lifecycle, cache, source, refresher)

    def _lifecycle_of(self, config: IssuerConfig) -> Lifecycle:
        return Lifecycle(
            now=self._clock.now(),
            retry_max=config.retry_max_seconds,
            flap=config.flap_seconds,
            uniform=self._uniform,
        )

    @property
    def cache(self) -> TokenCache:
        """What the data plane reads; another one after ``follow`` with *apart*."""
        return self._kept.cache

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run after every change, whichever the cache is, until cancelled."""
        return self._watchers.add(call)

    @property
    def config(self) -> IssuerConfig:
        """The configuration that is followed."""
        return self._kept.config

    @property
    def health(self) -> Health:
        """How the refreshing task itself fares; it fails only by a defect of ours."""
        return self._kept.refresher.health

    async def start(self) -> None:
        """Start to keep a token and return at once; the first is on its way."""
        if self._task is not None:
            raise RuntimeError("started already")
        await self._open.enter_async_context(self._kept.source)
        self._task = asyncio.create_task(self._kept.refresher.run(), name="token refresher")

    async def stop(self) -> None:
        """End the task and its connections; the cache keeps what it holds. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            await cancelled(task)
        await self._open.aclose()

    async def follow(
        self,
        config: IssuerConfig,
        secret: Secret,
        *,
        tls: ssl.SSLContext | None = None,
        cache_file: Path | None = None,
        apart: bool = False,
    ) -> None:
        """
        Keep tokens of *config* from now on; the one in use serves until the first of them is there.

        *apart*: where tokens of the one configuration are used, none of the other may be. Then
        ``cache`` is another one after this, and it is the caller's to ``end`` the former. A usable
        token is not given up for none: NoToken then, and nothing has changed. ``seal.Unavailable``
        as before ``start``.
        """
        before = self._kept
        new = self._keeping(
            config, secret, tls=tls, cache_file=cache_file, before=None if apart else before
        )
        if apart and before.lifecycle.usable(self._clock.now()):
            await self._first_of(new)
        await self.stop()
        self._kept = new
        if apart:
            new.lifecycle.continues(before.lifecycle)
            new.cache.on_change(self._watchers.tell)
        else:
            new.cache.issuer = config.label
            new.lifecycle.reconfigured(
                retry_max=config.retry_max_seconds,
                flap=config.flap_seconds,
                elsewhere=config.url != before.config.url,
            )
        await self.start()
        self.look_now()
        self._watchers.tell()

    async def _first_of(self, new: _Kept) -> None:
        """Have *new* get its first token, or raise NoToken."""
        async with new.source:
            await new.refresher.step()
        if not new.lifecycle.usable(self._clock.now()):
            failure = new.lifecycle.failure
            raise NoToken(failure.cause if failure else "gave none that can be used")

    def look_now(self) -> None:
        """Look at the client secret now (SIGHUP): a changed one is tried at once."""
        self._kept.refresher.look_now()

    def refresh_now(self) -> bool:
        """
        Ask for a new token now, whatever is held, which is served until then.

        False if that is held off by a latch, a back-off or the bound on attempts.
        """
        forced = self._kept.lifecycle.wanted(self._clock.now())
        self._woken.set()
        return forced

    def snapshot(self) -> Snapshot:
        """Return all that may be shown, as of now."""
        return self._kept.lifecycle.snapshot(self._clock.now(), wall=self._clock.wall())

    async def exchange_once(self) -> Exchange:
        """Ask the issuer once and keep nothing: for ``check --online``, before any ``start``."""
        if self._task is not None:
            raise RuntimeError("a started keeper asks by itself")
        async with self._kept.source:
            return await self._kept.source.exchange()
