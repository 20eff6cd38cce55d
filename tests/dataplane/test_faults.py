"""
Each way in which an upstream fails: its code, nothing left of it, and the next request works.

What is left of a test (a task, a socket, a connection in use) fails it in ``conftest`` and ``rig``.
"""

import asyncio
import datetime
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import trustme

from proxy.dataplane import Destination
from tests.dataplane.conftest import Start
from tests.dataplane.rig import Rig, Setup, get, lines_of, ok, own_answer, values
from tests.dataplane.test_connecting import NAMED, resolve_to, silent_address
from tests.dataplane.wire import Wire

__all__ = ["silent_address"]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
ENDS = [Wire.reset, Wire.close, Wire.half_close]


async def _next_works(rig: Rig, client: Wire) -> None:
    """See that a further request is answered, on the same connection if that is still there."""
    assert not rig.pool.busy_count
    if client.at_eof or client.lost:
        client = await rig.client()
    client.send(get(b"/next"))
    upstream = await rig.upstream.accept()
    assert (await upstream.head()).startswith(b"GET /next ")
    upstream.send(ok(b"fine"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nfine")
    assert (rig.pool.busy_count, rig.pool.idle_count) == (0, 1)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("begun", "hints"),
    [
        (b"", 0),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 0),
        (HINT, 1),
        (HINT + HINT + b"HTTP/1.1 200 OK\r\n", 2),
    ],
    ids=["before its head", "in its head", "after a 1xx", "in its head after two 1xx"],
)
async def test_an_upstream_that_goes_before_its_answer(
    rig: Rig, begun: bytes, hints: int, end: Callable[[Wire], None]
) -> None:
    """The client is told with a 502, behind the hints that came, and its connection goes on."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(begun)
    for _ in range(hints):
        assert lines_of(await client.head())[0] == b"HTTP/1.1 103 Early Hints"
    end(upstream)
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_closed"' in answer
    assert values(answer, b"Connection") == [b"keep-alive"]
    await _next_works(rig, client)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("begun", "heard"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun", b"begun"),
        (CHUNKED + b"5\r\nbegun\r\n", b"5\r\nbegun\r\n"),
        (CHUNKED + b"9\r\nbegun", b"5\r\nbegun\r\n"),
        (CHUNKED + b"5\r\nbegun\r\n0", b"5\r\nbegun\r\n"),
        (HINT + CHUNKED + b"5\r\nbegun\r\n", b"5\r\nbegun\r\n"),
    ],
    ids=["in its body", "after a chunk", "in a chunk", "in the last chunk", "after a 1xx"],
)
async def test_an_upstream_that_goes_amid_its_answer(
    rig: Rig, begun: bytes, heard: bytes, end: Callable[[Wire], None]
) -> None:
    """What came is passed on and left without an end; the journal has the code."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(begun)
    await client.take_until(heard)
    end(upstream)
    assert await client.rest() == b""
    [record] = await rig.journal.told()
    assert (record.status, record.side, record.error) == (200, "upstream", "upstream_closed")
    await _next_works(rig, client)


async def test_an_upstream_that_half_closes_behind_its_answer(rig: Rig) -> None:
    """The answer is whole; its connection is not used again."""
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(ok(b"last"))
    upstream.half_close()
    assert (await own_answer(client)).endswith(b"\r\n\r\nlast")
    await upstream.ended()
    await rig.turns(lambda: not rig.pool.idle_count, "kept though it has ended")
    await _next_works(rig, client)


# TLS.


@dataclass
class Wrong:
    """A server that is not to be trusted, and one that is, on the same port."""

    authority: trustme.CA = field(default_factory=trustme.CA)

    def destination(self, port: int) -> Destination:
        """Return the upstream as ``localhost``, trusted if the authority says who it is."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(tls)
        return Destination(name="https://localhost", host="localhost", port=port, tls=tls)

    def right(self) -> ssl.SSLContext:
        """Return the TLS of the upstream as it should be."""
        return _server(self.authority.issue_cert("localhost"))

    def expired(self) -> ssl.SSLContext:
        """Return one that should have been renewed yesterday."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        return _server(self.authority.issue_cert("localhost", not_after=yesterday))

    def other_name(self) -> ssl.SSLContext:
        """Return one of another server of the same authority."""
        return _server(self.authority.issue_cert("other.example"))

    def unknown(self) -> ssl.SSLContext:
        """Return one that an authority of its own speaks for."""
        return _server(trustme.CA().issue_cert("localhost"))

    def plain(self) -> None:
        """Return no TLS at all."""


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (Wrong.expired, b"tls_certificate_error", b"certificate has expired"),
        (Wrong.other_name, b"tls_certificate_error", b"certificate is not valid for 'localhost'"),
        (Wrong.unknown, b"tls_certificate_error", b"unable to get local issuer certificate"),
        (Wrong.plain, b"tls_protocol_error", b"No TLS session with https://localhost"),
    ],
    ids=["expired", "for another name", "of an unknown issuer", "none: plain text"],
)
async def test_a_server_that_is_not_the_upstream_is_told_nothing(
    start: Start, wrong: Callable[[Wrong], ssl.SSLContext | None], error: bytes, said: bytes
) -> None:
    """Not a byte of the request goes to it; the error says what is wrong with its certificate."""
    tls = Wrong()
    rig = await start(Setup(scheme=b"https"), tls.destination)
    rig.upstream.refuse()
    await rig.upstream.start(wrong(tls))
    client = await rig.client()
    client.send(get())
    if wrong is Wrong.plain:
        (await rig.upstream.accept()).send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_tls_failed"' in answer
    assert b"error=" + error in answer
    assert said in answer
    assert not any(b"GET" in wire.received for wire in rig.upstream.connections)
    rig.upstream.refuse()
    await rig.upstream.start(tls.right())
    await _next_works(rig, client)


# Names and addresses.


async def test_a_name_that_is_gone_for_a_while(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for again by the next request: a failure is not remembered."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    resolve_to(monkeypatch)
    client.send(get())
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_dns_failed"' in answer
    resolve_to(monkeypatch, ("127.0.0.1", rig.upstream.port))
    await _next_works(rig, client)


async def test_a_name_that_comes_to_mean_another_address(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every new connection goes where the name leads at that moment."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    resolve_to(monkeypatch, ("127.0.0.1", rig.upstream.port))
    client.send(get())
    before = await rig.upstream.accept()
    await before.head()
    before.send(ok(b"before", b"Connection: close"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nbefore")

    moved: asyncio.Queue[Wire] = asyncio.Queue()
    server = await asyncio.get_running_loop().create_server(
        lambda: Wire(moved.put_nowait), "127.0.0.3", rig.upstream.port
    )
    resolve_to(monkeypatch, ("127.0.0.3", rig.upstream.port))
    client.send(get())
    after = await moved.get()
    await after.head()
    after.send(ok(b"after", b"Connection: close"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nafter")
    await after.ended()
    server.close()
    after.close()


async def test_an_address_that_swallows_all(
    start: Start, silent_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is neither accepted nor refused is given up in time, with a 504."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    resolve_to(monkeypatch, silent_address)
    client.send(get())
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b'"code": "upstream_timeout"' in answer
    assert b"error=connection_timeout" in answer
    resolve_to(monkeypatch, ("127.0.0.1", rig.upstream.port))
    await _next_works(rig, client)


async def test_a_port_where_nobody_listens(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused at once, with a 502."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    with socket.create_server(("127.0.0.2", 0)) as gone:
        closed = gone.getsockname()
    resolve_to(monkeypatch, closed)
    client.send(get())
    answer = await own_answer(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b'"code": "upstream_unreachable"' in answer
    assert b"error=connection_refused" in answer
    resolve_to(monkeypatch, ("127.0.0.1", rig.upstream.port))
    await _next_works(rig, client)
