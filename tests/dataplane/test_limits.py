"""Bounds: on connections, on requests, on time, and on what is taken during a stop."""

import asyncio
import gc
import resource
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from proxy.dataplane import Limits, Plane
from tests.dataplane.conftest import Start
from tests.dataplane.rig import (
    AUTHORIZATION,
    Rig,
    Setup,
    get,
    lines_of,
    ok,
    own_answer,
    post,
    request,
    values,
)
from tests.dataplane.test_tunnels import SWITCHING, WEBSOCKET
from tests.dataplane.wire import Wire

# Upstream connections.


async def test_requests_beyond_the_connections_wait_in_line(start: Start) -> None:
    """They are served in the order of their coming, over the connection that becomes free."""
    rig = await start(Setup(connections=1))
    first, upstream = await rig.ask(get(b"/0"))
    clients = [first]
    for number in (1, 2, 3):
        client = await rig.client()
        client.send(get(b"/%d" % number))
        clients.append(client)
        await _in_line(rig, number)
    for number, client in enumerate(clients):
        assert (await upstream.head()).startswith(b"GET /%d " % number)
        upstream.send(ok(b"%d" % number))
        assert (await own_answer(client)).endswith(b"\r\n\r\n%d" % number)
    assert len(rig.upstream.connections) == 1


async def _in_line(rig: Rig, requests: int) -> None:
    await rig.turns(lambda: rig.pool.queued_count == requests, "requests are not in line")


async def test_requests_that_come_together_do_not_exceed_the_connections(start: Start) -> None:
    """A connection that is only being made counts as one."""
    rig = await start(Setup(connections=2))
    clients = [await rig.client() for _ in range(6)]
    for client in clients:
        client.send(get())
    for _ in range(2):
        await (await rig.upstream.accept()).head()
    await _in_line(rig, 4)
    assert len(rig.upstream.connections) == 2


async def test_a_lost_connection_makes_room_for_one(start: Start) -> None:
    """One of those in line takes its place, not all of them."""
    rig = await start(Setup(connections=1))
    first, upstream = await rig.ask(get())
    for number in (1, 2, 3):
        (await rig.client()).send(get(b"/%d" % number))
        await _in_line(rig, number)
    await upstream.head()
    upstream.close()
    await own_answer(first)
    second = await rig.upstream.accept()
    await second.head()
    assert rig.pool.queued_count == 2
    assert len(rig.upstream.connections) == 2


async def test_a_client_that_leaves_the_line_is_skipped(start: Start) -> None:
    """Its place in it is the next one's."""
    rig = await start(Setup(connections=1))
    first, upstream = await rig.ask(get())
    gone, last = await rig.client(), await rig.client()
    gone.send(get(b"/gone"))
    await _in_line(rig, 1)
    last.send(get(b"/last"))
    await _in_line(rig, 2)
    gone.close()
    await _in_line(rig, 1)
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(first)
    assert (await upstream.head()).startswith(b"GET /last ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_without_a_descriptor_it_is_the_proxy_that_is_overloaded(
    start: Start, host: str
) -> None:
    """Neither the upstream nor its name is to blame, and the next request works."""
    rig = await start(Setup(host=host))
    client = await rig.client()
    await rig.turns(lambda: bool(rig.plane.connections), "not accepted")
    with _no_descriptors():
        client.send(get())
        answer = await own_answer(client)
    assert lines_of(answer)[0] == b"HTTP/1.1 503 Service Unavailable"
    assert b'"code": "overloaded"' in answer
    assert values(answer, b"Retry-After") == [b"1"]
    client.send(get())
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


@contextmanager
def _no_descriptors() -> Iterator[None]:
    """Have this process open nothing during the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# Clients.


async def test_clients_that_are_too_many_hear_why_and_when_to_come_again(start: Start) -> None:
    """
    Some are given time to read it, the others are closed behind it; who was there before stays,
    and there is room again when one leaves.
    """
    rig = await start(Setup(limits=Limits(connections=1, lingering=2)))
    first, upstream = await rig.ask(get())
    for open_now in (2, 3, 3, 3):
        answer = await (await rig.client()).rest()
        assert b'"code": "overloaded"' in answer
        assert values(answer, b"Retry-After") == [b"1"]
        await _connected(rig, open_now)
    assert rig.plane.turned_away == 4
    await upstream.head()
    upstream.send(ok(b"x"))
    assert (await own_answer(first)).endswith(b"\r\n\r\nx")
    for client in rig.clients:
        client.close()
    await _connected(rig, 0)
    later = await rig.client()
    later.send(get())
    await upstream.head()
    upstream.send(ok(b"y"))
    assert (await own_answer(later)).endswith(b"\r\n\r\ny")


async def _connected(rig: Rig, clients: int) -> None:
    await rig.turns(lambda: len(rig.plane.connections) == clients, "too many or too few")


async def test_an_idle_client_costs_no_memory_of_its_last_request(rig: Rig) -> None:
    """Nor is there a token about it; what it asks next is read afresh, and answered as ever."""
    client, upstream = await rig.ask(get())
    for _ in range(2):
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
        [connection] = rig.plane.connections
        assert AUTHORIZATION in _remembered(connection)
        connection.sweep(time.monotonic() + 60)
        assert AUTHORIZATION not in _remembered(connection)
        client.send(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)


def _remembered(connection: object) -> bytes:
    """Return all bytes that *connection* keeps of its requests."""
    found, seen, todo = [], set[int](), [connection]
    while todo:
        each = todo.pop()
        if id(each) not in seen and not isinstance(each, type | ModuleType | Plane):
            seen.add(id(each))
            if isinstance(each, bytes):
                found.append(each)
            elif each is connection or type(each).__module__.startswith(("builtins", "proxy.pol")):
                todo += gc.get_referents(each)
    return b"\0".join(found)


async def test_a_connection_has_so_many_requests_and_is_told_of_the_last(start: Start) -> None:
    """After it comes a close; what is pipelined behind it is not answered."""
    rig = await start(Setup(limits=Limits(requests_per_connection=2)))
    client, upstream = await rig.ask(get() * 3)
    await upstream.head()
    upstream.send(ok(b"x"))
    assert not values(await own_answer(client), b"Connection")
    await upstream.head()
    upstream.send(ok(b"x"))
    assert values(await own_answer(client), b"Connection") == [b"close"]
    assert await client.rest() == b""
    assert not upstream.unread


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_an_answer_that_stops_is_cut(start: Start, framing: bytes) -> None:
    """An upstream that falls silent amid its answer holds a client for so long and no longer."""
    rig = await start(Setup(limits=Limits(response_idle_seconds=0.1)))
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\nbegun\r\n")
    await client.take_until(b"begun")
    assert not (await client.rest()).endswith(b"0\r\n\r\n")
    await upstream.ended()
    [record] = await rig.journal.told()
    assert (record.status, record.error) == (200, "upstream_timeout")


async def test_a_tunnel_may_be_silent(start: Start) -> None:
    """Its two ends know better than the proxy when it is over."""
    rig = await start(Setup(limits=Limits(response_idle_seconds=0.1, body_idle_seconds=0.1)))
    client, upstream = await rig.ask(WEBSOCKET)
    await upstream.head()
    upstream.send(SWITCHING)
    await client.head()
    other = await rig.client()  # its own idleness shows that the sweep has come by since
    other.send(request(b"POST", b"/", b"Content-Length: 9"))
    assert b'"code": "request_timeout"' in await own_answer(other)
    client.send(b"still here")
    assert await upstream.take(10) == b"still here"


async def test_a_refused_client_that_goes_on_sending_still_hears_why(start: Start) -> None:
    """Closing at once would break the connection, and the answer may be lost with it."""
    rig = await start(Setup(body_bytes=8))
    client = await rig.client()
    client.send(request(b"POST", b"/", b"Content-Length: 1000000"))
    assert b'"code": "body_too_large"' in await client.rest()
    client.send(bytes(50_000))
    client.half_close()
    assert await rig.plane.drain(5) == 0
    assert not client.is_broken


async def test_a_refused_client_is_not_listened_to_for_long(start: Start) -> None:
    """What it sends is discarded for two seconds, then it is cut off."""
    rig = await start(Setup(body_bytes=8))
    client = await rig.client()
    client.send(request(b"POST", b"/", b"Content-Length: 1000000"))
    await client.rest()
    assert rig.plane.connections
    assert await rig.plane.drain(5) == 0


async def test_an_idle_client_is_closed(start: Start) -> None:
    """Without a word: there is no request to answer."""
    rig = await start(Setup(limits=Limits(keep_alive_seconds=0.1)))
    client = await rig.client()
    assert await client.rest() == b""


async def test_an_idle_upstream_connection_is_closed_before_the_upstream_does(rig: Rig) -> None:
    """A second earlier than it says."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x", b"Keep-Alive: timeout=1"))
    await own_answer(client)
    await upstream.ended()
    assert not rig.pool.idle_count


# Time.


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_head_that_drips_is_given_up(start: Start, begun: bytes) -> None:
    """The limit is the head's, however many bytes keep coming."""
    rig = await start(Setup(limits=Limits(head_seconds=0.2)))
    client = await rig.client()
    client.send(begun)
    dripping = asyncio.create_task(_drip(client))
    try:
        answer = await own_answer(client)
    finally:
        dripping.cancel()
        await asyncio.wait([dripping])
    assert lines_of(answer)[0] == b"HTTP/1.1 408 Request Timeout"
    assert not rig.upstream.connections


async def _drip(client: Wire) -> None:
    while not client.at_eof:
        client.send(b"x")
        await asyncio.sleep(0.02)  # the promise is about bytes that come at their leisure


# A stop.


async def _drained(rig: Rig, draining: Awaitable[int]) -> None:
    """See that the drain is over, and that nobody was cut off."""
    assert await draining == 0
    assert not rig.plane.connections


async def test_a_drain_closes_idle_clients_at_once(rig: Rig) -> None:
    """Whether they have asked before or not."""
    fresh = await rig.client()
    used, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(used)
    await _drained(rig, rig.plane.drain(5))
    assert await fresh.rest() == b""
    assert await used.rest() == b""


async def test_a_drain_lets_what_is_in_flight_finish(rig: Rig) -> None:
    """The answer comes whole, and with it the news that the connection ends."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    draining = asyncio.create_task(rig.plane.drain(5))
    await rig.turns(lambda: rig.plane.draining, "not draining")
    upstream.send(ok(b"last"))
    answer = await client.rest()
    assert answer.endswith(b"\r\n\r\nlast")
    assert values(answer, b"Connection") == [b"close"]
    await _drained(rig, draining)


async def test_a_drain_lets_a_body_finish(rig: Rig) -> None:
    """A request that was being sent when the stop came is sent and answered."""
    client, upstream = await rig.ask(request(b"POST", b"/", b"Content-Length: 5", body=b"be"))
    await upstream.take_until(b"\r\n\r\nbe")
    draining = asyncio.create_task(rig.plane.drain(5))
    await rig.turns(lambda: rig.plane.draining, "not draining")
    client.send(b"gun")
    assert await upstream.take(3) == b"gun"
    upstream.send(ok(b"done"))
    assert (await client.rest()).endswith(b"\r\n\r\ndone")
    await _drained(rig, draining)


async def test_a_drain_closes_what_was_promised_to_go_on(rig: Rig) -> None:
    """The head of the answer was sent before the stop came, and could not tell of it."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbe")
    assert not values(await client.head(), b"Connection")
    draining = asyncio.create_task(rig.plane.drain(5))
    await rig.turns(lambda: rig.plane.draining, "not draining")
    upstream.send(b"gun, done")
    assert await client.rest() == b"begun, do"
    await _drained(rig, draining)


async def test_a_drain_takes_no_further_request(rig: Rig) -> None:
    """What was pipelined is not begun."""
    client, upstream = await rig.ask(get(b"/1") + post(b"2"))
    await upstream.head()
    draining = asyncio.create_task(rig.plane.drain(5))
    await rig.turns(lambda: rig.plane.draining, "not draining")
    upstream.send(ok(b"one"))
    assert (await client.rest()).endswith(b"\r\n\r\none")
    assert not upstream.unread
    await _drained(rig, draining)


async def test_a_drain_ends_in_time(rig: Rig) -> None:
    """Who is not done by then is cut off, and counted."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    assert await rig.plane.drain(0.05) == 1
    await client.rest()
    await upstream.ended()


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_small_writes_are_not_held_back(rig: Rig) -> None:
    """
    A hint and its answer do not wait for the client's delayed acknowledgement (40 ms).

    uvloop sees to that for every socket; asyncio only for those that were made for it.
    """
    began = asyncio.get_running_loop().time()
    client, upstream = await rig.ask(get())
    for _ in range(25):
        await upstream.head()
        upstream.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok(b"x"))
        await client.head()
        await own_answer(client)
        client.send(get())
    assert asyncio.get_running_loop().time() - began < 0.5
