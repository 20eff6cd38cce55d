"""Callers over the wire: asked at every request, by whichever way it is read, and told by name."""

from dataclasses import replace
from itertools import product

import pytest

from proxy.policy.callers import Callers, LocalToken
from tests.dataplane.conftest import Start
from tests.dataplane.rig import NO_CONTENT, Rig, Setup, get, own_answer
from tests.dataplane.wire import Wire

SHOP, CI = LocalToken("shop", b"token-of-the-shop"), LocalToken("ci", b"token-of-the-pipeline")
CALLERS = Callers(tokens=(SHOP, CI), token_field=b"X-Token", required_field=b"X-Local")
WAYS = {
    b"X-Token: %b": CALLERS,
    b"Proxy-Authorization: Bearer %b": replace(CALLERS, token_field=b"Proxy-Authorization"),
    b"Authorization: Bearer %b": replace(CALLERS, token_field=b"Authorization"),
}
LOCAL = b"X-Local: 1"
ONCE, AGAIN = (LOCAL, b"X-V: 1"), (LOCAL, b"X-V: 2")


def requests(way: bytes) -> list[tuple[bytes, str]]:
    """Return requests, each with the name of its caller, empty if it may not ask."""
    shop, ci, wrong = (way % each for each in (SHOP.token, CI.token, b"token-of-the-shoq"))
    name, _, value = shop.partition(b":")
    found: list[tuple[str, tuple[bytes, ...]]] = [
        ("shop", (shop, *ONCE)),
        ("shop", (shop, *AGAIN)),
        ("ci", (ci, *ONCE)),
        ("ci", (ci, *AGAIN)),
        ("shop", (shop, b"X-Local: 22", b"X-V: 1")),
        ("shop", (shop, LOCAL, b"Connection: x-token, x-local, authorization")),
        ("shop", (b"%b:\t%b \t" % (name.upper(), value), *ONCE)),
        ("", (shop, b"X-V: 1")),
        ("", (shop, b"X_Local: 1", b"X-V: 1")),
        ("", (wrong, *ONCE)),
        ("", (shop, shop, *ONCE)),
        ("", (shop, wrong, *ONCE)),
        ("", (b"X-" + shop, *ONCE)),
        ("", ONCE),
    ]
    if b"-" in name:
        alike = b"%b:%b" % (name.replace(b"-", b"_"), value)
        found += [("shop", (alike, shop, *ONCE)), ("", (alike, *ONCE))]
    return [(get(b"/", *fields), who) for who, fields in found]


class Line:
    """One client connection, and the one upstream connection behind it."""

    def __init__(self, rig: Rig, client: Wire) -> None:
        self._rig = rig
        self._client = client
        self._upstream: Wire | None = None
        self._asked = 0

    async def ask(self, request: bytes, name: str) -> None:
        """Send *request*; see it forwarded as that of *name*, or refused if that is empty."""
        self._client.send(request)
        self._asked += 1
        if name:
            self._upstream = self._upstream or await self._rig.upstream.accept()
            head = await self._upstream.head()
            assert head.count(b"Authorization: Bearer token-1\r\n") == 1
            for ours in (SHOP.token, CI.token, b"X-Local", b"X_Local", b"Proxy-A", b"X-Token"):
                assert ours.lower() not in head.lower()
            self._upstream.send(NO_CONTENT)
            await self._client.head()
        else:
            answer = await own_answer(self._client)
            assert b'"code": "caller_not_allowed"' in answer
            assert SHOP.token not in answer
            assert self._rig.authority not in answer
            assert self._upstream is None or not self._upstream.unread
        record = (await self._rig.journal.told(self._asked))[-1]
        assert record.client.endswith(f" ({name})") == bool(name)
        assert ("(" in record.client) == bool(name)


@pytest.mark.parametrize("way", WAYS)
async def test_whoever_asked_before_on_a_connection_asks_for_itself_alone(
    start: Start, way: bytes
) -> None:
    """
    Any request behind any other on one connection: what is remembered of a block lets in nobody,
    keeps nobody out, and lends nobody a name. What shows the caller goes no further.
    """
    rig = await start(Setup(callers=WAYS[way]))
    line = Line(rig, await rig.client())
    every = requests(way)
    for first, second in product(every, every):
        await line.ask(*first)
        await line.ask(*second)
    # Two that differ in a value are a pattern, by which the third is read.
    for third in every:
        await line.ask(*every[0])
        await line.ask(*every[1])
        await line.ask(*third)


async def test_each_of_pipelined_requests_shows_its_caller(start: Start) -> None:
    """
    One that passes opens nothing for the one behind it.
    """
    rig = await start(Setup(callers=CALLERS))
    good, bad = (get(b"/", b"X-Token: " + t, LOCAL) for t in (SHOP.token, b"token-of-the-shoq"))
    client, upstream = await rig.ask(good + bad + good)
    await upstream.head()
    upstream.send(NO_CONTENT)
    assert (await client.head()).startswith(b"HTTP/1.1 204 ")
    assert b'"code": "caller_not_allowed"' in await own_answer(client)
    await upstream.head()
    upstream.send(NO_CONTENT)
    assert (await client.head()).startswith(b"HTTP/1.1 204 ")


async def test_who_is_refused_is_refused_before_its_body_and_the_token_are_looked_at(
    start: Start,
) -> None:
    """
    Without a credential at hand it does not wait for one.
    """
    rig = await start(Setup(callers=CALLERS))
    rig.credentials.take_away(coming=True)
    client = await rig.client()
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
    assert b'"code": "caller_not_allowed"' in await own_answer(client)
    assert not rig.credentials.listeners
