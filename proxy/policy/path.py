"""
The readings of a path: what it may turn into on its way through an upstream.

Rule 1: a path is judged in every form in which someone might read it: as sent, percent-decoded
        once, twice and thrice, with overlong UTF-8 folded, with parameters cut off.

Rule 2: what climbs, hides a control character or is encoded deeper than that is refused, not
        resolved: two parties that resolve differently is how a check is passed by.

References: RFC 3986 sections 2.1, 3.3 and 5.2.4, RFC 3629 section 10 (overlong sequences).
"""

import re
from urllib.parse import unquote_to_bytes

from proxy.errors import ProxyError

# Nobody encodes a path more than twice on purpose; each hop of the way may decode it once.
_LAYERS = 3
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
FRAGMENT = "The request target has a fragment (#)."
FRAGMENT_HINT = "Leave it out: it is the client's own. A literal # is sent as %23."
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# Overlong UTF-8 for . / \ in two, three and four bytes: no decoder should accept it, some have.
_OVERLONG = re.compile(
    rb"(?:\xc0|\xe0\x80|\xf0\x80\x80)([\xae\xaf])|(?:\xc1|\xe0\x81|\xf0\x80\x81)\x9c"
)
_FOLDED = {b"\xae": b".", b"\xaf": b"/", None: b"\\"}


def check(path: bytes) -> None:
    """Raise ``bad_request`` unless *path* stays where it is in every reading."""
    if b"#" in path:
        raise ProxyError("bad_request", FRAGMENT, hint=FRAGMENT_HINT)
    if _BROKEN_ESCAPE.search(path):
        raise ProxyError(
            "bad_request",
            "The path has a % that is not followed by two hexadecimal digits.",
            hint="Send a literal percent sign as %25.",
        )
    for reading in readings(path):
        if reading.startswith(b"//") or b"\\" in reading or _CONTROL.search(reading):
            raise ProxyError(
                "bad_request",
                "The path has a backslash, a control character or two leading slashes, "
                "plain or encoded.",
                hint="Send the path without it: upstreams differ in what they make of one.",
            )
        if any(segment.partition(b";")[0] in (b".", b"..") for segment in reading.split(b"/")):
            raise ProxyError(
                "bad_request",
                "The path has a dot segment (. or ..), plain or encoded.",
                hint="Resolve the path before sending it; requests can't leave the base path.",
            )


def readings(path: bytes) -> list[bytes]:
    """
    Return *path* as sent, and as upstreams that decode it once, twice, or thrice see it.

    Raises ``bad_request`` if it could be decoded still further.
    """
    found = [path]
    for _ in range(_LAYERS):
        decoded = _decoded(found[-1])
        if decoded == found[-1]:
            return found
        found.append(decoded)
    if _decoded(found[-1]) != found[-1]:
        raise ProxyError(
            "bad_request",
            f"The path is percent-encoded over {_LAYERS} times.",
            hint="Encode it once.",
        )
    return found


def _decoded(path: bytes) -> bytes:
    return _OVERLONG.sub(lambda match: _FOLDED[match[1]], unquote_to_bytes(path))


def plain(path: bytes) -> bytes:
    """
    Return the one form that all spellings of the same path share, for comparison only.

    Lower case, decoded, without parameters, doubled or trailing slashes, and without the dots and
    spaces at a segment's end that some file systems drop.
    """
    if b"%" in path:
        path = readings(path)[-1]
    if b";" in path:
        path = b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))
    if b"." in path or b" " in path:
        path = re.sub(rb"[. ]+(?=/|\Z)", b"", path)
    if b"//" in path:
        path = re.sub(rb"/{2,}", b"/", path)
    return path.lower().rstrip(b"/")


def without_extension(path: bytes) -> bytes:
    """Return *path* without what follows a dot in its last segment: Rails routes both alike."""
    start, slash, last = path.rpartition(b"/")
    return start + slash + last[:1] + last[1:].partition(b".")[0]
