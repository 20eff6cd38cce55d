"""
The life of one token: what is held, what is due, what a failure changes.

No I/O, no clock, no task: every method is told the time, so that a day passes in a microsecond. The
refresher asks ``due`` and reports what came of it; the cache reads ``held`` and reports refusals.

Rule 1: an expired token is never given out (Envoy #44674).

Rule 2: a token that the upstream refused, and that was taken away for it, is never given out again
        unless the issuer itself, asked after the refusal, hands out the same token once more. It
        is taken away only if a replacement can be asked for at once: without that prospect
        (latched, rate-limited, backing off) dropping it would turn one 401, which may be about one
        path, into a refusal of every request. Then the 401 is passed on instead.

Rule 3: where the upstream's refusals are not the token's fault (``flapping`` says when), nothing is
        forced and its 401s pass.

Rule 4: a rejected credential latches. Only another credential or a slow probe opens the latch; a
        probe that fails for another reason proves nothing and leaves it closed.

Rule 5: ten failed attempts in ten minutes outrank every wish for one more.

Over 400 lines, for the rules are about each other: every one reads what the others have set.
"""

import math
import random
from collections import deque
from dataclasses import dataclass

from proxy.policy.credential import Credential
from proxy.tokens.flapping import Flapping
from proxy.tokens.outcome import Exchange, Failure, Grant, Kind
from proxy.tokens.policy import POLICY, RESULTS, Policy, Reaction
from proxy.tokens.schedule import Attempts, Plan, Uniform, back_off, plan, probe_delay
from proxy.tokens.snapshot import Outcome, Snapshot, State

_HISTORY = 10


@dataclass(frozen=True, slots=True)
class _Latch:
    """Closed by the credential of this *fingerprint*; probed at *probe_at*."""

    fingerprint: str
    probe_at: float
    probes: int


def _credential(grant: Grant, times: Plan) -> Credential:
    return Credential(
        grant.token,
        issued_at=grant.sent_at,
        usable_until=times.usable_until,
        expires_at=times.expires_at,
    )


class Lifecycle:
    """
    The state of one issuer's token. All times are seconds on one clock, wherever it starts.

    *retry_max* caps the issuer's Retry-After; *flap* is how long refusals are passed on.
    """

    def __init__(
        self,
        *,
        now: float,
        retry_max: float = 300.0,
        flap: float = 60.0,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._retry_max = retry_max
        self._uniform = uniform
        # The token, while there is one. The cache reads it for every request.
        self.held: Credential | None = None
        self._lifetime_source: str | None = None
        # The next exchange: when it is wanted, and what holds it off.
        self._wanted_at = now
        self._not_before = -math.inf
        self._attempts = Attempts()
        self._latch: _Latch | None = None
        # The exchange under way, and what the last ones brought.
        self._fetching = False
        self._tried = ""
        self._failure: Failure | None = None
        self._failures = 0
        self._clock_skew: float | None = None
        # Refusals by the upstream.
        self._dropped: Credential | None = None
        self._dropped_at = -math.inf
        self._flapping = Flapping(flap)
        # For the eye only.
        self._history: deque[Outcome] = deque(maxlen=_HISTORY)
        self._counts = dict.fromkeys(RESULTS, 0)
        self._adoptions = 0
        self._refusals = 0

    # What the refresher asks.

    def next_at(self) -> float:
        """Return when the next exchange may and should start; the past if it is overdue."""
        wanted = self._wanted_at if self._latch is None else self._latch.probe_at
        return max(wanted, self._not_before, self._attempts.allowed_at())

    def due(self, now: float) -> bool:
        """Tell whether an exchange should start now."""
        return not self._fetching and now >= self.next_at()

    @property
    def latched(self) -> bool:
        """Whether a rejected credential keeps the issuer from being asked."""
        return self._latch is not None

    @property
    def flapping_until(self) -> float:
        """Until when the upstream's refusals are passed on (Rule 3)."""
        return self._flapping.until

    @property
    def fetching(self) -> bool:
        """Whether an exchange is under way."""
        return self._fetching

    @property
    def failure(self) -> Failure | None:
        """What went wrong last; None after a success. While latched, the rejection."""
        return self._failure

    @property
    def policy(self) -> Policy | None:
        """The row of the failure policy that is in force; None after a success."""
        return None if self._failure is None else POLICY[self._failure.kind]

    @property
    def consecutive_failures(self) -> int:
        """How many exchanges have failed since the last one that brought a token."""
        return self._failures

    def usable(self, now: float) -> bool:
        """Tell whether there is a token to send."""
        return self.held is not None and now < self.held.usable_until

    # What the refresher reports.

    def started(self, now: float) -> None:
        """An exchange starts. There is only ever one: RuntimeError otherwise."""
        if self._fetching:
            raise RuntimeError("two exchanges at once")
        self._fetching = True
        self._attempts.add(now)

    def finished(self, now: float, exchange: Exchange) -> None:
        """The exchange ended, with whatever result."""
        self._fetching = False
        self._tries(exchange.fingerprint)
        result = exchange.result
        if isinstance(result, Grant):
            times = plan(result.lifetime.seconds, sent_at=result.sent_at, uniform=self._uniform)
            if now < times.usable_until:
                self._granted(now, result, times)
                self._remember(now, exchange, "ok")
                return
            result = Failure(Kind.BAD_RESPONSE, "sent a token that had expired when it arrived")
        self._failed(now, result, exchange.fingerprint)
        told = POLICY[result.kind].result
        self._remember(now, exchange, told, cause=result.cause, excerpt=result.excerpt)

    def abandoned(self) -> None:
        """The exchange was cancelled; it counts as an attempt, and proves nothing."""
        self._fetching = False

    def adopted(self, now: float, grant: Grant) -> bool:
        """
        Another process was given *grant*. True if that spares us the exchange that is due.

        It is taken if it is usable, newer than what is held, and not the token refused here.
        """
        held = self.held
        times = plan(grant.lifetime.seconds, sent_at=grant.sent_at, uniform=self._uniform)
        credential = _credential(grant, times)
        if (
            now >= times.usable_until
            or credential in (held, self._dropped)
            or (held is not None and held.issued_at >= credential.issued_at)
        ):
            return False
        self._adoptions += 1
        self._hold(credential, refresh_at=times.refresh_at, source=grant.lifetime.source)
        return now < times.refresh_at

    def held_off(self, now: float, until: float) -> None:
        """Another process was told by the issuer not to ask before *until*; capped like our own."""
        if until <= max(now, self._not_before):
            return
        self._not_before = min(until, now + self._retry_max)
        if self._failure is None:
            self._failure = Failure(Kind.RATE_LIMITED, "limits the rate, as another process found")

    def credential_is(self, now: float, fingerprint: str) -> bool:
        """
        The credential was looked at. True if it is another than the one tried last: then the latch
        opens (cortexkit/anthropic-auth #195) and an exchange is wanted at once.
        """
        if not fingerprint or fingerprint == self._tried:
            return False
        self._tried = fingerprint
        self._latch = None
        self._wanted_at = min(self._wanted_at, now)
        if self._failure is not None and self._failure.kind is not Kind.RATE_LIMITED:
            self._not_before = -math.inf
        return True

    def hurried(self, now: float) -> None:
        """
        Somebody who may know that the issuer is well again wants it asked: our own back-off ends.

        A latch, the issuer's Retry-After and the bound on attempts stand.
        """
        failure = self._failure
        if self._latch is None and failure is not None and failure.kind is not Kind.RATE_LIMITED:
            self._wanted_at = min(self._wanted_at, now)
            self._not_before = -math.inf

    # What another configuration changes.

    def reconfigured(self, *, retry_max: float, flap: float, elsewhere: bool) -> None:
        """
        Another configuration is in force; what is held is served on, and ``credential_is`` tells
        whether another token is wanted. *elsewhere*: what one issuer asked for does not bind us
        towards another.
        """
        self._retry_max, self._flapping.seconds = retry_max, flap
        if elsewhere:
            self._not_before = -math.inf
            self._attempts = Attempts()

    def continues(self, before: "Lifecycle") -> None:
        """Count on where *before* ends, for the eye: counters and history, no token."""
        self._history = deque((*before._history, *self._history), maxlen=_HISTORY)
        self._counts = {name: n + before._counts[name] for name, n in self._counts.items()}
        self._adoptions += before._adoptions
        self._refusals += before._refusals

    # What the cache reports.

    def wanted(self, now: float) -> bool:
        """Somebody wants a new token now, whatever is held. False if that is held off."""
        if not self._within_reach(now):
            return False
        self._wanted_at = min(self._wanted_at, now)
        self._not_before = -math.inf
        return True

    def refused(self, now: float, credential: Credential) -> bool:
        """
        The upstream refused *credential*. True if a different one is there or being asked for.

        Reported for a token that was replaced meanwhile, it changes nothing.
        """
        held = self.held
        if held is None or credential != held:
            return not self._flapping.lasts(now) and (self.usable(now) or self._within_reach(now))
        self._refusals += 1
        if self._flapping.refused(now, held):
            return False
        reach = self._within_reach(now)
        self._wanted_at = min(self._wanted_at, now)
        if reach:
            self._dropped, self._dropped_at, self.held = held, now, None
        return reach

    # What anyone reads.

    def state(self, now: float) -> State:
        """Return the state in a word."""
        if self._latch is not None:
            return State.LATCHED
        if self._failure is not None:
            return State.FAILING
        if self._flapping.lasts(now):
            return State.FLAPPING
        return State.READY if self.usable(now) else State.PENDING

    def snapshot(self, now: float, *, wall: float) -> Snapshot:
        """Return all that may be shown, as of *now*, which the wall clock calls *wall*."""
        held, usable = self.held, self.usable(now)
        behind = wall - now
        next_try = now if self._fetching else max(now, self.next_at())
        policy = self.policy
        return Snapshot(
            taken_at=wall,
            state=self.state(now),
            usable=usable,
            code="" if usable else "token_pending" if policy is None else policy.code,
            cause=None if self._failure is None else self._failure.cause,
            fetching=self._fetching,
            age=now - held.issued_at if held else None,
            expires_in=held.expires_at - now if held else None,
            usable_for=max(0.0, held.usable_until - now) if held else None,
            lifetime=held.expires_at - held.issued_at if held else None,
            lifetime_source=self._lifetime_source if held else None,
            clock_skew=self._clock_skew,
            fingerprint=held.fingerprint if held else None,
            issued_at=held.issued_at + behind if held else None,
            expires_at=held.expires_at + behind if held else None,
            next_try_in=next_try - now,
            next_try_at=next_try + behind,
            consecutive_failures=self._failures,
            flapping_for=max(0.0, self._flapping.until - now),
            outcomes=tuple(each.later(behind) for each in self._history),
            counts=dict(self._counts),
            issuances=self._counts["ok"],
            adoptions=self._adoptions,
            refusals=self._refusals,
        )

    def known_tokens(self) -> tuple[str, ...]:
        """Return the tokens that the issuer may quote, to be removed from what is shown of it."""
        return tuple(each.token for each in (self.held, self._dropped) if each is not None)

    # How a success changes things.

    def _granted(self, now: float, grant: Grant, times: Plan) -> None:
        self._attempts.forgive()
        self._clock_skew = grant.clock_skew
        credential = _credential(grant, times)
        if credential == self._dropped and grant.sent_at < self._dropped_at:
            # Asked for before the refusal, it proves nothing (Rule 2).
            self._wanted_at = now
            return
        if credential == self._dropped:
            # The issuer stands by it (some cache what they issue). So the 401s are not its fault.
            self._flapping.came_again(now, credential)
        self._hold(credential, refresh_at=times.refresh_at, source=grant.lifetime.source)

    def _hold(self, credential: Credential, *, refresh_at: float, source: str) -> None:
        self.held = credential
        self._lifetime_source = source
        self._wanted_at = refresh_at
        self._not_before = -math.inf
        self._latch = None
        self._failure = None
        self._failures = 0

    # How a failure changes things.

    def _tries(self, fingerprint: str) -> None:
        """Note which credential was tried; empty: none, it could not be read."""
        latch = self._latch
        if fingerprint:
            self._tried = fingerprint
            if latch is not None and latch.fingerprint != fingerprint:
                # What the issuer thinks of the old one says nothing about this one.
                self._latch = None
        elif latch is None or not latch.fingerprint:
            self._tried = ""

    def _failed(self, now: float, failure: Failure, fingerprint: str) -> None:
        self._failures += 1
        self._wanted_at = min(self._wanted_at, now)
        if not failure.called:
            self._attempts.forgive()
        latches = POLICY[failure.kind].reaction is Reaction.LATCH
        if latches or self._latch is None:
            self._failure = failure
        if latches or self._latch is not None:
            self._latch = self._closed(now, failure, fingerprint)
        else:
            pause = self._pause(failure)
            self._not_before = now + max(pause, self._attempts.spread(now))

    def _closed(self, now: float, failure: Failure, fingerprint: str) -> _Latch:
        """Return the latch after one more failure, the first or of a probe."""
        before = self._latch
        probes = 0 if before is None else before.probes + 1
        if before is not None:
            # The same credential, or none that could be read: that opens no latch.
            fingerprint = before.fingerprint
        delay = probe_delay(probes, uniform=self._uniform)
        return _Latch(fingerprint, now + max(delay, self._asked(failure) or 0.0), probes)

    def _pause(self, failure: Failure) -> float:
        """Return how long *failure* alone holds off the next attempt."""
        asked = self._asked(failure)
        if asked is None:
            return back_off(self._failures, uniform=self._uniform)
        if failure.kind is Kind.RATE_LIMITED:
            return asked
        return max(asked, back_off(self._failures, uniform=self._uniform))

    def _asked(self, failure: Failure) -> float | None:
        """Return the issuer's Retry-After: never less, a little more, and never above the cap."""
        if failure.retry_after is None:
            return None
        return min(max(failure.retry_after, 1.0) * self._uniform(1.0, 1.1), self._retry_max)

    # How a refusal changes things.

    def _within_reach(self, now: float) -> bool:
        """Tell whether a new token is being asked for, or may be asked for now."""
        if self._latch is not None:
            return False
        return self._fetching or now >= max(self._not_before, self._attempts.allowed_at())

    def _remember(
        self, now: float, exchange: Exchange, result: str, *, cause: str = "", excerpt: str = ""
    ) -> None:
        self._counts[result] += 1
        self._history.append(
            Outcome(now, result, cause, excerpt, exchange.duration, exchange.status)
        )
