"""
Who may ask.

localhost is not a boundary: every page that a developer's browser shows can send requests to it.
Two fields that a page can't forge tell us apart from a tool: Host, which carries the name that the
browser looked up (so a rebound name shows), and Sec-Fetch-Site / Origin, which tell where the
request was made.

Rule 1: names are compared whole. No prefix, suffix or pattern decides, but for the suffixes listed
        here, which no public name can end in.

Rule 2: every refusal names the key that would change it.

References: Fetch metadata (W3C), RFC 6454, RFC 9110 section 7.2, RFC 6761 section 6.3.
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from proxy.errors import ProxyError

_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_PRIVATE_SUFFIXES = (b".localhost", b".svc", b".svc.cluster.local", b".internal")
# A label of digits (or 0x…) is an address to inet_aton and so to many resolvers.
_SINGLE_LABEL = re.compile(rb"(?!0x)(?=.*[a-z])[a-z0-9_-]+")
_LABELS = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
# An address typed in, and our own page. To a browser every port of localhost is the ``same-site``.
_OWN_SITE = (b"none", b"same-origin")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one listener; *hosts* and *origins* are in lower case."""

    hosts: frozenset[bytes] = field(default_factory=frozenset)
    origins: frozenset[bytes] = field(default_factory=frozenset)


def split_authority(value: bytes) -> tuple[bytes, int | None] | None:
    """Return host in lower case and port, or None unless *value* is ``host`` or ``host:port``."""
    match = _AUTHORITY.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        return None
    host = match[1].lower()
    # RFC 3986 section 3.2.2: what stands in brackets is an IPv6 address and nothing else.
    if host[:1] == b"[" and not isinstance(_literal(host), IPv6Address):
        return None
    return host, int(match[2]) if match[2] else None


def check_host(value: bytes, *, rules: Admission, local: str) -> None:
    """
    Raise unless *value* is a Host by which this proxy may be called.

    *local* is the address at which the connection arrived, empty for a Unix socket.
    """
    parts = split_authority(value)
    if parts is None:
        raise ProxyError(
            "bad_request",
            "The Host field is not a host name with an optional port.",
            hint="Send the name and port that the client connects to.",
        )
    host, _ = parts
    if host in rules.hosts or _is_private_name(host) or _is_own_address(host, local):
        return
    name = host.decode("ascii")
    raise ProxyError(
        "host_not_allowed",
        f"Host {name} is not a name of this proxy.",
        hint=f'If it should be, add it: [listen] allowed_hosts = ["{name}"] or '
        f"BEARER_PROXY_LISTEN_ALLOWED_HOSTS={name}.",
    )


def _is_private_name(host: bytes) -> bool:
    if host == b"localhost" or _SINGLE_LABEL.fullmatch(host):
        return True
    return host.endswith(_PRIVATE_SUFFIXES) and _LABELS.fullmatch(host) is not None


def _is_own_address(host: bytes, local: str) -> bool:
    address = _unmapped(_literal(host))
    if address is None:
        return False
    return address.is_loopback or address == _unmapped(_literal(local.encode("ascii")))


def _literal(host: bytes) -> Address | None:
    """Return the address that *host* is, with or without brackets, or None for a name."""
    try:
        return ip_address(host.decode("ascii").removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _unmapped(address: Address | None) -> Address | None:
    """Return ``::ffff:a.b.c.d`` as the IPv4 address that it stands for."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def check_origin(
    origins: list[bytes], sites: list[bytes], *, host: bytes, rules: Admission
) -> None:
    """
    Raise for a request that a page of another origin made.

    *origins* and *sites* are the values of Origin and Sec-Fetch-Site, *host* that of Host. A tool
    sends neither and passes. Links and images have no Origin, so those of an allowed one can't be
    told from any other's.
    """
    origin = origins[0].lower() if len(origins) == 1 else b""
    if origin and origin in rules.origins:
        return
    own = b"http://" + host.lower()
    if (origins and (not origin or origin != own)) or any(s not in _OWN_SITE for s in sites):
        name = origin.decode("ascii", "replace") or "another origin"
        raise ProxyError(
            "origin_not_allowed",
            f"A browser page of {name} may not use this proxy's credentials.",
            hint="If it should, add its origin: [listen] allowed_origins or "
            "BEARER_PROXY_LISTEN_ALLOWED_ORIGINS.",
        )
