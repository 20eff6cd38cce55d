"""The spans of requests through the real plane, and what the upstream is told of them."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.dataplane import Limits
from proxy.policy.trace import Parent, parent
from proxy.tracing.sampling import Sampling
from proxy.tracing.spans import Span
from tests.dataplane.rig import Setup, get, lines_of, ok, own_answer, post, request, values
from tests.dataplane.wire import Wire
from tests.tracing.conftest import TracedRig

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
CAME = Parent(TRACE, SPAN, True, b"vendor=1")
FIELDS = (b"traceparent: 00-%b-%b-01" % (TRACE, SPAN), b"tracestate: vendor=1")
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
Begin = Callable[..., Any]


async def served(rig: TracedRig, client: Wire, upstream: Wire, *asked: bytes) -> Parent:
    """Have a request answered, and return what the upstream was told of its trace."""
    client.send(get(b"/x", *asked))
    head = await upstream.head()
    upstream.send(ok(b"hello"))
    await client.take_until(b"hello")
    found = parent(head)
    assert found is not None
    assert len(values(head, b"traceparent")) == 1
    return found


def outcome(span: Span) -> tuple[object, object, bool]:
    """Return status, error.type and whether it failed."""
    attributes = span.attributes
    return (
        attributes.get("http.response.status_code"),
        attributes.get("error.type"),
        span.failed,
    )


async def test_a_request_is_a_server_span_with_a_client_span_under_it(rig: TracedRig) -> None:
    """
    Named, timed and described by the conventions; the upstream's parent is the client span.
    """
    client, upstream = await rig.ask(get(b"/items/1?key=value", *FIELDS))
    head = await upstream.head()
    upstream.send(ok(b"hello"))
    await client.take_until(b"hello")
    server, sent = await rig.told_of.tree()
    assert parent(head) == Parent(TRACE, sent.span_id, True, b"vendor=1")
    assert (server.name, server.server, sent.name, sent.server) == ("GET", True, "GET", False)
    assert (server.trace_id, sent.trace_id) == (TRACE, TRACE)
    assert (server.parent_id, server.remote) == (SPAN, True)
    assert (sent.parent_id, sent.remote) == (server.span_id, False)
    assert len({SPAN, server.span_id, sent.span_id}) == 3
    assert server.state == sent.state == b"vendor=1"
    assert server.started <= sent.started <= sent.ended <= server.ended
    assert not server.failed
    assert not sent.failed
    _, _, client_port = rig.told_of.facts[0][11].rpartition(":")
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/1",
        "server.address": "localhost",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "client.port": int(client_port),
        "http.response.status_code": 200,
    }
    assert sent.attributes == {
        "http.request.method": "GET",
        "url.full": f"http://127.0.0.1:{rig.upstream.port}/items/1?REDACTED",
        "server.address": "127.0.0.1",
        "server.port": rig.upstream.port,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": rig.upstream.port,
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
    }


async def test_host_stays_the_first_field(rig: TracedRig) -> None:
    """
    As every request has it that is not traced (RFC 9110 section 7.2).
    """
    _, upstream = await rig.ask(get(b"/", *FIELDS))
    assert lines_of(await upstream.head())[1].startswith(b"Host: ")


async def test_without_a_parent_a_trace_begins(rig: TracedRig) -> None:
    """
    Its server span is the root, and the upstream hears of the new trace.
    """
    client, upstream = await rig.ask(get(b"/"))
    told = parent(await upstream.head())
    upstream.send(ok(b""))
    await client.head()
    server, sent = await rig.told_of.tree()
    assert told == Parent(server.trace_id, sent.span_id, True)
    assert server.parent_id == b""
    assert not server.remote


async def test_a_client_that_repeats_itself_gets_another_span_each_time(rig: TracedRig) -> None:
    """
    Byte for byte the same head is remembered; what goes up is not what went up before.
    """
    client = await rig.client()
    client.send(get(b"/x", *FIELDS))
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.send(ok(b"hello"))
    await client.take_until(b"hello")
    told = [await served(rig, client, upstream, *FIELDS) for _ in range(4)]
    assert {(each.trace_id, each.state) for each in told} == {(TRACE, b"vendor=1")}
    assert len({each.span_id for each in told}) == 4
    trees = await rig.told_of.trees(5)
    assert [sent.span_id for _, sent in trees[1:]] == [each.span_id for each in told]


async def test_a_client_whose_traces_differ_is_followed_in_each(rig: TracedRig) -> None:
    """
    Heads that differ in these values alone are matched by a pattern; none goes up with another's.
    """
    client = await rig.client()
    client.send(get(b"/x"))
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.send(ok(b"hello"))
    await client.take_until(b"hello")
    for number in range(1, 9):
        trace = b"%032x" % number
        field = b"traceparent: 00-%b-%b-0%d" % (trace, SPAN, number % 2)
        state = b"tracestate: n=%d" % number
        told = await served(rig, client, upstream, field, state)
        assert (told.trace_id, told.sampled) == (trace, number % 2 == 1)
        assert told.state == b"n=%d" % number
    trees = await rig.told_of.trees(9)
    assert [tree[0].trace_id for tree in trees[1:]] == [b"%032x" % n for n in range(1, 9)]


async def test_a_trace_that_is_not_sampled_stays_so(begin: Begin) -> None:
    """
    The next hop is told, with a span of ours for its parent, and nothing is recorded.
    """
    for asked, sampling in (
        ((b"traceparent: 00-%b-%b-00" % (TRACE, SPAN),), Sampling()),
        ((), Sampling(ratio=0.0)),
    ):
        rig = await begin(Setup(), sampling)
        client, upstream = await rig.ask(get(b"/", *asked))
        told = parent(await upstream.head())
        upstream.send(ok(b""))
        await client.head()
        await rig.told_of.trees()
        place = rig.told_of.facts[0][-1]
        assert told is not None
        assert not told.sampled
        assert told.span_id != SPAN
        assert not place.sampled


async def test_what_the_upstream_fails_is_an_error_of_both(rig: TracedRig) -> None:
    """
    A 5xx is a failure on either side; a 404 is one of the client span alone.
    """
    for status, expected in ((b"503", True), (b"404", False)):
        client, upstream = await rig.ask(get(b"/"))
        await upstream.head()
        upstream.send(b"HTTP/1.1 %b Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await client.head()
        server, sent = (await rig.told_of.trees(len(rig.told_of.facts) or 1))[-1]
        number = int(status)
        assert outcome(server) == (number, status.decode() if expected else None, expected)
        assert outcome(sent) == (number, status.decode(), True)
        await rig.settle()


async def test_an_upstream_that_is_not_there(begin: Begin) -> None:
    """
    502: the client span has no status and no peer, and says what was wrong.
    """
    rig = await begin()
    rig.upstream.refuse()
    client = await rig.client()
    client.send(get(b"/"))
    await own_answer(client)
    server, sent = await rig.told_of.tree()
    assert outcome(server) == (502, "upstream_unreachable", True)
    assert outcome(sent) == (None, "upstream_unreachable", True)
    assert "network.peer.address" not in sent.attributes
    assert "can't be reached" in server.reason


async def test_an_upstream_that_says_nothing(begin: Begin) -> None:
    """
    504: what was sent was not answered.
    """
    rig = await begin(Setup(limits=Limits(response_head_seconds=0.3)))
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    await own_answer(client)
    server, sent = await rig.told_of.tree()
    assert outcome(server) == (504, "upstream_timeout", True)
    assert outcome(sent) == (None, "upstream_timeout", True)
    assert sent.attributes["network.peer.port"] == rig.upstream.port


async def test_no_token_is_no_client_span(rig: TracedRig) -> None:
    """
    503: the upstream was not touched. The trace that the request came with goes on all the same.
    """
    rig.credentials.take_away(coming=False)
    client = await rig.client()
    client.send(get(b"/", *FIELDS))
    await own_answer(client)
    (server,) = await rig.told_of.tree()
    assert outcome(server) == (503, "token_pending", True)
    assert (server.trace_id, server.parent_id) == (TRACE, SPAN)


async def test_what_is_refused_is_in_its_trace_and_no_failure_of_ours(rig: TracedRig) -> None:
    """
    403: its code tells why; by the conventions a 4xx is no error of a server.
    """
    client = await rig.client()
    client.send(request(b"TRACE", b"/a?b=c", *FIELDS))
    await own_answer(client)
    (server,) = await rig.told_of.tree()
    assert outcome(server) == (403, "method_not_allowed", False)
    assert (server.trace_id, server.parent_id) == (TRACE, SPAN)
    assert server.attributes["url.path"] == "/a"


async def test_bytes_that_are_no_request_are_no_span(rig: TracedRig) -> None:
    """
    There is nothing that could be traced.
    """
    client = await rig.client()
    client.send(b"GET /\r\n\r\n")
    await own_answer(client)
    await rig.told_of.until(lambda: bool(rig.told_of.facts))
    assert len(rig.told_of.facts[0]) == 14


async def test_a_replay_is_two_client_spans(rig: TracedRig) -> None:
    """
    The 401 that was kept back, and the answer; the second says that it is the request again.
    """
    client, first = await rig.ask(post(b"body", *FIELDS))
    before = await first.head()
    first.send(UNAUTHORIZED)
    await rig.credentials.parked()
    rig.credentials.give("token-2")
    second = await rig.upstream.accept()
    after = await second.head()
    second.send(ok(b"hello"))
    await client.take_until(b"hello")
    server, one, two = await rig.told_of.tree()
    assert [parent(before), parent(after)] == [
        Parent(TRACE, each.span_id, True, b"vendor=1") for each in (one, two)
    ]
    assert outcome(server) == (200, None, False)
    assert outcome(one) == (401, "401", True)
    assert outcome(two) == (200, None, False)
    assert [each.attributes.get("http.request.resend_count") for each in (one, two)] == [None, 1]
    assert one.ended <= two.started


async def test_a_replay_that_comes_to_nothing_passes_the_401_on(rig: TracedRig) -> None:
    """
    The answer is the first attempt's, the failure the second's.
    """
    client, first = await rig.ask(get(b"/"))
    await first.head()
    first.send(UNAUTHORIZED)
    await rig.credentials.parked()
    rig.upstream.refuse()
    rig.credentials.give("token-2")
    await client.take_until(b"no")
    server, one, two = await rig.told_of.tree()
    assert outcome(server) == (401, None, False)
    assert outcome(one) == (401, "401", True)
    assert outcome(two) == (None, "upstream_unreachable", True)


async def test_an_idle_connection_that_was_closed_is_an_attempt(rig: TracedRig) -> None:
    """
    The request goes out again, as another span.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(ok(b"one"))
    await client.take_until(b"one")
    client.send(get(b"/"))
    before = await upstream.head()
    upstream.reset()
    fresh = await rig.upstream.accept()
    after = await fresh.head()
    fresh.send(ok(b"two"))
    await client.take_until(b"two")
    server, one, two = (await rig.told_of.trees(2))[1]
    found = [parent(before), parent(after)]
    assert [each and each.span_id for each in found] == [one.span_id, two.span_id]
    assert outcome(server) == (200, None, False)
    assert outcome(one) == (None, "upstream_closed", True)
    assert outcome(two) == (200, None, False)


async def test_an_answer_that_breaks_off(rig: TracedRig) -> None:
    """
    The status had been passed on; that it was no whole answer is the error.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await client.take_until(b"half")
    upstream.close()
    await client.ended()
    server, sent = await rig.told_of.tree()
    assert outcome(server) == (200, "upstream_closed", True)
    assert outcome(sent) == (200, "upstream_closed", True)


async def test_a_client_that_leaves(rig: TracedRig) -> None:
    """
    Nothing was answered, and it is nobody's failure here; what was under way was given up.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    client.close()
    server, sent = await rig.told_of.tree()
    assert outcome(server) == (None, "client_closed", False)
    assert outcome(sent) == (None, "client_closed", True)


async def test_a_tunnel_is_one_span_for_its_whole_life(rig: TracedRig) -> None:
    """
    Status 101, and the end is the tunnel's.
    """
    asked = get(b"/ws", b"Connection: Upgrade", b"Upgrade: websocket", *FIELDS)
    client, upstream = await rig.ask(asked)
    head = await upstream.head()
    switching = (b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket")
    upstream.send(b"\r\n".join([*switching, b"", b""]))
    await client.head()
    client.send(b"ping")
    await upstream.take(4)
    assert not rig.told_of.facts
    client.reset()
    server, sent = await rig.told_of.tree()
    assert parent(head) == Parent(TRACE, sent.span_id, True, b"vendor=1")
    assert outcome(server) == (101, None, False)
    assert outcome(sent) == (101, None, False)


async def test_an_unknown_method_makes_no_name(rig: TracedRig) -> None:
    """
    What a client invents is told as an attribute; names of spans stay few.
    """
    client, upstream = await rig.ask(request(b"FROB", b"/"))
    await upstream.head()
    upstream.send(ok(b""))
    await client.head()
    for span in await rig.told_of.tree():
        assert span.name == "HTTP"
        assert span.attributes["http.request.method"] == "_OTHER"
        assert span.attributes["http.request.method_original"] == "FROB"


@pytest.mark.parametrize(
    ("target", "path", "full"),
    [
        (b"/a%20b/%C3%BC", "/a%20b/%C3%BC", "/a%20b/%C3%BC"),
        (b"/?x=1?y", "/", "/?REDACTED"),
        (b"/a?", "/a", "/a?REDACTED"),
    ],
)
async def test_a_query_is_in_no_span(rig: TracedRig, target: bytes, path: str, full: str) -> None:
    """
    The path is told as it came, the query only that there was one.
    """
    client, upstream = await rig.ask(get(target))
    await upstream.head()
    upstream.send(ok(b""))
    await client.head()
    server, sent = await rig.told_of.tree()
    assert server.attributes["url.path"] == path
    assert sent.attributes["url.full"] == f"http://127.0.0.1:{rig.upstream.port}{full}"
    assert "url.query" not in {*server.attributes, *sent.attributes}


async def test_the_absolute_form_is_told_by_its_path(rig: TracedRig) -> None:
    """
    As for any request to the upstream.
    """
    target = b"http://%b/a?b=c" % rig.authority
    asked = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, rig.authority)
    client, upstream = await rig.ask(asked)
    await upstream.head()
    upstream.send(ok(b""))
    await client.head()
    server, sent = await rig.told_of.tree()
    assert server.attributes["url.path"] == "/a"
    assert server.attributes["server.port"] == rig.upstream.port
    assert sent.attributes["url.full"] == f"http://127.0.0.1:{rig.upstream.port}/a?REDACTED"


async def test_ours_replaces_what_came_and_nothing_else_changes(rig: TracedRig) -> None:
    """
    Two parents are none, so a trace begins; every other field is where it was.
    """
    asked = get(b"/", b"A: 1", FIELDS[0], b"B: 2", FIELDS[0], FIELDS[1], b"C: 3")
    client, upstream = await rig.ask(asked)
    head = await upstream.head()
    upstream.send(ok(b""))
    await client.head()
    server, sent = await rig.told_of.tree()
    assert server.parent_id == b""
    assert parent(head) == Parent(server.trace_id, sent.span_id, True)
    kept = [line for line in lines_of(head) if line[:2] in (b"A:", b"B:", b"C:")]
    assert kept == [b"A: 1", b"B: 2", b"C: 3"]
    assert not values(head, b"tracestate")
