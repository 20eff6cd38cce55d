"""How the upstream is reached: which address is taken, and who has to be there."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from proxy.dataplane import Destination
from tests.dataplane.conftest import Start
from tests.dataplane.rig import AUTHORIZATION, Rig, Setup, get, ok, own_answer


@dataclass
class TLS:
    """An authority, and the names that the upstream's TLS was asked for."""

    authority: trustme.CA = field(default_factory=trustme.CA)
    asked_for: list[str | None] = field(default_factory=list)

    def destination(self, port: int) -> Destination:
        """Return the upstream as ``localhost``, trusted if the authority says who it is."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(tls)
        return Destination(name="https://localhost", host="localhost", port=port, tls=tls)

    def server(self, name: str) -> ssl.SSLContext:
        """Return the TLS of a server that has the authority's certificate for *name*."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        context.sni_callback = self._note
        return context

    def _note(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.asked_for.append(name)


async def _over_tls(start: Start, tls: TLS, name: str) -> Rig:
    rig: Rig = await start(Setup(scheme=b"https"), tls.destination)
    rig.upstream.refuse()
    await rig.upstream.start(tls.server(name))
    return rig


async def test_a_request_goes_over_tls_to_the_name_it_asked_for(start: Start) -> None:
    """The name is sent ahead (SNI), and the certificate is for it."""
    tls = TLS()
    rig = await _over_tls(start, tls, "localhost")
    client, upstream = await rig.ask(get())
    assert AUTHORIZATION in await upstream.head()
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")
    assert tls.asked_for == ["localhost"]


async def test_a_certificate_for_another_name_is_not_accepted(start: Start) -> None:
    """However trusted its issuer: nothing is sent to whoever answers in the upstream's place."""
    rig = await _over_tls(start, TLS(), "other.example")
    client = await rig.client()
    client.send(get())
    answer = await own_answer(client)
    assert b'"code": "upstream_tls_failed"' in answer
    assert b"error=tls_certificate_error" in answer
    assert not any(wire.received for wire in rig.upstream.connections)


async def test_a_tls_connection_is_used_again(start: Start) -> None:
    """One handshake serves more than one request."""
    tls = TLS()
    rig = await _over_tls(start, tls, "localhost")
    client, upstream = await rig.ask(get() * 2)
    for body in (b"one", b"two"):
        await upstream.head()
        upstream.send(ok(body))
        assert (await own_answer(client)).endswith(b"\r\n\r\n" + body)
    assert len(tls.asked_for) == 1


async def test_an_answer_cut_by_the_end_of_tls_is_cut_for_the_client(start: Start) -> None:
    """A close_notify in the midst of a body is no end of it."""
    rig = await _over_tls(start, TLS(), "localhost")
    client, upstream = await rig.ask(get())
    await upstream.head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    await client.take_until(b"begun")
    upstream.close()
    assert await client.rest() == b""
    [record] = await rig.journal.told()
    assert record.error == "upstream_closed"


# A name with more than one address.


@pytest.fixture
def silent_address() -> Iterator[tuple[str, int]]:
    """An address that accepts no connection and refuses none, as behind a broken route."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        stack.enter_context(socket.create_connection(full.getsockname()))  # its queue is full now
        yield full.getsockname()


NAMED = Setup(host="api.test", connect_timeout_seconds=0.5)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Have the name of ``NAMED`` stand for *addresses*, or for none; all else is as it ever was."""
    loop = asyncio.get_running_loop()
    monkeypatch.undo()
    ask = loop.getaddrinfo
    found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", it) for it in addresses]

    async def resolve(host: str, port: int, **hints: int) -> list[tuple[Any, ...]]:
        if host != NAMED.host:
            return [*await ask(host, port, **hints)]
        if not found:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [*found]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)


async def test_a_silent_address_does_not_hold_up_the_next(
    start: Start, silent_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Happy eyeballs (RFC 8305): a second attempt begins beside the first after 250 ms."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    loop = asyncio.get_running_loop()
    resolve_to(monkeypatch, silent_address, ("127.0.0.1", rig.upstream.port))
    began = loop.time()
    client.send(get())
    upstream = await rig.upstream.accept()
    await upstream.head()
    assert loop.time() - began > 0.2
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


async def test_a_refusing_address_is_passed_over_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs nothing when one of several servers is down."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    with socket.create_server(("127.0.0.2", 0)) as gone:
        closed = gone.getsockname()
    resolve_to(monkeypatch, closed, ("127.0.0.1", rig.upstream.port))
    client.send(get())
    upstream = await rig.upstream.accept()
    await upstream.head()
    upstream.send(ok(b"x"))
    assert (await own_answer(client)).endswith(b"\r\n\r\nx")


async def test_all_addresses_are_silent_for_no_longer_than_one_may_be(
    start: Start, silent_address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time-out is the whole attempt's, however many addresses there are."""
    rig: Rig = await start(NAMED)
    client = await rig.client()
    loop = asyncio.get_running_loop()
    resolve_to(monkeypatch, *[silent_address] * 4)
    began = loop.time()
    client.send(get())
    answer = await own_answer(client)
    assert b'"code": "upstream_timeout"' in answer
    assert loop.time() - began < 1.5
    assert not rig.upstream.connections
