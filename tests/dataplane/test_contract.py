"""What a client and an upstream may rely on, a promise a test."""

import pytest

from tests.dataplane.rig import (
    AUTHORIZATION,
    NO_CONTENT,
    Rig,
    get,
    lines_of,
    ok,
    own_answer,
    post,
    request,
    values,
)

# Bodies.


async def test_a_body_with_a_length_reaches_the_upstream_with_that_length(rig: Rig) -> None:
    """Content-Length and the bytes are the client's."""
    _, upstream = await rig.ask(post(b"hello"))
    assert values(await upstream.head(), b"Content-Length") == [b"5"]
    assert await upstream.take(5) == b"hello"
    upstream.send(NO_CONTENT)
    await rig.journal.told()


async def test_a_chunked_body_reaches_the_upstream_chunked(rig: Rig) -> None:
    """Chunks are written afresh: without extensions, and with nothing behind the last."""
    chunked = b"5;a=b\r\nhello\r\n006\r\n world\r\n0\r\n\r\n"
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Transfer-Encoding: chunked", body=chunked)
    )
    head = await upstream.head()
    assert values(head, b"Transfer-Encoding") == [b"chunked"]
    assert not values(head, b"Content-Length")
    assert await upstream.take_until(b"0\r\n\r\n") == b"b\r\nhello world\r\n0\r\n\r\n"
    upstream.send(NO_CONTENT)
    await client.head()


async def test_an_answer_with_a_length_comes_with_that_length(rig: Rig) -> None:
    """Content-Length and the bytes are the upstream's."""
    answer = await rig.heard(ok(b"hello"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert values(head, b"Content-Length") == [b"5"]
    assert body == b"hello"


async def test_a_chunked_answer_comes_chunked(rig: Rig) -> None:
    """Chunks are written afresh, and the last one is there."""
    answer = await rig.heard(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert values(head, b"Transfer-Encoding") == [b"chunked"]
    assert body == b"5\r\nhello\r\n0\r\n\r\n"


async def test_trailers_of_a_request_reach_the_upstream(rig: Rig) -> None:
    """Fields behind the last chunk pass, in their spelling."""
    body = b"1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n"
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Transfer-Encoding: chunked", body=body)
    )
    await upstream.head()
    assert await upstream.take_until(b"\r\n\r\n") == b"1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n"
    upstream.send(NO_CONTENT)
    await client.head()


async def test_trailers_of_an_answer_reach_the_client(rig: Rig) -> None:
    """Fields behind the last chunk pass, in their spelling."""
    answer = await rig.heard(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n"
    )
    assert answer.endswith(b"\r\n\r\n1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n")


async def test_an_answer_until_close_comes_chunked(rig: Rig) -> None:
    """What ends with the upstream's connection is given an end that can't be mistaken."""
    answer = await rig.heard(b"HTTP/1.1 200 OK\r\n\r\nhello")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert values(head, b"Transfer-Encoding") == [b"chunked"]
    assert body == b"5\r\nhello\r\n0\r\n\r\n"


async def test_a_head_answer_has_no_body_whatever_it_says(rig: Rig) -> None:
    """Content-Length of an answer to HEAD is told and not waited for."""
    client, upstream = await rig.ask(request(b"HEAD", b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    assert values(await client.head(), b"Content-Length") == [b"1000"]
    client.send(get())
    assert await upstream.head()
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_without_a_body_end_with_their_head(rig: Rig, status: bytes) -> None:
    """After a 204 or a 304 the connection goes on, whatever its fields say."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 %b\r\nETag: x\r\n\r\n" % status)
    assert lines_of(await client.head())[0] == b"HTTP/1.1 " + status
    client.send(get(b"/next"))
    assert (await upstream.head()).startswith(b"GET /next ")
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


# Connections.


async def test_a_client_of_http_1_0_gets_an_answer_that_ends_with_the_connection(rig: Rig) -> None:
    """Nothing is chunked for it, and no 1xx is sent to it."""
    answer = await rig.heard(
        b"HTTP/1.1 103 Early Hints\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert lines_of(head)[0] == b"HTTP/1.1 200 OK"
    assert not values(head, b"Transfer-Encoding")
    assert values(head, b"Connection") == [b"close"]
    assert body == b"hello"


async def test_a_client_of_http_1_0_may_keep_its_connection(rig: Rig) -> None:
    """Where it asks for that and the answer has a length, it gets it, and is told."""
    client, upstream = await rig.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    await upstream.head()
    upstream.send(ok(b"one"))
    assert values(await own_answer(client), b"Connection") == [b"keep-alive"]
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    await upstream.head()
    upstream.send(ok(b"two"))
    assert (await client.rest()).endswith(b"\r\n\r\ntwo")


async def test_both_connections_are_kept_alive(rig: Rig) -> None:
    """A second request of a client goes over the same two connections."""
    client, upstream = await rig.ask(get())
    for _ in range(3):
        await upstream.head()
        upstream.send(ok(b"x"))
        assert not values(await own_answer(client), b"Connection")
        client.send(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert len(rig.upstream.connections) == 1


async def test_pipelined_requests_are_answered_in_their_order(rig: Rig) -> None:
    """Requests sent ahead wait for their turn; each answer is its request's."""
    client, upstream = await rig.ask(get(b"/1") + post(b"two") + get(b"/3"))
    for target, body in ((b"GET /1", b""), (b"POST /", b"two"), (b"GET /3", b"")):
        assert (await upstream.head()).startswith(target)
        assert await upstream.take(len(body)) == body
        assert not upstream.unread
        upstream.send(ok(target))
        assert (await own_answer(client)).endswith(b"\r\n\r\n" + target)


async def test_connection_close_is_obeyed(rig: Rig) -> None:
    """The client's wish to close is its hop's: it is answered, closed, and the upstream kept."""
    client, upstream = await rig.ask(get(b"/", b"Connection: close"))
    assert not values(await upstream.head(), b"Connection")
    upstream.send(ok(b"x"))
    assert values(await client.rest(), b"Connection") == [b"close"]
    assert rig.pool.idle_count == 1


# Credentials.


async def test_exactly_one_authorization_is_sent(rig: Rig) -> None:
    """It is the proxy's, and the client's is gone."""
    head = await rig.told(get(b"/", b"Authorization: Basic x", b"AUTHORIZATION: Bearer y"))
    assert AUTHORIZATION in head
    assert values(head, b"Authorization") == [b"Bearer token-1"]
