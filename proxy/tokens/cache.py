"""
The token cache: what the data plane sees of tokens.

It answers at once, always. Waiting is the data plane's business: it parks a request for which
``worth_waiting`` holds and looks again when ``on_change`` calls.
"""

import math
from collections.abc import Callable

import structlog

from proxy.errors import ProxyError
from proxy.policy.credential import Credential
from proxy.policy.supply import Supply, Want, ended
from proxy.tokens.clock import Clock
from proxy.tokens.lifecycle import Lifecycle
from proxy.tokens.outcome import Kind
from proxy.tokens.refresher import BEAT_SECONDS
from proxy.watchers import Watchers

log = structlog.get_logger()


class TokenCache:
    """
    Implements ``proxy.policy.credential.Credentials`` over a Lifecycle.

    *issuer* names the issuer in errors; *wake* makes the refresher look at the schedule again.
    ``end`` is called when nobody refreshes it any more: what it holds serves what is in flight.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        *,
        clock: Clock,
        issuer: str,
        wake: Callable[[], None],
    ) -> None:
        self._lifecycle = lifecycle
        self._now = clock.now
        self.issuer = issuer
        self._wake = wake
        self._watchers = Watchers()
        self._ended = False

    def current(self) -> Credential | None:
        """Return the credential to send: neither expired nor taken away by a refusal, or None."""
        held = self._lifecycle.held
        if held is not None and self._now() < held.usable_until:
            return held
        return None

    def shortage(self) -> ProxyError:
        """Return the 503 of a request that finds no credential and does not wait for one."""
        if self._ended:
            return ended()
        return self.supply().shortage(self._now())

    def supply(self) -> Supply:
        """Return how it stands, for whoever asks elsewhere; it changes when ``on_change`` calls."""
        lifecycle = self._lifecycle
        return Supply(
            held=lifecycle.held,
            want=self._want(),
            fetching=lifecycle.fetching,
            next_at=lifecycle.next_at(),
            passes_until=lifecycle.flapping_until,
        )

    def _want(self) -> Want:
        policy, failure = self._lifecycle.policy, self._lifecycle.failure
        if policy is None or failure is None:
            return Want(self.issuer)
        within = BEAT_SECONDS if failure.kind is Kind.UNREADABLE else math.inf
        return Want(self.issuer, policy.code, failure.cause, policy.hint, within)

    def worth_waiting(self, seconds: float) -> bool:
        """
        Tell whether a fetch is under way, or due within *seconds*.

        One that is overdue (the machine slept) is started by the asking.
        """
        if self._ended:
            return False
        if self._lifecycle.fetching:
            return True
        ahead = self._lifecycle.next_at() - self._now()
        if ahead <= 0:
            self._wake()
        return ahead <= seconds

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run after every change, until the returned function is called."""
        return self._watchers.add(call)

    def changed(self) -> None:
        """Tell the watchers; called by whoever changed the lifecycle, after it is consistent."""
        self._watchers.tell()

    def end(self) -> None:
        """Let go whoever waits for a token: none will come."""
        self._ended = True
        self.changed()

    def refused(self, credential: Credential) -> bool:
        """
        Report a 401; see ``Credentials.refused``.

        True: wait for ``current`` to give a credential that differs from *credential*, then replay.
        One that is equal to it means that the issuer stands by it: pass the 401 on. False: pass it
        on at once. The credential is then still served if no replacement was within reach.
        """
        if self._ended:
            return False
        now = self._now()
        lifecycle = self._lifecycle
        was_held, state = lifecycle.held, lifecycle.state(now)
        replaced = lifecycle.refused(now, credential)
        if was_held == credential:
            self._tell(now, credential, replaced=replaced, changed=lifecycle.state(now) != state)
        return replaced

    def _tell(self, now: float, credential: Credential, *, replaced: bool, changed: bool) -> None:
        if replaced:
            log.warning(
                "token.refused", by="upstream", status=401, fingerprint=credential.fingerprint
            )
            self.changed()
            self._wake()
        elif changed:
            log.warning(
                "token.flapping",
                fingerprint=credential.fingerprint,
                passed_on_for_seconds=round(self._lifecycle.snapshot(now, wall=now).flapping_for),
                hint="Fresh tokens are refused too: the upstream's 401s are passed on.",
            )
