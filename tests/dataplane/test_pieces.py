"""
However an answer comes, the client gets the same bytes.

A whole answer that repeats the connection's last head takes a shorter way than any other. These
tests are what holds the two ways together: every answer is compared with itself in two pieces.
"""

import asyncio
import re
from time import process_time

import pytest

from proxy.dataplane import Limits
from proxy.policy.admission import Admission
from tests.dataplane.conftest import Start
from tests.dataplane.rig import Rig, Setup, get, lines_of, ok, own_answer, post, request, values
from tests.dataplane.wire import Wire

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "plain": ok(b"hello", b"Content-Type: text/plain"),
    "another body": ok(b"world", b"Content-Type: text/plain"),
    "longer": ok(b"hello, world", b"Content-Type: text/plain"),
    "empty": ok(b""),
    "204": b"HTTP/1.1 204 No Content\r\nETag: a\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno",
    "cookies": ok(b"x", b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"Via: 1.1 a"),
    "own id": ok(b"x", b"X-Request-Id: theirs"),
    "location": b"HTTP/1.1 201 Created\r\nLocation: /v1/a\r\nContent-Length: 1\r\n\r\nx",
    "hop fields": ok(b"x", b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"Keep-Alive: timeout=9"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "body like a head": ok(ok(b"inner")),
    "body of line ends": ok(b"\r\n\r\n\r\n"),
    "cors": ok(b"x", b"Access-Control-Allow-Origin: https://other.example"),
    "chunked": CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "chunked and empty": CHUNKED + b"0\r\n\r\n",
    "trailers": CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n",
    "hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(b"x"),
    "hint and 204": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
}
REQUESTS = {
    "plain": get(),
    "own id": get(b"/", b"X-Request-Id: mine"),
    "query": get(b"/a?b=c"),
    "body": post(b"body"),
    "chunked body": request(
        b"POST", b"/", b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\n\r\n"
    ),
    "HEAD": request(b"HEAD", b"/"),
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
    "page": get(b"/", b"Origin: https://app.example"),
    "allowed upgrade": get(b"/", b"Connection: Upgrade", b"Upgrade: websocket"),
}
SETUP = Setup(path=b"/v1")
# Every answer depends on who asks as soon as there are pages that may, and none is the plain one.
FOR_PAGES = Setup(path=b"/v1", admission=Admission(origins=frozenset({b"https://app.example"})))
_BODILESS = (b"204", b"304")
# What a run makes up: the ids of requests that bring none.
_MADE_ID = re.compile(rb"X-Request-Id: [0-9a-f]{12}-[0-9a-f]{6}\r\n")


class Line:
    """One client connection, and the upstream connection of the moment."""

    def __init__(self, rig: Rig, client: Wire) -> None:
        self._rig = rig
        self._client = client
        self._upstream: Wire | None = None

    async def ask(self, asked: str, answer: str, at: int = 0) -> bytes:
        """Return what the client hears of *answer* when it comes cut into two at *at*."""
        self._client.send(REQUESTS[asked])
        if self._upstream is None or self._upstream.at_eof:
            self._upstream = await self._rig.upstream.accept()
        await self._upstream.head()
        body = len(REQUESTS[asked].partition(b"\r\n\r\n")[2])
        await self._upstream.take(body)
        data = ANSWERS[answer]
        if asked == "HEAD":
            data = data[: _end_of_heads(data)]
        if 0 < at < len(data):
            self._upstream.send(data[:at])
            await _turns()
        self._upstream.send(data[at:] if at < len(data) else data)
        return _MADE_ID.sub(b"X-Request-Id: made\r\n", await self._heard(asked == "HEAD"))

    async def _heard(self, to_head: bool) -> bytes:
        """Take one answer; a chunked body is returned decoded, since its cutting is not told."""
        head = await self._client.head()
        if lines_of(head)[0].split(b" ")[1].startswith(b"1"):
            return head + await self._heard(to_head)
        if to_head or lines_of(head)[0].split(b" ")[1] in _BODILESS:
            body = b""
        elif values(head, b"Transfer-Encoding"):
            body = await self._chunks()
        elif lengths := values(head, b"Content-Length"):
            body = await self._client.take(int(lengths[0]))
        else:
            assert values(head, b"Connection") == [b"close"]
            body = await self._client.rest()
            self._client = await self._rig.client()
        assert not self._client.unread
        return head + body

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._client.take_until(b"\r\n"), 16):
            body += await self._client.take(size)
            assert await self._client.take(2) == b"\r\n"
        line = b""
        while line != b"\r\n":
            line = await self._client.take_until(b"\r\n")
            body += line
        return body


def _end_of_heads(data: bytes) -> int:
    end = data.index(b"\r\n\r\n") + 4
    return end + _end_of_heads(data[end:]) if data.startswith(b"HTTP/1.1 1") else end


async def _turns() -> None:
    """Let the proxy, in the same loop, read what was sent: the loopback delivers at once."""
    for _ in range(3):
        await asyncio.sleep(0)


async def _line(start: Start, setup: Setup = SETUP) -> Line:
    rig = await start(setup)
    rig.credentials.renewable = False
    return Line(rig, await rig.client())


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_cut_anywhere_is_the_same_answer(start: Start, answer: str) -> None:
    """At every offset, and whole again in between, which is the shorter way."""
    line = await _line(start)
    whole = await line.ask("plain", answer)
    for at in range(1, len(ANSWERS[answer])):
        assert await line.ask("plain", answer, at) == whole, f"cut at {at}"
        assert await line.ask("plain", answer) == whole, f"whole, after a cut at {at}"


@pytest.mark.parametrize("asked", ["plain", "own id", "HEAD", "page"])
async def test_what_came_before_does_not_show_in_an_answer(start: Start, asked: str) -> None:
    """Any answer after any other is as it is on connections of its own."""
    setup = FOR_PAGES if asked == "page" else SETUP
    alone = {}
    for answer in ANSWERS:
        alone[answer] = await (await _line(start, setup)).ask(asked, answer)
    line = await _line(start, setup)
    for before in ANSWERS:
        for answer in ANSWERS:
            assert await line.ask(asked, before) == alone[before]
            assert await line.ask(asked, answer) == alone[answer], f"after {before}"


@pytest.mark.parametrize("answer", ANSWERS)
async def test_who_asked_before_does_not_show_in_an_answer(start: Start, answer: str) -> None:
    """The same answer to another kind of request is what that kind of request gets."""
    alone = {}
    requests = REQUESTS.keys() - {"page"}
    for asked in requests:
        alone[asked] = await (await _line(start)).ask(asked, answer)
    line = await _line(start)
    for before in requests:
        for asked in requests:
            assert await line.ask(before, answer) == alone[before]
            assert await line.ask(asked, answer) == alone[asked], f"after {before}"


async def test_two_clients_of_one_upstream_connection_get_their_own(start: Start) -> None:
    """What was understood for the one client's connection is not told to the other's."""
    rig = await start(SETUP)
    wires = [await rig.client() for _ in range(2)]
    hosts = [b"localhost", b"127.0.0.1:1"]
    for _ in range(3):
        for client, host in zip(wires, hosts, strict=True):
            client.send(b"GET / HTTP/1.1\r\nHost: %b\r\nX-Request-Id: %b\r\n\r\n" % (host, host))
            if len(rig.upstream.connections) != 1 or not rig.upstream.connections[0].received:
                await rig.upstream.accept()
            upstream = rig.upstream.connections[0]
            await upstream.head()
            upstream.send(
                b"HTTP/1.1 201 Created\r\nLocation: http://%b/v1/a\r\nContent-Length: 0\r\n\r\n"
                % rig.authority
            )
            head = await client.head()
            assert values(head, b"Location") == [b"http://%b/a" % host]
            assert values(head, b"X-Request-Id") == [host]


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_a_request_cut_anywhere_is_the_same_request(start: Start, size: int) -> None:
    """Whatever segments it comes in, pipelined or not."""
    rig = await start(SETUP)
    stream = b"".join(REQUESTS[name] for name in ("plain", "body", "chunked body", "own id"))
    whole = await _sent(rig, stream, len(stream))
    assert await _sent(rig, stream, size) == whole
    assert whole[0].startswith(b"GET /v1/ HTTP/1.1\r\n")
    assert whole[3].endswith(b"X-Request-Id: mine\r\n\r\n") or b"mine" in whole[3]


async def _sent(rig: Rig, stream: bytes, size: int) -> list[bytes]:
    """Return the heads and bodies that the upstream gets of *stream*, cut into pieces of *size*."""
    client = await rig.client()
    for at in range(0, len(stream), size):
        client.send(stream[at : at + size])
        await _turns()
    if not rig.upstream.connections:
        await rig.upstream.accept()
    upstream = rig.upstream.connections[0]
    sent = []
    for body in (b"", b"body", b"a\r\n0\r\n\r\n", b""):
        head = await upstream.head()
        if body:
            head += (await upstream.take_until(body))[-len(body) :]
        sent.append(_MADE_ID.sub(b"X-Request-Id: made\r\n", head))
        upstream.send(ok(b"x"))
        await client.take_until(b"\r\n\r\nx")
    return sent


# A connection whose heads differ in values alone.


@pytest.mark.parametrize("cut", [0, 1, 17, 60, -3])
async def test_heads_that_differ_in_values_are_each_sent_with_their_own(
    start: Start, cut: int
) -> None:
    """
    Each with its own id and its own body, wherever the bytes are cut, and pipelined as well.
    """
    rig = await start(Setup())
    client = await rig.client()

    def numbered(n: int) -> bytes:
        return post(b"body-%d" % n, b"X-Request-Id: id-%d" % n, b"X-Rate: 5%")

    client.send(numbered(1))
    upstream = await rig.upstream.accept()
    for n in range(1, 5):
        head = await upstream.head()
        assert values(head, b"X-Request-Id") == [b"id-%d" % n]
        assert values(head, b"X-Rate") == [b"5%"]
        assert await upstream.take(6) == b"body-%d" % n
        upstream.send(ok(b"x"))
        assert values(await own_answer(client), b"X-Request-Id") == [b"id-%d" % n]
        following = numbered(n + 1)
        client.send(following[:cut])
        await rig.settle()
        client.send(following[cut:])
    client.send(numbered(6) + numbered(7))
    for n in range(5, 8):
        assert values(await upstream.head(), b"X-Request-Id") == [b"id-%d" % n]
        assert await upstream.take(6) == b"body-%d" % n
        upstream.send(ok(b"x"))
        assert values(await own_answer(client), b"X-Request-Id") == [b"id-%d" % n]


async def test_a_value_that_comes_in_drops_is_looked_at_once(start: Start) -> None:
    """
    A drop costs what is new in it, as it does on a connection that has nothing to remember. With
    60 KB looked at again for each it was forty times as much.
    """

    async def dripping(client: Wire) -> float:
        begun = process_time()
        for _ in range(3000):
            client.send(b" a" * 10)
            await _turns()
        return process_time() - begun

    rig = await start(Setup())
    client, upstream = await rig.ask(get(b"/", b"X-A: 0"))
    for n in range(1, 4):
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
        client.send(get(b"/", b"X-A: %d" % n) if n < 3 else get(b"/", b"X-A: ")[:-4])
    fresh = await rig.client()
    fresh.send(get(b"/", b"X-A: ")[:-4])
    assert await dripping(client) < 8 * await dripping(fresh)
    client.send(b"\r\n\r\n")
    assert len(await upstream.head()) > 60_000


async def test_a_value_that_makes_the_head_too_long_is_refused_as_ever(start: Start) -> None:
    """
    The head's limit holds for what differs from the last head in nothing but a long value.
    """
    rig = await start(Setup(limits=Limits(head_bytes=400)))
    client, upstream = await rig.ask(get(b"/", b"X-A: 0"))
    for n in range(1, 4):
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
        client.send(get(b"/", b"X-A: %d" % n))
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    client.send(get(b"/", b"X-A: " + b"1" * 400))
    assert (await client.head()).startswith(b"HTTP/1.1 431 ")
