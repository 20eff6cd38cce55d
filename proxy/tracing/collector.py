"""
The collector, as the proxy knows it: takes spans, has a thread send them, says how that goes.

Rule 1: what waits is bounded, and what the collector does not take in time is lost. Neither a
        collector that is down nor one that hangs is waited for, at the end for STOP_SECONDS.

Rule 2: a line for each state, not for each failure, and the words in it are ours.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from proxy.tracing.environment import Destination, Unusable
from proxy.tracing.exporter import Encoded, Exporter, Session, complaints_told
from proxy.tracing.spans import Span

_log = structlog.get_logger()

STOP_SECONDS = 2.0
# For one that fails already.
_STOP_AT_ONCE_SECONDS = 0.1
# The standard's default for OTEL_BSP_MAX_QUEUE_SIZE.
_QUEUE = "2048"
_LOST_AGAIN_SECONDS = 60.0


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
        self._shown = destination.shown
        self._loop = asyncio.get_running_loop()
        self._failing = False
        self._added = self._lost = 0
        self._lost_at = -_LOST_AGAIN_SECONDS
        session = Session(partial(self._from_thread, self._heard))
        try:
            self._most = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or _QUEUE)
            with complaints_told():
                exporter = OTLPSpanExporter(endpoint=destination.url, session=session)
                self._exporter = Exporter(exporter, session, version)
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
                self._processor.on_end(Encoded(span))
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
