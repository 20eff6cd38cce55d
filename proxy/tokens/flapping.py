"""
Whether the upstream's refusals are the token's fault.

Rule 1: two fresh tokens refused within a minute, or the same one handed out again after its
        refusal, and they are not. Another token would be refused as well, so for a while none is
        asked for and the upstream's 401s pass.

Rule 2: a token refused while refusals pass stays fresh for the count: when that time is over, one
        more refused token suffices, and the issuer is asked once a minute, not twice.
"""

import math

from proxy.policy.credential import Credential

# A token that was refused later in its life was taken before: it was revoked, and another one
# helps.
_FRESH_SECONDS = 10.0
_MINUTE_SECONDS = 60.0


class Flapping:
    """Refusals one after the other, each told with its time; they pass for *seconds* at a time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.until = -math.inf
        self._fresh: tuple[Credential, float] | None = None  # the last refusal of a fresh token

    def lasts(self, now: float) -> bool:
        """Tell whether refusals pass."""
        return now < self.until

    def refused(self, now: float, credential: Credential) -> bool:
        """Note the refusal of *credential*; tell whether it is to be passed on."""
        before = self._fresh
        known = before is not None and before[0] == credential
        fresh = known or now - credential.issued_at < _FRESH_SECONDS
        if fresh:
            self._fresh = (credential, now)
        if self.lasts(now):
            return True
        if fresh and before and not known and now - before[1] <= _MINUTE_SECONDS:
            self.until = now + self.seconds
            return True
        return False

    def came_again(self, now: float, credential: Credential) -> None:
        """Note that the issuer, asked after the refusal of *credential*, stands by it."""
        self._fresh = (credential, now)
        self.until = now + self.seconds
