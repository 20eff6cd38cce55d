"""
The grammar of a message head, request or response.

Rule 1: a head is a start line and a block of field lines, each ended by CRLF and nothing else. A
        bare CR or LF, a NUL, a folded line, white space around a name: refused, never repaired.

Rule 2: names and values come out as the bytes that came in. Only the white space around a value
        is not part of it.

Rule 3: what is accepted is a subset of what RFC 9112 allows, so that any conforming parser reads
        the same message out of the same bytes.

Reference: RFC 9112 sections 2 to 5, RFC 9110 sections 5.5 and 5.6.2.
"""

import re

Fields = list[tuple[bytes, bytes]]

# RFC 9110 section 5.6.2, as a pattern.
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 section 5.5. Said so and not as what it is without, it costs a third less.
_VALUE = rb"[\t -~\x80-\xff]*"
# A value without the white space around it.
BARE_VALUE = rb"(?:[!-~\x80-\xff](?:" + _VALUE + rb"[!-~\x80-\xff])?)?"

# The target is checked for its own grammar in target.py; here it only must not hide a second line.
_REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + _VALUE + rb"))?")
_BLOCK = re.compile(rb"(?:" + TOKEN + rb":" + _VALUE + rb"\r\n)*")
_FIELD = re.compile(rb"([^:]+):[ \t]*([^\r]*)\r\n")
_SAFE_TOKEN = re.compile(TOKEN)
_SAFE_VALUE = re.compile(_VALUE)
_BARE_LF = re.compile(rb"(?<!\r)\n|^[ \t]|\r[^\n]|\x00")


class Malformed(Exception):
    """A head or a body's framing that can't be read in exactly one way; the text says why."""


class TooLarge(Malformed):
    """A head beyond a configured limit; the text names the key."""


class TooLong(Malformed):
    """A request target beyond its limit; the text names the key."""


def request_line(line: bytes, *, target_bytes: int) -> tuple[bytes, bytes, int]:
    """Return method, target and minor version of a request line given without its CRLF."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Malformed(_what_is_wrong_with(line))
    method, target, minor = match.groups()
    if len(target) > target_bytes:
        raise TooLong(f"a target of over {target_bytes} bytes (limits.target_bytes)")
    return method, target, minor == b"1"


def status_line(line: bytes) -> tuple[int, bytes, int]:
    """Return status, reason and minor version of a status line given without its CRLF."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise Malformed("the status line is not one of HTTP/1.0 or HTTP/1.1")
    minor, status, reason = match.groups()
    return int(status), reason or b"", minor == b"1"


def fields(block: bytes, *, limit: int) -> Fields:
    """Return the (name, value) pairs of a *block* of lines, each with its CRLF, in their order."""
    if _BLOCK.fullmatch(block) is None:
        raise Malformed(_what_is_wrong_in(block))
    pairs = _FIELD.findall(block)
    if len(pairs) > limit:
        raise TooLarge(f"more than {limit} header fields (limits.head_fields)")
    # Trailing white space can't be told apart by a linear pattern; it is rare, so looked for once.
    if b" \r\n" in block or b"\t\r\n" in block:
        return [(name, value.rstrip(b" \t")) for name, value in pairs]
    return pairs


def hopeless(partial: bytes, *, known: int = 0) -> str:
    """
    Say why no further bytes can make a head of *partial*, or return the empty string.

    The first *known* bytes were looked at before. Without this, a client that ends its lines with
    LF alone would wait for the head's time-out.
    """
    if _BARE_LF.search(partial, max(0, known - 1)):
        return "a bare CR, bare LF, NUL or leading white space in the head"
    if not known and partial not in (b"", b"\r") and _SAFE_TOKEN.match(partial) is None:
        return "these bytes are not HTTP (TLS on a plain port?)"
    return ""


def is_token(name: bytes) -> bool:
    """Tell whether *name* may be a field name or a method (RFC 9110 section 5.6.2)."""
    return _SAFE_TOKEN.fullmatch(name) is not None


def is_value(value: bytes) -> bool:
    """Tell whether *value* may stand behind a field's name (RFC 9110 section 5.5)."""
    return _SAFE_VALUE.fullmatch(value) is not None


def options(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list, in lower case, without empty ones."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def _what_is_wrong_with(line: bytes) -> str:
    if b" HTTP/" in line and not line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
        return "the version is neither HTTP/1.0 nor HTTP/1.1"
    return "the request line is not METHOD SP target SP HTTP/1.1"


def _what_is_wrong_in(block: bytes) -> str:
    for number, line in enumerate(block.split(b"\r\n"), 1):
        if line[:1] in (b" ", b"\t"):
            return f"header line {number} is folded"
        name, colon, _ = line.partition(b":")
        if line and not colon:
            return f"header line {number} has no colon"
        if line and not is_token(name):
            return f"header line {number} has an invalid name"
        if line and _BLOCK.fullmatch(line + b"\r\n") is None:
            return f"header line {number} has a control character in its value"
    return "the header block is malformed"
