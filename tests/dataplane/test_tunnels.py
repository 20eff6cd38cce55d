"""After a 101 the proxy is a pair of pipes; before it, an upgrade is a request as any other."""

import asyncio

import pytest

from tests.dataplane.rig import AUTHORIZATION, Rig, get, lines_of, ok, own_answer, post, values
from tests.dataplane.wire import Wire

WEBSOCKET = get(
    b"/ws",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)


async def _tunnel(
    rig: Rig, request: bytes = WEBSOCKET, answer: bytes = SWITCHING
) -> tuple[Wire, Wire]:
    client, upstream = await rig.ask(request)
    await upstream.head()
    upstream.send(answer)
    await client.head()
    return client, upstream


async def test_an_upgrade_is_offered_with_the_credential(rig: Rig) -> None:
    """The upstream sees the offer, its fields, and who asks."""
    head = await rig.told(WEBSOCKET, ok(b""))
    assert values(head, b"Connection") == [b"Upgrade"]
    assert values(head, b"Upgrade") == [b"websocket"]
    assert values(head, b"Sec-WebSocket-Key") == [b"dGhlIHNhbXBsZSBub25jZQ=="]
    assert AUTHORIZATION in head


@pytest.mark.parametrize("protocol", [b"websocket", b"my-protocol/2"])
async def test_any_protocol_becomes_a_tunnel(rig: Rig, protocol: bytes) -> None:
    """Bytes of both sides pass as they are, in whichever order they come."""
    client, upstream = await rig.ask(get(b"/", b"Connection: Upgrade", b"Upgrade: " + protocol))
    await upstream.head()
    upstream.send(SWITCHING.replace(b"websocket", protocol))
    head = await client.head()
    assert lines_of(head)[0] == b"HTTP/1.1 101 Switching Protocols"
    assert values(head, b"Upgrade") == [protocol]
    assert values(head, b"Connection") == [b"Upgrade"]
    every = bytes(range(256)) * 16
    client.send(every)
    upstream.send(every[::-1])
    assert await upstream.take(len(every)) == every
    assert await client.take(len(every)) == every[::-1]
    upstream.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await client.take(18) == b"GET / HTTP/1.1\r\n\r\n"


async def test_bytes_sent_ahead_of_the_101_go_into_the_tunnel(rig: Rig) -> None:
    """So do those that come with it."""
    client, upstream = await rig.ask(WEBSOCKET + b"early")
    await upstream.head()
    assert not upstream.unread
    upstream.send(SWITCHING + b"prompt")
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    assert await client.take(6) == b"prompt"
    assert await upstream.take(5) == b"early"


async def test_a_declined_upgrade_is_an_answer(rig: Rig) -> None:
    """And the connection goes on with HTTP."""
    client, upstream = await rig.ask(WEBSOCKET)
    await upstream.head()
    upstream.send(ok(b"no"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nno")
    client.send(get(b"/next"))
    assert (await upstream.head()).startswith(b"GET /next ")
    upstream.send(ok(b"yes"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nyes")


async def test_h2c_is_never_offered(rig: Rig) -> None:
    """It would carry requests past every rule."""
    head = await rig.told(
        get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA")
    )
    assert b"h2c" not in head
    assert not values(head, b"Upgrade")
    assert not values(head, b"HTTP2-Settings")


@pytest.mark.parametrize("request_", [get(), post(b"x", b"Connection: Upgrade", b"Upgrade: a")])
async def test_a_switch_nobody_asked_for_is_an_error(rig: Rig, request_: bytes) -> None:
    """The client is not handed to a protocol that it does not speak."""
    client, upstream = await rig.ask(request_)
    await upstream.head()
    upstream.send(SWITCHING)
    assert b'"code": "upstream_bad_response"' in await own_answer(client)
    await upstream.ended()


async def test_a_clients_half_close_leaves_the_other_half(rig: Rig) -> None:
    """The upstream sees the end and can still answer."""
    client, upstream = await _tunnel(rig)
    client.send(b"last words")
    client.half_close()
    assert await upstream.rest() == b"last words"
    assert not upstream.lost
    upstream.send(b"answer")
    assert await client.take(6) == b"answer"
    upstream.half_close()
    assert await client.rest() == b""
    await rig.journal.told()


async def test_an_upstreams_half_close_leaves_the_other_half(rig: Rig) -> None:
    """The client sees the end and can still send."""
    client, upstream = await _tunnel(rig)
    upstream.send(b"last words")
    upstream.half_close()
    assert await client.rest() == b"last words"
    assert not client.lost
    client.send(b"answer")
    assert await upstream.take(6) == b"answer"
    client.half_close()
    assert await upstream.rest() == b""
    await rig.journal.told()


async def test_a_clients_death_ends_the_tunnel(rig: Rig) -> None:
    """What it sent before still arrives."""
    client, upstream = await _tunnel(rig)
    client.send(b"bye")
    client.close()
    assert await upstream.rest() == b"bye"
    upstream.close()
    await rig.journal.told()


async def test_an_upstreams_death_ends_the_tunnel(rig: Rig) -> None:
    """A client that waits for more is told at once."""
    client, upstream = await _tunnel(rig)
    upstream.reset()
    await client.until(lambda: client.at_eof or client.lost)
    [record] = await rig.journal.told()
    assert record.status == 101


async def test_a_tunnel_moves_more_than_fits_into_buffers(rig: Rig) -> None:
    """Neither side outruns the other, and nothing is lost."""
    client, upstream = await _tunnel(rig)
    upstream.stop_reading()
    much = b"0123456789abcdef" * 65536 * 4
    client.send(much)
    client.half_close()
    await asyncio.sleep(0)
    upstream.read_on()
    assert await upstream.rest() == much
    upstream.half_close()
    await client.rest()


async def test_a_tunnel_is_one_request_to_the_journal(rig: Rig) -> None:
    """With the bytes of both ways, once it is over."""
    client, upstream = await _tunnel(rig)
    client.send(b"12345")
    await upstream.take(5)
    upstream.send(b"123")
    await client.take(3)
    assert not rig.journal.records
    client.close()
    await upstream.rest()
    upstream.close()
    [record] = await rig.journal.told()
    assert (record.status, record.request_bytes, record.response_bytes) == (101, 5, 3)
