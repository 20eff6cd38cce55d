"""
What ``demo --check`` does: the steps that the demo proposes to a person, and four more.

A step returns what was seen when that is what it should be, and raises Unexpected otherwise.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from proxy.demo.server import DemoAPI
from proxy.demo.streams import download_blocks

# Enough to fill every buffer on the way several times.
_MANY_BYTES: Final = 8 * 1024 * 1024
_TICK_SECONDS: Final = 0.2
_STEP_SECONDS: Final = 15.0


class Unexpected(Exception):
    """A step saw something else; the text says what."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a step: what a person would type, and what was seen."""

    ok: bool
    step: str
    seen: str


async def outcomes(api: DemoAPI, proxy_url: str) -> AsyncIterator[Outcome]:
    """Perform the steps one by one, and yield what came of each."""
    async with aiohttp.ClientSession() as session:
        tour = Tour(session, api=api, proxy_url=proxy_url)
        for typed, step in tour.steps():
            yield await _outcome(typed, step)


async def _outcome(typed: str, step: Callable[[], Awaitable[str]]) -> Outcome:
    try:
        async with asyncio.timeout(_STEP_SECONDS):
            return Outcome(True, typed, await step())
    except Unexpected as error:
        return Outcome(False, typed, str(error))
    except TimeoutError:
        return Outcome(False, typed, f"nothing within {_STEP_SECONDS:.0f} s")
    except Exception as error:
        # Whatever a broken proxy makes a client raise is an outcome; the next step still counts.
        return Outcome(False, typed, f"{type(error).__name__}: {error}")


class Tour:
    """The steps, through a client that knows no token."""

    def __init__(self, session: aiohttp.ClientSession, *, api: DemoAPI, proxy_url: str) -> None:
        self._session = session
        self._api = api
        self._proxy = proxy_url

    def steps(self) -> tuple[tuple[str, Callable[[], Awaitable[str]]], ...]:
        """Return what a person would type, with what does it here."""
        proxy, size = self._proxy, f"{_MANY_BYTES >> 20} MiB"
        return (
            (f"curl {self._api.url}/transactions", self.without_the_proxy),
            (f"curl {proxy}/transactions", self.with_it),
            (f"curl -N {proxy}/ticks", self.stream),
            (f"WebSocket {proxy}/ws", self.websocket),
            (f"upload {size} to {proxy}/upload", self.upload),
            (f"download {size} from {proxy}/download", self.download),
            (f"POST {proxy}/transactions", self.post),
            ("issuer's count", self.issuances),
        )

    async def without_the_proxy(self) -> str:
        """The API refuses who brings no token."""
        async with self._session.get(f"{self._api.url}/transactions") as response:
            _expect(response, 401)
            return "401 without the proxy"

    async def with_it(self) -> str:
        """The same request through the proxy is answered."""
        async with self._session.get(f"{self._proxy}/transactions") as response:
            _expect(response, 200)
            answer = await response.json()
            total = answer["pagination"]["total"]
            return f"200 with it, {len(answer['data'])} of {total} transactions"

    async def stream(self) -> str:
        """Events arrive when they are sent, not when the stream ends."""
        url = f"{self._proxy}/ticks?interval={_TICK_SECONDS}&count=3"
        async with self._session.get(url) as response:
            _expect(response, 200)
            arrivals = [time.monotonic() async for line in response.content if line[:3] == b"id:"]
        if len(arrivals) != 3:
            raise Unexpected(f"{len(arrivals)} events instead of 3")
        apart = arrivals[-1] - arrivals[0]
        if apart < _TICK_SECONDS:
            raise Unexpected(f"3 events within {apart:.3f} s: they were held back")
        return "3 events, each when it was sent"

    async def websocket(self) -> str:
        """An upgraded connection passes text and binary messages both ways."""
        text, binary = "þrjú skeyti", bytes(range(256)) * 256
        async with self._session.ws_connect(f"{self._proxy}/ws") as socket:
            await socket.send_str(text)
            same = await socket.receive_str() == text
            await socket.send_bytes(binary)
            if not (same and await socket.receive_bytes() == binary):
                raise Unexpected("a message came back changed")
        return "a text and 64 KiB came back"

    async def upload(self) -> str:
        """A body of unknown length arrives whole."""
        async with self._session.post(f"{self._proxy}/upload", data=_chunks()) as response:
            _expect(response, 200)
            arrived = (await response.json())["data"]
        if arrived != {"bytes": _MANY_BYTES, "sha256": _digest()}:
            raise Unexpected(f"{arrived['bytes']} bytes arrived, or others than were sent")
        return f"{arrived['bytes']} bytes arrived"

    async def download(self) -> str:
        """A long answer arrives whole."""
        digest, count = hashlib.sha256(), 0
        async with self._session.get(f"{self._proxy}/download?bytes={_MANY_BYTES}") as response:
            _expect(response, 200)
            async for chunk in response.content.iter_any():
                digest.update(chunk)
                count += len(chunk)
        if (count, digest.hexdigest()) != (_MANY_BYTES, _digest()):
            raise Unexpected(f"{count} bytes came, or others than were sent")
        return f"{count} bytes came"

    async def post(self) -> str:
        """What is created can be fetched where Location says, through the proxy again."""
        new = {"amount": "12.50", "asset": "EUR"}
        async with self._session.post(f"{self._proxy}/transactions", json=new) as response:
            _expect(response, 201)
            location = response.headers.get("Location", "")
        if not location.startswith(f"{self._proxy}/transactions/"):
            raise Unexpected(f"201, but Location leads past the proxy: {location}")
        async with self._session.get(location) as response:
            _expect(response, 200)
        return f"201, then 200 from {location}"

    async def issuances(self) -> str:
        """All of it cost one token."""
        stats = self._api.stats()
        if (stats.issued, stats.max_in_flight) != (1, 1):
            raise Unexpected(f"{stats.issued} tokens, {stats.max_in_flight} issuances at once")
        return "one token for all of this"


def _expect(response: aiohttp.ClientResponse, status: int) -> None:
    if response.status != status:
        raise Unexpected(f"{response.status} instead of {status}")


def _digest() -> str:
    digest = hashlib.sha256()
    for block in download_blocks(_MANY_BYTES):
        digest.update(block)
    return digest.hexdigest()


async def _chunks() -> AsyncIterator[bytes]:
    for block in download_blocks(_MANY_BYTES):
        yield block
