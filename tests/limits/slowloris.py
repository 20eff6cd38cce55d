"""
Clients that never finish a head: ``python -m tests.limits.slowloris PORT NUMBER``.

Each sends a byte of it every second; one that is refused comes again at once. Says ``ready`` when
all are there.
"""

import asyncio
import itertools
import resource
import sys

_HEAD = b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 1000
_PAUSE_SECONDS = 1.0


class Loris(asyncio.Protocol):
    """One of them; counts itself among the *present*."""

    def __init__(self, present: set["Loris"], gone: asyncio.Queue[None]) -> None:
        self._present = present
        self._gone = gone
        self._rest = iter(_HEAD)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._present.add(self)
        self.drip()

    def drip(self) -> None:
        """Send the next byte."""
        self._transport.write(bytes([next(self._rest)]))

    def data_received(self, _: bytes) -> None:
        """Go: what comes is a refusal."""
        self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._present.discard(self)
        self._gone.put_nowait(None)


async def attack(port: int, number: int) -> None:
    """Keep *number* of them there."""
    loop = asyncio.get_running_loop()
    present, gone = set[Loris](), asyncio.Queue[None]()

    async def one_more() -> None:
        await loop.create_connection(lambda: Loris(present, gone), "127.0.0.1", port)

    async def replace() -> None:
        while True:
            await gone.get()
            await one_more()

    for _ in range(number):
        await one_more()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    replacing = asyncio.create_task(replace())
    for part in itertools.cycle(range(10)):  # not all at once
        for loris in list(present)[part::10]:
            loris.drip()
        await asyncio.sleep(_PAUSE_SECONDS / 10)
    replacing.cancel()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(attack(*map(int, sys.argv[1:])))
