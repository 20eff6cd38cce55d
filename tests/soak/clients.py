"""Clients of every kind: well-behaved, impatient, slow, and those that speak no HTTP."""

import asyncio
import json
import random
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from itertools import count

from tests.e2e.load import chunks, head
from tests.soak.tally import Tally
from tests.soak.upstream import BULK, EVENTS, Upstream

PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.01
_WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket")
# Paths on which the upstream fails in the midst of its answer, and what that is to the proxy.
_CUT = {
    b"dies-in-body": "upstream_closed",
    b"leaves-in-body": "upstream_closed",
    b"dies-in-chunk": "upstream_closed",
    b"says-a-bad-chunk": "upstream_bad_response",
    b"stalls-in-body": "upstream_timeout",
}
_GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\nHost: localhost\n\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    b"GET /../x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    b"GET /never-ends HTTP/1.1\r\nHost: ",
)


class _Ended(Exception):
    """The connection ended: *status* is that of the answer that had begun, 0 if none had."""

    def __init__(self, status: int) -> None:
        super().__init__(f"ended after {status}")
        self.status = status


class Connection:
    """A connection to the proxy. ``closes`` once the last answer said so."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closes = False

    def send(self, method: bytes, path: bytes, *fields: bytes, body: bytes = b"") -> None:
        """Send a request; a *body* goes with whatever the *fields* say of it."""
        lines = b"".join(b"%b\r\n" % field for field in (b"Host: localhost", *fields))
        self.writer.write(b"%b /%b HTTP/1.1\r\n%b\r\n%b" % (method, path, lines, body))

    async def begun(self) -> tuple[int, dict[bytes, bytes]]:
        """Return status and fields of the next answer, whose body is still to be read."""
        status = 0
        try:
            while status < 200:
                line, fields = await head(self.reader)
                status = int(line.split()[1])
                if status == 101:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Ended(0) from None
        self.closes = fields.get(b"connection") == b"close"
        return status, fields

    async def rest(self, status: int, fields: dict[bytes, bytes]) -> bytes:
        """Return the body of an answer that has begun so."""
        try:
            if b"transfer-encoding" in fields:
                return await chunks(self.reader)
            return await self.reader.readexactly(int(fields.get(b"content-length", b"0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Ended(status) from None

    def close(self) -> None:
        """Close it."""
        self.writer.close()


class Clients:
    """Clients of the proxy at *port*, whose upstream is *upstream*; what they see is in *tally*."""

    def __init__(self, port: int, upstream: Upstream, tally: Tally) -> None:
        self._port = port
        self._upstream = upstream
        self._tally = tally
        self._ids = count(1)
        self.over = False

    async def run(self, number: int) -> None:
        """Ask, as that *number* of clients, until ``over``."""
        await asyncio.gather(*(self._client(random.Random(seed)) for seed in range(number)))

    async def _client(self, dice: random.Random) -> None:
        kept: Connection | None = None
        kinds, weights = zip(*_KINDS, strict=True)
        while not self.over and not self._tally.failures:
            [kind] = dice.choices(kinds, weights)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    kept = kept or await self._connect()
                    await kind(self, kept, dice)
            except Exception as error:
                self._tally.failures.append(f"{kind.__name__}: {error!r}")
            if kept is not None and kept.closes:
                kept.close()
                kept = None
            await asyncio.sleep(_PAUSE_SECONDS)
        if kept is not None:
            kept.close()

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self._port))

    async def _seen(
        self, connection: Connection, path: bytes = b"", expected: bytes | None = None
    ) -> int:
        """Take an answer and count it; 0 if there will be no other on this connection."""
        try:
            status, fields = await connection.begun()
            return await self._counted(connection, status, fields, expected)
        except _Ended as end:
            connection.closes = True
            self._tally.cut[end.status, _CUT[path]] += 1
            return 0

    async def _counted(
        self,
        connection: Connection,
        status: int,
        fields: dict[bytes, bytes],
        expected: bytes | None = None,
    ) -> int:
        body = await connection.rest(status, fields)
        if fields.get(b"content-type") == b"application/problem+json":
            self._tally.refused[status, json.loads(body)["code"]] += 1
        else:
            self._tally.answered[status] += 1
            if status == 200 and expected is not None and body != expected:
                raise AssertionError(f"{len(body)} other bytes than were sent")
        return 0 if connection.closes else status

    # Well-behaved.

    async def get(self, kept: Connection, _: random.Random) -> None:
        kept.send(b"GET", b"small")
        await self._seen(kept, expected=b"small")

    async def post(self, kept: Connection, dice: random.Random) -> None:
        body = BULK[: dice.choice((1, 900, 200_000))]
        kept.send(b"POST", b"echo", b"Content-Length: %d" % len(body), body=body)
        await self._seen(kept, expected=b"%d" % zlib.crc32(body))

    async def post_in_chunks(self, kept: Connection, _: random.Random) -> None:
        body = BULK[:20_000]
        kept.send(b"POST", b"echo", b"Transfer-Encoding: chunked")
        for at in range(0, len(body), 4096):
            piece = body[at : at + 4096]
            kept.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        kept.writer.write(b"0\r\n\r\n")
        await self._seen(kept, expected=b"%d" % zlib.crc32(body))

    async def events(self, kept: Connection, _: random.Random) -> None:
        kept.send(b"GET", b"events", b"Accept: text/event-stream")
        await self._seen(
            kept, expected=b"".join(b"data: %d\n\n" % number for number in range(EVENTS))
        )

    async def pipeline(self, kept: Connection, _: random.Random) -> None:
        for number in range(5):
            kept.send(b"GET", b"small", b"X-Number: %d" % number)
        for _number in range(5):
            if not await self._seen(kept, expected=b"small"):
                break

    async def tunnel(self, _: Connection, dice: random.Random) -> None:
        own = await self._connect()
        own.send(b"GET", b"tunnel", *_WEBSOCKET)
        if await self._seen(own) == 101:
            for _message in range(5):
                message = BULK[: dice.choice((5, 5000))]
                own.writer.write(message)
                assert await own.reader.readexactly(len(message)) == message
        own.close()

    # Of a failing upstream.

    async def meet_a_fault(self, kept: Connection, dice: random.Random) -> None:
        path = dice.choice(
            (
                *_CUT,
                b"small-and-close",
                b"last",
                b"dies",
                b"leaves",
                b"dies-in-head",
                b"dies-after-hint",
                b"says-nonsense",
                b"says-two-lengths",
                b"429",
                b"500",
                b"503",
            )
        )
        kept.send(dice.choice((b"GET", b"POST")), path)
        await self._seen(kept, path)

    async def meet_silence(self, kept: Connection, _: random.Random) -> None:
        kept.send(b"GET", b"says-nothing")
        await self._seen(kept)

    # Slow, impatient, or not of this world.

    async def read_slowly(self, kept: Connection, _: random.Random) -> None:
        kept.send(b"GET", b"bulk")
        await asyncio.sleep(0.3)  # until all buffers on the way are full
        await self._seen(kept, expected=BULK)

    async def leave(self, _: Connection, dice: random.Random) -> None:
        """Go away before the answer, or in the middle of it: closing, resetting, half-closing."""
        own, amid = await self._connect(), dice.random() < 0.5
        request_id = b"left-%d" % next(self._ids)
        own.send(b"GET", b"begun" if amid else b"hold", b"X-Request-Id: " + request_id)
        answer = asyncio.create_task(own.begun())
        arrival = asyncio.create_task(self._upstream.arrival(request_id))
        waited_for = {answer} if amid else {answer, arrival}
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        status, fields = answer.result() if answer.done() else (499, {})
        for task in (answer, arrival):
            task.cancel()
        await asyncio.wait((answer, arrival))
        if status in (200, 499):
            self._tally.left[status, "client_closed"] += 1
            match dice.choice(("close", "abort", "half-close")):
                case "half-close":
                    own.writer.write_eof()
                    await own.reader.read()
                case "abort":
                    own.writer.transport.abort()
        else:
            await self._counted(own, status, fields)
        own.close()

    async def say_nonsense(self, _: Connection, dice: random.Random) -> None:
        own = await self._connect()
        own.writer.write(dice.choice(_GARBAGE))
        await self._seen(own)
        own.close()

    async def pause_in_body(self, _: Connection, __: random.Random) -> None:
        own = await self._connect()
        own.send(b"POST", b"echo", b"Content-Length: 9", body=b"begun")
        await self._seen(own)
        own.close()

    async def connect_and_leave(self, _: Connection, dice: random.Random) -> None:
        """No request, so nothing to account for."""
        own = await self._connect()
        own.writer.write(dice.choice((b"", b"GET / HTT")))
        await asyncio.sleep(0.01)
        own.close()


Kind = Callable[[Clients, Connection, random.Random], Awaitable[None]]

# With how often they come, relative to each other.
_KINDS: list[tuple[Kind, int]] = [
    (Clients.get, 400),
    (Clients.post, 150),
    (Clients.post_in_chunks, 100),
    (Clients.events, 50),
    (Clients.pipeline, 50),
    (Clients.tunnel, 30),
    (Clients.meet_a_fault, 60),
    (Clients.meet_silence, 3),
    (Clients.read_slowly, 20),
    (Clients.leave, 40),
    (Clients.say_nonsense, 40),
    (Clients.pause_in_body, 3),
    (Clients.connect_and_leave, 40),
]
