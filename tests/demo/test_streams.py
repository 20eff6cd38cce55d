"""Bodies of any size, and ends that come early."""

import asyncio
import gc
import hashlib
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import pytest

from proxy.demo import DemoAPI
from proxy.demo.streams import download_blocks

_MANY = 64 * 1024 * 1024


@contextmanager
def flat_memory() -> Iterator[None]:
    """Fail when more than 8 MiB are held at any moment within."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


async def chunks(size: int) -> AsyncIterator[bytes]:
    """Yield the download's bytes as a body."""
    for block in download_blocks(size):
        yield block


def digest(size: int) -> str:
    """Return the SHA-256 of that many of the download's bytes."""
    whole = hashlib.sha256()
    for block in download_blocks(size):
        whole.update(block)
    return whole.hexdigest()


async def test_an_upload_of_any_size_is_counted_in_flat_memory(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    64 MiB arrive whole and are never held.
    """
    with flat_memory():
        async with client.post(f"{api.url}/upload", data=chunks(_MANY), headers=bearer) as response:
            arrived = (await response.json())["data"]
    assert arrived == {"bytes": _MANY, "sha256": digest(_MANY)}


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_download_of_any_size_is_made_in_flat_memory(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], chunked: bool
) -> None:
    """
    64 MiB come whole, with Content-Length or chunked as asked, and are never held.
    """
    whole, count = hashlib.sha256(), 0
    url = f"{api.url}/download?bytes={_MANY}" + "&chunked=1" * chunked
    with flat_memory():
        async with client.get(url, headers=bearer) as response:
            assert response.headers.get("Content-Length") == (None if chunked else str(_MANY))
            async for chunk in response.content.iter_any():
                whole.update(chunk)
                count += len(chunk)
    assert (count, whole.hexdigest()) == (_MANY, digest(_MANY))


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
async def test_a_download_is_exactly_as_long_as_asked(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], size: int
) -> None:
    """
    Also at the edges of a block.
    """
    async with client.get(f"{api.url}/download?bytes={size}", headers=bearer) as response:
        body = await response.read()
    assert len(body) == size
    assert body == (bytes(range(256)) * 257)[:size]


async def test_head_of_a_download_tells_its_length(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str]
) -> None:
    """
    HEAD gets the Content-Length of what it did not ask for, and the connection stays usable.
    """
    async with client.head(f"{api.url}/download?bytes=100000", headers=bearer) as response:
        assert response.headers["Content-Length"] == "100000"
    async with client.get(f"{api.url}/download?bytes=3", headers=bearer) as response:
        assert await response.read() == b"\0\1\2"


@pytest.mark.parametrize("size", ["-1", "x", "1e3", "1" * 16])
async def test_a_size_that_is_none_is_refused(
    api: DemoAPI, client: aiohttp.ClientSession, bearer: Mapping[str, str], size: str
) -> None:
    """
    Nonsense is 400, not an empty body.
    """
    async with client.get(f"{api.url}/download?bytes={size}", headers=bearer) as response:
        assert response.status == 400


async def test_stopping_does_not_wait_for_streams() -> None:
    """
    An endless stream and an open WebSocket end with the API, within a second.
    """
    api = DemoAPI()
    await api.start()
    fields = {"Authorization": f"Bearer {api.issue()}"}
    async with aiohttp.ClientSession(headers=fields) as client:
        stream = await client.get(f"{api.url}/ticks?interval=0.01")
        socket = await client.ws_connect(f"{api.url}/ws")
        await stream.content.readline()
        began = time.monotonic()
        await api.stop()
        assert time.monotonic() - began < 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.read()
        await socket.close()


async def test_a_client_that_leaves_in_the_middle_leaves_no_trace(
    api: DemoAPI, bearer: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """
    Half an upload, half a download and an abandoned stream are nobody's error: nothing is logged.
    """
    port = int(api.origin.rpartition(":")[2])
    field = f"Host: a\r\nAuthorization: {bearer['Authorization']}\r\n".encode()
    for head in (
        b"POST /v1/upload HTTP/1.1\r\nContent-Length: 1000000\r\n",
        b"POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
        b"GET /v1/download?bytes=100000000 HTTP/1.1\r\n",
        b"GET /v1/ticks?interval=0.01 HTTP/1.1\r\n",
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + field + b"\r\n" + b"5\r\nhello")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
    await asyncio.sleep(0.05)
    assert caplog.records == []
