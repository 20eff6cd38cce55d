"""Tracing, put together if it is asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from proxy import __version__, log
from proxy.app.compose import StartError
from proxy.log.access import shown
from proxy.log.secrets import SECRETS
from proxy.settings.address import TcpAddress, is_loopback
from proxy.settings.model import Settings
from proxy.tokens import POLICY, Kind, Outcome
from proxy.tracing import Destination, Issuance, Tracer, Unusable, environment, spans
from proxy.tracing.sampling import Sampling, sampling

if TYPE_CHECKING:
    from proxy.tracing.collector import Collector

_log = structlog.get_logger()
_NOT_ASKED = POLICY[Kind.UNREADABLE].result


class Tracing:
    """
    Places requests in traces (*tracer*), and tells a collector of those that are over.

    Made within a running loop; ``stop`` sends what is left.
    """

    def __init__(self, tracer: Tracer, collector: "Collector") -> None:
        self.tracer = tracer
        self._collector = collector
        self._show = partial(shown, hide=SECRETS.hide)
        self._generation = SECRETS.generation
        self._has_failed = False

    def tell(self, requests: Iterable[tuple[Any, ...]]) -> None:
        """Tell of *requests* that are over, as far as they stand in traces that are recorded."""
        if self._generation != SECRETS.generation:
            # Another object: what was shown before there was this secret is not shown again.
            self._show = partial(shown, hide=SECRETS.hide)
            self._generation = SECRETS.generation
        try:
            self._collector.add(
                span
                for facts in requests
                if spans.is_recorded(facts)
                for span in spans.of_request(facts, show=self._show, hide=SECRETS.hide)
            )
        except Exception as error:
            # A defect of ours costs spans: whoever tells us has requests to answer.
            self._failed(error)

    def tell_issuance(self, url: str, outcome: Outcome) -> None:
        """Tell of an exchange with the issuer at *url*, in a trace of its own."""
        trace_id, span_id, recorded = self.tracer.root()
        if recorded and outcome.result != _NOT_ASKED:
            known = Issuance(
                url, outcome.at, outcome.duration, outcome.result, outcome.cause, outcome.status
            )
            self._collector.add([spans.of_issuance(known, trace_id, span_id)])

    def _failed(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            _log.error("tracing.failed", exc_info=error)

    async def stop(self) -> None:
        """Send what is left; returns within seconds, whatever the collector does."""
        await self._collector.stop()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: where spans go, and which traces are recorded."""

    destination: Destination
    sampling: Sampling


def plan(settings: Settings, environ: Mapping[str, str]) -> Plan | None:
    """
    Return what *settings* and the standard's variables ask for, None if that is no tracing.

    StartError if it can't work. Nothing is opened.
    """
    if not settings.tracing.enabled or environment.disabled(environ):
        return None
    if settings.process.workers:
        raise StartError("tracing.enabled needs process.workers = 0: workers send no spans")
    try:
        destination = environment.destination(settings.tracing.endpoint, environ)
        _check(destination, settings)
        return Plan(destination, sampling(environ))
    except Unusable as error:
        raise StartError(f"cannot trace: {error}") from None


def tracing(settings: Settings, environ: Mapping[str, str]) -> Tracing | None:
    """Begin what is asked for, within a running loop; None and StartError as of ``plan``."""
    asked_for = plan(settings, environ)
    if asked_for is None:
        return None
    # Takes a quarter of a second, and is there with the extra alone.
    from proxy.tracing.collector import Collector

    destination = asked_for.destination
    for secret in destination.secrets:
        log.protect(secret)
    try:
        collector = Collector(destination, environ, version=__version__)
    except Unusable as error:
        raise StartError(f"cannot trace: {error}") from None
    if destination.secrets and not destination.encrypted and not is_loopback(destination.host):
        _log.warning(
            "tracing.exposed",
            endpoint=destination.shown,
            message="the header fields of OTEL_EXPORTER_OTLP_HEADERS can be read on the way;"
            " use https",
        )
    _log.info("tracing.started", endpoint=destination.shown)
    return Tracing(Tracer(asked_for.sampling), collector)


def _check(destination: Destination, settings: Settings) -> None:
    """Raise Unusable if spans would come in as requests, each of which makes further spans."""
    places = [each for each in settings.listen.address if isinstance(each, TcpAddress)]
    hosts = {each.host for each in places if each.port == destination.port}
    if hosts and (destination.host in hosts or is_loopback(destination.host)):
        raise Unusable(f"{destination.shown} is the proxy itself; set tracing.endpoint")
