"""
An exchange that tells where in a trace it stands; composed in place of the plain one.

The upstream is told that this hop is its parent, with another span for every time that the request
is sent. What became of each is noted with its times, and told with the facts of the whole: spans
are made of that when the answer is gone.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from proxy.dataplane.exchange import Exchange
from proxy.dataplane.plane import Plane
from proxy.errors import ProxyError
from proxy.policy import trace, verdict
from proxy.policy.answer import Answered
from proxy.policy.target import Base
from proxy.policy.trace import Attempt, Trace
from proxy.policy.verdict import Asked, Forward

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.plane import MakeExchange
    from proxy.dataplane.upstream import Upstream


class Tracer(Protocol):
    """Makes ids and decides what is recorded; called on the path of every request."""

    def begin(self, asked: Asked, base: Base, started: float) -> Trace:
        """Return the place of a request that has *started* now."""
        ...

    def new_span(self) -> bytes:
        """Return the id of one more span, in hexadecimal."""
        ...


class TracedExchange(Exchange):
    """An exchange with its place in a trace."""

    _attempt: Attempt | None = None  # the one under way
    _span_id = b""  # its id, until it is sent

    def __init__(
        self,
        downstream: "Downstream",
        plane: Plane,
        asked: Asked,
        values: tuple[bytes, ...],
        *,
        tracer: Tracer,
    ) -> None:
        # Where it comes from may be one of the values, and is not what is sent.
        asked = verdict.filled(asked, values)
        super().__init__(downstream, plane, asked, ())
        self._tracer = tracer
        self._trace = tracer.begin(asked, self._route.rules.base, self._started)

    def _connect(self, forward: Forward) -> None:
        self._attempt_begins()
        super()._connect(forward)

    def attach(self, upstream: "Upstream", forward: Forward) -> None:
        """Send *forward* on *upstream*, and whatever of the body has come by now."""
        if not self._span_id:
            self._attempt_begins()  # without connecting
        # Host stays the first field (RFC 9110 section 7.2).
        line, host, fields = trace.without(forward.head).split(b"\r\n", 2)
        parent, self._span_id = self._trace.field_lines(self._span_id), b""
        if self._attempt is not None:
            self._attempt.remote = upstream.remote
        head = b"%b\r\n%b\r\n%b%b" % (line, host, parent, fields)
        super().attach(upstream, Forward(head, forward.credential))

    def answer_at_once(self, answered: Answered, piece: bytes) -> bool:
        """Nothing is passed on so: the short way tells no trace."""
        return False

    # How an attempt begins, and the ways in which it ends.

    def _attempt_begins(self) -> None:
        self._span_id = self._tracer.new_span()
        if self._trace.sampled:
            self._attempt = Attempt(self._span_id, time.monotonic())
            self._trace.attempts.append(self._attempt)

    def _attempt_ends(self, status: int, code: str, now: float = 0.0) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.ended = now or time.monotonic()
            attempt.status, attempt.error = status, code

    def _replay_instead(self, answered: Answered) -> bool:
        replays = super()._replay_instead(answered)
        if replays:
            self._attempt_ends(answered.status, "")
        return replays

    def _retry(self) -> None:
        self._attempt_ends(0, "upstream_closed")
        super()._retry()

    def give_up(self, error: ProxyError) -> None:
        """Answer with the 401 that was held back, if there is one, else with *error*."""
        self._attempt_ends(self._status, error.code)
        super().give_up(error)

    def fail(self, error: ProxyError) -> None:
        """End with *error*: as the answer, or by cutting off one that has begun."""
        self._attempt_ends(self._status, error.code)
        super().fail(error)

    def _record(
        self, status: int, side: str, code: str, now: float, detail: str = "", *_: Trace
    ) -> None:
        self._attempt_ends(self._status, code, now)
        super()._record(status, side, code, now, detail, self._trace)


def traced_by(tracer: Tracer) -> "MakeExchange":
    """Return what makes the exchanges of a plane whose requests *tracer* places."""
    return partial(TracedExchange, tracer=tracer)
