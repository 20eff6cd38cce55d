"""
From what is known of a request that is over to its spans, by OpenTelemetry's HTTP conventions.

Rule 1: what clients choose is bounded and shown as in the access log; a method that is none of the
        usual ones is ``_OTHER``.

Rule 2: whose failure it was stays visible: the server span of a request that we refused carries our
        code as error.type, one that the upstream failed the upstream's status.

Reference: https://opentelemetry.io/docs/specs/semconv/http/http-spans/ (stable).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from proxy.errors import KINDS, Side
from proxy.policy.target import Base
from proxy.policy.trace import Attempt, Trace

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


@dataclass(frozen=True, slots=True)
class Span:
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
    attributes: Mapping[str, str | int]
    failed: bool
    reason: str = ""


def is_recorded(facts: Facts) -> bool:
    """Tell whether a request stands in a trace that is recorded."""
    return len(facts) > _PLAIN and facts[_PLAIN].sampled


def of_request(facts: Facts, *, show: Show, hide: Hide) -> Iterator[Span]:
    """Yield the server span and a client span for each time that the request was sent."""
    (
        at, method, target, status, _, duration, _, _,
        _, _, error, client, _, detail, place,
    ) = facts  # fmt: skip
    began = at - duration
    state = place.parent.state if place.parent else b""
    name, attributes = _method(method, show)
    yield Span(
        name=name,
        server=True,
        trace_id=place.trace_id,
        span_id=place.span_id,
        parent_id=place.parent.span_id if place.parent else b"",
        remote=place.parent is not None,
        state=state,
        started=began,
        ended=at,
        attributes={
            **attributes,
            **_received(target, client, place, show),
            **_outcome(0 if status == _NOTHING_SENT and error == _LEFT else status, error, 500),
        },
        failed=status >= 500 or _is_ours(error),
        reason=hide(detail),
    )
    sent_to = _sent_to(place, show)
    for resent, attempt in enumerate(place.attempts):
        yield Span(
            name=name,
            server=False,
            trace_id=place.trace_id,
            span_id=attempt.span_id,
            parent_id=place.span_id,
            remote=False,
            state=state,
            started=began + (attempt.started - place.started),
            ended=began + (attempt.ended - place.started),
            attributes={
                **attributes,
                **sent_to,
                **_peer(attempt),
                **({"http.request.resend_count": resent} if resent else {}),
                **_outcome(attempt.status, attempt.error, 400),
            },
            failed=bool(attempt.error) or attempt.status >= 400,
        )


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


def _received(target: bytes, client: str, place: Trace, show: Show) -> Attributes:
    """Return what the client asked for, and whom."""
    received = place.asked.received
    return {
        "url.scheme": "http",
        "url.path": show(_path(target)),
        "network.protocol.version": "1.1" if received.minor else "1.0",
        **_host(received.host, show),
        **_address("client", client.partition(" ")[0]),
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


def _address(name: str, address: str) -> Attributes:
    """Return ``host:port`` as two attributes; nothing for what has no port."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return {}
    return {f"{name}.address": host.strip("[]"), f"{name}.port": int(port)}


def _peer(attempt: Attempt) -> Attributes:
    return _address("network.peer", attempt.remote)


def _sent_to(place: Trace, show: Show) -> Attributes:
    """Return where the request goes, its query left out."""
    base: Base = place.base
    sent = place.asked.line.split(b" ")[1] if place.asked.line else b""
    path, mark, _ = sent.partition(b"?")
    scheme, authority = base.scheme.decode(), base.authority.decode()
    shown = show(path) if path[:1] == b"/" else ""
    return {
        "url.full": f"{scheme}://{authority}{shown}{_HIDDEN_QUERY if mark else ''}",
        "network.protocol.version": "1.1",
        **(
            _address("server", authority)
            or {"server.address": authority.strip("[]"), "server.port": _PORTS[scheme]}
        ),
    }
