"""
The exposition: what Prometheus scrapes.

prometheus_client is imported when it is first scraped, since most proxies on a laptop never are.

Rule 1: names, units and labels are a promise to dashboards and alerts: base units, ``_total``, no
        path and no host in a label.

Rule 2: a family whose label values are known beforehand has all of them from the start, at 0, so
        that a first error is an increase and not a new series.
"""

import platform
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from proxy.metrics import buckets
from proxy.metrics.buckets import Row
from proxy.metrics.counts import Counts
from proxy.metrics.readings import Readings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_PREFIX = "bearer_proxy_"
# Overhead is microseconds, the rest at least a millisecond of network.
_OVERHEAD = (1e-5, 1.0)
_NETWORK = (1e-3, 100.0)
_STATUSES = frozenset(map(int, HTTPStatus)) | {499}


class Exposition:
    """Writes *counts*, and what *read* returns at that moment, for whoever scrapes."""

    def __init__(self, counts: Counts, read: Callable[[], Readings], *, version: str) -> None:
        self._collector = _Collector(counts, read, version)
        self._registry: CollectorRegistry | None = None

    def prepare(self) -> None:
        """Import what ``write`` needs; takes some 50 ms, so a thread is the place for it."""
        if self._registry is None:
            from prometheus_client import CollectorRegistry, ProcessCollector

            registry = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=registry)
            registry.register(self._collector)
            self._registry = registry

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition in the format that the *accept* field asks for, and its type."""
        self.prepare()
        assert self._registry is not None
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Collector:
    """Makes metric families out of plain numbers; has prometheus_client's `Collector` shape."""

    def __init__(self, counts: Counts, read: Callable[[], Readings], version: str) -> None:
        self._counts = counts
        self._read = read
        self._version = version

    def collect(self) -> Iterator["Metric"]:
        """Yield every family."""
        readings = self._read()
        yield from self._build()
        yield from self._requests(readings)
        yield from self._times()
        yield from self._now(readings)
        yield from self._token(readings)
        yield from self._configuration(readings)

    def _build(self) -> Iterator["Metric"]:
        labels = {"version": self._version, "python": platform.python_version()}
        yield _gauge("build_info", "What runs.", {tuple(labels.values()): 1.0}, tuple(labels))

    def _requests(self, readings: Readings) -> Iterator["Metric"]:
        counts = self._counts
        requests: dict[tuple[str, ...], float] = {}
        for method, status, number in counts.requests():
            key = (method, _code(status))
            requests[key] = requests.get(key, 0) + number
        yield _counter(
            "requests", "Requests by the status that the client got.", requests, ("method", "code")
        )
        yield _counter(
            "errors",
            "Answers of the proxy's own by error code.",
            {(code,): number for code, number in counts.errors.items()},
            ("code",),
        )
        for side in ("request", "response"):
            finished: int = getattr(counts, f"{side}_bytes")
            in_flight: int = getattr(readings, f"{side}_bytes")
            yield _counter(
                f"{side}_body_bytes", f"Bytes of {side} bodies.", {(): finished + in_flight}
            )
        yield _counter(
            "upstream_401_replays",
            "Requests sent again with another token after the upstream's 401, by what came of it.",
            {(result,): number for result, number in readings.replays.items()},
            ("result",),
        )

    def _times(self) -> Iterator["Metric"]:
        counts = self._counts
        label = ("code_class",)
        yield _histogram(
            "request_duration_seconds",
            "From a request's head to the end of its answer.",
            {(name,): row for name, row in counts.durations()},
            _NETWORK,
            label,
        )
        yield _histogram(
            "upstream_ttfb_seconds",
            "From a request's head being sent to the upstream to the head of its answer.",
            {(name,): row for name, row in counts.first_bytes()},
            _NETWORK,
            label,
        )
        yield _histogram(
            "overhead_seconds",
            "From a request's head to its being sent: what the proxy itself adds, waiting for a "
            "token or a connection included.",
            {(): counts.overhead},
            _OVERHEAD,
        )
        yield _histogram(
            "token_refresh_duration_seconds",
            "How long the issuer took, whatever it answered.",
            {(): counts.refreshes},
            _NETWORK,
        )

    def _now(self, readings: Readings) -> Iterator["Metric"]:
        waiting = "Requests that wait for "
        yield _gauge("requests_in_flight", "Requests under way.", {(): readings.in_flight})
        yield _gauge(
            "requests_waiting_for_token", f"{waiting}a token.", {(): readings.waiting_for_token}
        )
        yield _gauge("requests_queued", f"{waiting}a connection.", {(): readings.queued})
        yield _gauge(
            "upstream_connections",
            "Connections to the upstream by state.",
            {(state,): number for state, number in readings.connections.items()},
            ("state",),
        )

        workers = "Worker processes that serve; 0 where one process does everything."
        yield _gauge("workers", workers, {(): readings.workers})

    def _token(self, readings: Readings) -> Iterator["Metric"]:
        token = readings.token
        yield _gauge(
            "token_expiry_timestamp_seconds",
            "When the token expires, as Unix time; 0 while there is none.",
            {(): token.expires_at or 0.0},
        )
        yield _gauge(
            "token_next_refresh_timestamp_seconds",
            "When the issuer is asked next, as Unix time.",
            {(): token.next_try_at},
        )
        yield _gauge(
            "token_consecutive_failures",
            "How often in a row the issuer has brought no token.",
            {(): token.consecutive_failures},
        )
        yield _counter(
            "token_refreshes",
            "Exchanges with the issuer by result.",
            {(result,): number for result, number in token.counts.items()},
            ("result",),
        )

    def _configuration(self, readings: Readings) -> Iterator["Metric"]:
        yield _gauge(
            "config_last_reload_successful",
            "Whether the last configuration that was read could be used.",
            {(): float(readings.reload_succeeded)},
        )
        yield _gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read, as Unix time.",
            {(): readings.reloaded_at},
        )


_Samples = dict[tuple[str, ...], float]


def _code(status: int) -> str:
    """Return the label of *status*: an upstream that invents statuses makes no new series."""
    return str(status) if status in _STATUSES else f"{status // 100}xx"


def _gauge(name: str, text: str, samples: _Samples, labels: tuple[str, ...] = ()) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(_PREFIX + name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, samples: _Samples, labels: tuple[str, ...] = ()) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(_PREFIX + name, text, labels=labels)
    for values, number in samples.items():
        family.add_metric(values, number)
    return family


def _histogram(
    name: str,
    text: str,
    rows: dict[tuple[str, ...], Row],
    bounds: tuple[float, float],
    labels: tuple[str, ...] = (),
) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    least, most = bounds
    family = HistogramMetricFamily(_PREFIX + name, text, labels=labels)
    for values, row in rows.items():
        family.add_metric(
            values, list(buckets.cumulative(row, least=least, most=most)), sum_value=row[-1]
        )
    return family
