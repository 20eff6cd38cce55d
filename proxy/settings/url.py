"""
The addresses of upstream and issuer, and of a collector of traces.

Rule 1: https. Plain http goes to the loopback only, because everything sent there carries a secret.
        To a collector nothing secret goes.

Rule 2: no part of a URL may hold a credential or be ambiguous: user information, query, fragment
        and dot segments are refused, not dropped.

Rule 3: a refusal does not repeat the URL. A mistyped one may well hold ``user:password@``.
"""

import ipaddress
import re
from urllib.parse import SplitResult, unquote, urlsplit

from proxy.settings.address import is_loopback

_VISIBLE_ASCII = re.compile(r"[!-~]+")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_base_url(text: str) -> str:
    """Return ``scheme://host[:port][/path]`` without the trailing slash *text* may have."""
    return parse_endpoint_url(text).removesuffix("/")


def parse_endpoint_url(text: str) -> str:
    """
    Return *text* with scheme and host in lower case; ValueError says what is wrong with it.

    The path stays as it is, because ``/token`` and ``/token/`` are two endpoints to some issuers.
    """
    found = parse_collector_url(text)
    if found.startswith("http:") and not is_loopback(urlsplit(found).hostname or ""):
        raise ValueError(
            "plain http goes to the loopback only, or the credentials could be read on the way;"
            " use https"
        )
    return found


def parse_collector_url(text: str) -> str:
    """Return the same of a URL that may be plain http to anywhere."""
    parts = _split(text)
    if parts.scheme not in ("https", "http"):
        raise ValueError("must start with https:// or http://")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    if "?" in text:
        raise ValueError("must not have a query")
    if "#" in text:
        raise ValueError("must not have a fragment")
    authority = _authority(parts)
    _check_path(parts.path)
    return f"{parts.scheme}://{authority}{parts.path}"


def _split(text: str) -> SplitResult:
    # urlsplit drops line ends and tabs without a word, and repeats its input in some errors.
    if not _VISIBLE_ASCII.fullmatch(text) or "\\" in text:
        raise ValueError(
            "must be visible ASCII without backslashes or blanks"
            " (an international name is written xn--…, other characters in a path as %XX)"
        )
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("is not a URL; its host cannot be read") from None


def _authority(parts: SplitResult) -> str:
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 1 to 65535") from None
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("has a port that is not a number from 1 to 65535")
    if ":" in host:
        host = _bracketed(host)
    elif not _HOST_NAME.fullmatch(host):
        raise ValueError("has no valid host")
    return host if port is None else f"{host}:{port}"


def _bracketed(host: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        raise ValueError("has no valid IPv6 address in its brackets") from None


def _check_path(path: str) -> None:
    if _PERCENT.search(path):
        raise ValueError("has a % in its path that no two hexadecimal digits follow")
    if any(unquote(segment) in (".", "..") for segment in path.split("/")):
        raise ValueError("must not have . or .. in its path")
