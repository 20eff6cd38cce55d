"""What crosses the proxy in a head, and what does not."""

import gzip

import pytest

from tests.dataplane.conftest import Start
from tests.dataplane.rig import (
    AUTHORIZATION,
    NO_CONTENT,
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

BASE = Setup(path=b"/v1")

# The request line.


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a/b?c=d&e=%20+;f",
        b"/a//b/",
        b"/%41%e9%2f%2F;p=1,2",
        b"/a?//../x",
        b"/~user/!$&'()*+,;=:@",
        b"/a?",
        b"/a..b/...",
    ],
)
async def test_path_and_query_reach_the_upstream_byte_for_byte(start: Start, target: bytes) -> None:
    """They stand behind the base path; nothing is decoded, encoded, merged or sorted."""
    rig = await start(BASE)
    assert (await rig.told(get(target))).startswith(b"GET /v1" + target + b" HTTP/1.1\r\n")


async def test_the_method_is_passed_on_as_it_is(rig: Rig) -> None:
    """Unknown methods too, in their case."""
    assert (await rig.told(request(b"PurGe", b"/"))).startswith(b"PurGe / HTTP/1.1\r\n")


async def test_a_url_of_the_upstream_is_a_target(start: Start) -> None:
    """What a tool sends under http_proxy= is taken as what it names."""
    rig = await start(BASE)
    head = await rig.told(get(b"http://%b/v1/a?b" % rig.authority))
    assert head.startswith(b"GET /v1/a?b HTTP/1.1\r\nHost: %b\r\n" % rig.authority)


@pytest.mark.parametrize(
    "target",
    [b"http://example.com/", b"http://localhost/v1/", b"http://127.0.0.1:1/", b"ftp://x/", b"//x"],
)
async def test_any_other_url_is_refused(start: Start, target: bytes) -> None:
    """This is not an open proxy."""
    rig = await start(BASE)
    answer = await rig.refused(get(target))
    assert lines_of(answer)[0] in (b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 400 Bad Request")


@pytest.mark.parametrize("line", [b"CONNECT example.com:443", b"TRACE /", b"trace /"])
async def test_connect_and_trace_are_refused(rig: Rig, line: bytes) -> None:
    """The one would make a tunnel of it, the other show the token."""
    answer = await rig.refused(line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b'"code": "method_not_allowed"' in answer


async def test_an_http_1_0_request_is_sent_as_http_1_1(rig: Rig) -> None:
    """With the Host that it may lack, and a Via that says what it was."""
    head = await rig.told(b"GET / HTTP/1.0\r\n\r\n")
    assert head.startswith(b"GET / HTTP/1.1\r\nHost: %b\r\n" % rig.authority)
    assert values(head, b"Via") == [b"1.0 bearer-proxy"]


# Fields of a request.


async def test_fields_keep_order_case_duplicates_and_bytes(rig: Rig) -> None:
    """What the proxy has no business with comes out as it went in."""
    fields = [
        b"x-B: 1",
        b"X-a: caf\xe9 \xff",
        b"Cookie: a=b",
        b"x-B: 2",
        b"COOKIE: c",
        b"X-Empty: ",
    ]
    head = await rig.told(get(b"/", *fields))
    assert b"\r\n" + b"\r\n".join(fields) + b"\r\n" in head


async def test_host_becomes_the_upstreams(rig: Rig) -> None:
    """It comes first, once, and names what the base URL names."""
    head = await rig.told(get())
    assert lines_of(head)[1] == b"Host: " + rig.authority
    assert len(values(head, b"Host")) == 1


@pytest.mark.parametrize(
    "field",
    [
        b"Forwarded: for=1.2.3.4",
        b"X-Forwarded-For: 1.2.3.4",
        b"x-forwarded-host: evil",
        b"X-Forwarded-Anything: x",
        b"X-Real-IP: 1.2.3.4",
        b"X_Forwarded_For: 1.2.3.4",
        b"X-Original-URL: /admin",
        b"Proxy-Authorization: Basic x",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: timeout=5",
    ],
)
async def test_claims_and_hop_fields_of_a_client_are_dropped(rig: Rig, field: bytes) -> None:
    """Nothing of them reaches the upstream, the fields around them do."""
    head = await rig.told(get(b"/", b"X-Before: 1", field, b"X-After: 1"))
    assert b"\r\nX-Before: 1\r\nX-After: 1\r\n" in head
    assert field.partition(b":")[0].lower() not in head.lower()


async def test_what_connection_nominates_is_dropped(rig: Rig) -> None:
    """Fields for this hop alone end here, in any number and case."""
    fields = (b"X-Hop: 1", b"Connection: x-hop, X-Other", b"connection: close", b"x-other: 2")
    head = await rig.told(get(b"/", *fields))
    assert b"x-hop" not in head.lower()
    assert b"x-other" not in head.lower()
    assert not values(head, b"Connection")


@pytest.mark.parametrize(
    "fields",
    [
        (b"Authorization: Basic x",),
        (b"authorization: a", b"AUTHORIZATION: b"),
        (b"Authorization: a", b"Connection: authorization"),
        (b"Connection: Authorization",),
        (b"Connection: close, AUTHORIZATION, x", b"Authorization: a"),
        (b"Connection: host, via, x-request-id, authorization",),
        (b"Authorization_: a", b"Connection: keep-alive"),
    ],
)
async def test_no_request_talks_the_proxy_out_of_its_authorization(
    rig: Rig, fields: tuple[bytes, ...]
) -> None:
    """Every Authorization of a client is gone before the proxy's own exists, which stays."""
    head = await rig.told(get(b"/", *fields))
    assert values(head, b"Authorization") == [b"Bearer token-1"]
    assert head.count(AUTHORIZATION) == 1
    assert values(head, b"Host") == [rig.authority]


async def test_te_trailers_is_passed_on(rig: Rig) -> None:
    """It is the one TE that the proxy can keep; it is nominated anew."""
    head = await rig.told(get(b"/", b"TE: gzip, trailers", b"Connection: TE"))
    assert values(head, b"TE") == [b"trailers"]
    assert values(head, b"Connection") == [b"TE"]


async def test_an_expectation_is_passed_on(rig: Rig) -> None:
    """Whether to go on is for the upstream to say."""
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Content-Length: 2", b"Expect: 100-continue")
    )
    assert values(await upstream.head(), b"Expect") == [b"100-continue"]
    upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 100 Continue\r\n")
    client.send(b"hi")
    assert await upstream.take(2) == b"hi"
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


async def test_an_expectation_may_be_declined(rig: Rig) -> None:
    """A final answer instead of the 100 reaches the client that still holds its body."""
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Content-Length: 2", b"Expect: 100-continue")
    )
    await upstream.head()
    upstream.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert values(answer, b"Connection") == [b"close"]  # and so says that the body is not awaited
    await upstream.ended()


async def test_other_interim_answers_are_passed_on(rig: Rig) -> None:
    """Early hints arrive before the answer does, fields and all."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    hint = await client.head()
    assert lines_of(hint)[0] == b"HTTP/1.1 103 Early Hints"
    assert values(hint, b"Link") == [b"</a>"]
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).startswith(b"HTTP/1.1 200 OK\r\n")


# Fields of an answer.


async def test_an_answers_fields_keep_order_case_duplicates_and_bytes(rig: Rig) -> None:
    """Cookies, unknown fields and odd spelling included; the proxy keeps none of them."""
    fields = [b"x-B: 1", b"X-a: caf\xe9 \xff", b"Set-Cookie: a=b", b"x-B: 2", b"set-cookie: c"]
    answer = await rig.heard(ok(b"x", *fields))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n")
    head = await rig.told(get())
    assert b"cookie" not in head.lower()


async def test_status_and_reason_are_the_upstreams(rig: Rig) -> None:
    """Unknown ones and empty ones too."""
    answer = await rig.heard(b"HTTP/1.1 299 Fine, caf\xe9\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 299 Fine, caf\xe9\r\n")


async def test_an_upstreams_hop_fields_end_at_the_proxy(rig: Rig) -> None:
    """Its Connection and what that nominates are not the client's."""
    answer = await rig.heard(
        ok(b"x", b"Connection: close, X-Hop", b"X-Hop: 1", b"Keep-Alive: timeout=5")
    )
    assert b"X-Hop" not in answer
    assert b"Keep-Alive" not in answer


@pytest.mark.parametrize("body", [gzip.compress(b"hello", mtime=0), b"not gzip at all"])
async def test_nothing_is_decompressed(rig: Rig, body: bytes) -> None:
    """A coded body passes as it is, coded well or not; so does the client's offer."""
    client, upstream = await rig.ask(get(b"/", b"Accept-Encoding: gzip"))
    assert values(await upstream.head(), b"Accept-Encoding") == [b"gzip"]
    upstream.send(ok(body, b"Content-Encoding: gzip"))
    answer = await own_answer(client)
    assert values(answer, b"Content-Encoding") == [b"gzip"]
    assert answer.endswith(b"\r\n\r\n" + body)


# Via.


async def test_via_is_added_both_ways(rig: Rig) -> None:
    """Behind those that are there."""
    client, upstream = await rig.ask(get(b"/", b"Via: 1.1 client-side"))
    assert values(await upstream.head(), b"Via") == [b"1.1 client-side", b"1.1 bearer-proxy"]
    upstream.send(ok(b"x", b"Via: 1.1 server-side"))
    assert values(await own_answer(client), b"Via") == [b"1.1 server-side", b"1.1 bearer-proxy"]


async def test_via_can_be_switched_off(start: Start) -> None:
    """Then neither side sees that there is a proxy."""
    rig = await start(Setup(send_via=False))
    client, upstream = await rig.ask(get())
    assert not values(await upstream.head(), b"Via")
    upstream.send(ok(b"x"))
    assert not values(await own_answer(client), b"Via")


# X-Request-Id.


async def test_a_request_id_is_made_forwarded_echoed_and_told(rig: Rig) -> None:
    """One id, everywhere."""
    client, upstream = await rig.ask(get())
    [made] = values(await upstream.head(), b"X-Request-Id")
    upstream.send(ok(b"x"))
    assert values(await own_answer(client), b"X-Request-Id") == [made]
    assert [record.request_id for record in await rig.journal.told()] == [made]


async def test_request_ids_differ(rig: Rig) -> None:
    """Of two requests on one connection too."""
    client, upstream = await rig.ask(get() * 3)
    ids = set()
    for _ in range(3):
        ids.update(values(await upstream.head(), b"X-Request-Id"))
        upstream.send(ok(b"x"))
        await own_answer(client)
    assert len(ids) == 3


async def test_a_clients_request_id_is_kept(rig: Rig) -> None:
    """It comes back to the client as well."""
    client, upstream = await rig.ask(get(b"/", b"x-request-id: abc.DEF-1"))
    assert values(await upstream.head(), b"X-Request-Id") == [b"abc.DEF-1"]
    upstream.send(ok(b"x"))
    assert values(await own_answer(client), b"X-Request-Id") == [b"abc.DEF-1"]


@pytest.mark.parametrize(
    "fields",
    [
        (b"X-Request-Id: a b",),
        (b"X-Request-Id: " + b"a" * 129,),
        (b"X-Request-Id: \xe9",),
        (b"X-Request-Id: ",),
        (b"X-Request-Id: a", b"X-Request-Id: b"),
        (b"X-Request-Id: a", b"Connection: x-request-id"),
        (b"X_Request_Id: a",),
    ],
)
async def test_an_unsafe_request_id_is_replaced(rig: Rig, fields: tuple[bytes, ...]) -> None:
    """What could harm a log or its reader is not taken on."""
    head = await rig.told(get(b"/", *fields))
    [made] = values(head, b"X-Request-Id")
    assert made not in [field.partition(b": ")[2] for field in fields]
    assert not values(head, b"X_Request_Id")


async def test_an_upstreams_request_id_is_the_clients_answer(rig: Rig) -> None:
    """Where the upstream names one of its own, that one is told, and only that."""
    answer = await rig.heard(ok(b"x", b"X-Request-Id: theirs"))
    assert values(answer, b"X-Request-Id") == [b"theirs"]


# Location.


@pytest.mark.parametrize("name", [b"Location", b"content-location"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (b"http://%(base)b/v1/a?b#c", b"http://localhost/a?b#c"),
        (b"//%(base)b/v1/a", b"//localhost/a"),
        (b"/v1/a", b"/a"),
        (b"/v1", b"/"),
        (b"/v10/a", b"/v10/a"),
        (b"/other", b"/other"),
        (b"a/b", b"a/b"),
        (b"/v1/../a", b"/v1/../a"),
        (b"http://%(base)b/other", b"http://%(base)b/other"),
        (b"https://%(base)b/v1/a", b"https://%(base)b/v1/a"),
        (b"http://example.com/v1/a", b"http://example.com/v1/a"),
        (b"http://%(base)b.evil/v1/a", b"http://%(base)b.evil/v1/a"),
    ],
)
async def test_a_location_is_local_only_under_the_base(
    start: Start, name: bytes, theirs: bytes, ours: bytes
) -> None:
    """Any other is told as it is, and none is followed."""
    rig = await start(BASE)
    names = {b"base": rig.authority}
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(
        b"HTTP/1.1 302 Found\r\n%b: %b\r\nContent-Length: 0\r\n\r\n" % (name, theirs % names)
    )
    assert values(await own_answer(client), name) == [ours % names]
    assert not upstream.unread
    assert len(rig.upstream.connections) == 1


async def test_requests_of_two_connections_are_not_mixed(rig: Rig) -> None:
    """Each answer goes to who asked, though the later is answered first."""
    first, above_first = await rig.ask(get(b"/1"))
    await above_first.head()
    second, above_second = await rig.ask(post(b"2"))
    await above_second.take_until(b"\r\n\r\n2")
    above_second.send(ok(b"two"))
    assert (await own_answer(second)).endswith(b"\r\n\r\ntwo")
    above_first.send(ok(b"one"))
    assert (await own_answer(first)).endswith(b"\r\n\r\none")


async def test_a_sent_head_holds_nothing_but_what_is_said(rig: Rig) -> None:
    """The whole of it, once."""
    head = await rig.told(get(b"/a", b"Accept: */*", b"X-Request-Id: 1"), NO_CONTENT)
    assert head == (
        b"GET /a HTTP/1.1\r\nHost: %b\r\nAccept: */*\r\nX-Request-Id: 1\r\n"
        b"Via: 1.1 bearer-proxy\r\nAuthorization: Bearer token-1\r\n\r\n" % rig.authority
    )
