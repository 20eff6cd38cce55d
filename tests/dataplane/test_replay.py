"""A request without a token waits for one; one whose token is refused is sent once more."""

import ssl

import pytest
import trustme

from proxy.dataplane import Destination
from tests.dataplane.conftest import Start
from tests.dataplane.rig import (
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
from tests.dataplane.wire import Wire

REFUSED = (
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 7\r\n\r\nexpired"
)

# No token.


async def test_without_a_credential_the_upstream_is_not_contacted(rig: Rig) -> None:
    """The answer says why, and when to come again."""
    rig.credentials.take_away(coming=False)
    answer = await rig.refused(get())
    assert lines_of(answer)[0] == b"HTTP/1.1 503 Service Unavailable"
    assert values(answer, b"Retry-After") == [b"2"]
    assert b'"code": "token_pending"' in answer


async def test_a_parked_request_is_sent_when_the_token_comes(rig: Rig) -> None:
    """With that token, and its whole body."""
    rig.credentials.take_away(coming=True)
    client = await rig.client()
    client.send(post(b"body"))
    await rig.credentials.parked()
    assert not rig.upstream.connections
    rig.credentials.give("late")
    upstream = await rig.upstream.accept()
    assert values(await upstream.head(), b"Authorization") == [b"Bearer late"]
    assert await upstream.take(4) == b"body"
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_parked_request_is_answered_after_the_wait(start: Start) -> None:
    """It is a 503, and the connection goes on."""
    rig = await start(Setup(wait_seconds=0.1))
    rig.credentials.take_away(coming=True)
    answer = await rig.refused(get())
    assert lines_of(answer)[0] == b"HTTP/1.1 503 Service Unavailable"
    assert values(answer, b"Connection") == [b"keep-alive"]


async def test_a_parked_request_is_answered_once_waiting_is_pointless(rig: Rig) -> None:
    """A fetch that failed for longer than anyone waits is told at once."""
    rig.credentials.take_away(coming=True)
    client = await rig.client()
    client.send(get())
    await rig.credentials.parked()
    rig.credentials.take_away(coming=False)
    assert b'"code": "token_pending"' in await own_answer(client)
    assert not rig.upstream.connections


async def test_the_credential_is_looked_up_for_every_request(rig: Rig) -> None:
    """One that is replaced between two requests of a connection is not sent any more."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    rig.credentials.give("token-2")
    client.send(get())
    assert values(await upstream.head(), b"Authorization") == [b"Bearer token-2"]
    upstream.send(ok(b"x"))
    await own_answer(client)
    rig.credentials.take_away(coming=False)
    client.send(get())
    assert b'"code": "token_pending"' in await own_answer(client)
    assert not upstream.unread


# A refused token.


async def _refused(rig: Rig, asked: bytes) -> tuple[Wire, Wire]:
    """Have the upstream refuse *asked*; return both connections while a new token is awaited."""
    client, upstream = await rig.ask(asked)
    await upstream.head()
    upstream.send(REFUSED)
    await rig.credentials.parked()
    assert not client.received
    return client, upstream


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (get(), b""),
        (post(b"hello"), b"hello"),
        (
            request(
                b"POST",
                b"/",
                b"Transfer-Encoding: chunked",
                body=b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
            ),
            b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
    ],
)
async def test_a_401_is_held_and_the_request_replayed(rig: Rig, asked: bytes, body: bytes) -> None:
    """With the new credential and the same bytes; the client sees the second answer alone."""
    client, first = await rig.ask(asked)
    sent = await first.head()
    assert await first.take(len(body)) == body
    first.send(REFUSED)
    await rig.credentials.parked()
    rig.credentials.give("token-2")
    second = await rig.upstream.accept()
    assert await second.head() == sent.replace(b"token-1", b"token-2")
    assert await second.take(len(body)) == body
    second.send(ok(b"welcome"))
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nwelcome")
    assert not client.unread
    await first.ended()
    assert rig.plane.replays == {"ok": 1, "refused": 0, "failed": 0}
    [record] = await rig.journal.told()
    assert record.status == 200


async def test_a_replay_that_is_refused_too_is_the_answer(rig: Rig) -> None:
    """It is replayed once, and the last 401 passes, its fields and body included."""
    client, _ = await _refused(rig, get())
    rig.credentials.give("token-2")
    second = await rig.upstream.accept()
    await second.head()
    second.send(REFUSED.replace(b"expired", b"unknown"))
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n")
    assert answer.endswith(b"\r\n\r\nunknown")
    assert [each.token for each in rig.credentials.refusals] == ["token-1", "token-2"]
    assert rig.plane.replays == {"ok": 0, "refused": 1, "failed": 0}


async def _original(client: Wire) -> None:
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n")
    assert answer.endswith(b"\r\n\r\nexpired")
    assert not client.unread


async def test_the_same_credential_again_gives_the_original_401(rig: Rig) -> None:
    """Asking again with what was refused would change nothing."""
    client, upstream = await _refused(rig, get())
    rig.credentials.give("token-1")
    await _original(client)
    assert len(rig.upstream.connections) == 1
    client.send(get(b"/next"))
    assert (await upstream.head()).startswith(b"GET /next ")


async def test_no_new_credential_gives_the_original_401(rig: Rig) -> None:
    """When the issuer has none to give."""
    client, _ = await _refused(rig, get())
    rig.credentials.take_away(coming=False)
    await _original(client)
    assert rig.plane.replays == {"ok": 0, "refused": 0, "failed": 1}


async def test_no_new_credential_in_time_gives_the_original_401(start: Start) -> None:
    """When the issuer is slow."""
    rig = await start(Setup(wait_seconds=0.1))
    client, _ = await _refused(rig, get())
    await _original(client)


async def test_a_replay_that_cannot_connect_gives_the_original_401(rig: Rig) -> None:
    """The first answer is the better one."""
    client, _ = await _refused(rig, get())
    rig.upstream.refuse()
    rig.credentials.give("token-2")
    await _original(client)
    assert rig.plane.replays == {"ok": 0, "refused": 0, "failed": 1}


async def test_a_replay_that_dies_gives_the_original_401(rig: Rig) -> None:
    """So does one whose connection is lost before it is answered."""
    client, _ = await _refused(rig, post(b"x"))
    rig.credentials.give("token-2")
    second = await rig.upstream.accept()
    await second.head()
    second.close()
    await _original(client)


async def test_a_held_401_comes_whole_though_its_connection_is_closed(rig: Rig) -> None:
    """An upstream that closes after a 401 does not take it back."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    upstream.close()
    await rig.credentials.parked()
    rig.credentials.take_away(coming=False)
    await _original(client)


async def test_a_held_401_may_come_in_parts(rig: Rig) -> None:
    """What of its body was on the way when it was held is passed on."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(REFUSED[:-5])
    await rig.credentials.parked()
    upstream.send(REFUSED[-5:])
    rig.credentials.take_away(coming=False)
    await _original(client)


async def test_an_original_401_that_breaks_off_is_not_gone_on_with_by_another_answer(
    rig: Rig,
) -> None:
    """
    Once its head is out the request is not sent again, though the connection had been used before.
    """
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    client.send(get())
    await upstream.head()
    upstream.send(REFUSED[:-5])
    await rig.credentials.parked()
    rig.credentials.give("token-1")
    assert await client.take_until(b"ex")
    upstream.close()
    assert not await client.rest()
    assert len(rig.upstream.connections) == 1


async def test_a_401_that_is_not_worth_a_replay_passes(rig: Rig) -> None:
    """When fresh tokens are refused as well."""
    rig.credentials.renewable = False
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(REFUSED)
    await _original(client)
    assert len(rig.credentials.refusals) == 1


async def test_a_401_to_a_body_that_is_not_kept_passes(start: Start) -> None:
    """Beyond replay_max_bytes a request can't be sent again; the credential is reported."""
    rig = await start(Setup(replay_max_bytes=4))
    client, upstream = await rig.ask(post(b"large"))
    await upstream.take_until(b"large")
    upstream.send(REFUSED)
    await _original(client)
    assert len(rig.credentials.refusals) == 1


async def test_a_401_amid_the_body_passes(rig: Rig) -> None:
    """The client has not sent all that a replay would need."""
    client, upstream = await rig.ask(request(b"POST", b"/", b"Content-Length: 9", body=b"begun"))
    await upstream.take_until(b"begun")
    upstream.send(REFUSED)
    assert (await client.rest()).endswith(b"\r\n\r\nexpired")
    assert len(rig.upstream.connections) == 1


async def test_a_replay_is_answered_in_the_words_of_an_answer_before(rig: Rig) -> None:
    """The shorter way ends the wait as well: the held 401 goes with its connection."""
    clients = [await rig.ask(get()), await rig.ask(get())]
    for client, upstream in clients:
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
    (client, spare), (_, latest) = clients
    client.send(get())
    await latest.head()
    latest.send(REFUSED)
    await rig.credentials.parked()
    rig.credentials.give("token-2")
    await spare.head()
    spare.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")
    await latest.ended()
    assert rig.plane.replays == {"ok": 1, "refused": 0, "failed": 0}


async def test_a_403_is_no_reason_to_refresh(rig: Rig) -> None:
    """The credential is good; it may not do this."""
    answer = await rig.heard(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert not rig.credentials.refusals


async def test_a_client_that_leaves_while_its_401_is_held_is_forgotten(rig: Rig) -> None:
    """Both waits end, and nothing is replayed."""
    client, upstream = await _refused(rig, get())
    client.close()
    await upstream.ended()
    await rig.journal.told()
    rig.credentials.give("token-2")
    assert len(rig.upstream.connections) == 1


async def test_every_request_with_a_refused_token_is_replayed_for_itself(rig: Rig) -> None:
    """Two that were refused together are sent again together."""
    pairs = [await rig.ask(get(b"/%d" % number)) for number in range(2)]
    for _, upstream in pairs:
        await upstream.head()
        upstream.send(REFUSED)
    await rig.credentials.parked(2)
    rig.credentials.give("token-2")
    for _ in pairs:
        upstream = await rig.upstream.accept()
        upstream.send(ok((await upstream.head())[4:6]))
    for number, (client, _) in enumerate(pairs):
        assert (await own_answer(client)).endswith(b"\r\n\r\n/%d" % number)


async def test_a_held_401_over_tls_comes_whole_though_its_connection_is_closed(
    start: Start,
) -> None:
    """TLS tells of the end at once, and yet the answer that came before it stands."""
    authority = trustme.CA()
    client_side, server_side = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    )
    authority.configure_trust(client_side)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    rig: Rig = await start(
        Setup(),
        lambda port: Destination(name="https://x", host="127.0.0.1", port=port, tls=client_side),
    )
    rig.upstream.refuse()
    await rig.upstream.start(server_side)
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    upstream.close()
    await rig.credentials.parked()
    await upstream.until(lambda: upstream.lost)
    rig.credentials.take_away(coming=False)
    await _original(client)
