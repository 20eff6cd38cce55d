"""
Who may ask the admin and ops listeners.

Their address is no secret and loopback no boundary: every page in a developer's browser can send
requests there. They are stricter than the data listener, since no tool has to reach them under a
name of its own.

Rule 1: one Host, and it is a name under which this listener is meant to be found. A name that an
        attacker's DNS points here (rebinding) is not.

Rule 2: a page may ask only from this very origin, whatever the method. Another port of the same
        machine is another program: ``same-site`` is not enough.
"""

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.admin import answers
from proxy.errors import ProxyError
from proxy.policy.admission import split_authority

# Takes the Host's name in lower case and the address at which the connection arrived.
HostRule = Callable[[str, str], bool]
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

# At least one letter, and not 0x…: a label of digits is an address to many resolvers.
_SINGLE_LABEL = re.compile(r"(?!0x)(?=.*[a-z])[a-z0-9_-]+")

_HOST_HINT = "Send the name and port that the client connects to, once."


def known_here(host: str, local: str) -> bool:
    """Accept localhost, loopback addresses, and the address *local* itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host.removeprefix("[").removesuffix("]"))
    return address is not None and (address.is_loopback or address == _address(local))


def known_nearby(host: str, local: str) -> bool:
    """Accept what `known_here` does, and names without a dot, such as Compose's for a service."""
    return _SINGLE_LABEL.fullmatch(host) is not None or known_here(host, local)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def guard(host_allowed: HostRule) -> Middleware:
    """Return the middleware that refuses everything but what the rules above let in."""

    @web.middleware
    async def admit(request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            host = _checked_host(request, host_allowed)
            _check_page(request, host)
        except ProxyError as refusal:
            return answers.refusal(refusal)
        return await handler(request)

    return admit


def _checked_host(request: web.Request, allowed: HostRule) -> str:
    """Return the Host field, empty where HTTP/1.0 (no browser speaks it) left it out."""
    hosts = request.headers.getall("Host", [])
    if not request.raw_path.startswith("/"):
        raise ProxyError(
            "bad_request",
            "The target must be a path.",
            hint="This is no proxy: ask for a path such as /readyz, not for a whole URL.",
        )
    if not hosts and request.version < (1, 1):
        return ""
    if len(hosts) != 1:
        raise ProxyError("bad_request", "There must be one Host field.", hint=_HOST_HINT)
    parts = split_authority(hosts[0].encode("utf-8", "surrogateescape"))
    if parts is None:
        raise ProxyError(
            "bad_request",
            "The Host field is not a host name with an optional port.",
            hint=_HOST_HINT,
        )
    name = parts[0].decode("ascii")
    if not allowed(name, _arrived_at(request)):
        raise ProxyError(
            "host_not_allowed",
            f"Host {name} is not a name of this listener.",
            hint="Ask by the address that it listens on, or by localhost.",
        )
    return hosts[0].lower()


def _arrived_at(request: web.Request) -> str:
    name = request.transport.get_extra_info("sockname") if request.transport else None
    return str(name[0]) if isinstance(name, tuple) else ""


def _check_page(request: web.Request, host: str) -> None:
    sites = request.headers.getall("Sec-Fetch-Site", [])
    origins = request.headers.getall("Origin", [])
    foreign = any(site not in ("none", "same-origin") for site in sites)
    if foreign or any(origin.lower() != f"http://{host}" for origin in origins):
        raise ProxyError(
            "origin_not_allowed",
            "A page of another origin may not ask here.",
            hint="Open the address itself, not a page that refers to it.",
        )
