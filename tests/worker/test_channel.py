"""The pipe between keeper and worker."""

import asyncio
import socket
from dataclasses import dataclass, field

import pytest

from proxy.worker import channel
from proxy.worker.channel import OBJECT, REPORT, Channel


@dataclass
class End:
    """One end, and what it has heard; what is *garbled* it can't make sense of."""

    heard: list[tuple[bytes, bytes]] = field(default_factory=list)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    garbled: bytes = b"?"

    async def open(self, sock: socket.socket) -> Channel:
        """Return the channel on *sock*."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Channel(self._received, self.lost.set), sock=sock
        )
        return made

    def _received(self, kind: bytes, content: bytes) -> None:
        if content == self.garbled:
            raise ValueError("garbled")
        self.heard.append((kind, content))
        self.news.set()

    async def hear(self, number: int) -> list[tuple[bytes, bytes]]:
        """Wait until so much was heard, and return it."""
        async with asyncio.timeout(10):
            while len(self.heard) < number:
                self.news.clear()
                await self.news.wait()
        return self.heard


async def test_frames_arrive_whole_and_in_order() -> None:
    """
    Short ones, empty ones, and one that takes many reads.
    """
    here, there = socket.socketpair()
    said = [(OBJECT, b"a"), (REPORT, b""), (OBJECT, b"x" * 3_000_000), (REPORT, b"b")]
    end = End()
    sender, receiver = await End().open(here), await end.open(there)
    for kind, content in said:
        sender.send(kind, content)
    assert await end.hear(len(said)) == said
    sender.close()
    async with asyncio.timeout(10):
        await end.lost.wait()
    receiver.send(REPORT, b"into the void")  # no error: the other end may go at any time


async def test_frames_in_any_pieces_are_the_same() -> None:
    """
    A stream has no boundaries but those of the frames.
    """
    here, there = socket.socketpair()
    end = End()
    await end.open(there)
    whole = b"O\x00\x00\x00\x03one" + b"R\x00\x00\x00\x00" + b"O\x00\x00\x00\x03two"
    for at in range(len(whole)):
        here.sendall(whole[at : at + 1])
        await asyncio.sleep(0)
    assert await end.hear(3) == [(OBJECT, b"one"), (REPORT, b""), (OBJECT, b"two")]
    here.close()


@pytest.mark.parametrize(
    "said",
    [b"O" + (channel.MOST_BYTES + 1).to_bytes(4, "big"), b"R\x00\x00\x00\x01?"],
    ids=["too long", "senseless"],
)
async def test_what_cannot_be_meant_ends_the_conversation(said: bytes) -> None:
    """
    Nothing after it is read, and nothing is kept in expectation of the rest.
    """
    here, there = socket.socketpair()
    end = End()
    await end.open(there)
    here.sendall(said + b"O\x00\x00\x00\x03one")
    async with asyncio.timeout(10):
        await end.lost.wait()
    assert end.heard == []
    here.close()
