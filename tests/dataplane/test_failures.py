"""What becomes of a request when one of its two sides goes away."""

import ssl
from collections.abc import Callable

import pytest

from proxy.dataplane import Destination
from tests.dataplane.conftest import Start
from tests.dataplane.rig import Rig, Setup, get, lines_of, ok, own_answer, post, request, values
from tests.dataplane.wire import Wire

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# The client goes.


async def _told_of_a_client_that_left(rig: Rig) -> None:
    [record] = await rig.journal.told()
    assert (record.side, record.error) == ("downstream", "client_closed")


async def test_a_client_that_leaves_while_parked_is_forgotten(rig: Rig) -> None:
    """The token that comes later sends nothing."""
    rig.credentials.take_away(coming=True)
    client = await rig.client()
    client.send(get())
    await rig.credentials.parked()
    client.close()
    await _told_of_a_client_that_left(rig)
    assert not rig.credentials.listeners
    rig.credentials.give("token-2")
    assert not rig.upstream.connections


async def test_a_client_that_leaves_while_connecting_cancels_that(start: Start) -> None:
    """The attempt itself is given up; here it waits for a TLS handshake that nobody answers."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    rig = await start(
        Setup(), lambda port: Destination(name="https://x", host="127.0.0.1", port=port, tls=tls)
    )
    client, upstream = await rig.ask(get())
    await upstream.take(1)
    client.close()
    await upstream.ended()
    await _told_of_a_client_that_left(rig)


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset, Wire.half_close])
async def test_a_client_that_leaves_before_the_answer_cancels_the_request(
    rig: Rig, leave: Callable[[Wire], None]
) -> None:
    """
    The upstream's connection is closed at once, so that it may stop working.

    A client that ends its half alone can't be told from one that went away, and counts as one.
    """
    client, upstream = await rig.ask(get())
    await upstream.head()
    leave(client)
    await upstream.ended()
    await _told_of_a_client_that_left(rig)


async def test_a_client_that_leaves_amid_its_body_cancels_the_request(rig: Rig) -> None:
    """Half a body is never given an end."""
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n")
    )
    await upstream.take_until(b"5\r\nhello\r\n")
    client.close()
    assert await upstream.rest() == b""
    await _told_of_a_client_that_left(rig)


async def test_a_client_that_leaves_amid_the_answer_cancels_it(rig: Rig) -> None:
    """The rest is not fetched for nobody."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    await client.take_until(b"begun")
    client.close()
    await upstream.ended()
    await _told_of_a_client_that_left(rig)


async def test_a_client_that_leaves_hears_no_second_answer(rig: Rig) -> None:
    """What it had pipelined is not sent."""
    client, upstream = await rig.ask(get(b"/1") + get(b"/2"))
    await upstream.head()
    client.close()
    assert await upstream.rest() == b""
    await _told_of_a_client_that_left(rig)


# The upstream goes.


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA: b\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_death_before_the_head_is_a_502(rig: Rig, begun: bytes, method: bytes) -> None:
    """The client can go on; nothing of the incomplete head is told."""
    client, upstream = await rig.ask(request(method, b"/"))
    await upstream.head()
    upstream.send(begun)
    upstream.close()
    answer = await own_answer(client)
    assert lines_of(answer)[0] == b"HTTP/1.1 502 Bad Gateway"
    assert b'"code": "upstream_closed"' in answer
    assert values(answer, b"Connection") == [b"keep-alive"]
    assert len(rig.upstream.connections) == 1


@pytest.mark.parametrize(
    ("begun", "heard"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun", b"begun"),
        (CHUNKED + b"5\r\nbegun\r\n", b"5\r\nbegun\r\n"),
        (CHUNKED + b"9\r\nbegun", b"5\r\nbegun\r\n"),
        (CHUNKED + b"5\r\nbegun\r\n0\r\n", b"5\r\nbegun\r\n"),
        (CHUNKED + b"5\r\nbegun\r\n0\r\nX-Sum: 1\r\n", b"5\r\nbegun\r\n"),
    ],
)
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_death_after_the_head_closes_the_client(
    rig: Rig, begun: bytes, heard: bytes, how: str
) -> None:
    """What came is told, and no end is made up for it."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(begun)
    await client.take_until(heard)
    getattr(upstream, how)()
    assert await client.rest() == b""
    [record] = await rig.journal.told()
    assert (record.status, record.side, record.error) == (200, "upstream", "upstream_closed")


async def test_death_by_reset_is_no_end_of_an_answer_until_close(rig: Rig) -> None:
    """A client of HTTP/1.1, whose answer is chunked for that, misses the last chunk."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
    await client.take_until(b"5\r\nbegun\r\n")
    upstream.reset()
    assert await client.rest() == b""


@pytest.mark.parametrize("begun", [CHUNKED + b"5\r\nbegun\r\n", b"HTTP/1.1 200 OK\r\n\r\nbegun"])
async def test_an_answer_that_only_closing_ends_is_cut_by_a_reset(rig: Rig, begun: bytes) -> None:
    """A client of HTTP/1.0 could not tell an orderly close from the whole."""
    client, upstream = await rig.ask(b"GET / HTTP/1.0\r\n\r\n")
    await upstream.head()
    upstream.send(begun)
    await client.take_until(b"begun")
    upstream.reset()
    await client.until(lambda: client.lost)
    assert client.was_reset


async def test_a_malformed_chunk_cuts_the_answer(rig: Rig) -> None:
    """As a death would: what came before it is told."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(CHUNKED + b"5\r\nbegun\r\n")
    await client.take_until(b"5\r\nbegun\r\n")
    upstream.send(b"nonsense\r\n")
    assert await client.rest() == b""
    [record] = await rig.journal.told()
    assert record.error == "upstream_bad_response"
    await upstream.ended()


# A pooled connection that is gone.


async def _warm(rig: Rig) -> tuple[Wire, Wire]:
    """Return both connections after one request."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert rig.pool.idle_count == 1
    return client, upstream


@pytest.mark.parametrize(
    "again",
    [
        get(b"/again"),
        request(b"PUT", b"/", b"Content-Length: 2", body=b"hi"),
        request(b"DELETE", b"/", b"Transfer-Encoding: chunked", body=b"2\r\nhi\r\n0\r\n\r\n"),
    ],
)
async def test_a_stale_connection_is_retried_once_if_repeatable(rig: Rig, again: bytes) -> None:
    """The same bytes go over a fresh connection; the client sees one answer."""
    client, stale = await _warm(rig)
    client.send(again)
    sent = await stale.head()
    body = again.partition(b"\r\n\r\n")[2]
    assert await stale.take(len(body)) == body
    stale.close()
    fresh = await rig.upstream.accept()
    assert await fresh.head() == sent
    assert await fresh.take(len(body)) == body
    fresh.send(ok(b"fresh"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nfresh")


async def test_a_retry_is_the_last(rig: Rig) -> None:
    """A fresh connection that dies too is an upstream that fails."""
    client, stale = await _warm(rig)
    client.send(get())
    await stale.head()
    stale.close()
    fresh = await rig.upstream.accept()
    await fresh.head()
    fresh.close()
    assert b'"code": "upstream_closed"' in await own_answer(client)
    assert len(rig.upstream.connections) == 2


async def test_a_retry_that_had_to_wait_in_line_is_the_last_too(start: Start) -> None:
    """Even where the connection that it gets there has served before."""
    rig = await start(Setup(connections=1))
    client, stale = await _warm(rig)
    client.send(get(b"/retried"))
    await stale.head()
    other = await rig.client()
    other.send(get(b"/other"))
    await rig.turns(lambda: rig.pool.queued_count == 1, "the other is not in line")
    stale.close()
    second = await rig.upstream.accept()
    assert (await second.head()).startswith(b"GET /other ")
    await rig.turns(lambda: rig.pool.queued_count == 1, "the retry is not in line")
    second.send(ok(b"x"))
    assert (await second.head()).startswith(b"GET /retried ")
    second.close()
    assert b'"code": "upstream_closed"' in await own_answer(client)
    assert len(rig.upstream.connections) == 2


async def test_a_post_that_may_have_arrived_is_not_sent_again(rig: Rig) -> None:
    """Twice is more than once, to a payment."""
    client, stale = await _warm(rig)
    client.send(post(b"pay"))
    await stale.take_until(b"pay")
    stale.close()
    assert b'"code": "upstream_closed"' in await own_answer(client)
    assert len(rig.upstream.connections) == 1


@pytest.mark.parametrize("end_comes", ["before the request", "with the request"])
async def test_a_post_is_not_sent_on_a_connection_that_is_seen_to_be_gone(
    rig: Rig, end_comes: str
) -> None:
    """It takes a fresh one, and the client does not hear of it."""
    client, stale = await _warm(rig)
    # In one turn of the loop, which then hears of both at once, in the order of their coming.
    if end_comes == "before the request":
        stale.half_close_now()
        client.send_now(post(b"pay"))
    else:
        client.send_now(post(b"pay"))
        stale.half_close_now()
    fresh = await rig.upstream.accept()
    await fresh.take_until(b"pay")
    fresh.send(ok(b"paid"))
    assert (await own_answer(client)).endswith(b"\r\n\r\npaid")
    assert b"pay" not in stale.received


async def test_no_retry_after_a_byte_of_an_answer(rig: Rig) -> None:
    """The upstream has begun to act on it."""
    client, stale = await _warm(rig)
    client.send(get())
    await stale.head()
    stale.send(b"HTTP/1.1 200 OK\r\n")
    stale.close()
    assert b'"code": "upstream_closed"' in await own_answer(client)
    assert len(rig.upstream.connections) == 1


async def test_no_retry_of_a_body_that_is_not_kept(start: Start) -> None:
    """What is larger than replay_max_bytes is sent once."""
    rig = await start(Setup(replay_max_bytes=4))
    client, stale = await _warm(rig)
    client.send(request(b"PUT", b"/", b"Content-Length: 5", body=b"large"))
    await stale.take_until(b"large")
    stale.close()
    assert b'"code": "upstream_closed"' in await own_answer(client)


async def test_bytes_on_an_idle_connection_close_it(rig: Rig) -> None:
    """An answer that nobody asked for never becomes the next request's."""
    client, upstream = await _warm(rig)
    upstream.send(ok(b"poison"))
    await upstream.ended()
    client.send(get())
    fresh = await rig.upstream.accept()
    await fresh.head()
    fresh.send(ok(b"own"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nown")


async def test_bytes_behind_an_answer_close_its_connection(rig: Rig) -> None:
    """They may come with it: the answer is told, what follows is not."""
    client, upstream = await rig.ask(get() + get(b"/2"))
    await upstream.head()
    upstream.send(ok(b"own") + ok(b"poison"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nown")
    fresh = await rig.upstream.accept()
    assert (await fresh.head()).startswith(b"GET /2 ")
    fresh.send(ok(b"second"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nsecond")


@pytest.mark.parametrize(
    "answer",
    [ok(b"x", b"Connection: close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"],
)
async def test_a_connection_that_the_upstream_will_close_is_not_used_again(
    rig: Rig, answer: bytes
) -> None:
    """The client's goes on."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(answer)
    assert not values(await own_answer(client), b"Connection")
    await upstream.ended()
    client.send(get(b"/2"))
    assert (await (await rig.upstream.accept()).head()).startswith(b"GET /2 ")


# Streaming.


async def test_an_answer_before_the_body_is_whole_ends_both_connections(rig: Rig) -> None:
    """The rest of the body is nobody's, however familiar the answer: it never becomes a request."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    client.send(request(b"POST", b"/", b"Content-Length: 5", body=b"he"))
    await upstream.take_until(b"he")
    upstream.send(ok(b"x"))
    assert (await client.rest()).endswith(b"\r\n\r\nx")
    await upstream.ended()
    client.send(b"llo" + get(b"/smuggled"))
    client.half_close()
    assert await rig.plane.drain(5) == 0
    assert not upstream.unread
    assert len(rig.upstream.connections) == 1


async def test_nothing_is_served_behind_a_refusal_though_it_repeats_the_last_head(rig: Rig) -> None:
    """
    What is listened to for a while is discarded: it may be the rest of a body.
    """
    head = request(b"POST", b"/", b"Transfer-Encoding: chunked")
    client, upstream = await rig.ask(head + b"0\r\n\r\n")
    await upstream.take_until(b"0\r\n\r\n")
    upstream.send(ok(b"x"))
    await own_answer(client)
    client.send(head)
    await upstream.head()
    client.send(b"no chunk\r\n")
    assert (await client.rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    client.send(head)
    await rig.settle()
    assert len(rig.upstream.connections) == 1
    assert not upstream.unread
    assert len(rig.journal.records) == 2


async def test_an_event_arrives_before_the_next_is_sent(rig: Rig) -> None:
    """Server-sent events are passed on as they come, head first."""
    client, upstream = await rig.ask(get(b"/ticks", b"Accept: text/event-stream"))
    await upstream.head()
    upstream.send(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Type: text/event-stream\r\n\r\n"))
    await client.head()
    for number in range(5):
        event = b"data: %d\n\n" % number
        upstream.send(b"%x\r\n%b\r\n" % (len(event), event))
        assert await client.take_until(b"\n\n\r\n") == b"9\r\ndata: %d\n\n\r\n" % number
    upstream.send(b"0\r\n\r\n")
    assert await client.take(5) == b"0\r\n\r\n"


async def test_a_body_is_passed_on_before_it_is_whole(rig: Rig) -> None:
    """The upstream sees each part as the client sends it, and may answer meanwhile."""
    client, upstream = await rig.ask(request(b"POST", b"/", b"Content-Length: 6"))
    await upstream.head()
    for part in (b"ab", b"cd"):
        client.send(part)
        assert await upstream.take(2) == part
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await client.head()
    client.send(b"ef")
    assert await upstream.take(2) == b"ef"
    upstream.send(b"ok")
    assert await client.take(2) == b"ok"
