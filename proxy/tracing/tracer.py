"""Ids and decisions: all of tracing that happens while a request is under way."""

import random

from proxy.policy import trace
from proxy.policy.target import Base
from proxy.policy.trace import Trace
from proxy.policy.verdict import Asked
from proxy.tracing.sampling import LOWER_HALF, Sampling


class Tracer:
    """Gives requests their places in traces, as ``dataplane.Tracer`` asks for."""

    def __init__(self, sampling: Sampling) -> None:
        self._keeps = sampling.keeps
        self._bound = sampling.bound
        # Ids have to be different, not secret; this is seeded by the system and four times as fast.
        self._bits = random.Random().getrandbits

    def begin(self, asked: Asked, base: Base, started: float) -> Trace:
        """Return the place of a request: in the trace that it came with, or one of its own."""
        # A request that is refused has no head to send; its fields were understood all the same.
        parent = trace.parent(asked.start or asked.meaning.received.fields)
        if parent is None:
            trace_id, sampled = self._new_trace()
        else:
            trace_id, sampled = parent.trace_id, self._keeps(parent.trace_id, parent)
        return Trace(trace_id, self.new_span(), sampled, parent, asked.meaning, base, started)

    def _new_trace(self) -> tuple[bytes, bool]:
        number = self._bits(128) or 1
        # What ``Sampling.keeps`` says, without reading the id again.
        return b"%032x" % number, number & LOWER_HALF < self._bound

    def new_span(self) -> bytes:
        """Return the id of one more span, in hexadecimal."""
        return b"%016x" % (self._bits(64) or 1)

    def root(self) -> tuple[bytes, bytes, bool]:
        """Return trace, span and whether it is recorded, for what no request has caused."""
        trace_id, sampled = self._new_trace()
        return trace_id, self.new_span(), sampled
