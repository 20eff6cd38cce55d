"""
How it stands with tokens, as a value: all that the data plane asks, answered without whoever knows.

Times are seconds on the clock of whoever made it. One machine has one such clock, so another
process of it reads the same from the value.
"""

import math
from dataclasses import dataclass

from proxy.errors import ProxyError
from proxy.policy.credential import Credential

_PENDING_HINT = "The first token is on its way; try again."


@dataclass(frozen=True, slots=True)
class Want:
    """
    Why there is no token from *issuer*: none was had yet if *code* is empty.

    *cause* continues "the issuer …"; *hint* says what to do about it. A try that is put off is made
    *within* so many seconds all the same.
    """

    issuer: str
    code: str = ""
    cause: str = ""
    hint: str = ""
    within: float = math.inf

    def error(self, seconds: float) -> ProxyError:
        """Return the 503 of a request that finds no credential; the next try is in *seconds*."""
        seconds = min(seconds, self.within)
        retry_after = max(1, math.ceil(seconds))
        if not self.code:
            detail = f"No token yet: {self.issuer} is being asked for one."
            return ProxyError("token_pending", detail, hint=_PENDING_HINT, retry_after=retry_after)
        return ProxyError(
            self.code,
            f"No usable token: the issuer {self.issuer} {self.cause}. "
            + (
                "It is being asked again."
                if seconds <= 0
                else f"It is asked again in {retry_after} s."
            ),
            hint=self.hint,
            retry_after=retry_after,
        )


@dataclass(frozen=True, slots=True)
class Supply:
    """
    What is *held*, usable or not, and when the issuer is asked next; *fetching*: just now.

    Until *passes_until* the upstream's 401s are not taken for the token's fault.
    """

    held: Credential | None
    want: Want
    fetching: bool
    next_at: float
    passes_until: float = -math.inf

    def current(self, now: float) -> Credential | None:
        """Return what may be sent at *now*."""
        return self.held if self.held is not None and now < self.held.usable_until else None

    def shortage(self, now: float) -> ProxyError:
        """Say why there is none."""
        return self.want.error(0.0 if self.fetching else self.next_at - now)


def ended() -> ProxyError:
    """Return the 503 of a request that waited for a token of a configuration that is no more."""
    return ProxyError(
        "token_pending",
        "The configuration was changed while this request waited for a token.",
        hint="Send it again.",
        retry_after=1,
    )
