"""An upstream that repeats the token does not hand it to the client, where that is asked for."""

import pytest

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

MASKING = Setup(mask_token=True)
TOKEN = "token-to-be-hidden"
ECHO = TOKEN.encode()
STARS = b"*" * len(ECHO)


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A data plane that hides the token."""
    rig = await start(MASKING)
    rig.credentials.give(TOKEN)
    return rig


async def test_head_and_body_have_asterisks_in_its_place(rig: Rig) -> None:
    """
    Lengths stay true; the same on a connection that repeats itself, and once more.
    """
    client, upstream = await rig.ask(get(b"/"))
    for _ in range(3):
        await upstream.head()
        upstream.send(ok(b'{"sent": "Bearer %b"}' % ECHO, b"X-Echo: " + ECHO, b"ETag: a"))
        answer = await own_answer(client)
        assert ECHO not in answer
        assert values(answer, b"X-Echo") == [STARS]
        assert answer.endswith(b'{"sent": "Bearer %b"}' % STARS)
        client.send(get(b"/"))
    await upstream.head()


@pytest.mark.parametrize("cut", range(1, 40, 3))
async def test_a_body_of_known_length_is_hidden_across_its_pieces(rig: Rig, cut: int) -> None:
    """
    Wherever the bytes are cut; what follows on the connection is whole.
    """
    body = b"<" + ECHO + b"|" + ECHO + b">"
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    whole = ok(body)
    at = len(whole) - len(body) + cut % len(body)
    upstream.send(whole[:at])
    await rig.settle()
    upstream.send(whole[at:])
    assert (await own_answer(client)).endswith(b"<" + STARS + b"|" + STARS + b">")
    client.send(get(b"/"))
    await upstream.head()
    upstream.send(ok(b"next"))
    assert (await own_answer(client)).endswith(b"next")


async def test_chunks_and_trailers_are_hidden_across_their_borders(rig: Rig) -> None:
    """
    A token in two chunks comes out in none; a trailer is looked at as well.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    half = len(ECHO) // 2
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (b"a" + ECHO[:half], ECHO[half:] + b"b", ECHO[:3]):
        upstream.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await rig.settle()
    upstream.send(b"0\r\nX-Echo: " + ECHO + b"\r\n\r\n")
    await client.head()
    said = await client.take_until(b"\r\n\r\n")
    assert ECHO not in said
    body = b"".join(said.split(b"\r\n")[1::2])
    assert body.startswith(b"a" + STARS + b"b" + ECHO[:3])
    assert b"X-Echo: " + STARS in said


async def test_a_body_to_the_connection_s_end_is_hidden_to_its_last_byte(rig: Rig) -> None:
    """
    What was kept back in case a token went on comes when there is no more.
    """
    client, upstream = await rig.ask(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    await upstream.head()
    upstream.send(b"HTTP/1.0 200 OK\r\n\r\n" + ECHO + b" and " + ECHO[:4])
    await rig.settle()
    upstream.close()
    assert (await client.rest()).endswith(b"\r\n\r\n" + STARS + b" and " + ECHO[:4])


async def test_an_event_is_not_kept_back(rig: Rig) -> None:
    """
    It passes although more may follow.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
    await client.head()
    assert await client.take_until(b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
    upstream.send(b"0\r\n\r\n")
    await client.take_until(b"0\r\n\r\n")


async def test_hints_are_hidden_too(rig: Rig) -> None:
    """
    A 1xx answer has fields like any other.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </" + ECHO + b">\r\n\r\n" + ok(b"x"))
    assert STARS in await client.head()
    assert (await own_answer(client)).endswith(b"x")


async def test_the_upstream_is_asked_for_what_can_be_looked_into(rig: Rig) -> None:
    """
    The client's wish for compression is not passed on, whatever it changes to.
    """
    client, upstream = await rig.ask(get(b"/", b"Accept-Encoding: gzip", b"X-A: 1"))
    for number in range(2, 5):
        assert values(await upstream.head(), b"Accept-Encoding") == [b"identity"]
        upstream.send(ok(b"x"))
        await own_answer(client)
        client.send(get(b"/", b"Accept-Encoding: br;q=%d" % number, b"X-A: %d" % number))
    assert values(await upstream.head(), b"Accept-Encoding") == [b"identity"]


async def test_a_coded_body_and_a_tunnel_pass_as_they_are(rig: Rig) -> None:
    """
    What can't be read is not changed: by accident it might hold the same bytes.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(ok(ECHO, b"Content-Encoding: gzip"))
    assert (await own_answer(client)).endswith(ECHO)
    for nothing in (b"identity", b"identity, Identity", b"utf-8", b""):
        client.send(get(b"/"))
        await upstream.head()
        upstream.send(ok(ECHO, b"Content-Encoding: " + nothing))
        assert (await own_answer(client)).endswith(STARS)
    client.send(get(b"/", b"Connection: Upgrade", b"Upgrade: websocket"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + ECHO)
    await client.head()
    assert await client.take(len(ECHO)) == ECHO


async def test_a_refused_token_is_hidden_in_its_401(rig: Rig) -> None:
    """
    It is the one that the answer's request was sent with, whichever is in use by now.
    """
    client, upstream = await rig.ask(post(b"x"))
    await upstream.head()
    await upstream.take(1)
    upstream.send(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(ECHO) + ECHO)
    await rig.credentials.parked()
    rig.credentials.give("another-token")
    again = await rig.upstream.accept()
    await again.head()
    await again.take(1)
    again.send(b"HTTP/1.1 401 No\r\nContent-Length: 13\r\n\r\nanother-token")
    answer = await own_answer(client)
    assert lines_of(answer)[0].startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b"*" * 13)


async def test_a_401_that_was_kept_back_hides_its_own_token(rig: Rig) -> None:
    """
    Its successor could not be sent; the answer is that to the first one.
    """
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(ECHO) + ECHO)
    await rig.credentials.parked()
    rig.upstream.refuse()
    rig.credentials.give("another-token")
    answer = await own_answer(client)
    assert lines_of(answer)[0].startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(STARS)


async def test_a_token_that_is_hardly_one_is_not_looked_for(rig: Rig) -> None:
    """
    It would be found in a status or a length.
    """
    rig.credentials.give("200")
    client, upstream = await rig.ask(get(b"/"))
    await upstream.head()
    upstream.send(ok(b"x" * 200))
    assert (await own_answer(client)).endswith(b"x" * 200)


async def test_head_requests_are_hidden_too(rig: Rig) -> None:
    """
    Their answers have no body, and fields all the same.
    """
    client, upstream = await rig.ask(request(b"HEAD", b"/"))
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Echo: " + ECHO + b"\r\n\r\n")
    assert values(await client.head(), b"X-Echo") == [STARS]


async def test_an_answer_s_end_is_no_beginning_of_a_token_in_the_next(rig: Rig) -> None:
    """
    Half a token at the end of one body and the other half in the next are two answers of two
    requests, sent at once; neither waits for the other.
    """
    client, upstream = await rig.ask(get(b"/1") + get(b"/2"))
    for body in (b"so " + ECHO[:5], ECHO[5:]):
        await upstream.head()
        upstream.send(ok(body))
        assert (await own_answer(client)).endswith(b"\r\n\r\n" + body)


async def test_a_part_of_a_resource_is_hidden_like_a_whole(rig: Rig) -> None:
    """
    A 206, in one range or in many: its length and its ranges stay true.
    """
    client, upstream = await rig.ask(get(b"/", b"Range: bytes=0-99"))
    await upstream.head()
    body = b"--x\r\n\r\n" + ECHO + b"\r\n--x--\r\n"
    field = b"Content-Range: bytes 0-%d/99" % (len(body) - 1)
    upstream.send(ok(body, field).replace(b"200 OK", b"206 Partial Content"))
    answer = await own_answer(client)
    assert values(answer, b"Content-Range") == [field.partition(b": ")[2]]
    assert answer.endswith(b"--x\r\n\r\n" + STARS + b"\r\n--x--\r\n")


async def test_off_nothing_is_changed(start: Start) -> None:
    """
    Answers pass byte for byte, as rule and default have it.
    """
    rig = await start(Setup())
    rig.credentials.give(TOKEN)
    client, upstream = await rig.ask(get(b"/", b"Accept-Encoding: gzip"))
    assert values(await upstream.head(), b"Accept-Encoding") == [b"gzip"]
    upstream.send(ok(ECHO))
    assert (await own_answer(client)).endswith(ECHO)
