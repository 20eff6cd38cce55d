"""
A world in which the life of a token can be played at any speed.

Two times: the loop's, on which timers run and which stands still while the machine sleeps, and the
boot clock, which does not. The refresher is the real one; its coroutine is resumed by hand, so that
everything else may happen while an exchange is under way. The model judges by its own books: what
the issuer saw, what the upstream got.
"""

import asyncio
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import KINDS
from proxy.policy.credential import Credential
from proxy.tokens import Exchange, Failure, Grant, Kind, TokenCache
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.lifetime import Lifetime
from proxy.tokens.refresher import BEAT_SECONDS, Refresher

WAIT_SECONDS = 5.0
RETRY_MAX_SECONDS = 300.0
FLAP_SECONDS = 60.0
_WINDOW_SECONDS, _ATTEMPTS = 600.0, 10
_FIRST_PROBE_SECONDS, _LAST_PROBE_SECONDS = 300.0, 3600.0
# Floats of the size of 30 days are this exact, and no more.
_EXACT = 1e-6


class _Suspended:
    """What a coroutine awaits to be resumed by hand."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@dataclass(slots=True)
class Issuer:
    """How the issuer fares; *fault* None: it issues to whoever knows *secret*."""

    secret: str = "A"
    lives: float = 60.0
    latency: float = 0.1
    fault: Kind | None = None
    retry_after: float | None = None
    # It hands out the token it handed out last, as issuers with a cache do.
    repeats: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """A local request that waits: for a first token, or for another than *refused*."""

    deadline: float
    refused: Credential | None
    stop: Callable[[], None] = field(default=lambda: None)


class World:
    """
    The lifecycle, its refresher and cache, an issuer, an upstream, and requests.

    Every method leaves the world checked; AssertionError says which promise was broken.
    """

    def __init__(self, *, seed: int, lives: float, latency: float, uptime: float) -> None:
        self.loop_time = 0.0
        self.slept = uptime
        self.issuer = Issuer(lives=lives, latency=latency)
        self.secret: str | None = "A"
        self.lifecycle = Lifecycle(
            now=self.now(),
            retry_max=RETRY_MAX_SECONDS,
            flap=FLAP_SECONDS,
            uniform=random.Random(seed).uniform,
        )
        self._woken = asyncio.Event()
        self.cache = TokenCache(
            self.lifecycle, clock=self, issuer="https://issuer.test", wake=self._woken.set
        )
        self._refresher = Refresher(
            self.lifecycle, self, clock=self, changed=self.cache.changed, woken=self._woken
        )
        # The refresher's coroutine: suspended in an exchange, or resting until a time.
        self._step: Any = None
        self._step_at = 0.0
        self._answer_at = 0.0
        # The books.
        self.issued: dict[str, tuple[float, float]] = {}  # token: asked for at, expires at
        self.taken: dict[str, float] = {}  # token: when it was taken away for a refusal
        self.revoked: set[str] = set()
        self.upstream_accepts = True
        self.waiting: list[Request] = []
        self.outcomes = {"sent": 0, "passed_on": 0, "refused": 0}
        self.calls: list[float] = []
        self._failed_at: list[float] = []
        self._rejected: tuple[str, float, int] | None = None  # secret, last told at, probes
        self._changed_since = False
        self._calm = False
        self._in_flight = False
        self._last_token = ""
        # The first promise that was broken: told later, since the refresher survives whatever a
        # source raises, and the cache whatever a watcher does.
        self.broken = ""

    # The clock.

    def now(self) -> float:
        return self.loop_time + self.slept

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()

    # The source.

    async def fingerprint(self) -> str:
        return self.secret or ""

    async def exchange(self) -> Exchange:
        """Answer as the issuer would at the end of its latency."""
        secret, begun = self.secret, self.now()
        if secret is None:
            unread = Failure(Kind.UNREADABLE, "was not asked", called=False)
            return Exchange(unread, "", 0.0)
        self._check_call(secret, begun)
        self.calls.append(begun)
        self._in_flight = True
        self._answer_at = self.loop_time + self.issuer.latency
        await _Suspended()
        self._in_flight = False
        result = self._result(secret, begun)
        if isinstance(result, Failure):
            self._note_failure(secret, begun, result.kind)
        else:
            self._rejected = None
            slow = max(self.issuer.latency, self.now() - begun)
            well = self.secret == self.issuer.secret
            self._calm = well and slow < 0.05 * result.lifetime.seconds
        return Exchange(result, secret, self.now() - begun)

    def _result(self, secret: str, begun: float) -> Grant | Failure:
        issuer = self.issuer
        if issuer.fault is not None:
            return Failure(issuer.fault, "has a fault", retry_after=issuer.retry_after)
        if secret != issuer.secret:
            return Failure(Kind.REJECTED, "rejected the client credentials")
        token = self._last_token
        if not (issuer.repeats and token in self.issued and self.issued[token][1] > self.now() + 1):
            token = self._last_token = f"t{len(self.issued)}"
            self.issued[token] = begun, begun + issuer.lives
        self.issued[token] = begun, self.issued[token][1]
        expires_at = self.issued[token][1]
        if expires_at - begun < 1.0:
            return Failure(Kind.BAD_RESPONSE, "sent an absurd lifetime")
        return Grant(token, Lifetime(expires_at - begun, "expires_in"), begun)

    # What is promised of calls.

    def _check_call(self, secret: str, now: float) -> None:
        self._promise(not self._in_flight, "two issuances at once")
        latched = self._rejected is not None and self._rejected[0] == secret
        if self._rejected is not None and latched and not self._changed_since:
            _, told_at, probes = self._rejected
            pause = min(_LAST_PROBE_SECONDS, _FIRST_PROBE_SECONDS * 2.0 ** min(probes, 10))
            self._promise(now >= told_at + pause - _EXACT, "called while latched")

    def _note_failure(self, secret: str, begun: float, kind: Kind) -> None:
        self._calm = False
        self._failed_at.append(begun)
        if len(self._failed_at) > _ATTEMPTS:
            window = self._failed_at[-1] - self._failed_at[-1 - _ATTEMPTS]
            bound = window >= _WINDOW_SECONDS - _EXACT
            self._promise(bound, "eleven failed attempts in ten minutes")
        known = self._rejected is not None and self._rejected[0] == secret
        if self._rejected is not None and known and not self._changed_since:
            self._rejected = (secret, self.now(), self._rejected[2] + 1)
        elif kind is Kind.REJECTED:
            self._rejected = (secret, self.now(), 0)
            self._changed_since = False

    def _promise(self, holds: bool, what: str) -> None:
        if not holds:
            self.broken = self.broken or what

    # What happens.

    def put_secret(self, secret: str | None) -> None:
        """Change the secret's file; None: it is gone."""
        if secret is not None and self._rejected is not None and secret != self._rejected[0]:
            # "Until the credential changes" is over, even if it is changed back.
            self._changed_since = True
        self._calm = False
        self.secret = secret

    def disturb(self) -> None:
        """Note that from now on a request may go without a token, until there is a new one."""
        self._calm = False

    def look_now(self) -> None:
        """SIGHUP."""
        self._refresher.look_now()
        self.settle()

    def refresh_now(self) -> None:
        """The button."""
        self.lifecycle.wanted(self.now())
        self._woken.set()
        self.settle()

    def sleep(self, seconds: float) -> None:
        """Shut the lid: no timer runs, the boot clock does."""
        self.slept += seconds
        self._calm = False

    def advance(self, seconds: float) -> None:
        """Let loop time pass, and everything happen that is due."""
        end = self.loop_time + seconds
        self.settle()
        while (event := self._next_event()) <= end:
            self.loop_time = max(self.loop_time, event)
            self.settle()
        self.loop_time = end
        self.settle()

    def settle(self) -> None:
        """Do all that is due at this moment."""
        for request in tuple(self.waiting):
            if self.loop_time >= request.deadline:
                self._end(request, "refused" if request.refused is None else "passed_on")
        while self._step_due():
            self._resume()
        self.check()

    def _next_event(self) -> float:
        deadlines = [request.deadline for request in self.waiting]
        return min([self._answer_at if self._step is not None else self._step_at, *deadlines])

    def _step_due(self) -> bool:
        if self._step is not None:
            return self.loop_time >= self._answer_at
        return self._woken.is_set() or self.loop_time >= self._step_at

    def _resume(self) -> None:
        if self._step is None:
            self._woken.clear()
            self._step = self._refresher.step()
        try:
            self._step.send(None)
        except StopIteration as end:
            self._step = None
            # A timer never fires early, and late by as much as its clock can tell.
            self._step_at = self.loop_time + min(max(end.value, _EXACT), BEAT_SECONDS)

    # Requests, as the data plane treats them.

    def request(self) -> None:
        """A request comes in."""
        self._judge(None)
        self.settle()

    def report_old(self) -> None:
        """A request that was sent long ago is answered 401 only now."""
        for token in list(self.issued)[-3:-1]:
            held = self.lifecycle.held
            self.cache.refused(Credential(token, issued_at=0, usable_until=0, expires_at=0))
            assert held is None or held.token == token or self.lifecycle.held == held
        self.settle()

    def _judge(self, refused: Credential | None) -> None:
        credential = self.cache.current()
        if credential is not None and credential != refused:
            self._send(credential, replay=refused is not None)
        elif credential is not None:
            self.outcomes["passed_on"] += 1
        elif self.cache.worth_waiting(WAIT_SECONDS):
            request = Request(self.loop_time + WAIT_SECONDS, refused)
            request.stop = self.cache.on_change(lambda: self._look_again(request))
            self.waiting.append(request)
        else:
            self._refuse()

    def _look_again(self, request: Request) -> None:
        credential = self.cache.current()
        if credential is not None:
            self._leave(request)
            try:
                self._judge(request.refused)
            except AssertionError as broken:
                self._promise(False, str(broken))
        elif not self.cache.worth_waiting(WAIT_SECONDS):
            self._end(request, "refused" if request.refused is None else "passed_on")

    def _leave(self, request: Request) -> None:
        request.stop()
        self.waiting.remove(request)

    def _end(self, request: Request, outcome: str) -> None:
        self._leave(request)
        self.outcomes[outcome] += 1

    def _refuse(self) -> None:
        assert not self._calm, "no token although nothing went wrong"
        error = self.cache.shortage()
        assert error.kind is KINDS[error.code]
        assert error.status == 503
        assert error.retry_after is not None
        assert error.retry_after >= 1
        self.outcomes["refused"] += 1

    def _send(self, credential: Credential, *, replay: bool) -> None:
        self.check_sendable(credential)
        self.outcomes["sent"] += 1
        if self.upstream_accepts and credential.token not in self.revoked:
            return
        self._calm = False
        was_held = self.lifecycle.held == credential
        forced = self.cache.refused(credential)
        if forced and was_held:
            self.taken[credential.token] = self.now()
        elif was_held:
            self._check_reason_to_pass_on()
        if forced and not replay:
            self._judge(credential)
        else:
            self.outcomes["passed_on"] += 1

    def _check_reason_to_pass_on(self) -> None:
        snapshot = self.lifecycle.snapshot(self.now(), wall=self.wall())
        held_off = self.lifecycle.latched or snapshot.next_try_in > 0
        assert snapshot.flapping_for > 0 or held_off, "a refusal that forced nothing"

    # What holds at every step.

    def check_sendable(self, credential: Credential) -> None:
        """Assert that *credential* may be sent now."""
        asked_at, expires_at = self.issued[credential.token]
        assert self.now() < expires_at, "an expired token"
        taken_at = self.taken.get(credential.token)
        assert taken_at is None or asked_at >= taken_at, "a token that was taken away"

    def check(self) -> None:
        """Assert what is promised of every moment."""
        assert not self.broken, self.broken
        failure = self.lifecycle.failure
        assert failure is None or "could not be asked" not in failure.cause, (
            "a defect of this world"
        )
        current = self.cache.current()
        if current is not None:
            self.check_sendable(current)
        for request in self.waiting:
            assert self.loop_time < request.deadline, "a request waits beyond its limit"
            assert current is None, "a request waits though there is a token"
            assert self.cache.worth_waiting(WAIT_SECONDS), "a request waits for nothing"
        if self._calm and self.lifecycle.held is not None:
            assert current is not None, "no token although nothing went wrong"

    def recover(self) -> None:
        """All is well again, and stays so until there must be a token; there must be one then."""
        issuer = self.issuer
        issuer.fault, issuer.repeats = None, False
        issuer.latency = min(issuer.latency, 0.05 * issuer.lives)
        self.upstream_accepts, self.revoked = True, set()
        self.put_secret(issuer.secret)
        if self._step is not None:
            # What is under way may yet fail for what it was asked with.
            self.advance(max(0.0, self._answer_at - self.loop_time))
        if self.cache.current() is not None:
            return
        longest = self._longest_wait()
        assert longest <= (1.1 * _LAST_PROBE_SECONDS if self.lifecycle.latched else _WINDOW_SECONDS)
        # The last moment of that span belongs to it, whichever way its sum is rounded.
        self.advance(longest + issuer.latency + BEAT_SECONDS + _EXACT)
        assert self.cache.current() is not None, "no token within one back-off"

    def _longest_wait(self) -> float:
        """Return the seconds to the announced try, or to the next look at a changed credential."""
        now = self.now()
        announced = max(0.0, self.lifecycle.next_at() - now)
        if not self.lifecycle.latched or self.secret == (self._rejected or (self.secret,))[0]:
            return announced
        spent = len(self._failed_at) >= _ATTEMPTS
        allowed = self._failed_at[-_ATTEMPTS] + _WINDOW_SECONDS if spent else now
        return min(announced, max(BEAT_SECONDS, allowed - now))
