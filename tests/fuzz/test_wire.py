"""The same streams over real sockets: the upstream hears each forwarded request, and no other."""

import asyncio
from collections import Counter
from functools import partial
from typing import cast

import h11
import pytest

from proxy.dataplane import Destination
from tests.dataplane.rig import Rig, Setup
from tests.dataplane.wire import Awaited
from tests.fuzz import driver, streams
from tests.fuzz.driver import Message

# A connection for each costs many times what reading alone does.
_CASES = max(1000, streams.CASES // 10)
# Behind every case: what is refused must close, or else not take its successor along.
_NEXT = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
# Each request has these of its own.
_DIFFERENT = (b"x-request-id", b"authorization")


class Heard(Awaited):
    """All whole requests that have reached the upstream, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Message] = []


class Recording(asyncio.Protocol):
    """One connection to the upstream: h11 reads it, every whole request is heard and answered."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._read = Message((), [])
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Hear what is whole."""
        self._h11.receive_data(data)
        while (event := self._h11.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                self._read = Message((event.method, event.target), list(event.headers.raw_items()))
            elif isinstance(event, h11.Data):
                self._read.content += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._read.trailers = list(event.headers.raw_items())
                self._answer()
            else:
                raise AssertionError(f"{event!r} is no part of a request")

    def _answer(self) -> None:
        self._heard.requests.append(self._read)
        self._heard.change()
        answer = h11.Response(status_code=204, headers=[])
        self._transport.write(
            (self._h11.send(answer) or b"") + (self._h11.send(h11.EndOfMessage()) or b"")
        )
        self._h11.start_next_cycle()


@pytest.mark.timeout(0)
async def test_the_upstream_hears_every_request_that_was_forwarded_and_no_other() -> None:
    """
    Once each, in order, as it was understood; nothing of what was refused.
    """
    cases: list[bytes] = []
    streams.cases(streams.requests, _CASES, lambda case: cases.append(case + _NEXT))
    heard, rig = Heard(), Rig()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Recording, heard), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await rig.start(Setup(path=b"/v1"), lambda _: Destination("recording", "127.0.0.1", port))
    try:
        numbers = Counter([await _compare(case, rig, heard) for case in cases])
    finally:
        await rig.stop()
        server.close()
    assert numbers[0] > len(cases) / 20
    assert numbers.total() - numbers[0] > len(cases) / 20


async def _compare(case: bytes, rig: Rig, heard: Heard) -> int:
    """Send *case* by a client of its own; return how many requests the upstream heard of it."""
    expected = [
        _comparable(driver.h11_request(sent))
        for _, _, sent in driver.forwarded(case, rig.plane.route.rules, refereed=True)
    ]
    heard.requests.clear()
    client = await rig.client()
    client.send(case)
    try:
        await heard.until(lambda: len(heard.requests) >= len(expected))
        # Whatever else there was to forward of the same segment has now been begun, so is sent.
        answered = b"HTTP/1.1 204 "
        await client.until(lambda: client.received.count(answered) >= len(expected))
        for _ in range(20):
            await asyncio.sleep(0)
        assert [_comparable(request) for request in heard.requests] == expected
    except Exception as error:
        error.add_note(repr(case))
        raise
    client.reset()
    rig.clients.clear()
    await rig.turns(lambda: not rig.plane.connections, "a client's connection is left over")
    return len(expected)


def _comparable(request: Message) -> Message:
    """Return *request* without the values that are another each time, and without its place."""
    pairs = [(n, b"" if n.lower() in _DIFFERENT else v) for n, v in request.fields]
    return Message(request.start, pairs, request.content, request.trailers)
