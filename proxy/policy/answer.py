"""
What the client is told: an upstream's answer passed on, or one of our own.

Rule 1: an upstream's answer passes unaltered, its 401 included; only fields of this hop are taken
        out, and ours put behind the others.

Rule 2: ambiguous framing from the upstream is an error of the upstream (502), as much as a client's
        is one of the client.

References: RFC 9110 section 7.6, RFC 9112 section 6, RFC 9209, RFC 9457.
"""

import json
from dataclasses import dataclass
from email.utils import formatdate

from proxy.errors import ProxyError
from proxy.policy import cors, framing, headers, message, target
from proxy.policy.headers import Kind
from proxy.policy.message import Malformed
from proxy.policy.reading import Received
from proxy.policy.target import Base

_FIELD_LIMIT = 200  # twice what we accept ourselves: upstreams set many cookies


@dataclass(slots=True)
class Answered:
    """
    An upstream's head, understood: it holds for every answer of the connection that repeats it.

    *start* is the head as it will be passed on, up to the fields that change from one request to
    the next. *located* are its pairs where a Location among them has to be rewritten for each
    client, else empty. *framing* is the body's, unless the request was a HEAD.
    *keep_alive_seconds* is 0 if nothing was said. *encoded*: the body has a content coding.
    """

    status: int
    start: bytes
    line: bytes
    located: message.Fields
    via: bytes
    framing: int
    keep_alive: bool
    keep_alive_seconds: int
    upgrade: bytes
    has_request_id: bool
    encoded: bool

    @property
    def is_plain(self) -> bool:
        """
        Tell whether ``pass_on`` has nothing to do for a plain request but to add the id.

        So for most answers: final, of known length, no error, nothing to rewrite, more may follow.
        """
        return (
            200 <= self.status < 500
            and self.status != 401
            and self.framing >= 0
            and self.keep_alive
            and not self.located
            and not self.has_request_id
        )


def read(head: bytes, *, send_via: bool) -> Answered:
    """Return what an upstream's *head* means, given without its empty line, or raise Malformed."""
    received, _, block = head.partition(b"\r\n")
    status, reason, minor = message.status_line(received)
    pairs = message.fields(block, limit=_FIELD_LIMIT)
    noticed: dict[Kind, list[bytes]] = {}
    for name, value in pairs:
        kind = headers.kind_of(name)
        if kind:
            noticed.setdefault(kind, []).append(value)
    lengths = noticed.get(Kind.CONTENT_LENGTH, [])
    codings = noticed.get(Kind.TRANSFER_ENCODING, [])
    options = headers.nominated(noticed.get(Kind.CONNECTION, []))
    if b"content-length" in options:
        raise Malformed("Connection names Content-Length")
    # RFC 9110 section 8.6 forbids a Content-Length in these.
    dropped = _DROPPED_WITH_LENGTH if status < 200 or status == 204 else _DROPPED
    kept = [
        pair
        for pair in pairs
        if headers.kind_of(pair[0]) not in dropped and pair[0].lower() not in options
    ]
    via = (headers.VIA if minor else headers.VIA_1_0) if send_via else b""
    line = b"HTTP/1.1 %d %b\r\n" % (status, reason)
    return Answered(
        status=status,
        start=line + headers.serialise(kept) + via,
        line=line,
        located=kept if Kind.LOCATION in noticed else [],
        via=via,
        framing=framing.of_response(status, lengths, codings, minor=minor),
        keep_alive=b"close" not in options if minor else b"keep-alive" in options,
        keep_alive_seconds=_keep_alive_seconds(noticed.get(Kind.KEEP_ALIVE, [])),
        upgrade=b", ".join(noticed.get(Kind.UPGRADE, [])) if b"upgrade" in options else b"",
        has_request_id=Kind.REQUEST_ID in noticed,
        encoded=any(_is_coding(*pair) for pair in pairs),
    )


# Those that are registered (RFC 9110 section 18.6) and change bytes. Any other word, such as a
# character set by mistake, hides nothing.
_CODINGS = frozenset(
    (b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"br", b"zstd", b"dcb", b"dcz",
     b"exi", b"aes128gcm", b"pack200-gzip")
)  # fmt: skip


def _is_coding(name: bytes, value: bytes) -> bool:
    return name.lower() == b"content-encoding" and not _CODINGS.isdisjoint(message.options(value))


# What is special in a request may be plain in an answer: only these belong to the hop.
_DROPPED = frozenset(
    (Kind.CONNECTION, Kind.TRANSFER_ENCODING, Kind.UPGRADE, Kind.KEEP_ALIVE, Kind.TE)
)
_DROPPED_WITH_LENGTH = _DROPPED | {Kind.CONTENT_LENGTH}


def _keep_alive_seconds(values: list[bytes]) -> int:
    """Return the server's own idle time-out, so that we close before it does."""
    for parameter in (p for value in values for p in message.options(value)):
        name, _, seconds = parameter.partition(b"=")
        if name.strip() == b"timeout" and seconds.strip().isdigit():
            return min(int(seconds), 86400)
    return 0


def pass_on(
    answered: Answered,
    body: int,
    id_line: bytes,
    keep_alive: bool,
    received: Received,
    base: Base,
) -> bytes:
    """
    Return the head to send for an upstream's answer to a request that was *received* so.

    *body* is the framing of the body behind it; *keep_alive*: the client may go on after that.
    *id_line* is added unless the upstream has an id of its own.
    """
    start = answered.start
    if answered.located:
        start = _with_locations(answered, base=base, host=received.host)
    if received.cors:
        start = cors.replace(start, received.cors)
    hop = _hop(answered, body, keep_alive, received.minor)
    if answered.has_request_id:
        return b"%b%b\r\n" % (start, hop)
    return b"%b%b%b\r\n" % (start, id_line, hop)


def _hop(answered: Answered, body: int, keep_alive: bool, minor: int) -> bytes:
    """Return the fields that hold for the client's hop alone, and our note on a server error."""
    status = answered.status
    if status == 101:
        return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % answered.upgrade
    lines = b""
    if body < 0 and minor:
        lines = b"Transfer-Encoding: chunked\r\n"
    if status >= 200:
        if not keep_alive:
            lines += b"Connection: close\r\n"
        elif not minor:
            lines += b"Connection: keep-alive\r\n"
        if status >= 500:
            lines += b"Proxy-Status: bearer-proxy; received-status=%d\r\n" % status
    return lines


def _with_locations(answered: Answered, *, base: Base, host: bytes) -> bytes:
    """Return ``start`` as a client must see it that knows this proxy as *host*."""
    rewritten = [
        (name, target.to_local(value, base=base, host=host))
        if headers.kind_of(name) is Kind.LOCATION
        else (name, value)
        for name, value in answered.located
    ]
    return answered.line + headers.serialise(rewritten) + answered.via


def settled(fields: bytes, *, request_id: bytes, wall: float, keep_alive: bool) -> bytes:
    """Return the 204 with *fields* that answers a question of the client's; *wall* is Unix time."""
    return b"".join(
        (
            b"HTTP/1.1 204 No Content\r\nServer: bearer-proxy\r\n",
            b"Date: %b\r\n" % formatdate(wall, usegmt=True).encode(),
            fields,
            b"X-Request-Id: %b\r\n" % request_id,
            b"Connection: keep-alive\r\n\r\n" if keep_alive else b"Connection: close\r\n\r\n",
        )
    )


def own(
    error: ProxyError,
    *,
    request_id: bytes,
    wall: float,
    keep_alive: bool,
    to_head: bool = False,
    fields: bytes = b"",
) -> bytes:
    """
    Return the whole answer, head and body, that *error* is to a client; *wall* is Unix time.

    *fields* are lines that this very client is owed besides.
    """
    body = problem(error, request_id=request_id)
    lines = [
        f"HTTP/1.1 {error.status} {_REASONS[error.status]}",
        "Server: bearer-proxy",
        f"Date: {formatdate(wall, usegmt=True)}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"X-Request-Id: {request_id.decode('ascii')}",
        f"Proxy-Status: bearer-proxy; error={error.proxy_status}; details={_quoted(error.detail)}",
    ]
    if error.retry_after is not None:
        lines.append(f"Retry-After: {error.retry_after}")
    lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
    head = "\r\n".join([*lines, ""]).encode("ascii", "replace") + fields + b"\r\n"
    return head if to_head else head + body


def body_bytes(own: bytes) -> int:
    """Return the length of the body of an answer that ``own`` has made."""
    return len(own.partition(b"\r\n\r\n")[2])


def problem(error: ProxyError, *, request_id: bytes) -> bytes:
    """Return *error* as the JSON of RFC 9457, ending in a newline."""
    members: dict[str, object] = {
        "type": f"urn:bearer-proxy:error:{error.code}",
        "title": error.kind.title,
        "status": error.status,
        "detail": error.detail,
        "instance": f"urn:request:{request_id.decode('ascii')}",
        "code": error.code,
    }
    if error.retry_after is not None:
        members["retry_after"] = error.retry_after
    if error.hint:
        members["hint"] = error.hint
    return json.dumps(members, ensure_ascii=True).encode("ascii") + b"\n"


def _quoted(text: str) -> str:
    """Return *text* as a string of RFC 9651, which knows printable ASCII only."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    508: "Loop Detected",
}
