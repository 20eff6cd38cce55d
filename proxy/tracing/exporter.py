"""
What the OpenTelemetry SDK does for us, and what it does not.

It reads the standard's variables, queues, compresses, sends and tries again. Spans it is handed are
encoded already, and its own lines are not written: they quote header fields, and what a collector
answered.

Rule 1: spans go straight to the collector: no proxy of the environment, which may be this very
        proxy, no netrc, no redirect.
"""

import gzip
import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
import structlog
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from proxy.tracing import wire
from proxy.tracing.spans import Span

_log = structlog.get_logger()

_NAME = "bearer-proxy"
_COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
# Where the SDK and what it sends with say things, and the places of values in that.
_LOGGERS = ("opentelemetry", "urllib3")
_VALUE = re.compile(r"%[a-z]")


@contextmanager
def complaints_told() -> Iterator[None]:
    """Tell what the SDK finds wrong with its variables, without their values; then silence it."""
    logger, complaints = logging.getLogger("opentelemetry"), _Complaints()
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logger.setLevel(logging.WARNING)
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        yield
    finally:
        logger.setLevel(logging.CRITICAL + 1)
        logger.removeHandler(complaints)
        logger.propagate = True


class _Complaints(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _log.warning("tracing.variable_ignored", message=_VALUE.sub("…", str(record.msg)))


class Encoded(ReadableSpan):
    """A span on its way through the SDK's queue, of which it knows no more than that it goes."""

    CONTEXT = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def __init__(self, span: Span) -> None:
        self._context = self.CONTEXT
        self.data = wire.encoded(span)


class Exporter(SpanExporter):
    """
    Sends what is encoded already by *exporter*, which is given no span and encodes none.

    It brings all else that an exporter needs: the standard's variables, compression, retries.
    *taken* is how many spans it was given, written by its thread alone.
    """

    def __init__(self, exporter: SpanExporter, session: "Session", version: str) -> None:
        self._exporter = exporter
        self._session = session
        self._around = _around(version)
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        data = (span.data for span in spans if isinstance(span, Encoded))
        self._session.content = wire.request(*self._around, data)
        return self._exporter.export(())

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _around(version: str) -> tuple[bytes, bytes]:
    """Return resource and scope, encoded: who we are, by ourselves and above that by variables."""
    resource = Resource({"service.version": version}).merge(Resource.create())
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": _NAME}))
    scope = InstrumentationScope(_NAME, version)
    nothing = ReadableSpan(
        "", context=Encoded.CONTEXT, resource=resource, instrumentation_scope=scope
    )
    (whole,) = encode_spans([nothing]).resource_spans
    return whole.resource.SerializeToString(), whole.scope_spans[0].scope.SerializeToString()


class Session(requests.Session):
    """
    Sends *content* as the body of each request, compressed as its head says.

    Tells *heard*, in words of ours, what came of it; empty if it was taken.
    """

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self.trust_env = False
        self.content = b""
        self._tell = heard

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send it; redirects are not followed, as they would take the header fields elsewhere."""
        pack = _COMPRESSIONS.get(str(request.headers.get("Content-Encoding")), bytes)
        request.prepare_body(pack(self.content), None)
        try:
            answer = super().send(request, **{**options, "allow_redirects": False})
        except Exception as error:
            self._tell(_cause(error))
            raise
        self._tell("" if 200 <= answer.status_code < 300 else f"it answered {answer.status_code}")
        return answer


def _cause(error: Exception) -> str:
    match error:
        case requests.Timeout():
            return "it did not answer in time"
        case requests.exceptions.SSLError():
            return "there is no TLS session that can be trusted"
        case requests.ConnectionError():
            return "it can't be reached"
        case _:
            return f"it can't be sent to ({type(error).__name__})"
