"""
Every answer that the proxy gives in its own name.

Rule 1: one kind for each thing an operator would do differently. Body, log and metric label derive
        from the same three facts: code, status, side.

Rule 2: never 401. A 401 is the upstream's word about a credential; ours would blur whose it is.

Rule 3: a detail is written for the local caller. It holds no credential, no issuer's body and
        nothing else that is not theirs to read.

Reference: RFC 9457 (problem details), RFC 9209 section 2.3 (Proxy-Status error types).
"""

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """Whose fault an error is; the access log's ``side`` and the status page's colours."""

    DOWNSTREAM = "downstream"
    TOKEN = "token"
    UPSTREAM = "upstream"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A row of the error table: *proxy_status* is RFC 9209's word for it."""

    code: str
    status: int
    title: str
    side: Side
    proxy_status: str


def _table(*rows: ErrorKind) -> dict[str, ErrorKind]:
    return {row.code: row for row in rows}


_down, _token, _up, _own = Side.DOWNSTREAM, Side.TOKEN, Side.UPSTREAM, Side.PROXY

KINDS = _table(
    ErrorKind("bad_request", 400, "Malformed or ambiguous HTTP", _down, "http_request_error"),
    ErrorKind("request_timeout", 408, "Request too slow", _down, "http_request_error"),
    ErrorKind("caller_not_allowed", 403, "Caller not allowed", _down, "http_request_denied"),
    ErrorKind("host_not_allowed", 403, "Host not allowed", _down, "http_request_denied"),
    ErrorKind("origin_not_allowed", 403, "Origin not allowed", _down, "http_request_denied"),
    ErrorKind("method_not_allowed", 403, "Method not allowed", _down, "http_request_denied"),
    ErrorKind("path_not_allowed", 403, "Path not allowed", _down, "http_request_denied"),
    ErrorKind(
        "token_endpoint_blocked", 403, "Token endpoint blocked", _down, "http_request_denied"
    ),
    ErrorKind("target_too_long", 414, "Request target too long", _down, "http_request_error"),
    ErrorKind("head_too_large", 431, "Request head too large", _down, "http_request_error"),
    ErrorKind("body_too_large", 413, "Request body too large", _down, "http_request_error"),
    ErrorKind("loop_detected", 508, "Loop detected", _down, "proxy_loop_detected"),
    ErrorKind("token_pending", 503, "No token yet", _token, "destination_unavailable"),
    ErrorKind("issuer_unreachable", 503, "Issuer unreachable", _token, "destination_unavailable"),
    ErrorKind("issuer_rate_limited", 503, "Issuer rate-limited", _token, "destination_unavailable"),
    ErrorKind("secret_unreadable", 503, "No client secret", _token, "proxy_configuration_error"),
    ErrorKind(
        "credentials_rejected", 503, "Credentials rejected", _token, "proxy_configuration_error"
    ),
    ErrorKind("issuer_bad_response", 503, "Bad issuer response", _token, "destination_unavailable"),
    ErrorKind("upstream_unreachable", 502, "Upstream unreachable", _up, "connection_refused"),
    ErrorKind("upstream_tls_failed", 502, "Upstream TLS failed", _up, "tls_protocol_error"),
    ErrorKind("upstream_dns_failed", 502, "Upstream name not resolved", _up, "dns_error"),
    ErrorKind("upstream_closed", 502, "Upstream closed", _up, "connection_terminated"),
    ErrorKind("upstream_bad_response", 502, "Bad upstream response", _up, "http_protocol_error"),
    ErrorKind("upstream_timeout", 504, "Upstream timed out", _up, "http_response_timeout"),
    ErrorKind("overloaded", 503, "Overloaded", _own, "connection_limit_reached"),
    ErrorKind("draining", 503, "Draining", _own, "destination_unavailable"),
)


class ProxyError(Exception):
    """
    An answer of our own, as a value that may also be raised.

    *detail* says what happened and to whom; *hint* what to do next, and no answer is without one;
    *retry_after* is whole seconds, given with every 503. *proxy_status* refines the kind's RFC 9209
    error type where more is known.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        hint: str = "",
        retry_after: int | None = None,
        proxy_status: str = "",
    ) -> None:
        super().__init__(detail)
        self.kind = KINDS[code]
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after
        self.proxy_status = proxy_status or self.kind.proxy_status

    @property
    def code(self) -> str:
        """The stable word that clients may match on."""
        return self.kind.code

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.kind.status

    @property
    def said(self) -> str:
        """Detail and hint, which a client gets apart, as log and status page have them."""
        return f"{self.detail} {self.hint}".rstrip()

    def on_the_way(self, listener: str, upstream: str) -> "ProxyError":
        """
        Return the same with both ends of the way in its detail.

        *listener* is where the request came in. The *upstream* is not for those to know whose
        request was refused, be it a web page that has rebound its name.
        """
        way = f"The request came in at {listener}" if listener else ""
        if way and self.kind.side is not Side.DOWNSTREAM and upstream not in self.detail:
            way += f" and was for {upstream}"
        return ProxyError(
            self.code,
            f"{self.detail} {way}." if way else self.detail,
            hint=self.hint,
            retry_after=self.retry_after,
            proxy_status=self.proxy_status,
        )
