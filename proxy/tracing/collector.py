"""
Sending spans to a collector, by the OpenTelemetry SDK: the only module that imports it.

Rule 1: what waits is bounded, and what the collector does not take in time is lost. Neither a
        collector that is down nor one that hangs is waited for, at the end for STOP_SECONDS.

Rule 2: a line for each state, not for each failure, and the words in it are ours. The SDK's own
        lines quote header fields and what the collector answered.

Rule 3: spans go straight to the collector: no proxy of the environment, which may be this very
        proxy, no netrc, no redirect.
"""

import asyncio
import gzip
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import requests
import structlog
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from proxy.tracing import wire
from proxy.tracing.environment import Destination, Unusable
from proxy.tracing.spans import Span

_log = structlog.get_logger()

STOP_SECONDS = 2.0
# For one that fails already.
_STOP_AT_ONCE_SECONDS = 0.1
_NAME = "bearer-proxy"
# The standard's default for OTEL_BSP_MAX_QUEUE_SIZE.
_QUEUE = "2048"
_LOST_AGAIN_SECONDS = 60.0
_COMPRESSIONS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
# Where the SDK and what it sends with say things.
_LOGGERS = ("opentelemetry", "urllib3")


class Collector:
    """
    Takes spans, and has a thread send them to *destination*.

    Made within a running loop, whose thread alone calls it. The standard's variables for resource,
    batches and the exporter hold; *environ* is the process' environment, which the SDK reads as
    well. Unusable if one of them can't be used.
    """

    def __init__(
        self, destination: Destination, environ: Mapping[str, str], *, version: str
    ) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._shown = destination.shown
        self._loop = asyncio.get_running_loop()
        self._failing = False
        self._added = self._lost = 0
        self._lost_at = -_LOST_AGAIN_SECONDS
        try:
            self._most = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUE)
            session = _Session(partial(self._from_thread, self._heard))
            exporter = OTLPSpanExporter(endpoint=destination.url, session=session)
            self._exporter = _Exporter(exporter, session, version)
            self._processor = BatchSpanProcessor(self._exporter, max_queue_size=self._most)
        except ValueError:
            raise Unusable(
                "the OTEL_BSP_* variables do not fit together: all are positive whole numbers, and"
                " a batch is no larger than the queue"
            ) from None

    def add(self, spans: Iterable[Span]) -> None:
        """Have *spans* sent soon; as many as there is no room for are lost."""
        for span in spans:
            if self._added - self._exporter.taken >= self._most:
                self._lost += 1
            else:
                self._added += 1
                self._processor.on_end(_Encoded(span))
        if self._lost:
            self._say_lost()

    async def stop(self) -> None:
        """Send what is left, for STOP_SECONDS at most."""
        over = asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]
            self._from_thread(over.set)

        # Not the loop's executor: whose end would wait for this thread, however long it takes.
        threading.Thread(target=shut_down, name="tracing stop", daemon=True).start()
        try:
            async with asyncio.timeout(_STOP_AT_ONCE_SECONDS if self._failing else STOP_SECONDS):
                await over.wait()
        except TimeoutError:
            _log.warning("tracing.cut_off", endpoint=self._shown)
            self._exporter.shutdown()

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
            self._loop.call_soon_threadsafe(call, *arguments)

    def _heard(self, trouble: str) -> None:
        """Say it when exports begin to fail, and when they succeed again."""
        if bool(trouble) == self._failing:
            return
        self._failing = bool(trouble)
        if trouble:
            _log.warning(
                "tracing.export_failed",
                endpoint=self._shown,
                cause=trouble,
                message="spans are lost until it succeeds; requests are served as ever",
            )
        else:
            _log.info("tracing.export_recovered", endpoint=self._shown)

    def _say_lost(self) -> None:
        now = time.monotonic()
        if now - self._lost_at < _LOST_AGAIN_SECONDS:
            return
        _log.warning(
            "tracing.spans_lost",
            endpoint=self._shown,
            spans=self._lost,
            message="more requests than spans can be sent of; OTEL_TRACES_SAMPLER records fewer",
        )
        self._lost, self._lost_at = 0, now


class _Encoded(ReadableSpan):
    """A span on its way through the SDK's queue, of which it knows no more than that it goes."""

    _SENT = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    def __init__(self, span: Span) -> None:
        self._context = self._SENT
        self.data = wire.encoded(span)


class _Exporter(SpanExporter):
    """
    Sends what is encoded already by *exporter*, which is given no span and encodes none.

    It brings all else that an exporter needs: the standard's variables, compression, retries.
    *taken* is how many spans it was given, written by its thread alone.
    """

    def __init__(self, exporter: SpanExporter, session: "_Session", version: str) -> None:
        self._exporter = exporter
        self._session = session
        self._around = _around(version)
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        data = (span.data for span in spans if isinstance(span, _Encoded))
        self._session.content = wire.request(*self._around, data)
        return self._exporter.export(())

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _around(version: str) -> tuple[bytes, bytes]:
    """Return resource and scope, encoded: who we are, by ourselves and above that by variables."""
    own = Resource.create({"service.name": _NAME, "service.version": version})
    resource = own.merge(OTELResourceDetector().detect())
    scope = InstrumentationScope(_NAME, version)
    nothing = ReadableSpan(
        "", context=_Encoded._SENT, resource=resource, instrumentation_scope=scope
    )
    (whole,) = encode_spans([nothing]).resource_spans
    return whole.resource.SerializeToString(), whole.scope_spans[0].scope.SerializeToString()


class _Session(requests.Session):
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
