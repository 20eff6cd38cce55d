"""
Which local programs may ask.

Rule 1: what nobody configured costs nothing and refuses nobody.

Rule 2: the fields by which a caller shows itself are for this hop. They are never passed on, in no
        spelling, and no refusal repeats them.

Rule 3: a token is compared with all tokens there are, in constant time: how long that takes tells
        nothing about any of them but its length.

Rule 4: a doubt is a refusal: a field that comes twice shows nothing.
"""

import hmac
from dataclasses import dataclass, field

from proxy.errors import ProxyError
from proxy.policy.message import Fields

# These carry a scheme before the token (RFC 9110 section 11.4), any other field the token alone.
_WITH_SCHEME = frozenset((b"authorization", b"proxy-authorization"))


@dataclass(frozen=True, slots=True)
class LocalToken:
    """What a caller shows; *name* says in the access log which one it was."""

    name: str
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Callers:
    """
    What one listener asks of its callers; field names as a person wrote them.

    *uids* are the users who may use a Unix socket, and then nothing else may be used; empty: all.
    *required_value* is None where any value will do.
    """

    uids: frozenset[int] = frozenset()
    tokens: tuple[LocalToken, ...] = ()
    token_field: bytes = b"Proxy-Authorization"
    required_field: bytes = b""
    required_value: bytes | None = None

    def shown_in(self, pairs: Fields) -> frozenset[bytes]:
        """Return the names among *pairs*, in lower case, by which a caller shows itself."""
        own = {self.required_field.lower()} | ({self.token_field.lower()} if self.tokens else set())
        names = {name.lower() for name, _ in pairs}
        return frozenset(name for name in names if name.replace(b"_", b"-") in own)


ANYONE = Callers()


def check_user(uid: int | None, callers: Callers) -> None:
    """Raise unless *uid*, the user at the other end of a Unix socket, may use this listener."""
    if not callers.uids or uid in callers.uids:
        return
    who = "Who is not at a Unix socket" if uid is None else f"User {uid}"
    raise ProxyError(
        "caller_not_allowed",
        f"{who} may not use this proxy (listen.allowed_uids).",
        hint="If it should, add the user's id: [listen] allowed_uids.",
    )


def recognise(pairs: Fields, callers: Callers) -> str:
    """Return the name of the caller who sent *pairs*, empty if it has none; raise if it may not."""
    if callers.required_field:
        _check_required(pairs, callers)
    return _check_token(pairs, callers) if callers.tokens else ""


def _check_required(pairs: Fields, callers: Callers) -> None:
    values, wanted = _values(pairs, callers.required_field), callers.required_value
    name = callers.required_field.decode("ascii")
    if not values:
        raise ProxyError(
            "caller_not_allowed",
            f"The request has no field {name} (listen.required_header).",
            hint=f"Send {name} with every request. It keeps out whoever can only choose a URL.",
        )
    if wanted is not None and not (len(values) == 1 and hmac.compare_digest(values[0], wanted)):
        raise ProxyError(
            "caller_not_allowed",
            f"The field {name} has not the value that is asked for (listen.required_header).",
            hint="Send the value that is configured.",
        )


def _check_token(pairs: Fields, callers: Callers) -> str:
    values = _values(pairs, callers.token_field)
    name = callers.token_field.decode("ascii")
    scheme = callers.token_field.lower() in _WITH_SCHEME
    found = None
    if len(values) == 1:
        given = _without_scheme(values[0]) if scheme else values[0]
        for each in callers.tokens:
            if hmac.compare_digest(given, each.token):
                found = each.name
    if found is not None:
        return found
    what = "a local token that is not known here" if values else "no local token"
    raise ProxyError(
        "caller_not_allowed",
        f"The request shows {what} (listen.local_token_file).",
        hint=f"Send one of that file, once: {name}: {'Bearer ' if scheme else ''}TOKEN",
    )


def _values(pairs: Fields, wanted: bytes) -> list[bytes]:
    low = wanted.lower()
    return [value for name, value in pairs if name.lower() == low]


def _without_scheme(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""
