"""
Pages that may call: what ``allowed_origins`` opens, said to the browser in its own protocol.

Rule 1: the proxy speaks for itself. A preflight is answered here and never forwarded (it carries no
        credential, and ours would make the upstream act on a mere question); whatever the upstream
        says about origins is replaced, as its origins are not ours.

Rule 2: an origin is compared whole, and named back alone; never ``*``, never a list.

Rule 3: cookies stay out: Access-Control-Allow-Credentials is never sent. The credential is ours.

Reference: Fetch, sections 3.3.2 to 3.3.6; Private Network Access, section 3.1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.policy.access import Access
from proxy.policy.admission import Admission
from proxy.policy.message import is_token, options

# What a browser says in a preflight; ``preflight`` takes their values by these names.
METHOD = b"access-control-request-method"
FIELDS = b"access-control-request-headers"
PRIVATE_NETWORK = b"access-control-request-private-network"
ORIGIN = b"origin"

# Ten minutes: long enough to spare most preflights, short enough for a change of rules to be seen
# soon. Chromium caps at two hours, Firefox at a day.
_MAX_AGE_SECONDS = 600
_THEIRS = re.compile(rb"(?<=\n)access-control-[^\r]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Preflight:
    """A browser's question whether a page of *origin* may send *method* with *fields*."""

    origin: bytes
    method: bytes
    fields: tuple[bytes, ...]
    private_network: bool


def preflight(values: Mapping[bytes, list[bytes]], rules: Admission) -> Preflight | None:
    """
    Return the preflight that a request with these fields is if its method is OPTIONS.

    *values* are all values of each field, under its name in lower case. None for anything else,
    a page of an origin that is not allowed included: refusing that is ``admission``'s.
    """
    origin = allowed(values.get(ORIGIN, []), rules)
    methods = values.get(METHOD, [])
    if not origin or len(methods) != 1 or not is_token(methods[0]):
        return None
    wanted = [field for value in values.get(FIELDS, []) for field in options(value)]
    return Preflight(
        origin=origin,
        method=methods[0],
        fields=tuple(field for field in wanted if is_token(field)),
        private_network=values.get(PRIVATE_NETWORK, []) == [b"true"],
    )


def allowed(origins: list[bytes], rules: Admission) -> bytes:
    """Return the one Origin as sent, if it is among the allowed ones, else nothing."""
    if len(origins) == 1 and origins[0].lower() in rules.origins:
        return origins[0]
    return b""


def answer(asked: Preflight, access: Access) -> bytes:
    """
    Return the fields of the 204 that answers *asked*.

    A method outside of ``[allow] methods`` is not granted, so that the browser stops the page.
    """
    methods = sorted(access.methods) or [asked.method]
    lines = [
        b"Access-Control-Allow-Origin: %b\r\n" % asked.origin,
        b"Access-Control-Allow-Methods: %b\r\n" % b", ".join(methods),
        b"Access-Control-Max-Age: %d\r\n" % _MAX_AGE_SECONDS,
        b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n",
    ]
    if asked.fields:
        lines.append(b"Access-Control-Allow-Headers: %b\r\n" % b", ".join(asked.fields))
    if asked.private_network:
        lines.append(b"Access-Control-Allow-Private-Network: true\r\n")
    return b"".join(lines)


def fields(origins: list[bytes], rules: Admission) -> bytes:
    """
    Return the fields that every answer to a request with these *origins* needs, our errors too.

    Where any origin is allowed, an answer differs by Origin even if this request has none: a cache
    that did not know would serve the plain one to a page.
    """
    if not rules.origins:
        return b""
    origin = allowed(origins, rules)
    if not origin:
        return b"Vary: Origin\r\n"
    return (
        b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Expose-Headers: *\r\nVary: Origin\r\n"
        % origin
    )


def replace(head: bytes, ours: bytes) -> bytes:
    """Return *head*, a status line and field lines, with *ours* for all that it says of origins."""
    return _THEIRS.sub(b"", head) + ours
