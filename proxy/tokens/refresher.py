"""
The refresher: the one task that asks the issuer.

It belongs to nobody's request, so whoever gives up waiting cancels nothing but the wait; and since
it does one thing at a time, there are never two issuances at once, however many callers wait.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Protocol

import structlog

from proxy.supervise import Health, supervise
from proxy.tokens.clock import Clock
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.outcome import Exchange, Failure, Grant, Kind
from proxy.tokens.snapshot import State
from proxy.tokens.store import Store

log = structlog.get_logger()

# The loop's timers stand still while the machine sleeps, so a long pause is taken in short ones and
# the schedule compared with a clock that did not. The same beat looks at the secret while latched.
BEAT_SECONDS = 5.0


class Source(Protocol):
    """Whatever can be asked for a token."""

    async def exchange(self) -> Exchange:
        """Ask once; every failure that is not a bug is part of the result."""
        ...

    async def fingerprint(self) -> str:
        """Return what tells the credential from others; empty if it cannot be read."""
        ...


class Refresher:
    """
    Keeps *lifecycle* supplied from *source*.

    ``run`` is the body of a task that the owner creates and cancels. *woken* is set by whoever
    wants the schedule looked at; *changed* is called after each change that a request may wait for.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        source: Source,
        *,
        clock: Clock,
        changed: Callable[[], None],
        woken: asyncio.Event,
        store: Store | None = None,
        beat: float = BEAT_SECONDS,
    ) -> None:
        self.health = Health()
        self._lifecycle = lifecycle
        self._source = source
        self._clock = clock
        self._changed = changed
        self._store = store
        self._beat = beat
        self._woken = woken
        self._look_asked = False
        self._look_at = -math.inf
        self._expiry_told = False

    async def run(self) -> NoReturn:
        """Refresh for ever."""
        await supervise("token refresher", self.step, health=self.health, rest=self._rest)

    def look_now(self) -> None:
        """Look at the credential at once, and try it unless it was rejected already."""
        self._look_asked = True
        self._woken.set()

    async def step(self) -> float:
        """Do what is due, and return the seconds until something else may be."""
        latched = self._lifecycle.latched
        if self._look_asked or (latched and self._clock.now() >= self._look_at):
            await self._look()
        if self._lifecycle.due(self._clock.now()):
            await self._refresh()
        self._tell_expiry()
        return self._pause()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, self._beat)):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    def _pause(self) -> float:
        now, held = self._clock.now(), self._lifecycle.held
        pause = self._lifecycle.next_at() - now
        if held is not None and now < held.usable_until:
            pause = min(pause, held.usable_until - now)
        if self._lifecycle.latched:
            pause = min(pause, self._look_at - now)
        return max(0.0, pause)

    async def _look(self) -> None:
        asked, self._look_asked = self._look_asked, False
        # Once a beat, however often a request wakes us meanwhile.
        self._look_at = self._clock.now() + self._beat
        fingerprint = await self._source.fingerprint()
        if self._lifecycle.credential_is(self._clock.now(), fingerprint):
            log.info("token.credential_changed")
            self._changed()
        elif asked and fingerprint:
            self._lifecycle.hurried(self._clock.now())
            log.info("token.credential_unchanged")
        elif asked:
            log.warning("token.credential_unreadable")

    async def _refresh(self) -> None:
        if self._store is None:
            await self._exchange()
            return
        async with self._store.turn():
            if not await self._found(self._store):
                exchange = await self._exchange()
                await _finished(self._save(self._store, exchange))

    async def _found(self, store: Store) -> bool:
        """Take over what another process was told; True if there is nothing left to do."""
        found = await store.load()
        now = self._clock.now()
        if found.grant is not None and self._lifecycle.adopted(now, found.grant):
            self._tell_token("token.adopted")
        if found.not_before is not None:
            self._lifecycle.held_off(now, found.not_before)
        self._changed()
        return not self._lifecycle.due(now)

    async def _save(self, store: Store, exchange: Exchange) -> None:
        result = exchange.result
        if isinstance(result, Grant):
            await store.save(grant=result)
        elif result.kind is Kind.RATE_LIMITED:
            found = await store.load()
            await store.save(grant=found.grant, not_before=self._lifecycle.next_at())

    async def _exchange(self) -> Exchange:
        lifecycle = self._lifecycle
        lifecycle.started(self._clock.now())
        self._changed()
        try:
            exchange = await self._source.exchange()
        except Exception as error:
            # A bug of ours. It must not ask the issuer in a loop, so it backs off like any failure.
            failure = Failure(Kind.BAD_RESPONSE, f"could not be asked ({type(error).__name__})")
            exchange = Exchange(failure, "", 0.0)
        except BaseException:
            lifecycle.abandoned()
            raise
        self._settle(exchange)
        return exchange

    def _settle(self, exchange: Exchange) -> None:
        lifecycle, now = self._lifecycle, self._clock.now()
        before, failures = lifecycle.failure, lifecycle.consecutive_failures
        latched = lifecycle.latched
        lifecycle.finished(now, exchange)
        snapshot = lifecycle.snapshot(now, wall=self._clock.wall())
        if lifecycle.failure is None and lifecycle.held is None:
            log.debug("token.asked_again", cause="handed out a token refused meanwhile")
        elif lifecycle.failure is None:
            more = {"failures": failures} if failures else {}
            event = "token.recovered" if failures else "token.refreshed"
            self._tell_token(event, duration_seconds=round(exchange.duration, 3), **more)
        else:
            news = before is None or before.cause != lifecycle.failure.cause
            latches = snapshot.state is State.LATCHED and not latched
            level = log.error if latches else log.warning if news else log.debug
            level(
                "token.latched" if latches else "token.refresh_failed",
                code=lifecycle.policy.code if lifecycle.policy else "",
                cause=snapshot.outcomes[-1].cause,
                message=snapshot.outcomes[-1].excerpt,
                failures=snapshot.consecutive_failures,
                next_try_seconds=round(snapshot.next_try_in, 1),
                usable_for_seconds=round(snapshot.usable_for or 0.0, 1),
                duration_seconds=round(exchange.duration, 3),
            )
        self._changed()

    def _tell_token(self, event: str, **more: object) -> None:
        self._expiry_told = False
        snapshot = self._lifecycle.snapshot(self._clock.now(), wall=self._clock.wall())
        log.info(
            event,
            expires_in_seconds=round(snapshot.expires_in or 0.0, 1),
            lifetime_source=snapshot.lifetime_source,
            next_refresh_seconds=round(snapshot.next_try_in, 1),
            fingerprint=snapshot.fingerprint,
            **more,
        )

    def _tell_expiry(self) -> None:
        """Say once that the last token has run out and there is no other."""
        now, held = self._clock.now(), self._lifecycle.held
        if held is None or now < held.usable_until or self._expiry_told:
            return
        self._expiry_told = True
        log.error(
            "token.expired",
            fingerprint=held.fingerprint,
            failures=self._lifecycle.consecutive_failures,
            next_try_seconds=round(max(0.0, self._lifecycle.next_at() - now), 1),
        )
        self._changed()


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Do *work* to its end, also when cancelled meanwhile: a stop must not lose a fresh token."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
