"""What the API offers to those who bring a token, seen over real sockets."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from proxy.demo import DemoAPI


async def raw(api: DemoAPI, head: bytes, body: bytes = b"") -> tuple[bytes, bytes]:
    """Send these bytes, and return the head and the body of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.origin.rpartition(":")[2]))
    token = api.issue().encode()
    writer.write(head.replace(b"@TOKEN@", token) + b"Connection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    got_head, _, got_body = answer.partition(b"\r\n\r\n")
    return got_head, got_body


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Authorization": "Bearer made-up"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/transactions", "/transactions/txn_000001", "/echo", "/ws", "/nowhere"]
)
async def test_without_a_valid_token_everything_is_401(
    api: DemoAPI, client: aiohttp.ClientSession, fields: dict[str, str], path: str
) -> None:
    """
    No token or a wrong one is 401 in the envelope, on unknown paths as well, and is counted.
    """
    async with client.get(f"{api.url}{path}", headers=fields) as response:
        assert response.status == 401
        assert (await response.json())["code"] == "UNAUTHORIZED"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert (api.stats().api_requests, api.stats().api_401s) == (1, 1)


async def test_two_authorization_fields_are_refused(api: DemoAPI) -> None:
    """
    A proxy that adds its field to the client's, instead of replacing it, is found out.
    """
    field = b"Authorization: Bearer @TOKEN@\r\n"
    once, _ = await raw(api, b"GET /v1/echo HTTP/1.1\r\nHost: a\r\n" + field)
    twice, _ = await raw(api, b"GET /v1/echo HTTP/1.1\r\nHost: a\r\n" + field + field)
    assert once.startswith(b"HTTP/1.1 200 ")
    assert twice.startswith(b"HTTP/1.1 401 ")


async def test_pages_lead_from_one_to_the_next(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    Following the absolute next links visits every transaction once.
    """
    url: str | None = f"{api.url}/transactions?per_page=10"
    seen: list[str] = []
    while url:
        async with client.get(url, headers=bearer) as response:
            page = await response.json()
            assert page["success"] is True
            linked = response.links["next"]["url"] if "next" in response.links else None
            assert (str(linked) if linked else None) == page["pagination"]["next"]
        seen += [each["id"] for each in page["data"]]
        url = page["pagination"]["next"]
        assert url is None or url.startswith(f"{api.url}/transactions?")
    assert len(seen) == len(set(seen)) == page["pagination"]["total"] == 42


@pytest.mark.parametrize("query", ["page=0", "page=x", "per_page=101", "per_page=-1", "page=1.5"])
async def test_a_page_that_is_no_number_is_refused(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], query: str
) -> None:
    """
    Nonsense in the query is 400, not a first page.
    """
    async with client.get(f"{api.url}/transactions?{query}", headers=bearer) as response:
        assert (response.status, (await response.json())["code"]) == (400, "VALIDATION_ERROR")


async def test_what_is_posted_can_be_fetched_where_location_says(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    201 with an absolute Location under the base; the transaction is there and in the pages.
    """
    new = {"amount": "1.25", "asset": "EUR"}
    async with client.post(f"{api.url}/transactions", json=new, headers=bearer) as response:
        assert response.status == 201
        location = response.headers["Location"]
        made = (await response.json())["data"]
    assert location == f"{api.url}/transactions/{made['id']}"
    async with client.get(location, headers=bearer) as response:
        assert (await response.json())["data"] == made
    async with client.get(f"{api.url}/transactions", headers=bearer) as response:
        assert (await response.json())["pagination"]["total"] == 43


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"{", b'{"amount": {}}'])
async def test_a_transaction_needs_an_amount(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], body: bytes
) -> None:
    """
    Anything but an object with an amount is 400.
    """
    async with client.post(f"{api.url}/transactions", data=body, headers=bearer) as response:
        assert response.status == 400


async def test_an_unknown_transaction_is_404_in_the_envelope(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    So are unknown paths; a known one with another method is 405 with Allow.
    """
    for path in ("/transactions/nope", "/nowhere"):
        async with client.get(f"{api.url}{path}", headers=bearer) as response:
            assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")
    async with client.delete(f"{api.url}/transactions", headers=bearer) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD,POST")


async def test_echo_shows_the_head_as_it_came(api: DemoAPI) -> None:
    """
    Target, order, case, duplicates and bytes beyond ASCII are shown as they stood on the wire;
    the token is not.
    """
    head = (
        b"DELETE /v1/echo/a%2Fb/%2e%2e/c?q=%41&&x HTTP/1.1\r\nHOST: a\r\nx-B: 2\r\nX-b: 1\r\n"
        b"authorization: bearer @TOKEN@\r\nX-Latin: caf\xe9\r\n"
    )
    _, body = await raw(api, head)
    shown = json.loads(body)
    assert (shown["method"], shown["target"]) == ("DELETE", "/v1/echo/a%2Fb/%2e%2e/c?q=%41&&x")
    assert shown["fields"] == [
        ["HOST", "a"],
        ["x-B", "2"],
        ["X-b", "1"],
        ["authorization", "bearer [masked]"],
        ["X-Latin", "café"],
        ["Connection", "close"],
    ]


@pytest.mark.parametrize("size", [0, 4096, 4097, 300_000])
async def test_echo_shows_the_body(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], size: int
) -> None:
    """
    Length and SHA-256 of any body; the text of a small one.
    """
    body = b"x" * size
    async with client.put(f"{api.url}/echo", data=body, headers=bearer) as response:
        shown = await response.json()
    assert (shown["bytes"], shown["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert shown["text"] == (body.decode() if size <= 4096 else None)


async def test_echo_sees_a_compressed_body_as_it_was_sent(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    Content-Encoding is not undone: a proxy that did so would be found out.
    """
    fields = {**bearer, "Content-Encoding": "gzip"}
    async with client.post(f"{api.url}/echo", data=b"no gzip", headers=fields) as response:
        assert (await response.json())["text"] == "no gzip"


@pytest.mark.parametrize("code", [200, 204, 304, 401, 403, 418, 503, 599])
async def test_status_answers_as_asked(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], code: int
) -> None:
    """
    Every status from 200 to 599 can be had, to a valid token as well.
    """
    async with client.post(f"{api.url}/status/{code}", headers=bearer) as response:
        assert response.status == code
        assert (await response.read() == b"") == (code in (204, 304))


@pytest.mark.parametrize("code", ["199", "600", "x", "1e2", "٢٠٠"])
async def test_a_status_that_is_none_is_refused(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], code: str
) -> None:
    """
    An interim status or nonsense is 400.
    """
    async with client.get(f"{api.url}/status/{code}", headers=bearer) as response:
        assert response.status == 400


async def test_ticks_come_one_by_one(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    The first event comes at once; as many come as were asked for, an interval apart.
    """
    loop = asyncio.get_running_loop()
    url = f"{api.url}/ticks?interval=0.1&count=3"
    arrivals: list[float] = []
    events: list[dict[str, Any]] = []
    async with client.get(url, headers=bearer) as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                events.append(json.loads(line[6:]))
                arrivals.append(loop.time())
    assert [event["tick"] for event in events] == [1, 2, 3]
    assert all(later - earlier > 0.05 for earlier, later in pairwise(arrivals))


@pytest.mark.parametrize("query", ["interval=x", "interval=nan", "interval=-1", "count=-1"])
async def test_ticks_refuse_nonsense(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], query: str
) -> None:
    """
    A stream that cannot be is 400.
    """
    async with client.get(f"{api.url}/ticks?{query}", headers=bearer) as response:
        assert response.status == 400


async def test_the_websocket_sends_messages_back(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    Text and binary messages come back as they were; closing ends it.
    """
    async with client.ws_connect(f"{api.url}/ws", headers=bearer) as socket:
        await socket.send_str("þ")
        assert await socket.receive_str() == "þ"
        await socket.send_bytes(bytes(1_000_000))
        assert await socket.receive_bytes() == bytes(1_000_000)
        await socket.close()
        assert (await socket.receive()).type is WSMsgType.CLOSED


async def test_slow_waits_before_the_head(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    Nothing of the answer comes before the seconds are over.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with client.get(f"{api.url}/slow?seconds=0.15", headers=bearer) as response:
        assert response.status == 200
        assert loop.time() - began >= 0.15
