"""What is needed to ask an issuer, and what comes of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from proxy.tokens.lifetime import Lifetime


class SecretUnreadable(ValueError):
    """There is no client secret to be had; the text says why, and may be shown to anyone."""


class Secret(Protocol):
    """Where the client secret is kept."""

    def read(self) -> str:
        """Return the secret as it is now; SecretUnreadable if there is none to be had."""
        ...


class Kind(StrEnum):
    """The ways in which an exchange fails; each has one row in the failure policy."""

    UNREADABLE = "unreadable"
    REJECTED = "rejected"
    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    BAD_RESPONSE = "bad_response"


@dataclass(frozen=True, slots=True)
class Failure:
    """
    An exchange that brought no token.

    *cause* is ours, a clause that continues "the issuer …". *excerpt* is what is left of the
    issuer's own message after redaction, 200 characters at most: for logs and the status page, not
    for the local caller. *retry_after* is in seconds, as the issuer asked. *called* is False when
    nothing was sent, so that it does not count as an attempt.
    """

    kind: Kind
    cause: str
    excerpt: str = ""
    retry_after: float | None = None
    called: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A token fresh from its issuer, checked and fit for a header.

    *sent_at* is when the request for it was sent, on the clock that never stops: its life counts
    from there. *clock_skew* is how far the issuer's clock is ahead of ours, None if unknown.
    """

    token: str = field(repr=False)
    lifetime: Lifetime
    sent_at: float
    clock_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    One conversation with the issuer, come to its end after *duration* seconds.

    *fingerprint* tells the credential that was used from any other, without telling what it is;
    empty if it could not be read. *status* is that of the answer, None if there was no whole one.
    """

    result: Grant | Failure
    fingerprint: str
    duration: float
    status: int | None = None
