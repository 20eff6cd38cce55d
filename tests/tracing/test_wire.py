"""Spans as bytes: the same that the SDK's own encoder makes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from proxy.tracing import wire
from proxy.tracing.spans import Span

RESOURCE = Resource({"service.name": "x" * 200, "number": 300})
SCOPE = InstrumentationScope("scope", "1.2")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ids = {size: st.binary(min_size=size, max_size=size).filter(any) for size in (8, 16)}
told = st.builds(
    Span,
    name=st.sampled_from(["GET", "POST token", "HTTP"]),
    server=st.booleans(),
    trace_id=ids[16].map(lambda each: each.hex().encode()),
    span_id=ids[8].map(lambda each: each.hex().encode()),
    parent_id=st.one_of(st.just(b""), ids[8].map(lambda each: each.hex().encode())),
    remote=st.booleans(),
    state=st.sampled_from([b"", b"vendor=1", b"a=1,b=2"]),
    started=st.floats(0, 4e9),
    ended=st.floats(0, 4e9),
    attributes=st.dictionaries(
        texts.filter(bool), st.one_of(texts, st.integers(0, 2**63 - 1)), max_size=12
    ),
    failed=st.booleans(),
    reason=texts,
)


def by_the_sdk(span: Span) -> ReadableSpan:
    """Return *span* as the SDK would have it."""
    trace_id, sampled = int(span.trace_id, 16), TraceFlags(TraceFlags.SAMPLED)
    parent = None
    if span.parent_id:
        parent = SpanContext(trace_id, int(span.parent_id, 16), span.remote, sampled)
    state = TraceState.from_header([span.state.decode()]) if span.state else None
    failed = Status(StatusCode.ERROR, span.reason or None)
    return ReadableSpan(
        span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), False, sampled, state),
        parent=parent,
        resource=RESOURCE,
        attributes=span.attributes,
        kind=SpanKind.SERVER if span.server else SpanKind.CLIENT,
        status=failed if span.failed else Status(StatusCode.UNSET),
        start_time=int(span.started * 1e9),
        end_time=int(span.ended * 1e9),
        instrumentation_scope=SCOPE,
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(told, min_size=1, max_size=5))
def test_spans_are_encoded_as_the_sdk_encodes_them(spans: list[Span]) -> None:
    """
    Whatever their attributes: a reader of protobuf finds the very same message.
    """
    spans = [each if each.parent_id else each._replace(remote=False) for each in spans]
    expected = encode_spans([by_the_sdk(each) for each in spans])
    (around,) = expected.resource_spans
    data = wire.request(
        around.resource.SerializeToString(),
        around.scope_spans[0].scope.SerializeToString(),
        map(wire.encoded, spans),
    )
    found = ExportTraceServiceRequest.FromString(data)
    # The SDK says "unset" in as many words.
    for span in expected.resource_spans[0].scope_spans[0].spans:
        if not span.status.code:
            span.ClearField("status")
    assert found == expected
