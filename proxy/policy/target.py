"""
What a request line may ask for.

Rule 1: path and query reach the upstream byte for byte, behind the base path.

Rule 2: no request leaves the base path, and none reaches the issuer, in any reading of its path.

Rule 3: this is no open proxy. The absolute form must name the upstream itself.

Reference: RFC 9112 section 3.2, RFC 3986 section 5.2.4.
"""

import re
from dataclasses import dataclass

from proxy.errors import ProxyError
from proxy.policy import path as paths
from proxy.policy.access import EVERYTHING, Access, check_path

# What has none of these needs no second look: no escapes, no dot segments, no tricks with slashes.
_SUSPICIOUS = re.compile(rb"%|/\.|\\|^//|#")
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
        """
        Tell whether *authority* is the upstream's.

        An https upstream on its usual port may be asked for as http on the usual one: that is what
        ``http_proxy=`` makes of it.
        """
        host, port = _split(authority)
        own_host, own_port = _split(self.authority)
        usual, own_usual = _DEFAULT_PORTS[scheme.lower()], _DEFAULT_PORTS[self.scheme]
        asked, own = port or usual, own_port or own_usual
        return host == own_host and (asked == own or (asked == usual and own == own_usual))


_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}


def _split(authority: bytes) -> tuple[bytes, bytes]:
    host, colon, port = authority.lower().rpartition(b":")
    if not colon or port.endswith(b"]"):
        return authority.lower(), b""
    return host, port


def to_send(target: bytes, *, method: bytes, base: Base, access: Access = EVERYTHING) -> bytes:
    """Return the target to send for a client's *target*, or raise the error that refuses it."""
    if target[:1] == b"/":
        path, _, query = target.partition(b"?")
        if _SUSPICIOUS.search(target):
            paths.check(path)
            _check_query(query)
        if base.blocked:
            _check_issuer(base.path + path, base)
        check_path(path, access)
        return base.path + target
    if target == b"*" and method == b"OPTIONS":
        return _asterisk(base, access)
    if match := _ABSOLUTE.fullmatch(target):
        return _from_absolute(match, method=method, base=base, access=access)
    raise ProxyError(
        "bad_request",
        "The request target is neither a path nor a URL of the upstream.",
        hint=f"Ask for a path such as /transactions; it is sent to {base.url}.",
    )


def _asterisk(base: Base, access: Access) -> bytes:
    """Return the target that asks for the options of all that is reachable through us."""
    check_path(b"/", access)
    # The asterisk is about the whole server; behind a base path, the base is all of it we show.
    return base.path or b"*"


def _check_query(query: bytes) -> None:
    if b"#" in query:
        raise ProxyError("bad_request", paths.FRAGMENT, hint=paths.FRAGMENT_HINT)


def authority_of(target: bytes) -> bytes:
    """Return the authority of an absolute-form target, or nothing for any other form."""
    match = _ABSOLUTE.fullmatch(target) if target[:1] != b"/" else None
    return match[2] if match else b""


def _from_absolute(match: re.Match[bytes], *, method: bytes, base: Base, access: Access) -> bytes:
    scheme, authority, rest = match.groups()
    if not base.names(scheme, authority):
        raise ProxyError(
            "host_not_allowed",
            "The request names another server than the upstream; this is not an open proxy.",
            hint=f"Only URLs under {base.url} may be asked for in the absolute form.",
        )
    if not rest and method == b"OPTIONS" and not base.path:
        return _asterisk(base, access)  # RFC 9112 section 3.2.4
    path, question, query = rest.partition(b"?")
    path = path or b"/"
    paths.check(path)
    if path != base.path and not path.startswith(base.path + b"/"):
        raise ProxyError(
            "bad_request",
            f"The path is not under the base URL {base.url}.",
            hint=f"Ask for a path such as /transactions; it is sent to {base.url}.",
        )
    _check_issuer(path, base)
    check_path(path[len(base.path) :] or b"/", access)
    return path + question + query


def plain_path(path: bytes) -> bytes:
    """Return the one form that all spellings of the same path share, for ``Base.blocked``."""
    return paths.plain(path)


def _check_issuer(path: bytes, base: Base) -> None:
    """Raise if the upstream's whole *path* could be taken for one where tokens are issued."""
    plain = paths.plain(path)
    if plain in base.blocked or paths.without_extension(plain) in base.blocked:
        raise ProxyError(
            "token_endpoint_blocked",
            f"{path.decode('ascii')} is where tokens are issued; "
            "it can't be called through the proxy.",
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
        paths.check(re.split(rb"[?#]", rest, maxsplit=1)[0])
    except ProxyError:
        return location
    return prefix + (inside if inside[:1] == b"/" else b"/" + inside)
