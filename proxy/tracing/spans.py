"""
From what is known of a request that is over to its spans, by OpenTelemetry's HTTP conventions.

Rule 1: what clients choose is bounded and shown as in the access log; a method that is none of the
        usual ones is ``_OTHER``.

Rule 2: whose failure it was stays visible: the server span of a request that we refused carries our
        code as error.type, one that the upstream failed the upstream's status.

Reference: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proxy.errors import KINDS, Side

# A request that is over, in the order in which every journal is told; its Trace comes last.
Facts = tuple[Any, ...]
# What a client chose, as it may be shown; a text without what is secret.
Show = Callable[[bytes], str]
Hide = Callable[[str], str]
Attributes = dict[str, str | int]

_PLAIN = 14  # facts that every request has, whether it stands in a trace or not
_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
)
# RFC 1035 section 2.3.4.
_LONGEST_HOST = 255
_LEFT, _NOTHING_SENT = "client_closed", 499
_PORTS = {"http": 80, "https": 443}
_HIDDEN_QUERY = "?REDACTED"
# What is asked for repeats, and so does who asks.
_REMEMBERED, _LONGEST_REMEMBERED = 1024, 1024


class Span(NamedTuple):
    """
    A span that is over. *started* and *ended* are Unix time; ids are in hexadecimal.

    *parent_id* is empty for the root of a trace, *remote* if the parent is not this process'. A
    span that *failed* may say why in a *reason*.
    """

    name: str
    server: bool
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    remote: bool
    state: bytes
    started: float
    ended: float
    attributes: Attributes
    failed: bool
    reason: str = ""


def is_recorded(facts: Facts) -> bool:
    """Tell whether a request stands in a trace that is recorded."""
    return len(facts) > _PLAIN and facts[_PLAIN].sampled


def of_request(facts: Facts, *, show: Show, hide: Hide) -> list[Span]:
    """
    Return the server span, and a client span for each time that the request was sent.

    What repeats is remembered with *show*: another one is needed when that would say another thing.
    """
    (
        at, method, target, status, _, duration, _, _,
        _, _, error, client, _, detail, place,
    ) = facts  # fmt: skip
    meaning, parent = place.meaning, place.parent
    began = at - duration
    state = parent.state if parent else b""
    brief = len(target) <= _LONGEST_REMEMBERED
    describe = _received if brief else _received.__wrapped__
    host, minor = meaning.received.host, meaning.received.minor
    name, received = describe(method, target, host, minor, show)
    answered = 0 if status == _NOTHING_SENT and error == _LEFT else status
    found = [
        Span(
            name,
            True,
            place.trace_id,
            place.span_id,
            parent.span_id if parent else b"",
            parent is not None,
            state,
            began,
            at,
            {**received, **_address("client", client), **_outcome(answered, error, 500)},
            status >= 500 or _is_ours(error),
            hide(detail),
        )
    ]
    if place.attempts:
        locate = _sent if brief else _sent.__wrapped__
        sent = locate(method, meaning.line, place.base.scheme, place.base.authority, show)
        before = began - place.started
    for resent, attempt in enumerate(place.attempts):
        attributes = {
            **sent,
            **_address("network.peer", attempt.remote),
            **_outcome(attempt.status, attempt.error, 400),
        }
        if resent:
            attributes["http.request.resend_count"] = resent
        found.append(
            Span(
                name,
                False,
                place.trace_id,
                attempt.span_id,
                place.span_id,
                False,
                state,
                # Never outside of its parent: sums of such numbers are a few hundred ns off.
                max(before + attempt.started, began),
                min(before + attempt.ended, at),
                attributes,
                bool(attempt.error) or attempt.status >= 400,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Issuance:
    """An exchange with the issuer at *url*, as the token's life has it; *at* its end, Unix time."""

    url: str
    at: float
    duration: float
    result: str
    cause: str
    status: int | None


def of_issuance(issuance: Issuance, trace_id: bytes, span_id: bytes) -> Span:
    """Return the client span of a token request, in a trace of its own."""
    ok = issuance.result == "ok"
    parts = urlsplit(issuance.url)
    return Span(
        name="POST token",
        server=False,
        trace_id=trace_id,
        span_id=span_id,
        parent_id=b"",
        remote=False,
        state=b"",
        started=issuance.at - issuance.duration,
        ended=issuance.at,
        attributes={
            "http.request.method": "POST",
            "url.full": issuance.url,
            "server.address": parts.hostname or "",
            "server.port": parts.port or _PORTS[parts.scheme],
            **({"http.response.status_code": issuance.status} if issuance.status else {}),
            "bearer_proxy.token.result": issuance.result,
            **({} if ok else {"error.type": issuance.result}),
        },
        failed=not ok,
        reason=issuance.cause,
    )


def _method(method: bytes, show: Show) -> tuple[str, Attributes]:
    if method in _METHODS:
        name = method.decode()
        return name, {"http.request.method": name}
    return "HTTP", {
        "http.request.method": "_OTHER",
        "http.request.method_original": show(method),
    }


def _outcome(status: int, error: str, least: int) -> Attributes:
    """Return what came of it; a status of *least* or more is a failure."""
    found: Attributes = {"http.response.status_code": status} if status else {}
    if error or status >= least:
        found["error.type"] = error or str(status)
    return found


def _is_ours(error: str) -> bool:
    """Tell whether the code *error* stands for a failure: of anyone but the client."""
    return error in KINDS and KINDS[error].side is not Side.DOWNSTREAM


@lru_cache(maxsize=_REMEMBERED)
def _received(
    method: bytes, target: bytes, host: bytes, minor: int, show: Show
) -> tuple[str, Attributes]:
    """Return a request's name, and what the client asked for, and whom."""
    name, attributes = _method(method, show)
    return name, {
        **attributes,
        "url.scheme": "http",
        "url.path": show(_path(target)),
        "network.protocol.version": "1.1" if minor else "1.0",
        **_host(host, show),
    }


def _path(target: bytes) -> bytes:
    """Return the path of any form of target: no query, no user and password."""
    path = target.partition(b"?")[0]
    if path[:1] == b"/" or b"://" not in path:
        return path
    return b"/" + path.partition(b"://")[2].partition(b"/")[2]


def _host(authority: bytes, show: Show) -> Attributes:
    if not authority or len(authority) > _LONGEST_HOST:
        return {}
    return _address("server", show(authority)) or {"server.address": show(authority)}


@lru_cache(maxsize=_REMEMBERED)
def _address(name: str, address: str) -> Attributes:
    """Return ``host:port``, whatever stands behind it, as attributes; none if there is no port."""
    host, colon, port = address.partition(" ")[0].rpartition(":")
    if not (colon and port.isdecimal()):
        return {}
    return {f"{name}.address": host.strip("[]"), f"{name}.port": int(port)}


@lru_cache(maxsize=_REMEMBERED)
def _sent(method: bytes, line: bytes, scheme: bytes, authority: bytes, show: Show) -> Attributes:
    """Return where the request with this *line* goes, its query left out."""
    sent = line.split(b" ")[1] if line else b""
    path, mark, _ = sent.partition(b"?")
    where, upstream = scheme.decode(), authority.decode()
    shown = show(path) if path[:1] == b"/" else ""
    return {
        **_method(method, show)[1],
        "url.full": f"{where}://{upstream}{shown}{_HIDDEN_QUERY if mark else ''}",
        "network.protocol.version": "1.1",
        **(
            _address("server", upstream)
            or {"server.address": upstream.strip("[]"), "server.port": _PORTS[where]}
        ),
    }
