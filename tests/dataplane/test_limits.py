"""Bounds: on connections, on requests, on time, and on what is taken during a stop."""

import asyncio
from collections.abc import Awaitable

import pytest

from proxy.dataplane import Limits
from tests.dataplane.conftest import Start
from tests.dataplane.rig import Rig, Setup, get, lines_of, ok, own_answer, post, request, values
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


# Clients.


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


# Back-pressure.


async def test_a_client_that_does_not_read_stops_the_upstream(rig: Rig) -> None:
    """What the proxy holds meanwhile is bounded; nothing is lost."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    client.stop_reading()
    much = b"0123456789abcdef" * 1024 * 1024
    upstream.send(ok(much))
    await upstream.until(lambda: upstream.is_full)
    await rig.turns(lambda: rig.plane.load().response_bytes > 0, "nothing moves")
    client.read_on()
    await client.head()
    assert await client.take(len(much)) == much


async def test_an_upstream_that_does_not_read_stops_the_client(rig: Rig) -> None:
    """The same the other way."""
    much = b"0123456789abcdef" * 1024 * 1024
    client = await rig.client()
    client.send(request(b"POST", b"/", b"Content-Length: %d" % len(much)))
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.stop_reading()
    client.send(much)
    await client.until(lambda: client.is_full)
    upstream.read_on()
    assert await upstream.take(len(much)) == much
    upstream.send(ok(b"x"))
    await own_answer(client)


async def test_a_client_that_pipelines_without_end_is_not_read(rig: Rig) -> None:
    """Requests wait where they cost nothing, and the next is sent after the answer."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    client.send(get(b"/ahead") * 400_000)
    await client.until(lambda: client.is_full)
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert (await upstream.head()).startswith(b"GET /ahead ")
    rig.upstream.refuse()
    upstream.reset()
    await own_answer(client)


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
