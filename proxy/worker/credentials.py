"""The token as a worker has it: the keeper's word, until the keeper says something else."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from proxy.errors import ProxyError
from proxy.policy.credential import Credential
from proxy.policy.supply import ended
from proxy.watchers import Watchers
from proxy.worker.messages import TokenNews

# The clock that the credential's times are on, which all processes of a machine share.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# 401s that pass are told as well, for as long as they go on.
_OFTEN_ENOUGH_SECONDS = 1.0


class RemoteCredentials:
    """
    Implements ``proxy.policy.credential.Credentials``; *report* tells the keeper of a refusal.

    A credential that was refused is not served until the keeper has heard of that. ``end`` is
    called when another configuration's takes its place.
    """

    def __init__(
        self,
        news: TokenNews,
        report: Callable[[Credential], None],
        *,
        now: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
    ) -> None:
        self._supply = news.supply
        self._report = report
        self._now = now
        self._reported = news.refusals
        self._reported_at = -math.inf
        self._refused: Credential | None = None
        self._watchers = Watchers()
        self._ended = False

    def take(self, news: TokenNews) -> None:
        """Follow the keeper's *news* from now on."""
        known, told = self._supply.held, news.supply
        # The same token stays the same object: whatever was made with it holds.
        same = told.held == known and _end_of(told.held) == _end_of(known)
        self._supply = replace(told, held=known) if same else told
        if news.refusals >= self._reported:
            self._refused = None
        self._watchers.tell()

    def end(self) -> None:
        """Let go whoever waits."""
        self._ended = True
        self._watchers.tell()

    def current(self) -> Credential | None:
        """Return the credential to send, or None."""
        held = self._supply.held
        if held is not None and held != self._refused and self._now() < held.usable_until:
            return held
        return None

    def shortage(self) -> ProxyError:
        """Say why there is none."""
        return ended() if self._ended else self._supply.shortage(self._now())

    def worth_waiting(self, seconds: float) -> bool:
        """Tell whether one is on its way, or asked for within *seconds*."""
        if self._ended:
            return False
        supply = self._supply
        return (
            self._refused is not None or supply.fetching or supply.next_at - self._now() <= seconds
        )

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run after every change, until the returned function is called."""
        return self._watchers.add(call)

    def refused(self, credential: Credential) -> bool:
        """
        Report a 401; see ``Credentials.refused``.

        While fresh tokens are refused as well, 401s pass. Else the keeper says what comes of it.
        """
        if self._ended:
            return False
        held, now = self._supply.held, self._now()
        passes = now < self._supply.passes_until
        if held is not None and credential == held and self._refused is None:
            if not passes:
                self._refused = held
            elif now < self._reported_at + _OFTEN_ENOUGH_SECONDS:
                return False
            self._reported, self._reported_at = self._reported + 1, now
            self._report(credential)
        return not passes


def _end_of(held: Credential | None) -> float | None:
    return None if held is None else held.usable_until
