"""How many may be connected to a listener, and how long it waits for a client."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from proxy.admin import server
from proxy.admin.connections import BOUNDS, Bounds
from proxy.admin.view import Level, Verdict
from tests.admin.fakes import A_VIEW, Desk, ask

README = Path(__file__).parents[2] / "README.md"
PATIENCE_SECONDS = 10.0
MOST = 4
# Long enough for whatever a test has to do before, on a busy machine.
SHORTLY = Bounds(most=2 * MOST, seconds=0.5)
CROWDED = Bounds(most=MOST, seconds=60.0)
NOW_AND_THEN = 0.05


class Client:
    """A connection that says what a test has it say, and no more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, text: str) -> None:
        """Send *text*."""
        self.writer.write(text.encode())

    async def head(self) -> str:
        """Return the head of the next answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def ended(self) -> bytes:
        """Wait until the listener has closed it; return what came before."""
        received = b""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while data := await self.reader.read(65536):
                    received += data
        except ConnectionError:
            pass
        return received


class Gate:
    """Where requests wait until it is *opened*."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self._reached = asyncio.Queue[None]()

    async def passed(self, _: web.Request) -> web.StreamResponse:
        """Wait, then answer."""
        self._reached.put_nowait(None)
        await self.opened.wait()
        return web.Response(text="ok\n")

    async def reached_by(self, number: int) -> None:
        """Wait until so many requests wait."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(number):
                await self._reached.get()


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    """Connect to *address*, and be silent."""
    async with crowd(address, 1) as [client]:
        yield client


@asynccontextmanager
async def crowd(address: str, size: int, saying: str = "") -> AsyncIterator[list[Client]]:
    """Connect so many clients before the listener sees any of them; each says *saying*."""
    host, _, port = address.rpartition(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(size)]
    clients = [Client(*await asyncio.open_connection(sock=sock)) for sock in sockets]
    try:
        for each in clients:
            each.say(saying)
        yield clients
    finally:
        for each in clients:
            each.writer.transport.abort()


def get(address: str, path: str = "/livez") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"


def half_a_form(address: str) -> str:
    return (
        f"POST /-/refresh HTTP/1.1\r\nHost: {address}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ntoken="
    )


async def served(address: str, clients: list[Client]) -> list[bool]:
    """Tell of each of *clients*, which may have gone, whether it is answered."""

    async def asked(client: Client) -> bool:
        client.say(get(address))
        try:
            return "200 OK" in await client.head()
        except (EOFError, ConnectionError):
            return False

    return [await asked(each) for each in clients]


@pytest.fixture
def gate(application: web.Application) -> Iterator[Gate]:
    """What ``/slow`` waits at before it answers."""
    gate = Gate()
    application.router.add_get("/slow", gate.passed)
    yield gate
    gate.opened.set()


@pytest.fixture
async def crowded(application: web.Application, gate: Gate) -> AsyncIterator[str]:
    """The address of a listener that has little room, and time."""
    running = await server.start(application, "127.0.0.1:0", CROWDED)
    yield running.address
    await running.stop()


@pytest.fixture
async def hasty(application: web.Application) -> AsyncIterator[str]:
    """The address of a listener that has room, and little time."""
    running = await server.start(application, "127.0.0.1:0", SHORTLY)
    yield running.address
    await running.stop()


# How many.


@pytest.mark.parametrize("where", ["at the start", "in a head", "in a form", "after an answer"])
async def test_who_holds_a_connection_makes_room_for_who_asks(crowded: str, where: str) -> None:
    """
    The one that has been waited for longest goes, and no other; a probe gets its answer.
    """
    request, form = get(crowded), half_a_form(crowded)
    begun, rest = {
        "at the start": ("", request),
        "in a head": (request[:10], request[10:]),
        "in a form": (form, "x" * 1000),
        "after an answer": (request, request),
    }[where]
    async with crowd(crowded, MOST, begun) as holding:
        if where == "after an answer":
            for each in holding:
                await each.head()
        assert (await ask(crowded, "/livez")).status == 200
        await holding[0].ended()
        for each in holding[1:]:
            each.say(rest)
            assert ("403 " if where == "in a form" else "200 ") in await each.head()


async def test_there_are_never_more_than_so_many(crowded: str) -> None:
    """
    However many come: each of a flood costs an earlier one its connection.
    """
    async with crowd(crowded, 5 * MOST) as flood:
        for each in flood[:-MOST]:
            await each.ended()
        assert await served(crowded, flood[-MOST:]) == [True] * MOST


async def test_who_asks_again_is_not_the_one_to_go(crowded: str) -> None:
    """
    Age does not count, but for how long nothing has been heard.
    """
    async with crowd(crowded, MOST) as clients:
        assert await served(crowded, clients[:1]) == [True]
        async with crowd(crowded, MOST - 1):
            assert (await served(crowded, clients)) == [True] + [False] * (MOST - 1)


async def test_who_waits_for_us_stays(crowded: str, gate: Gate) -> None:
    """
    A client is not made to pay for what takes us long.
    """
    async with crowd(crowded, 1, get(crowded, "/slow")) as [waiting]:
        await gate.reached_by(1)
        async with crowd(crowded, 3 * MOST) as flood:
            for each in flood[: -MOST + 1]:
                await each.ended()
            gate.opened.set()
            assert "200 OK" in await waiting.head()


async def test_where_all_wait_for_us_the_newcomer_is_told_so(crowded: str, gate: Gate) -> None:
    """
    503 in the data listener's words, and the connection ends; what is acted upon is answered.
    """
    async with crowd(crowded, MOST, get(crowded, "/slow")) as waiting:
        await gate.reached_by(MOST)
        answer = await ask(crowded, "/livez")
        assert (answer.status, answer.fields["retry-after"]) == (503, "1")
        assert answer.fields["connection"] == "close"
        assert json.loads(answer.body)["code"] == "overloaded"
        gate.opened.set()
        for each in waiting:
            assert "200 OK" in await each.head()


async def test_newcomers_that_do_not_ask_make_room_for_the_next(crowded: str, gate: Gate) -> None:
    """
    Where all others wait for us there is one more than there may be, and it hears so.
    """
    async with crowd(crowded, MOST, get(crowded, "/slow")):
        await gate.reached_by(MOST)
        async with crowd(crowded, 3 * MOST) as silent:
            for each in silent[:-1]:
                assert await each.ended() == b""
            silent[-1].say(get(crowded))
            assert "503 " in await silent[-1].head()
            await silent[-1].ended()


async def test_a_page_that_is_looked_at_goes_on(crowded: str, desk: Desk) -> None:
    """
    A stream that is read is waited for by nobody.
    """
    async with crowd(crowded, 1, get(crowded, "/events")) as [viewer]:
        await viewer.head()
        async with crowd(crowded, 3 * MOST) as flood:
            for each in flood[: -MOST + 1]:
                await each.ended()
            desk.show(replace(A_VIEW, verdict=Verdict(Level.BAD, "Not ready: news.")))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await viewer.reader.readuntil(b"Not ready: news.")


async def test_that_there_were_too_many_is_told_once(hasty: str) -> None:
    """
    A line for a flood: where, how many there may be, and how many had to go.
    """
    structlog.reset_defaults()
    with capture_logs() as lines:
        async with crowd(hasty, 5 * SHORTLY.most) as flood:
            for each in flood:
                await each.ended()
    [line] = lines
    assert (line["event"], line["log_level"]) == ("admin.clients_dropped", "warning")
    assert (line["listen"], line["limit"]) == (hasty, SHORTLY.most)
    assert line["times"] == 4 * SHORTLY.most


def test_the_readme_tells_how_many_and_how_long() -> None:
    """
    Whoever plans probes has to know.
    """
    told = f"room for {BOUNDS.most} connections and waits {BOUNDS.seconds:g} s for a client"
    assert told in " ".join(README.read_text().split())


async def test_that_a_client_has_left_is_no_fault_of_ours(application: web.Application) -> None:
    """
    Whoever has closed it: a line of error for each would be theirs to write.
    """

    async def too_late(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        answer = web.StreamResponse()
        await answer.prepare(request)
        raise AssertionError

    application.router.add_get("/too-late", too_late)
    running = await server.start(application, "127.0.0.1:0")
    structlog.reset_defaults()
    with capture_logs() as lines:
        async with crowd(running.address, 1, get(running.address, "/too-late")) as [client]:
            assert await client.ended() == b""
        await running.stop()
    assert not lines


# How long.


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize("begun", ["nothing", "a head", "a form", "an answer taken"])
async def test_a_client_is_waited_for_so_long(hasty: str, begun: str, drips: bool) -> None:
    """
    And no longer for the drops of what it does not finish; the log has no fault of ours.
    """
    structlog.reset_defaults()
    head = "GET /livez HTTP/1.1\r\nX-Slow: "
    drops = iter(head * 100 if drips else "")
    beginnings = {
        "nothing": "",
        "a head": head,
        "a form": half_a_form(hasty),
        "an answer taken": get(hasty),
    }
    with capture_logs() as lines:
        async with crowd(hasty, 1, beginnings[begun]) as [client]:
            if begun == "an answer taken":
                await client.head()
            since = time.monotonic()
            ended = asyncio.ensure_future(client.ended())
            while not (await asyncio.wait([ended], timeout=NOW_AND_THEN))[0]:
                client.say(next(drops, ""))
            took = time.monotonic() - since
    assert 0.8 * SHORTLY.seconds < took < 4 * SHORTLY.seconds
    assert not lines


async def test_answers_that_are_not_taken_are_not_kept(hasty: str) -> None:
    """
    Neither a client that asks on and on nor its connection is held by what it does not read.
    """
    asked = 5000
    async with connected(hasty) as client:
        client.say(get(hasty, "/page.css") * asked)
        for _ in range(2):
            async with connected(hasty) as later:
                await later.ended()
        assert (await client.ended()).count(b"HTTP/1.1 200") < asked


async def test_a_page_that_nobody_reads_is_not_sent_for_ever(hasty: str, desk: Desk) -> None:
    """
    A viewer that has gone to sleep does not keep one from looking.
    """
    async with crowd(hasty, 1, get(hasty, "/events")) as [viewer]:
        await viewer.head()
        begun = time.monotonic()
        while time.monotonic() < begun + 2 * SHORTLY.seconds:  # as long as it is read
            async with asyncio.timeout(PATIENCE_SECONDS):
                await viewer.reader.readuntil(b"\n\n")
        for number in count():
            desk.show(replace(A_VIEW, verdict=Verdict(Level.BAD, str(number) * 500_000)))
            with suppress(TimeoutError):
                await asyncio.wait_for(desk.unwatched.wait(), NOW_AND_THEN)
                break
            assert time.monotonic() < begun + PATIENCE_SECONDS
