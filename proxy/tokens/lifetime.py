"""
How long a token lives, from what its issuer says.

Rule 1: ``expires_in`` counts, as a number or as the digits of one. Without it the JWT's ``exp``
        does, read and never verified (we are not its audience). With both, the earlier. With
        neither, a configured default.

Rule 2: ``exp`` is a time on the issuer's clock, so it is measured against the issuer's own ``Date``
        and not against ours. ``Date`` has no fractions: the later end of its second is taken.

Rule 3: nonsense is an error, not a lifetime: zero, negative, no number, or more than ten years.

Rule 4: a life starts when the request for it was *sent*. The token is younger than that, so we let
        go of it too early and never too late.

Reference: RFC 6749 section 5.1, RFC 7519 section 4.1.4, RFC 9110 section 6.6.1.
"""

import base64
import json
import math
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

# Below a second no margin can be kept; above ten years somebody mistook milliseconds for seconds.
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 10 * 365.25 * 86_400

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_DATE_RESOLUTION_SECONDS = 1.0


class AbsurdLifetime(ValueError):
    """The issuer states a lifetime that cannot be meant; the text says which, in our words."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Seconds from the sending of the request, and who says so."""

    seconds: float
    source: str  # "expires_in", "jwt_exp" or "default"


def lifetime(
    *, expires_in: object, token: str, default: float, sent_wall: float, date: float | None
) -> Lifetime:
    """
    Return how long *token* lives.

    *date* is the issuer's ``Date`` in seconds since the epoch; without one our own clock at
    the time of sending, *sent_wall*, has to do. AbsurdLifetime where Rule 3 applies.
    """
    stated = _stated(expires_in)
    exp = jwt_expiry(token)
    if exp is None:
        return Lifetime(default, "default") if stated is None else Lifetime(stated, "expires_in")
    issuer_now = sent_wall if date is None else date + _DATE_RESOLUTION_SECONDS
    by_jwt = exp - issuer_now
    if stated is not None and stated - by_jwt <= min(2.0, safety_margin(stated)):
        # Also where the two differ by no more than a Date can resolve and the safety margin
        # covers: then they say the same, and expires_in says it exactly.
        return Lifetime(stated, "expires_in")
    return Lifetime(_sane(by_jwt, "the JWT's exp"), "jwt_exp")


def safety_margin(seconds: float) -> float:
    """Return how long before its expiry a token of that life is no longer used."""
    return min(0.05 * seconds, 10.0)


def http_date(field: str | None) -> float | None:
    """Return the seconds since the epoch that an HTTP date names, or None if it is none."""
    if not field:
        return None
    try:
        moment = parsedate_to_datetime(field)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def clock_skew(date: float | None, *, sent_wall: float, received_wall: float) -> float | None:
    """
    Return by how many seconds the issuer's clock is ahead of ours; None if it gave no ``Date``.

    The ``Date`` was written between sending and receiving, in some part of its second: where that
    allows for no skew at all, there is none.
    """
    if date is None:
        return None
    least, most = date - received_wall, date + _DATE_RESOLUTION_SECONDS - sent_wall
    return 0.0 if least <= 0.0 <= most else (least + most) / 2


def jwt_expiry(token: str) -> float | None:
    """Return a JWT's ``exp`` claim, unverified; None for a token that is no JWT or has none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    exp = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return None
    try:
        return float(exp) if math.isfinite(exp) else None
    except OverflowError:
        return None


def _stated(value: object) -> float | None:
    """Return what ``expires_in`` says, None where it says nothing."""
    if value is None:
        return None
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AbsurdLifetime("expires_in is not a number")
    return _sane(value, "expires_in")


def _sane(seconds: float, name: str) -> float:
    # Written so that NaN fails it, and compared before an int of any size becomes a float.
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        which = "more than ten years" if seconds > LONGEST_SECONDS else "less than one second"
        raise AbsurdLifetime(f"{name} gives the token {which} to live")
    return float(seconds)
