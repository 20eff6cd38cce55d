"""
Whoever does not read is not sent more than the buffers on the way hold; nothing is lost of it.

The buffers are the kernels' (up to 10 MB a connection) and, of a bounded size, the proxy's.
"""

from collections.abc import Callable

import pytest

from proxy.dataplane import Limits
from tests.dataplane.conftest import Start
from tests.dataplane.rig import Rig, Setup, get, ok, own_answer, request
from tests.dataplane.test_tunnels import SWITCHING, WEBSOCKET
from tests.dataplane.wire import Wire

MUCH = bytes(range(256)) * 4 * 1024 * 64


async def test_a_client_that_does_not_read_stops_the_upstream(rig: Rig) -> None:
    """Once it reads again, it gets the whole."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    client.stop_reading()
    upstream.send(ok(MUCH))
    await rig.settle()
    assert 0 < rig.plane.load().response_bytes < len(MUCH)
    assert upstream.unsent
    client.read_on()
    await client.head()
    assert await client.take(len(MUCH)) == MUCH


async def test_an_upstream_that_does_not_read_stops_the_client(rig: Rig) -> None:
    """The same the other way."""
    client = await rig.client()
    client.send(request(b"POST", b"/", b"Content-Length: %d" % len(MUCH)))
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.stop_reading()
    client.send(MUCH)
    await rig.settle()
    assert 0 < rig.plane.load().request_bytes < len(MUCH)
    assert client.unsent
    upstream.read_on()
    assert await upstream.take(len(MUCH)) == MUCH
    upstream.send(ok(b"x"))
    await own_answer(client)


@pytest.mark.parametrize("slow", ["client", "upstream"])
async def test_an_end_of_a_tunnel_that_does_not_read_stops_the_other(rig: Rig, slow: str) -> None:
    """And only this direction: the other one goes on."""
    client, upstream = await rig.ask(WEBSOCKET)
    await upstream.head()
    upstream.send(SWITCHING)
    await client.head()
    quick, stopped = (upstream, client) if slow == "client" else (client, upstream)
    stopped.stop_reading()
    quick.send(MUCH)
    await rig.settle()
    assert quick.unsent
    stopped.send(b"still here")
    assert await quick.take(10) == b"still here"
    stopped.read_on()
    assert await stopped.take(len(MUCH)) == MUCH


async def test_a_parked_body_is_read_no_further_than_it_is_kept(start: Start) -> None:
    """A token that comes late makes the client wait, not the proxy grow."""
    rig: Rig = await start(Setup(replay_max_bytes=1024))
    rig.credentials.take_away(coming=True)
    client = await rig.client()
    client.send(request(b"PUT", b"/", b"Content-Length: %d" % len(MUCH), body=MUCH))
    await rig.settle()
    assert client.unsent
    assert rig.plane.load().request_bytes < 1024 * 1024
    rig.credentials.give("token-2")
    upstream = await rig.upstream.accept()
    await upstream.head()
    assert await upstream.take(len(MUCH)) == MUCH
    upstream.send(ok(b"x"))
    await own_answer(client)


async def test_a_client_that_pipelines_without_end_is_not_read(rig: Rig) -> None:
    """Requests wait where they cost nothing, and the next is sent after the answer."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    client.send(get(b"/ahead") * (len(MUCH) // len(get(b"/ahead"))))
    await rig.settle()
    assert client.unsent
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert (await upstream.head()).startswith(b"GET /ahead ")
    client.reset()
    await upstream.ended()


@pytest.mark.parametrize("leave", [Wire.close, Wire.reset])
async def test_a_client_that_leaves_while_it_is_not_read_is_noticed(
    start: Start, leave: Callable[[Wire], None]
) -> None:
    """No event tells of it, so it is looked for."""
    rig: Rig = await start(Setup(limits=Limits(head_bytes=256)))
    client, upstream = await rig.ask(get() + get(b"/ahead") * 20)
    await upstream.head()
    await rig.settle()
    leave(client)
    await upstream.ended()
    [record] = await rig.journal.told()
    assert (record.side, record.error) == ("downstream", "client_closed")
