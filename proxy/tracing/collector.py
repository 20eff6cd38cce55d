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
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

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
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_FINE, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
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
        self._resource = _resource(version)
        self._scope = InstrumentationScope(_NAME, version)
        self._failing = False
        self._added = self._lost = 0
        self._lost_at = -_LOST_AGAIN_SECONDS
        try:
            self._most = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUE)
            session = _Session(partial(self._from_thread, self._heard))
            exporter = OTLPSpanExporter(endpoint=destination.url, session=session)
            self._exporter = _Counting(exporter)
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
                self._processor.on_end(self._made(span))
        if self._lost:
            self._say_lost()

    def _made(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        state = TraceState.from_header([span.state.decode("ascii")]) if span.state else None
        parent = None
        if span.parent_id:
            parent = SpanContext(trace_id, int(span.parent_id, 16), span.remote, _SAMPLED)
        status = _FINE
        if span.failed:
            status = Status(StatusCode.ERROR, span.reason) if span.reason else _FAILED
        return ReadableSpan(
            span.name,
            context=SpanContext(
                trace_id,
                int(span.span_id, 16),
                is_remote=False,
                trace_flags=_SAMPLED,
                trace_state=state,
            ),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.SERVER if span.server else SpanKind.CLIENT,
            status=status,
            start_time=int(span.started * 1e9),
            end_time=int(span.ended * 1e9),
            instrumentation_scope=self._scope,
        )

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


def _resource(version: str) -> Resource:
    """Return who we are: by ourselves, and above that by the environment."""
    own = Resource.create({"service.name": _NAME, "service.version": version})
    return own.merge(OTELResourceDetector().detect())


class _Counting(SpanExporter):
    """Another exporter, and how many spans it was given: *taken*, written by its thread alone."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class _Session(requests.Session):
    """Tells *heard*, in words of ours, what came of each request; empty if it was taken."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self.trust_env = False
        self._tell = heard

    def request(self, *arguments: Any, **named: Any) -> requests.Response:
        """Send it; redirects are not followed, as they would take the header fields elsewhere."""
        try:
            answer = super().request(*arguments, **{**named, "allow_redirects": False})
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
