"""What is visible of the token's life: one value, read by logs, metrics and the status page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """
    The token's state in a word; whether one is usable is a second question.

    PENDING   no answer of the issuer yet, or the first since the last token was lost
    READY     the last exchange brought a token
    FAILING   the last exchange failed; the issuer is asked again by itself
    LATCHED   the issuer rejects the credential; it is not asked until that changes
    FLAPPING  fresh tokens are refused by the upstream; its 401s are passed on for a while
    """

    PENDING = "pending"
    READY = "ready"
    FAILING = "failing"
    LATCHED = "latched"
    FLAPPING = "flapping"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One past exchange. *at* is when it ended, on the snapshot's wall clock; *status* if known."""

    at: float
    result: str
    cause: str
    excerpt: str
    duration: float
    status: int | None = None

    def later(self, seconds: float) -> "Outcome":
        """Return the same with another clock's time, which is *seconds* ahead."""
        return replace(self, at=self.at + seconds)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    Everything that may be shown of the token. It contains neither token nor secret.

    Times named ``…_at`` are seconds since the epoch, computed for *taken_at*; the others are
    seconds. None means that there is no such thing: no token (age, lifetime, fingerprint), no
    failure (cause), an issuer without ``Date`` (clock_skew). *next_try_in* is the time to the next
    exchange, whatever its reason, 0 when it is due or under way. *fingerprint* is eight hex digits
    of the token's SHA-256. *code* is the error code that requests get for want of a token,
    empty while one is usable.
    """

    taken_at: float
    state: State
    usable: bool
    code: str
    cause: str | None
    fetching: bool
    age: float | None
    expires_in: float | None
    usable_for: float | None
    lifetime: float | None
    lifetime_source: str | None
    clock_skew: float | None
    fingerprint: str | None
    issued_at: float | None
    expires_at: float | None
    next_try_in: float
    next_try_at: float
    consecutive_failures: int
    flapping_for: float
    outcomes: tuple[Outcome, ...]
    counts: Mapping[str, int]
    issuances: int
    adoptions: int
    refusals: int
