"""Server-sent events: the parts of the page as they change."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from aiohttp import web

from proxy.admin import server
from proxy.admin.connections import BOUNDS
from proxy.admin.sections import SECTIONS
from proxy.admin.view import Level, Verdict
from tests.admin.fakes import A_VIEW, Desk, ask

BAD = replace(A_VIEW, verdict=Verdict(Level.BAD, "Not ready."))


@asynccontextmanager
async def watching(address: str) -> AsyncIterator[asyncio.StreamReader]:
    """Look at the events; yields what comes after the head."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"text/event-stream" in head
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def event(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Return the next event's data."""
    async with asyncio.timeout(5):
        while True:
            line = await reader.readline()
            if line.startswith(b"data: "):
                data: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                return data


async def test_the_first_event_has_every_part(admin: str) -> None:
    """
    What changed between the page and the events is not missed.
    """
    async with watching(admin) as reader:
        assert (await event(reader)).keys() == SECTIONS.keys()


async def test_a_change_is_there_within_a_second_and_nothing_else(admin: str, desk: Desk) -> None:
    """
    The page tells the truth soon, and only what is new of it.
    """
    async with watching(admin) as reader:
        await event(reader)
        begun = monotonic()
        desk.show(BAD)
        changed: dict[str, Any] = {}
        while not changed:
            changed = await event(reader)
        assert monotonic() - begun < 1
        assert changed == {"verdict": SECTIONS["verdict"](BAD)}


async def test_two_viewers_see_the_same(admin: str, desk: Desk) -> None:
    """
    One that comes later has not missed anything.
    """
    async with watching(admin) as first, watching(admin) as second:
        assert await event(first) == await event(second)


async def test_of_many_that_come_at_once_half_a_listener_may_look(admin: str) -> None:
    """
    The other half of its connections is for whoever asks for the page, or for health.
    """
    host, _, port = admin.rpartition(":")
    seen: Counter[bytes] = Counter()
    async with AsyncExitStack() as stack:
        clients = [await asyncio.open_connection(host, int(port)) for _ in range(BOUNDS.most - 1)]
        for _, writer in clients:
            stack.push_async_callback(writer.wait_closed)
            stack.callback(writer.close)
            writer.write(f"GET /events HTTP/1.1\r\nHost: {admin}\r\n\r\n".encode())
        for reader, _ in clients:
            seen[(await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]] += 1
        assert (await ask(admin, "/livez")).status == 200
    assert seen == {b"200": BOUNDS.most // 2, b"503": BOUNDS.most // 2 - 1}


async def test_nobody_looking_costs_nothing(admin: str, desk: Desk) -> None:
    """
    The last one to leave takes the watch away.
    """
    async with watching(admin) as reader:
        await event(reader)
        assert len(desk.watchers) == 1
    async with asyncio.timeout(5):
        await desk.unwatched.wait()
    assert desk.watchers == []


async def test_the_listener_stops_with_viewers_looking(
    application: web.Application, desk: Desk
) -> None:
    """
    A tab that somebody left open does not keep the process.
    """
    running = await server.start(application, "127.0.0.1:0")
    async with watching(running.address) as reader:
        await event(reader)
        begun = monotonic()
        await running.stop()
        assert monotonic() - begun < 1.5
    assert desk.watchers == []


async def test_a_head_request_opens_no_stream(admin: str) -> None:
    """
    HEAD has no body to wait for.
    """
    assert (await ask(admin, "/events", method="HEAD")).status == 405
