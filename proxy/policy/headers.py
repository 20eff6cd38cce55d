"""
Which header fields cross the proxy.

Rule 1: strip first, inject last. Whatever the client nominates for removal is gone before our own
        fields exist, so no request can talk the proxy out of authenticating.

Rule 2: nothing here performs I/O, reads a clock or logs. Bytes in, bytes out. Refusing a request is
        the verdict's job.

Rule 3: fields keep the order and the spelling in which they arrived. Names are compared in lower
        case, and an underscore counts as a hyphen: CGI and WSGI can't tell them apart, so
        ``X_Forwarded_For`` would reach an application as the real thing.

Reference: RFC 9110 section 7.6.1.
"""

import re
from enum import IntEnum
from functools import lru_cache

from proxy.policy.access import METHOD_OVERRIDES
from proxy.policy.message import Fields, options

VIA_NAME = b"bearer-proxy"
VIA = b"Via: 1.1 " + VIA_NAME + b"\r\n"
VIA_1_0 = b"Via: 1.0 " + VIA_NAME + b"\r\n"


class Kind(IntEnum):
    """What a field's name means to us; END_TO_END is the only one that passes unseen."""

    END_TO_END = 0
    HOP_BY_HOP = 1
    OWNED = 2  # ours to set: a client's value is dropped, not refused, as tools add these unasked
    FORGEABLE = 3  # claims about the client or the URL, which only a trusted hop may make
    CONNECTION = 4
    CONTENT_LENGTH = 5
    TRANSFER_ENCODING = 6
    HOST = 7
    ORIGIN = 8
    SEC_FETCH_SITE = 9
    UPGRADE = 10
    EXPECT = 11
    TE = 12
    VIA = 13
    REQUEST_ID = 14
    LOCATION = 15
    KEEP_ALIVE = 16
    METHOD_OVERRIDE = 17


_KINDS = {
    b"authorization": Kind.OWNED,
    b"connection": Kind.CONNECTION,
    b"content-length": Kind.CONTENT_LENGTH,
    b"content-location": Kind.LOCATION,
    b"expect": Kind.EXPECT,
    b"forwarded": Kind.FORGEABLE,
    b"host": Kind.HOST,
    b"http2-settings": Kind.HOP_BY_HOP,
    b"keep-alive": Kind.KEEP_ALIVE,
    b"location": Kind.LOCATION,
    b"origin": Kind.ORIGIN,
    b"proxy-authenticate": Kind.HOP_BY_HOP,
    b"proxy-authorization": Kind.HOP_BY_HOP,
    b"proxy-connection": Kind.HOP_BY_HOP,
    b"sec-fetch-site": Kind.SEC_FETCH_SITE,
    b"te": Kind.TE,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"upgrade": Kind.UPGRADE,
    b"via": Kind.VIA,
    # Symfony, Zend and IIS modules let these override the path that was judged.
    b"x-original-url": Kind.FORGEABLE,
    b"x-real-ip": Kind.FORGEABLE,
    b"x-request-id": Kind.REQUEST_ID,
    b"x-rewrite-url": Kind.FORGEABLE,
    **dict.fromkeys(METHOD_OVERRIDES, Kind.METHOD_OVERRIDE),
}

# A request's id that is safe in any log, and not endless.
REQUEST_ID_BYTES = 128
REQUEST_ID = rb"[A-Za-z0-9._~+/=:@\-]{1,%d}" % REQUEST_ID_BYTES
_ACCEPTABLE_ID = re.compile(REQUEST_ID)


# Bounded, and of names alone: which name means what is no connection's secret.
@lru_cache(maxsize=512)
def _kind(name: bytes) -> tuple[Kind, bool]:
    """Return what *name* means, and whether it is spelt with hyphens (the only spelling obeyed)."""
    low = name.lower()
    plain = low.replace(b"_", b"-")
    kind = _KINDS.get(plain, Kind.END_TO_END)
    if plain.startswith(b"x-forwarded-"):
        kind = Kind.FORGEABLE
    return kind, low == plain


def kind_of(name: bytes) -> Kind:
    """
    Return what *name* means to the proxy.

    A name that only an underscore keeps from being special is FORGEABLE: dropped, never obeyed.
    """
    kind, plain = _kind(name) if len(name) <= 64 else _kind.__wrapped__(name)
    return kind if plain or kind is Kind.END_TO_END else Kind.FORGEABLE


# What most clients send: a set of its own for every connection that remembers it is 216 bytes.
_USUAL = {names: names for names in (frozenset[bytes](), frozenset((b"keep-alive",)))}


def nominated(connection: list[bytes]) -> frozenset[bytes]:
    """Return the options of all Connection values: fields for this hop alone, or its handling."""
    found = frozenset(option for value in connection for option in options(value))
    return _USUAL.get(found, found)


def acceptable_request_id(value: bytes) -> bool:
    """Tell whether a client's X-Request-Id may be taken on: safe in any log, and not endless."""
    return _ACCEPTABLE_ID.fullmatch(value) is not None


def request_id_line(request_id: bytes) -> bytes:
    """Return the field line that carries *request_id*, in either direction."""
    return b"X-Request-Id: %b\r\n" % request_id


def went_through_us(via: bytes) -> bool:
    """Tell whether a Via value names this proxy as a received-by (RFC 9110 section 7.6.3)."""
    return any(member.split()[1:2] == [VIA_NAME] for member in options(via))


def serialise(pairs: Fields) -> bytes:
    """Return the field lines of *pairs*."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])
