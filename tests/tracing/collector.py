"""A collector of OTLP over HTTP in this very process: takes, refuses or hangs as it is told."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """A span as the collector has it, its attributes and its resource's as dictionaries."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    started: int
    ended: int
    attributes: dict[str, Any]
    failed: bool
    reason: str
    resource: dict[str, Any]


class Collector:
    """
    Listens on a free port of the loopback.

    ``status`` is what it answers with, after those in ``once``; while ``open`` is not set it does
    not answer at all. ``bodies`` and ``fields`` are those of all requests.
    """

    def __init__(self) -> None:
        self.status = 200
        self.once: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.bodies: list[bytes] = []
        self.fields: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._came = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._responder())
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _responder(collector) -> type[BaseHTTPRequestHandler]:
        class Responder(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                with collector._came:
                    collector.bodies.append(body)
                    collector.fields.append({k.lower(): v for k, v in self.headers.items()})
                    collector.paths.append(self.path)
                    collector._came.notify_all()
                collector.open.wait(PATIENCE_SECONDS)
                status = collector.once.pop() if collector.once else collector.status
                self.send_response(status, "As told")
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Responder

    def until(self, spans: int) -> list[Received]:
        """Wait until so many spans have come, and return all."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.spans) >= spans, PATIENCE_SECONDS), (
                self.spans
            )
        return self.spans

    def until_asked(self, times: int) -> None:
        """Wait until it was sent something so often."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.bodies) >= times, PATIENCE_SECONDS)

    @property
    def spans(self) -> list[Received]:
        """What came, whether it was taken or not."""
        return [span for body in self.bodies for span in _spans(body)]

    def __enter__(self) -> "Collector":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def nobody() -> Iterator[str]:
    """Give the URL of a port where nobody listens."""
    with Collector() as gone:
        url = gone.url
    yield url


def _spans(body: bytes) -> Iterator[Received]:
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(resource_spans.resource.attributes)
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.trace_state,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _values(span.attributes),
                    span.status.code == 2,
                    span.status.message,
                    resource,
                )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
