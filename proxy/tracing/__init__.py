"""
What requests and token exchanges came to, as spans of OpenTelemetry.

Rule 1: a trace costs a request two random numbers and two lines of its head. Spans are made of the
        facts when the answer is gone, and leave by a thread of their own.

Rule 2: nothing that a collector does or fails to do touches a request: what it does not take in
        time is lost, and that is said once.

Rule 3: no value of a query, a field or a body is in a span; paths pass what hides secrets in the
        log.

OpenTelemetry is imported by ``tracing.collector`` and what that needs; that is imported where it is
used.
"""

from proxy.tracing.environment import Destination, Unusable
from proxy.tracing.spans import Issuance
from proxy.tracing.tracer import Tracer

__all__ = ["Destination", "Issuance", "Tracer", "Unusable"]
