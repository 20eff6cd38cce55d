"""
When to ask the issuer. Arithmetic only: the clock is an argument, and so is chance.

Rule 1: a refresh starts a margin before expiry, a share of the life and never a fixed time. (With a
        fixed margin a token shorter than it is expired at birth and fetched in a loop:
        golang/oauth2 #249, #623.)

Rule 2: after failures the wait is random below a ceiling that doubles ("full jitter"), so that many
        proxies which failed together do not come back together.

Rule 3: no more than ten failed attempts in any ten minutes, whatever the issuer, the operator or
        the callers do. When half of them are spent the rest is spread evenly: keeping the bound
        never costs eight minutes of silence after an outage of two.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proxy.tokens.lifetime import http_date, safety_margin

Uniform = Callable[[float, float], float]

ATTEMPTS = 10
WINDOW_SECONDS = 600.0
_BACK_OFF_FIRST_SECONDS = 1.0
_BACK_OFF_LAST_SECONDS = 60.0
# Full jitter may say zero; a retry is never a spin.
_BACK_OFF_LEAST_SECONDS = 0.1
_PROBE_FIRST_SECONDS = 300.0
_PROBE_LAST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The three moments of one token, on the clock that *sent_at* was read from."""

    refresh_at: float
    usable_until: float
    expires_at: float


def plan(lifetime: float, *, sent_at: float, uniform: Uniform = random.uniform) -> Plan:
    """Return when to replace and when to stop using a token of *lifetime* seconds."""
    expires_at = sent_at + lifetime
    ahead = min(0.2 * lifetime, 300.0) * uniform(0.9, 1.1)
    return Plan(expires_at - ahead, expires_at - safety_margin(lifetime), expires_at)


def back_off(failures: int, *, uniform: Uniform = random.uniform) -> float:
    """Return the seconds to wait after the given number of *failures* in a row (at least 1)."""
    ceiling = min(_BACK_OFF_LAST_SECONDS, _BACK_OFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
    return max(_BACK_OFF_LEAST_SECONDS, uniform(0.0, ceiling))


def probe_delay(probes: int, *, uniform: Uniform = random.uniform) -> float:
    """Return the seconds from a rejection to the next probe, *probes* having failed before."""
    delay = min(_PROBE_LAST_SECONDS, _PROBE_FIRST_SECONDS * 2.0 ** min(probes, 10))
    return delay * uniform(1.0, 1.1)


def retry_after(field: str | None, *, now: float) -> float | None:
    """
    Return the seconds that a ``Retry-After`` field asks for; None if it asks for nothing.

    *now* is the issuer's idea of the time, in seconds since the epoch: its ``Date``, where it
    gave one. Reference: RFC 9110 section 10.2.3.
    """
    text = (field or "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    elif (moment := http_date(text)) is not None:
        seconds = moment - now
    else:
        return None
    return seconds if seconds > 0 else None


class Attempts:
    """The failed attempts of the last ten minutes, for Rule 3."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque(maxlen=ATTEMPTS)

    def add(self, now: float) -> None:
        """Count an attempt that starts now."""
        self._starts.append(now)

    def forgive(self) -> None:
        """Uncount the latest attempt: it brought a token, or never left the house."""
        self._starts.pop()

    def allowed_at(self) -> float:
        """Return the earliest moment at which one more attempt keeps the bound."""
        if len(self._starts) < ATTEMPTS:
            return float("-inf")
        return self._starts[0] + WINDOW_SECONDS

    def spread(self, now: float) -> float:
        """Return the least pause before a retry that spreads what is left of the bound evenly."""
        recent = [start for start in self._starts if start + WINDOW_SECONDS > now]
        left = ATTEMPTS - len(recent)
        if left > ATTEMPTS // 2:
            return 0.0
        return (recent[0] + WINDOW_SECONDS - now) / (left + 1)
