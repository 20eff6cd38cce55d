"""One exchange with an issuer, over real sockets: nothing followed, kept, inherited or trusted."""

import asyncio
import gzip
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from proxy.tokens import Exchange, Failure, Grant, IssuerConfig, Kind, SystemClock
from proxy.tokens.source import ANSWER_BYTES, TokenSource
from tests.keeping.issuer import Call, ScriptedIssuer, says, text, token_answer
from tests.tokens.fakes import FixedSecret, config

ROOT = Path(__file__).parents[2]


async def ask(
    url: str,
    *,
    secret: FixedSecret | None = None,
    tls: ssl.SSLContext | None = None,
    **more: object,
) -> Exchange:
    source = TokenSource(config(url, **more), secret or FixedSecret(), clock=SystemClock(), tls=tls)
    async with source:
        return await source.exchange()


async def failure_of(url: str, **more: object) -> Failure:
    exchange = await ask(url, **more)  # type: ignore[arg-type] # whichever they are
    assert isinstance(exchange.result, Failure)
    return exchange.result


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw(talk: Talk) -> AsyncIterator[str]:
    """Serve whoever connects by *talk*, once its request's head has come."""
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(asyncio.create_task(converse(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    finally:
        server.close()
        for each in conversations:
            each.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


def answering(content: bytes) -> AbstractAsyncContextManager[str]:
    """Serve *content* to whoever connects, then end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        writer.write_eof()
        # Until the other side has had enough: closed with bytes unread, it would be a reset.
        await reader.read()

    return raw(talk)


async def test_a_token_and_its_life_are_read(issuer: ScriptedIssuer) -> None:
    """
    A plain answer gives the token, its life and how long the exchange took.
    """
    exchange = await ask(issuer.url)
    assert isinstance(exchange.result, Grant)
    assert exchange.result.token == "token-1"
    assert exchange.result.lifetime.seconds == 3600
    assert 0 < exchange.duration < 5


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(issuer: ScriptedIssuer, status: int) -> None:
    """
    The credentials go where they are meant to go, and nowhere else.
    """
    issuer.say = says(status, {}, Location=issuer.url + "/elsewhere")
    failure = await failure_of(issuer.url)
    assert failure.kind is Kind.BAD_RESPONSE
    assert "redirect" in failure.cause
    assert len(issuer.calls) == 1


async def test_an_endless_answer_is_cut_at_64_kib(issuer: ScriptedIssuer) -> None:
    """
    An issuer that does not stop is left alone after 64 KiB: no memory is its to fill.
    """

    async def endless(_: Call) -> web.StreamResponse:
        return web.Response(body=b" " * (ANSWER_BYTES + 1), content_type="application/json")

    issuer.say = endless
    failure = await failure_of(issuer.url)
    assert failure.kind is Kind.BAD_RESPONSE
    assert "more than 65536 bytes" in failure.cause


async def test_an_answer_of_64_kib_is_read(issuer: ScriptedIssuer) -> None:
    """
    The limit is what it says: the last byte below it still counts.
    """

    async def long(_: Call) -> web.StreamResponse:
        body = b'{"access_token": "t0k3n", "expires_in": 60}'
        return web.Response(body=body.ljust(ANSWER_BYTES), content_type="application/json")

    issuer.say = long
    assert isinstance((await ask(issuer.url)).result, Grant)


async def test_a_compressed_answer_is_not_unpacked(issuer: ScriptedIssuer) -> None:
    """
    Compression is not asked for, and what comes compressed all the same is no bomb.
    """

    async def bomb(_: Call) -> web.StreamResponse:
        body = gzip.compress(b'{"access_token": "t0k3n", "x": "' + b" " * 5_000_000 + b'"}')
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    issuer.say = bomb
    failure = await failure_of(issuer.url)
    assert failure.kind is Kind.BAD_RESPONSE
    assert "compressed" in failure.cause
    assert issuer.calls[0].fields["Accept-Encoding"] == "identity"


async def test_a_silent_issuer_is_a_timeout() -> None:
    """
    Nobody waits for an issuer beyond the limit.
    """

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw(silent) as url:
        failure = await failure_of(url, timeout_seconds=0.1)
    assert failure.kind is Kind.TIMEOUT
    assert failure.cause == "did not answer within 0.1 s"


async def test_a_dripping_issuer_is_a_timeout() -> None:
    """
    The limit is for the whole answer: a byte now and then extends nothing.
    """

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async with raw(drip) as url:
        failure = await failure_of(url, timeout_seconds=0.1)
    assert failure.kind is Kind.TIMEOUT


@pytest.mark.parametrize(
    ("content", "kind", "word"),
    [
        (b"", Kind.UNREACHABLE, "closed the connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Kind.BAD_RESPONSE, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", Kind.BAD_RESPONSE, "too early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Kind.BAD_RESPONSE, "empty body"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Kind.BAD_RESPONSE, "empty body"),
    ],
)
async def test_a_broken_answer_is_told_apart(content: bytes, kind: Kind, word: str) -> None:
    """
    Whoever reads the cause knows whether the connection, HTTP or the answer was at fault.
    """
    async with answering(content) as url:
        failure = await failure_of(url)
    assert failure.kind is kind
    assert word in failure.cause


async def test_a_closed_port_is_unreachable() -> None:
    """
    A refused connection is named as such.
    """
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        failure = await failure_of(f"http://127.0.0.1:{held.getsockname()[1]}/")
    assert failure.kind is Kind.UNREACHABLE
    assert failure.cause == "cannot be connected to: Connection refused"


async def test_an_unknown_name_is_unreachable() -> None:
    """
    A name that does not resolve is named as such. (RFC 6761: .invalid never does.)
    """
    failure = await failure_of("http://issuer.invalid/")
    assert failure.kind is Kind.UNREACHABLE


def _client_tls(ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        ca.configure_trust(context)
    return context


@pytest.mark.parametrize(
    ("name", "trusted", "word"),
    [
        ("127.0.0.1", True, ""),
        ("127.0.0.1", False, "unable to get local issuer certificate"),
        ("other.test", True, "not valid for '127.0.0.1'"),
    ],
)
async def test_the_issuers_certificate_is_verified(name: str, trusted: bool, word: str) -> None:
    """
    The secret goes to nobody whose certificate is not trusted, or is for another name.
    """
    ca = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(tls)
    async with ScriptedIssuer().serving(tls) as issuer:
        exchange = await ask(issuer.url, tls=_client_tls(ca if trusted else None))
    if not word:
        assert isinstance(exchange.result, Grant)
        return
    assert isinstance(exchange.result, Failure)
    assert exchange.result.kind is Kind.UNREACHABLE
    assert "failed the TLS handshake" in exchange.result.cause
    assert word in exchange.result.cause
    assert issuer.calls == []


async def test_a_proxy_of_the_environment_is_not_used(
    issuer: ScriptedIssuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Neither http_proxy nor a netrc has a say in where the secret goes, or with what.
    """
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert isinstance((await ask(issuer.url)).result, Grant)
    assert "Authorization" not in issuer.calls[0].fields


async def test_cookies_are_not_kept(issuer: ScriptedIssuer) -> None:
    """
    What an issuer sets is forgotten before it is asked again.
    """

    async def with_cookie(_: Call) -> web.StreamResponse:
        answer = token_answer("t0k3n")
        answer.set_cookie("tracked", "yes")
        return answer

    issuer.say = with_cookie
    source = TokenSource(config(issuer.url), FixedSecret(), clock=SystemClock())
    async with source:
        await source.exchange()
        await source.exchange()
    assert len(issuer.calls) == 2
    assert "Cookie" not in issuer.calls[1].fields


async def test_the_secret_is_read_at_every_exchange(issuer: ScriptedIssuer) -> None:
    """
    A rotated secret needs no watcher: the next exchange has it, and another fingerprint.
    """
    secret = FixedSecret("old")
    source = TokenSource(config(issuer.url), secret, clock=SystemClock())
    async with source:
        first = await source.exchange()
        secret.value = "new"
        assert await source.fingerprint() not in ("", first.fingerprint)
        second = await source.exchange()
    assert [text(call) for call in issuer.calls] == [
        {"client_id": "acme", "client_secret": "old"},
        {"client_id": "acme", "client_secret": "new"},
    ]
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize(
    ("value", "cause"),
    [(None, "there is no secret"), ("not text: \udcff", "the client secret is not Unicode text")],
)
async def test_without_a_secret_nobody_is_asked(
    issuer: ScriptedIssuer, value: str | None, cause: str
) -> None:
    """
    A secret that can't be read, or sent, is told as that, and not as the issuer's word: there is no
    call, and no attempt counted.
    """
    secret = FixedSecret(value)
    exchange = await ask(issuer.url, secret=secret)
    assert isinstance(exchange.result, Failure)
    assert exchange.result.kind is Kind.UNREADABLE
    assert exchange.result.cause == f"was not asked: {cause}"
    assert exchange.result.called is False
    assert exchange.fingerprint == ""
    assert issuer.calls == []


async def test_fingerprints_say_nothing_outside_the_process() -> None:
    """
    The same secret has another fingerprint in every process: guesses can't be compared with it.
    """
    program = (
        "import asyncio\n"
        "from tests.tokens.fakes import FixedSecret, config\n"
        "from proxy.tokens import SystemClock\n"
        "from proxy.tokens.source import TokenSource\n"
        "url = 'http://issuer.invalid'\n"
        "source = TokenSource(config(url), FixedSecret(), clock=SystemClock())\n"
        "import sys; sys.stdout.write(asyncio.run(source.fingerprint()))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    elsewhere, _ = await process.communicate()
    here = TokenSource(config("http://issuer.invalid"), FixedSecret(), clock=SystemClock())
    assert len(elsewhere) == 32
    assert elsewhere.decode() != await here.fingerprint()


@pytest.mark.parametrize(
    "more",
    [{"scope": "a"}, {"extra": {"audience": "b"}}, {"headers": {"X-Key": "c"}}, {"client_id": "d"}],
)
async def test_another_client_with_the_same_secret_is_another_credential(
    more: dict[str, object],
) -> None:
    """
    Whatever is sent to the issuer tells one credential from another, and nothing else does.
    """
    one = IssuerConfig(url="http://issuer.invalid", client_id="acme", timeout_seconds=1)
    same = replace(one, timeout_seconds=2)
    other = replace(one, **more)  # type: ignore[arg-type] # any of them
    first, second, third = [
        await TokenSource(each, FixedSecret(), clock=SystemClock()).fingerprint()
        for each in (one, same, other)
    ]
    assert first == second != third
