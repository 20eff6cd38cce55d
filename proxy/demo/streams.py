"""The endpoints that stream: events, a WebSocket, and bodies of any size in flat memory."""

import asyncio
import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from aiohttp import WSMsgType, web

from proxy.demo.answers import as_json, enveloped, refusal

_BLOCK: Final = bytes(range(256)) * 256
_LONGEST_WAIT: Final = 3_600.0
# 2 MiB: above what WebSocket libraries split by default, below what one message should hold.
_LARGEST_MESSAGE: Final = 2 * 1024 * 1024


def routes() -> list[web.RouteDef]:
    """Return the routes below ``/v1``."""
    return [
        web.get("/ticks", ticks),
        web.get("/ws", echo_messages),
        web.post("/upload", upload),
        web.put("/upload", upload),
        web.get("/download", download),
        web.get("/slow", slow),
    ]


def download_blocks(size: int) -> Iterator[bytes]:
    """Yield what ``/v1/download?bytes=size`` answers: the bytes 0 to 255, over and over."""
    for _ in range(size // len(_BLOCK)):
        yield _BLOCK
    if rest := size % len(_BLOCK):
        yield _BLOCK[:rest]


async def ticks(request: web.Request) -> web.StreamResponse:
    """Send an event now and every ``interval`` seconds (1), ``count`` of them (0: for ever)."""
    try:
        interval = _number(request, "interval", default=1.0)
        count = _whole(request, "count", default=0)
    except ValueError as error:
        return refusal(400, "VALIDATION_ERROR", str(error))
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    for number in itertools.count(1):
        event = {"tick": number, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        await response.write(f"id: {number}\nevent: tick\ndata: {json.dumps(event)}\n\n".encode())
        if number == count:
            break
        # Never zero: an endless stream must not keep the loop to itself.
        await asyncio.sleep(max(interval, 0.001))
    return response


async def echo_messages(request: web.Request) -> web.WebSocketResponse:
    """Send every text and binary message back as it came, until the client closes."""
    socket = web.WebSocketResponse(max_msg_size=_LARGEST_MESSAGE)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def upload(request: web.Request) -> web.Response:
    """Answer how many bytes came and their SHA-256."""
    count, digest = 0, hashlib.sha256()
    async for chunk in request.content.iter_any():
        count += len(chunk)
        digest.update(chunk)
    return as_json(enveloped("OK", {"bytes": count, "sha256": digest.hexdigest()}))


async def download(request: web.Request) -> web.StreamResponse:
    """Answer ``bytes`` bytes, with their Content-Length unless ``chunked=1``."""
    try:
        size = _whole(request, "bytes", default=0)
    except ValueError as error:
        return refusal(400, "VALIDATION_ERROR", str(error))
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if request.query.get("chunked") == "1":
        response.enable_chunked_encoding()
    else:
        response.content_length = size
    await response.prepare(request)
    if request.method != "HEAD":
        for block in download_blocks(size):
            await response.write(block)
    return response


async def slow(request: web.Request) -> web.Response:
    """Answer after ``seconds`` (1)."""
    try:
        seconds = _number(request, "seconds", default=1.0)
    except ValueError as error:
        return refusal(400, "VALIDATION_ERROR", str(error))
    await asyncio.sleep(seconds)
    return as_json(enveloped("OK", {"waited_seconds": seconds}))


def _number(request: web.Request, name: str, *, default: float) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST_WAIT:
        raise ValueError(f"{name} must be a number of seconds from 0 to {_LONGEST_WAIT:.0f}")
    return value


def _whole(request: web.Request, name: str, *, default: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f"{name} must be a whole number")
    return int(text)
