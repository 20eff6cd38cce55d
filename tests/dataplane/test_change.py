"""Another route while requests are in flight: what began goes on, what comes is another matter."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.dataplane import Limits, Pool, Route
from proxy.policy import access
from proxy.policy.callers import Callers
from proxy.policy.target import Base
from tests.dataplane.conftest import Start
from tests.dataplane.rig import FakeCredentials, Rig, Setup, credential, get, ok, own_answer, post
from tests.dataplane.wire import Script


@pytest.fixture
async def another(nothing_is_left: None) -> AsyncIterator[Script]:
    """The upstream of the second route."""
    script = Script()
    await script.start()
    yield script
    script.stop()


def to(script: Script, rig: Rig, **changes: object) -> Route:
    """Return the rig's route, but to *script*, with *changes*."""
    route = rig.plane.route
    base = Base(b"http", b"127.0.0.1:%d" % script.port, b"", frozenset())
    destination = replace(route.pool.destination, name=base.url, port=script.port)
    route = replace(route, rules=replace(route.rules, base=base), pool=Pool(destination))
    return replace(route, **changes)  # type: ignore[arg-type]


def denying(route: Route, path: str) -> Route:
    """Return *route* but for a path that is denied."""
    rules = access.rules(methods=(), allow_paths=(), deny_paths=(path,))
    return replace(route, rules=replace(route.rules, access=rules))


async def test_a_connection_that_repeats_itself_is_judged_by_the_new_rules(rig: Rig) -> None:
    """
    What the last request was understood to mean is forgotten, however alike the next one is.
    """
    client, upstream = await rig.ask(get(b"/a"))
    for _ in range(2):
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
        client.send(get(b"/a"))
    await upstream.head()
    rig.plane.change(denying(rig.plane.route, "/a"), rig.plane.limits)
    upstream.send(ok(b"x"))
    await own_answer(client)
    client.send(get(b"/a"))
    assert b'"code": "path_not_allowed"' in await own_answer(client)
    client.send(get(b"/b"))
    assert (await upstream.head()).startswith(b"GET /b ")
    upstream.send(ok(b"x"))
    await own_answer(client)


async def test_who_may_not_connect_any_more_may_not_stay_either(rig: Rig) -> None:
    """
    A connection of a user whom the new rules keep out gets no further request through.
    """
    client, upstream = await rig.ask(get(b"/a"))
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    route = rig.plane.route
    rules = replace(route.rules, callers=Callers(uids=frozenset({4_000_000_000})))
    rig.plane.change(replace(route, rules=rules), rig.plane.limits)
    client.send(get(b"/a"))
    assert b'"code": "caller_not_allowed"' in await own_answer(client)
    await client.ended()


async def test_a_request_in_flight_ends_at_the_upstream_that_it_went_to(
    rig: Rig, another: Script
) -> None:
    """
    The next one of the same client goes to the other; the former's connection closes behind it.
    """
    client, upstream = await rig.ask(get(b"/a"))
    await upstream.head()
    former = rig.pool
    rig.plane.change(to(another, rig), rig.plane.limits)
    assert rig.plane.retired == [former]
    upstream.send(ok(b"old"))
    assert (await own_answer(client)).endswith(b"old")
    client.send(get(b"/a"))
    second = await another.accept()
    assert b"Host: 127.0.0.1:%d\r\n" % another.port in await second.head()
    second.send(ok(b"new"))
    assert (await own_answer(client)).endswith(b"new")
    await upstream.ended()
    await rig.turns(lambda: former.is_dry, "a connection of the former pool is left")
    rig.plane.change(rig.plane.route, rig.plane.limits)


async def test_what_is_idle_at_the_former_upstream_closes_at_once(
    rig: Rig, another: Script
) -> None:
    """
    No connection waits for requests that will not come.
    """
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert rig.pool.idle_count == 1
    rig.plane.change(to(another, rig), rig.plane.limits)
    await upstream.ended()


async def test_the_same_pool_keeps_its_connections(rig: Rig) -> None:
    """
    A change that is not about the upstream costs no handshake.
    """
    client, upstream = await rig.ask(get())
    for _ in range(3):
        await upstream.head()
        upstream.send(ok(b"x"))
        await own_answer(client)
        rig.plane.change(replace(rig.plane.route, wait_seconds=1), rig.plane.limits)
        client.send(get())
    await upstream.head()
    upstream.send(ok(b"x"))
    await own_answer(client)
    assert len(rig.upstream.connections) == 1
    assert rig.plane.retired == []


async def test_a_body_under_way_keeps_the_limit_that_it_began_with(rig: Rig) -> None:
    """
    A request that was admitted is not cut off by a limit of later.
    """
    client, upstream = await rig.ask(post(b"12345678")[:-4])
    await upstream.head()
    route = rig.plane.route
    rig.plane.change(replace(route, rules=replace(route.rules, body_bytes=2)), rig.plane.limits)
    client.send(b"5678")
    assert await upstream.take(8) == b"12345678"[:8]
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"x")
    client.send(post(b"123"))
    assert b'"code": "body_too_large"' in await own_answer(client)


async def test_new_limits_hold_at_once(rig: Rig) -> None:
    """
    For connections that are open, too.
    """
    client = await rig.client()
    rig.plane.change(rig.plane.route, Limits(head_bytes=64))
    client.send(get(b"/" + b"a" * 64))
    assert (await own_answer(client)).startswith(b"HTTP/1.1 431 ")


async def test_who_stands_in_line_goes_where_it_was_going(start: Start, another: Script) -> None:
    """
    A request that waits for a connection was read by the former rules, and is sent by them.
    """
    rig = await start(Setup(connections=1))
    first, upstream = await rig.ask(get(b"/1"))
    second = await rig.client()
    second.send(get(b"/2"))
    former = rig.pool
    await rig.turns(lambda: former.queued_count == 1, "no request is in line")
    rig.plane.change(to(another, rig), rig.plane.limits)
    await upstream.head()
    upstream.send(ok(b"1"))
    assert (await own_answer(first)).endswith(b"1")
    assert (await upstream.head()).startswith(b"GET /2 ")
    upstream.send(ok(b"2"))
    assert (await own_answer(second)).endswith(b"2")
    assert not another.connections


async def test_a_credential_never_goes_to_the_other_route_s_upstream(
    rig: Rig, another: Script
) -> None:
    """
    A request sent again after a 401 asks the credentials of its own route, whatever others have.
    """
    client, upstream = await rig.ask(get())
    await upstream.head()
    theirs = FakeCredentials()
    theirs.give("token-of-another")
    rig.plane.change(to(another, rig, credentials=theirs), rig.plane.limits)
    upstream.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
    await rig.credentials.parked()
    assert rig.credentials.refusals == [credential("token-1")]
    rig.credentials.give("token-2")
    again = await rig.upstream.accept()
    assert b"Authorization: Bearer token-2\r\n" in await again.head()
    again.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"x")
    assert not theirs.refusals
