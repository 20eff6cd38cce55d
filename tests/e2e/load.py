"""Upstreams that say who they are, and clients that never stop asking and believe nothing."""

import asyncio
import itertools
import zlib
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

PATIENCE_SECONDS = 20.0
PIECES = 5
_BLOCK = bytes(range(256)) * 40


class Failed(Exception):
    """A request that was not answered as it should have been."""


class Upstream:
    """Answers with its *name* on a port of its own; keeps which tokens it was sent."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.tokens: set[bytes] = set()
        self.url = ""
        self._server: asyncio.Server
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Listen no more, and close what is open."""
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _begin(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                line, fields = await head(reader)
                self.tokens.add(fields[b"authorization"])
                body = await self._body(reader, fields)
                if line.split()[1] == b"/v1/stream":
                    await self._stream(writer)
                else:
                    said = self.name if body is None else b"%b %d" % (self.name, zlib.crc32(body))
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said
                    )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it is over, as it is by being cancelled
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _body(self, reader: StreamReader, fields: dict[bytes, bytes]) -> bytes | None:
        if length := fields.get(b"content-length"):
            return await reader.readexactly(int(length))
        return await chunks(reader) if b"transfer-encoding" in fields else None

    async def _stream(self, writer: StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(PIECES):
            writer.write(b"%x\r\n%b\r\n" % (len(self.name), self.name))
            await asyncio.sleep(0.002)  # long enough for a reload to come between
        writer.write(b"0\r\n\r\n")


async def head(reader: StreamReader) -> tuple[bytes, dict[bytes, bytes]]:
    """Read a head; return its first line, and its fields by name in lower case."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    pairs = [each.partition(b": ") for each in lines]
    return line, {name.lower(): value for name, _, value in pairs}


async def chunks(reader: StreamReader) -> bytes:
    """Read a chunked body to its end."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


class Load:
    """
    Clients of the proxy at *port*, as tasks of ``run``, until ``over`` is set.

    ``answered`` counts the requests by what came of them: the upstream's name, or ``refused`` for a
    path that the configuration of that moment has not. Whatever else comes of one is in
    ``failures``.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self.over = False
        self._progress = asyncio.Event()

    async def run(self, *, kept: int, fresh: int) -> None:
        """Ask on *kept* connections that stay open, and by *fresh* clients that make new ones."""
        await asyncio.gather(
            *(self._client(keep=True, begin=number) for number in range(kept)),
            *(self._client(keep=False, begin=number) for number in range(fresh)),
        )

    async def further(self, requests: int) -> None:
        """Wait until so many more were answered."""
        wanted = self.answered.total() + requests
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.answered.total() < wanted and not self.failures:
                self._progress.clear()
                await self._progress.wait()

    async def _client(self, *, keep: bool, begin: int) -> None:
        client: Client | None = None
        for ask in itertools.islice(itertools.cycle(_ASKS), begin, None):
            if self.over or self.failures:
                break
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    client = client or await Client.connected(self.port, keep=keep)
                    self.answered[await ask(client)] += 1
                    if client.closes:
                        await client.ended()
                        client = None
            except (Failed, OSError, EOFError, ValueError, TimeoutError) as error:
                self.failures.append(repr(error))
            finally:
                self._progress.set()
        if client is not None:
            client.close()


class Client:
    """One connection to the proxy; ``closes`` once the last answer said so."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, *, keep: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = b"keep-alive" if keep else b"close"
        self.closes = False

    @classmethod
    async def connected(cls, port: int, *, keep: bool) -> "Client":
        """Return a client with a new connection; with *keep*, it asks for it to stay open."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), keep=keep)

    async def ended(self) -> None:
        """See that the proxy closes it, having said that it would, and says nothing further."""
        rest = await self._reader.read()
        self.close()
        if rest:
            raise Failed(f"{rest!r} after the last answer")

    def close(self) -> None:
        """Close it."""
        self._writer.close()

    async def get(self, path: bytes) -> str:
        """Ask for *path*, which every configuration has; return who answered."""
        self._ask(b"GET", path)
        status, body = await self._answer()
        return _name(status, body)

    async def get_from(self, name: bytes) -> str:
        """Ask for the path that only the configuration of upstream *name* has."""
        self._ask(b"GET", b"/only-%b" % name)
        status, body = await self._answer()
        if status == 403 and b'"path_not_allowed"' in body:
            return "refused"
        if body != name:
            raise Failed(f"admitted by one configuration and sent by another: {body!r}")
        return _name(status, body)

    async def get_stream(self) -> str:
        """Read an answer that takes its time."""
        self._ask(b"GET", b"/stream")
        status, body = await self._answer()
        if len(set(body.decode())) > 1 or len(body) != PIECES:
            raise Failed(f"not one whole stream: {body!r}")
        return _name(status, body[:1])

    async def post(self, body: bytes) -> str:
        """Send *body* at once."""
        self._ask(b"POST", b"/up", b"Content-Length: %d" % len(body))
        self._writer.write(body)
        return await self._received(body)

    async def post_in_chunks(self, body: bytes) -> str:
        """Send *body* bit by bit."""
        self._ask(b"POST", b"/up", b"Transfer-Encoding: chunked")
        for at in range(0, len(body), 4096):
            piece = body[at : at + 4096]
            self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0.001)
        self._writer.write(b"0\r\n\r\n")
        return await self._received(body)

    async def _received(self, body: bytes) -> str:
        status, said = await self._answer()
        name, _, checksum = said.partition(b" ")
        if status == 200 and int(checksum) != zlib.crc32(body):
            raise Failed("the body came to the upstream as another")
        return _name(status, name)

    def _ask(self, method: bytes, path: bytes, *fields: bytes) -> None:
        lines = [b"Host: localhost", b"Connection: " + self._connection, *fields]
        self._writer.write(
            b"%b %b HTTP/1.1\r\n%b\r\n" % (method, path, b"".join(line + b"\r\n" for line in lines))
        )

    async def _answer(self) -> tuple[int, bytes]:
        line, fields = await head(self._reader)
        self.closes = fields.get(b"connection") == b"close"
        if b"transfer-encoding" in fields:
            body = await chunks(self._reader)
        else:
            body = await self._reader.readexactly(int(fields[b"content-length"]))
        return int(line.split()[1]), body


# In the order in which each client asks. What is asked for again and again is what a connection
# remembers the verdict on.
_ASKS: list[Callable[[Client], Awaitable[str]]] = [
    lambda client: client.get(b"/x"),
    lambda client: client.post(_BLOCK[:900]),
    *[lambda client: client.get_from(b"a")] * 3,
    lambda client: client.get_stream(),
    lambda client: client.get(b"/x"),
    lambda client: client.post_in_chunks(_BLOCK),
    *[lambda client: client.get_from(b"b")] * 3,
    lambda client: client.post(_BLOCK * 12),
]


def _name(status: int, name: bytes) -> str:
    if status != 200:
        raise Failed(f"{status}: {name!r}")
    return name.decode()
