"""Which paths are refused, as the tests of rules and of reading ask it."""

import pytest

from proxy.errors import ProxyError
from proxy.policy import access, path
from proxy.policy.access import Access


def allows(rules: Access, path: bytes) -> bool:
    """Tell whether *path* may be asked for."""
    try:
        access.check_path(path, rules)
    except ProxyError as error:
        return error.code != "path_not_allowed"
    return True


def allowing(*patterns: str) -> Access:
    """Return rules that allow *patterns* alone."""
    return access.rules(allow_paths=patterns)


def denying(*patterns: str) -> Access:
    """Return rules that deny *patterns*."""
    return access.rules(deny_paths=patterns)


def refused(text: bytes) -> str:
    """Return the code that *text* is refused with."""
    with pytest.raises(ProxyError) as caught:
        path.check(text)
    return caught.value.code


def encoded(octets: bytes, layers: int = 1) -> bytes:
    """Return *octets*, every one of them percent-encoded, so many times over."""
    for _ in range(layers):
        octets = b"".join(b"%%%02X" % octet for octet in octets)
    return octets
