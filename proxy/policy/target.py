"""
What a request line may ask for.

Rule 1: path and query reach the upstream byte for byte, behind the base path.

Rule 2: no request leaves the base path. The path is judged in every form in which an upstream might
        read it (decoded, decoded twice, backslashes as slashes, parameters cut off), and refused if
        it climbs in any of them.

Rule 3: this is no open proxy. The absolute form must name the upstream itself.

Reference: RFC 9112 section 3.2, RFC 3986 section 5.2.4.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from proxy.errors import ProxyError

# Everything in between needs no second look: no escapes, no dot segments, no tricks with slashes.
_SUSPICIOUS = re.compile(rb"%|/\.|\\|^//|#")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Overlong UTF-8 for "." "/" "\": no decoder should accept it, some have.
_OVERLONG = ((b"\xc0\xae", b"."), (b"\xc0\xaf", b"/"), (b"\xc1\x9c", b"\\"))
_ABSOLUTE = re.compile(rb"(https?)://([^/?#@]+)([^#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Base:
    """
    The upstream's base URL, taken apart: *path* without its last slash, so empty at the root.

    *authority* is what Host is set to. *blocked* are the issuer's paths on this very server, in the
    form ``plain_path`` gives, which must not be called through the proxy.
    """

    scheme: bytes
    authority: bytes
    path: bytes = b""
    blocked: frozenset[bytes] = frozenset()

    @property
    def url(self) -> str:
        """The base as a URL, for people."""
        return (self.scheme + b"://" + self.authority + self.path).decode("ascii")

    def names(self, scheme: bytes, authority: bytes) -> bool:
        """Tell whether *authority* is the upstream's; http is what ``http_proxy=`` makes of it."""
        host, port = _split(authority)
        own_host, own_port = _split(self.authority)
        default = _DEFAULT_PORTS[scheme.lower()]
        own = own_port or _DEFAULT_PORTS[self.scheme]
        return host == own_host and (port or default) in (own, default)


_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}


def _split(authority: bytes) -> tuple[bytes, bytes]:
    host, colon, port = authority.lower().rpartition(b":")
    if not colon or port.endswith(b"]"):
        return authority.lower(), b""
    return host, port


def to_send(target: bytes, *, method: bytes, base: Base) -> bytes:
    """Return the target to send for a client's *target*, or raise the error that refuses it."""
    if target[:1] == b"/":
        path, _, query = target.partition(b"?")
        if _SUSPICIOUS.search(target):
            check_path(path, query)
        if base.blocked and plain_path(base.path + path) in base.blocked:
            raise blocked(path)
        return base.path + target
    if target == b"*" and method == b"OPTIONS" and not base.path:
        return target
    if match := _ABSOLUTE.fullmatch(target):
        return _from_absolute(match, base)
    raise ProxyError(
        "bad_request",
        "The request target is neither a path nor a URL of the upstream.",
        hint=f"Ask for a path such as /transactions; it is sent to {base.url}.",
    )


def authority_of(target: bytes) -> bytes:
    """Return the authority of an absolute-form target, or nothing for any other form."""
    match = _ABSOLUTE.fullmatch(target) if target[:1] != b"/" else None
    return match[2] if match else b""


def _from_absolute(match: re.Match[bytes], base: Base) -> bytes:
    scheme, authority, rest = match.groups()
    if not base.names(scheme, authority):
        raise ProxyError(
            "host_not_allowed",
            "The request names another server than the upstream; this is not an open proxy.",
            hint=f"Only URLs under {base.url} may be asked for in the absolute form.",
        )
    path, question, query = rest.partition(b"?")
    path = path or b"/"
    check_path(path, query)
    if path != base.path and not path.startswith(base.path + b"/"):
        raise ProxyError("bad_request", f"The path is not under the base URL {base.url}.")
    if plain_path(path) in base.blocked:
        raise blocked(path)
    return path + question + query


def check_path(path: bytes, query: bytes) -> None:
    """Raise unless *path* stays where it is in every reading, and no fragment hides in *query*."""
    if b"#" in path or b"#" in query:
        raise ProxyError("bad_request", "The request target has a fragment (#).")
    if _BROKEN_ESCAPE.search(path):
        raise ProxyError(
            "bad_request",
            "The path has a % that is not followed by two hexadecimal digits.",
            hint="Send a literal percent sign as %25.",
        )
    for reading in _readings(path):
        if reading.startswith(b"//") or b"\\" in reading or b"\x00" in reading:
            raise ProxyError(
                "bad_request", "The path has a backslash, a NUL or two leading slashes."
            )
        if any(segment.partition(b";")[0] in (b".", b"..") for segment in reading.split(b"/")):
            raise ProxyError(
                "bad_request",
                "The path has a dot segment (. or ..), plain or encoded.",
                hint="Resolve the path before sending it; requests can't leave the base path.",
            )


def _readings(path: bytes) -> list[bytes]:
    """Return *path* as sent, and as seen by upstreams that decode it once, twice, or thrice."""
    readings = [path]
    for _ in range(3):
        decoded = unquote_to_bytes(readings[-1])
        for overlong, plain in _OVERLONG:
            decoded = decoded.replace(overlong, plain)
        if decoded == readings[-1]:
            break
        readings.append(decoded)
    return readings


def plain_path(path: bytes) -> bytes:
    """Return the one form that all spellings of the same path share, for comparison only."""
    if b"%" in path:
        path = _readings(path)[-1]
    if b";" in path:
        path = b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))
    if b"//" in path:
        path = re.sub(rb"/{2,}", b"/", path)
    return path.lower().rstrip(b"/")


def blocked(path: bytes) -> ProxyError:
    """Return the error for a request to the issuer's own path."""
    return ProxyError(
        "token_endpoint_blocked",
        f"{path.decode('ascii')} is where tokens are issued; it can't be called through the proxy.",
        hint="The proxy fetches tokens itself: send the API request without asking for one.",
    )


def to_local(location: bytes, *, base: Base, host: bytes) -> bytes:
    """
    Return a Location value as the client must see it: local if it points under *base*.

    *host* is how the client addressed the proxy, empty if it did not say. Anything that does not
    point under the base, or does so only by way of dot segments, is returned unaltered.
    """
    rest, prefix = location, b""
    origin = base.scheme + b"://" + base.authority
    for start, local in ((origin, b"http://" + host), (b"//" + base.authority, b"//" + host)):
        if location[: len(start)].lower() == start.lower():
            rest, prefix = location[len(start) :], local if host else b""
            break
    else:
        if location[:1] != b"/" or location[:2] == b"//":
            return location
    inside = rest[len(base.path) :]
    if not rest.startswith(base.path) or inside[:1] not in (b"/", b"?", b"#", b""):
        return location
    try:
        check_path(re.split(rb"[?#]", rest, maxsplit=1)[0], b"")
    except ProxyError:
        return location
    return prefix + (inside if inside[:1] == b"/" else b"/" + inside)
