"""Connections accepted here and served elsewhere: each is given to somebody, or waits."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.app.spread import Spread
from proxy.dataplane import Address

PATIENCE_SECONDS = 5.0


class Takers:
    """Whoever is given connections: nobody takes one while they are *busy*."""

    def __init__(self) -> None:
        self.busy = False
        self.refused = asyncio.Event()
        self._taken = asyncio.Queue[socket.socket]()

    def take(self, connection: socket.socket) -> bool:
        """Take it, or not."""
        if self.busy:
            self.refused.set()
            return False
        self._taken.put_nowait(connection)
        return True

    async def next(self) -> socket.socket:
        """Return the next one taken."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._taken.get()


@pytest.fixture
def takers() -> Takers:
    return Takers()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where clients connect to."""
    return tmp_path / "proxy.sock"


@pytest.fixture
async def spread(takers: Takers, path: Path) -> AsyncIterator[Spread]:
    """A spread that gives to *takers* what comes at *path*."""
    spread = Spread(takers.take)
    await spread.start([Address(path=str(path))])
    yield spread
    spread.stop()


def client_at(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def leftovers(path: Path) -> list[Path]:
    """Return what is where the socket was."""
    return list(path.parent.iterdir())


def are_ends_of_one(client: socket.socket, taken: socket.socket) -> bool:
    client.sendall(b"ping")
    taken.setblocking(True)
    return taken.recv(4) == b"ping"


@pytest.mark.usefixtures("spread")
async def test_who_connects_is_given_to_who_takes(takers: Takers, path: Path) -> None:
    """
    Unread, and with nothing in between.
    """
    with client_at(path) as client, await takers.next() as taken:
        assert are_ends_of_one(client, taken)


@pytest.mark.usefixtures("spread")
async def test_what_nobody_takes_waits_until_somebody_does(takers: Takers, path: Path) -> None:
    """
    A client that comes while all workers are being replaced is late, not refused.
    """
    takers.busy = True
    with client_at(path) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await takers.refused.wait()
        takers.busy = False
        with await takers.next() as taken:
            assert are_ends_of_one(client, taken)


async def test_what_a_worker_left_unread_is_given_again(
    spread: Spread, takers: Takers, path: Path
) -> None:
    """
    To whoever takes it then.
    """
    with client_at(path) as client:
        spread.take_back(await takers.next())
        with await takers.next() as taken:
            assert are_ends_of_one(client, taken)


async def test_the_end_closes_what_waits_and_removes_the_file(
    spread: Spread, takers: Takers, path: Path
) -> None:
    """
    Nobody waits for an answer from a proxy that has ended, or finds a socket without one.
    """
    takers.busy = True
    with client_at(path) as client:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await takers.refused.wait()
        spread.stop()
        client.settimeout(PATIENCE_SECONDS)
        assert client.recv(1) == b""
    assert not leftovers(path)
