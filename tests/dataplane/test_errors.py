"""Every error that the proxy answers itself, provoked over the wire."""

import ast
import io
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import trustme

from proxy.admin import sections
from proxy.app.view import listed
from proxy.dataplane import Destination, Limits
from proxy.errors import KINDS, ProxyError, Side
from proxy.log import AccessLog, Output
from proxy.log.pipeline import Pipeline
from proxy.log.secrets import Secrets
from proxy.log.sink import Sink
from proxy.metrics import Finished
from proxy.policy import access
from proxy.policy.admission import Admission
from proxy.policy.callers import Callers
from tests.admin.fakes import A_VIEW
from tests.dataplane.conftest import Start
from tests.dataplane.rig import (
    Record,
    Rig,
    Setup,
    get,
    lines_of,
    ok,
    own_answer,
    post,
    request,
    values,
)

ROOT = Path(__file__).parents[2]
Provoke = Callable[[Start], Awaitable[tuple[Rig, bytes]]]


def _refusal(asked: bytes, setup: Setup | None = None) -> Provoke:
    """Provoke an error of which the upstream does not hear."""

    async def provoke(start: Start) -> tuple[Rig, bytes]:
        rig = await start(setup or Setup())
        return rig, await rig.refused(asked)

    return provoke


def _shortage(code: str) -> Provoke:
    """Provoke an error by having no token, for the reason of *code*."""

    async def provoke(start: Start) -> tuple[Rig, bytes]:
        rig: Rig = await start(Setup())
        rig.credentials.reason = ProxyError(code, "So it is.", hint="Wait.", retry_after=7)
        rig.credentials.take_away(coming=False)
        answer = await rig.refused(get())
        assert values(answer, b"Retry-After") == [b"7"]
        return rig, answer

    return provoke


def _answer(said: bytes, setup: Setup | None = None, *, close: bool = False) -> Provoke:
    """Provoke an error by what the upstream says."""

    async def provoke(start: Start) -> tuple[Rig, bytes]:
        rig = await start(setup or Setup())
        client, upstream = await rig.ask(get())
        await upstream.head()
        upstream.send(said)
        if close:
            upstream.close()
        return rig, await own_answer(client)

    return provoke


async def _unreachable(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup())
    rig.upstream.refuse()
    return rig, await rig.refused(get())


def _unresolved(host: str) -> Provoke:
    async def provoke(start: Start) -> tuple[Rig, bytes]:
        rig = await start(Setup(host=host))
        return rig, await rig.refused(get())

    return provoke


def _tls(port: int) -> Destination:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return Destination(
        name="https://upstream", host="127.0.0.1", port=port, tls=tls, connect_timeout_seconds=0.1
    )


async def _no_tls(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(), lambda port: replace(_tls(port), connect_timeout_seconds=5))
    client, upstream = await rig.ask(get())
    upstream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return rig, await own_answer(client)


async def _tls_broken_off(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(), lambda port: replace(_tls(port), connect_timeout_seconds=5))
    client, upstream = await rig.ask(get())
    await upstream.take(1)
    upstream.reset()
    return rig, await own_answer(client)


async def _not_trusted(start: Start) -> tuple[Rig, bytes]:
    rig: Rig = await start(Setup(), lambda port: replace(_tls(port), connect_timeout_seconds=5))
    rig.upstream.refuse()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    await rig.upstream.start(context)
    client = await rig.client()
    client.send(get())
    answer = await own_answer(client)
    assert not any(wire.received for wire in rig.upstream.connections)
    return rig, answer


async def _silent_connect(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(), _tls)
    client, upstream = await rig.ask(get())
    answer = await own_answer(client)
    await upstream.ended()
    assert b"authorization" not in upstream.received.lower()
    return rig, answer


async def _silent(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(limits=Limits(response_head_seconds=0.1)))
    client, upstream = await rig.ask(get())
    answer = await own_answer(client)
    await upstream.ended()
    return rig, answer


async def _slow_body(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(limits=Limits(body_idle_seconds=0.1)))
    client, upstream = await rig.ask(request(b"POST", b"/", b"Content-Length: 9", body=b"begun"))
    answer = await own_answer(client)
    await upstream.ended()
    return rig, answer


async def _long_chunked_body(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup(body_bytes=8))
    chunk = b"5\r\nhello\r\n"
    client, upstream = await rig.ask(
        request(b"POST", b"/", b"Transfer-Encoding: chunked", body=chunk)
    )
    await upstream.take_until(chunk)
    client.send(chunk)
    answer = await own_answer(client)
    assert await upstream.rest() == b""
    return rig, answer


async def _broken_chunked_body(start: Start) -> tuple[Rig, bytes]:
    rig = await start(Setup())
    client, upstream = await rig.ask(request(b"POST", b"/", b"Transfer-Encoding: chunked"))
    await upstream.head()
    client.send(b"nonsense\r\n")
    answer = await own_answer(client)
    assert await upstream.rest() == b""
    return rig, answer


async def _line_full(start: Start) -> tuple[Rig, bytes]:
    rig: Rig = await start(Setup(connections=1, queue=0))
    await (await rig.ask(get()))[1].head()
    client = await rig.client()
    client.send(get())
    return rig, await own_answer(client)


async def _line_slow(start: Start) -> tuple[Rig, bytes]:
    rig: Rig = await start(Setup(connections=1, limits=Limits(queue_seconds=0.1)))
    await (await rig.ask(get()))[1].head()
    client = await rig.client()
    client.send(get())
    return rig, await own_answer(client)


async def _crowded(start: Start) -> tuple[Rig, bytes]:
    rig: Rig = await start(Setup(limits=Limits(connections=1)))
    await (await rig.ask(get()))[1].head()
    return rig, await own_answer(await rig.client())


async def _draining(start: Start) -> tuple[Rig, bytes]:
    rig: Rig = await start(Setup())
    assert await rig.plane.drain(1) == 0
    return rig, await rig.refused(get())


_READ_ONLY = access.rules(methods=("GET",), allow_paths=(), deny_paths=("/secret",))
_INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"

ROWS: list[tuple[str, str, Provoke]] = [
    ("bad_request", "no HTTP", _refusal(b"\x16\x03\x01\x02\x00\x01")),
    ("bad_request", "version", _refusal(b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n")),
    ("bad_request", "no Host", _refusal(b"GET / HTTP/1.1\r\n\r\n")),
    ("bad_request", "two Hosts", _refusal(get(b"/", b"Host: localhost"))),
    ("bad_request", "bare LF", _refusal(b"GET / HTTP/1.1\nHost: localhost\n\n")),
    ("bad_request", "folded", _refusal(get(b"/", b"A: b", b" c"))),
    ("bad_request", "space before colon", _refusal(get(b"/", b"A : b"))),
    ("bad_request", "malformed Host", _refusal(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")),
    ("bad_request", "strange target", _refusal(get(b"transactions"))),
    ("bad_request", "fragment", _refusal(get(b"/a#b"))),
    ("bad_request", "fragment in the query", _refusal(get(b"/a?b#c"))),
    ("bad_request", "broken escape", _refusal(get(b"/100%"))),
    ("bad_request", "backslash", _refusal(get(b"/a%5cb"))),
    ("bad_request", "coded often", _refusal(get(b"/%2525252541"))),
    ("bad_request", "dot segment", _refusal(get(b"/a/../b"))),
    ("bad_request", "coded dot segment", _refusal(get(b"/a/%2e%2E/b"))),
    ("bad_request", "two lengths", _refusal(post(b"a", b"Content-Length: 2"))),
    ("bad_request", "both framings", _refusal(post(b"a", b"Transfer-Encoding: chunked"))),
    ("bad_request", "other coding", _refusal(request(b"POST", b"/", b"Transfer-Encoding: gzip"))),
    (
        "bad_request",
        "forbidden trailer",
        _refusal(
            request(
                b"POST",
                b"/",
                b"Transfer-Encoding: chunked",
                body=b"0\r\nAuthorization: Bearer x\r\n\r\n",
            )
        ),
    ),
    ("bad_request", "chunk size", _broken_chunked_body),
    (
        "bad_request",
        "own Authorization",
        _refusal(get(b"/", b"Authorization: x"), Setup(refuse_inbound=True)),
    ),
    ("request_timeout", "head", _refusal(b"GET", Setup(limits=Limits(head_seconds=0.1)))),
    ("request_timeout", "body", _slow_body),
    (
        "caller_not_allowed",
        "",
        _refusal(get(), Setup(callers=Callers(required_field=b"X-Local-Client"))),
    ),
    ("host_not_allowed", "", _refusal(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")),
    ("host_not_allowed", "absolute", _refusal(get(b"http://example.com/"))),
    ("origin_not_allowed", "site", _refusal(get(b"/", b"Sec-Fetch-Site: cross-site"))),
    ("origin_not_allowed", "origin", _refusal(get(b"/", b"Origin: https://example.com"))),
    (
        "origin_not_allowed",
        "another than allowed",
        _refusal(
            get(b"/", b"Origin: https://example.com.evil"),
            Setup(admission=Admission(origins=frozenset({b"https://example.com"}))),
        ),
    ),
    ("method_not_allowed", "CONNECT", _refusal(request(b"CONNECT", b"localhost:1"))),
    ("method_not_allowed", "rule", _refusal(post(b""), Setup(access=_READ_ONLY))),
    ("path_not_allowed", "", _refusal(get(b"/secret"), Setup(access=_READ_ONLY))),
    (
        "token_endpoint_blocked",
        "",
        _refusal(get(b"/token"), Setup(path=b"/v1", blocked=frozenset({b"/v1/token"}))),
    ),
    ("target_too_long", "", _refusal(get(b"/" + b"a" * 20), Setup(target_bytes=20))),
    (
        "head_too_large",
        "whole",
        _refusal(get(b"/", b"A: " + b"b" * 300), Setup(limits=Limits(head_bytes=200))),
    ),
    (
        "head_too_large",
        "begun",
        _refusal(b"GET /" + b"a" * 300, Setup(limits=Limits(head_bytes=200))),
    ),
    ("head_too_large", "fields", _refusal(get(b"/", b"A: b", b"C: d"), Setup(head_fields=2))),
    ("body_too_large", "told", _refusal(post(b"123456789"), Setup(body_bytes=8))),
    ("body_too_large", "found", _long_chunked_body),
    ("loop_detected", "", _refusal(get(b"/", b"Via: 1.1 a, 1.1 bearer-proxy"))),
    ("token_pending", "", _shortage("token_pending")),
    ("issuer_unreachable", "", _shortage("issuer_unreachable")),
    ("issuer_rate_limited", "", _shortage("issuer_rate_limited")),
    ("secret_unreadable", "", _shortage("secret_unreadable")),
    ("credentials_rejected", "", _shortage("credentials_rejected")),
    ("issuer_bad_response", "", _shortage("issuer_bad_response")),
    ("upstream_unreachable", "", _unreachable),
    ("upstream_tls_failed", "no TLS", _no_tls),
    ("upstream_tls_failed", "broken off", _tls_broken_off),
    ("upstream_tls_failed", "certificate", _not_trusted),
    ("upstream_dns_failed", "unknown name", _unresolved("api.invalid")),
    ("upstream_dns_failed", "no name at all", _unresolved("a" * 64 + ".invalid")),
    ("upstream_closed", "", _answer(b"", close=True)),
    ("upstream_bad_response", "no HTTP", _answer(b"SSH-2.0-x\r\n")),
    ("upstream_bad_response", "status", _answer(b"HTTP/1.1 99 Low\r\n\r\n")),
    ("upstream_bad_response", "bare LF", _answer(b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n")),
    ("upstream_bad_response", "two lengths", _answer(ok(b"a", b"Content-Length: 2"))),
    ("upstream_bad_response", "both framings", _answer(ok(b"a", b"Transfer-Encoding: chunked"))),
    ("upstream_bad_response", "head size", _answer(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 140000)),
    ("upstream_bad_response", "fields", _answer(ok(b"a", *[b"A: b"] * 300))),
    (
        "upstream_bad_response",
        "chunk with its head",
        _answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    ),
    ("upstream_bad_response", "switch", _answer(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")),
    (
        "upstream_bad_response",
        "body of a 204",
        _answer(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ),
    (
        "upstream_bad_response",
        "body of a hint",
        _answer(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nhi" + ok(b"a")),
    ),
    ("upstream_timeout", "answer", _silent),
    ("upstream_timeout", "connect", _silent_connect),
    ("overloaded", "line full", _line_full),
    ("overloaded", "line slow", _line_slow),
    ("overloaded", "clients", _crowded),
    ("draining", "", _draining),
]
_REFINED = {
    ("upstream_timeout", "connect"): "connection_timeout",
    ("upstream_tls_failed", "certificate"): "tls_certificate_error",
}


@pytest.mark.parametrize(
    ("code", "why", "provoke"), ROWS, ids=[f"{code}-{why}".strip("-") for code, why, _ in ROWS]
)
async def test_an_error_says_what_it_is(
    start: Start, code: str, why: str, provoke: Provoke
) -> None:
    """
    Status, body, Proxy-Status and journal agree, and a 503 says when to come again. The sentence
    is one, in body, log and page: what happened, on which way, and what to do next.
    """
    rig, answer = await provoke(start)
    kind = KINDS[code]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert lines_of(head)[0].startswith(b"HTTP/1.1 %d " % kind.status)
    assert values(head, b"Content-Type") == [b"application/problem+json"]
    assert values(head, b"Cache-Control") == [b"no-store"]
    assert body.endswith(b"}\n")
    problem = json.loads(body)
    assert (problem["code"], problem["status"], problem["title"]) == (code, kind.status, kind.title)
    said = f"{problem['detail']} {problem['hint']}"
    assert len(problem["detail"]) > 20
    assert f"The request came in at 127.0.0.1:{rig.port}" in problem["detail"]
    upstream = rig.plane.route.name
    if kind.side is not Side.DOWNSTREAM:
        assert upstream in problem["detail"]
    refined = _REFINED.get((code, why), kind.proxy_status)
    [named] = values(head, b"Proxy-Status")
    assert named.startswith(b"bearer-proxy; error=%b; details=" % refined.encode())
    assert [value.isdigit() for value in values(head, b"Retry-After")] == [True] * (
        kind.status == 503
    )
    [request_id] = values(head, b"X-Request-Id")
    assert problem["instance"] == f"urn:request:{request_id.decode()}"
    records = {record.request_id: record for record in await rig.journal.told()}
    record = records[request_id]
    assert (record.status, record.side, record.error) == (kind.status, kind.side, code)
    assert record.response_bytes == len(body)
    assert logged(record)["detail"] == said
    assert f"<small>{said}</small>" in unescape(on_the_page(record))


def logged(record: Record) -> dict[str, object]:
    """Return the log's line for *record*."""
    stream = io.StringIO()
    output = Output(
        console=False,
        level=0,
        pipeline=Pipeline(console=False, colours=False, hide=str, now=lambda: 0.0),
        sink=Sink(stream),
    )
    AccessLog("all", output, secrets=Secrets()).write([record])
    line: dict[str, object] = json.loads(stream.getvalue())
    return line


def on_the_page(record: Record) -> str:
    """Return the status page's row for *record*."""
    return sections.requests(replace(A_VIEW, requests=(listed(Finished(*record)),)))


@pytest.mark.parametrize("code", ["host_not_allowed", "origin_not_allowed"])
async def test_a_web_page_that_got_here_is_not_told_the_way_on(start: Start, code: str) -> None:
    """
    A page that has rebound its name can read what refuses it; the upstream is not in it.
    """
    for other, _, provoke in ROWS:
        if other == code:
            rig, answer = await provoke(start)
            if b"absolute form" not in answer:
                assert rig.authority not in answer


def test_every_error_has_been_provoked() -> None:
    """A kind without a row here is one that nobody has seen."""
    assert {code for code, _, _ in ROWS} == set(KINDS)


def test_no_error_is_without_advice() -> None:
    """Whatever else is refused one day: where an error is made, a hint goes with it."""
    makers = 0
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ProxyError":
                makers += 1
                assert "hint" in {each.arg for each in node.keywords}, f"{path}:{node.lineno}"
    assert makers > 30


async def test_what_the_stop_cuts_off_is_told_with_its_sentence(rig: Rig) -> None:
    """Nobody is there to answer any more, but the log has the reason."""
    _, upstream = await rig.ask(get())
    await upstream.head()
    assert await rig.plane.drain(0) == 1
    [record] = await rig.journal.told()
    assert (record.status, record.error) == (503, "draining")
    assert record.detail.startswith("The proxy stopped before the answer was complete. The request")
    assert "[drain] timeout_seconds" in record.detail


async def test_an_error_to_head_has_no_body(rig: Rig) -> None:
    """Its length is told all the same, and the connection goes on."""
    rig.credentials.take_away(coming=False)
    client = await rig.client()
    client.send(request(b"HEAD", b"/"))
    head = await client.head()
    assert int(values(head, b"Content-Length")[0]) > 0
    client.send(get())
    assert (await own_answer(client)).startswith(b"HTTP/1.1 503 ")


async def test_a_refused_body_does_not_become_a_request(rig: Rig) -> None:
    """What follows a refused head is discarded with its connection."""
    rig.credentials.take_away(coming=False)
    client = await rig.client()
    client.send(request(b"POST", b"/", b"Content-Length: 100"))
    answer = await client.rest()
    assert values(answer, b"Connection") == [b"close"]
    client.send(get(b"/smuggled"))
    rig.credentials.give("token")
    client.close()
    await rig.turns(lambda: not rig.plane.connections, "still open")
    assert len(rig.journal.records) == 1
    assert not rig.upstream.connections


async def test_too_many_interim_answers_are_a_loop(rig: Rig) -> None:
    """After 32 of them the upstream is given up."""
    answer = await rig.heard(_INTERIM * 40)
    assert answer.count(b"HTTP/1.1 103 ") == 32
    assert b'"code": "upstream_bad_response"' in answer
