"""What the client is told: the upstream's word unaltered, or ours."""

import json
from dataclasses import replace

import pytest

from proxy.errors import KINDS, ProxyError
from proxy.policy import answer, framing, headers, reading
from proxy.policy.admission import Admission
from proxy.policy.answer import Answered
from proxy.policy.message import Malformed
from proxy.policy.reading import Received
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from tests.each import each

BASE = Base(b"https", b"api.example", b"/v1")
RULES = Rules(base=BASE, admission=Admission())
OPENED = replace(RULES, admission=Admission(origins=frozenset({b"https://page.example"})))
ID_LINE = headers.request_id_line(b"id-1")
ERROR = ProxyError("token_pending", 'The "first" token\nis due.', hint="Wait.", retry_after=2)


def read(
    *fields: bytes, status: bytes = b"200 OK", minor: int = 1, send_via: bool = False
) -> Answered:
    head = b"".join(line + b"\r\n" for line in (b"HTTP/1.%d %b" % (minor, status), *fields))
    return answer.read(head, send_via=send_via)


def received(*fields: bytes, minor: int = 1, rules: Rules = RULES) -> Received:
    block = b"".join(line + b"\r\n" for line in (b"Host: localhost:8080", *fields))
    return reading.read(block, minor=minor, rules=rules, local="127.0.0.1")


def passed(answered: Answered, *, by: Received | None = None, keep_alive: bool = True) -> bytes:
    """Return the head that a client is sent for *answered*, of whatever body that has."""
    by = by or received()
    return answer.pass_on(answered, answered.framing, ID_LINE, keep_alive, by, BASE)


# The upstream's.


def test_an_answer_passes_unaltered_but_for_its_id() -> None:
    """
    Status, reason and fields in their order and spelling; an id of ours behind them.
    """
    assert passed(read(b"content-length: 3", b"X-A:b", b"Set-Cookie: a", b"Set-Cookie: b")) == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nX-A: b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
        b"X-Request-Id: id-1\r\n\r\n"
    )


def test_the_upstreams_own_id_stands() -> None:
    """
    It is the one in its logs.
    """
    head = passed(read(b"Content-Length: 0", b"x-request-id: theirs"))
    assert head.lower().count(b"x-request-id") == 1
    assert b"x-request-id: theirs\r\n" in head


@each("status", [b"401 Unauthorized", b"403 Forbidden", b"404 Nope", b"429 Slow"])
def test_a_refusal_of_the_upstreams_is_its_own(status: bytes) -> None:
    """
    The 401 included: with its challenge, and without a note of ours.
    """
    head = passed(read(b"Content-Length: 0", b"WWW-Authenticate: Bearer", status=status))
    assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"WWW-Authenticate: Bearer\r\n" in head
    assert b"Proxy-Status" not in head


def test_a_server_error_of_the_upstreams_is_marked_as_its_own() -> None:
    """
    RFC 9209: so that nobody takes it for one of ours.
    """
    head = passed(read(b"Content-Length: 0", status=b"503 Busy"))
    assert b"Proxy-Status: bearer-proxy; received-status=503\r\n" in head


@each(
    "field",
    [
        b"Connection: close",
        b"Keep-Alive: timeout=5",
        b"Transfer-Encoding: chunked",
        b"Upgrade: h2",
        b"TE: x",
    ],
)
def test_fields_of_the_upstreams_hop_are_not_passed_on(field: bytes) -> None:
    """
    RFC 9110 section 7.6.1.
    """
    assert field not in read(field).start


def test_a_nominated_field_of_an_answer_is_not_passed_on() -> None:
    """
    In any case; but framing can't be nominated away.
    """
    assert b"X-A" not in read(b"Connection: x-a", b"X-A: 1").start
    with pytest.raises(Malformed):
        read(b"Connection: content-length", b"Content-Length: 3")


@each(
    "fields",
    [
        (b"Content-Length: 3", b"Content-Length: 4"),
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip",),
        (b"A : b",),
        (b"A: b\x00",),
        (b" folded",),
    ],
)
def test_an_ambiguous_answer_is_malformed(fields: tuple[bytes, ...]) -> None:
    """
    As much as a request is.
    """
    with pytest.raises(Malformed):
        read(*fields)


def test_an_answer_may_have_many_fields_but_not_any_number() -> None:
    """
    Twice as many as a request.
    """
    read(*[b"Set-Cookie: a"] * 200)
    with pytest.raises(Malformed):
        read(*[b"Set-Cookie: a"] * 201)


@each("status", [b"100 Continue", b"103 Early Hints", b"204 No Content"])
def test_an_answer_that_has_no_body_has_no_length(status: bytes) -> None:
    """
    RFC 9110 section 8.6.
    """
    answered = read(b"Content-Length: 0", b"Link: a", status=status)
    assert answered.framing == 0
    assert b"Content-Length" not in answered.start
    assert b"Link: a\r\n" in answered.start


def test_a_304_keeps_the_length_of_what_it_stands_for() -> None:
    """
    RFC 9110 section 15.4.5; there is no body all the same.
    """
    answered = read(b"Content-Length: 3", status=b"304 Not Modified")
    assert answered.framing == 0
    assert b"Content-Length: 3\r\n" in answered.start


def test_a_body_without_a_length_is_chunked_for_who_knows_chunks() -> None:
    """
    HTTP/1.0 knows none: there the connection's end is the body's.
    """
    for answered in (read(), read(b"Transfer-Encoding: chunked")):
        assert answered.framing < 0
        assert b"Transfer-Encoding: chunked\r\n" in passed(answered)
        assert b"Transfer-Encoding" not in passed(answered, by=received(minor=0))
    assert read().framing == framing.UNTIL_CLOSE


def test_the_client_is_told_whether_its_connection_goes_on() -> None:
    """
    In the word that its version needs; never in the upstream's.
    """
    answered = read(b"Content-Length: 0", b"Connection: close")
    old = received(minor=0)
    assert b"Connection" not in passed(answered)
    assert b"Connection: close\r\n" in passed(answered, keep_alive=False)
    assert b"Connection: keep-alive\r\n" in passed(answered, by=old)
    assert b"Connection: close\r\n" in passed(answered, by=old, keep_alive=False)


def test_an_interim_answer_says_nothing_of_the_connection() -> None:
    """
    The final one will.
    """
    assert b"Connection" not in passed(read(status=b"103 Early Hints"), keep_alive=False)


def test_a_switch_of_protocols_names_the_protocol() -> None:
    """
    RFC 9110 section 7.8: on the client's own hop.
    """
    head = passed(
        read(b"Connection: Upgrade", b"Upgrade: websocket", status=b"101 Switching Protocols")
    )
    assert head.endswith(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")


def test_a_redirect_under_the_base_leads_back_through_the_proxy() -> None:
    """
    By the name that the client knows; the connection may have known another one.
    """
    answered = read(
        b"Content-Length: 0", b"Location: https://api.example/v1/a", b"Content-Location: /v1/b"
    )
    head = passed(answered)
    assert b"Location: http://localhost:8080/a\r\n" in head
    assert b"Content-Location: /b\r\n" in head
    away = read(b"Content-Length: 0", b"Location: https://evil.example/v1/a")
    assert b"Location: https://evil.example/v1/a\r\n" in passed(away)


def test_a_page_that_may_call_may_read_the_answer() -> None:
    """
    What the upstream says of origins is replaced.
    """
    by = received(b"Origin: https://page.example", rules=OPENED)
    head = passed(read(b"Content-Length: 0", b"Access-Control-Allow-Origin: *"), by=by)
    assert b"Access-Control-Allow-Origin: https://page.example\r\n" in head
    assert b"Access-Control-Allow-Origin: *" not in head


def test_via_says_what_the_upstream_spoke() -> None:
    """
    Behind the Via of others.
    """
    assert read(b"Via: 1.1 a", send_via=True).start.endswith(b"Via: 1.1 a\r\n" + headers.VIA)
    assert read(minor=0, send_via=True).start.endswith(headers.VIA_1_0)


@each(
    ("minor", "fields", "goes_on"),
    [
        (1, (), True),
        (1, (b"Connection: Close",), False),
        (0, (), False),
        (0, (b"Connection: keep-alive",), True),
    ],
)
def test_an_upstream_connection_goes_on_as_its_version_has_it(
    minor: int, fields: tuple[bytes, ...], goes_on: bool
) -> None:
    """
    RFC 9112 section 9.3.
    """
    assert read(*fields, minor=minor).keep_alive is goes_on


@each(
    ("value", "seconds"),
    [
        (b"timeout=5, max=100", 5),
        (b"max=1, Timeout = 7", 7),
        (b"timeout=x", 0),
        (b"", 0),
        (b"timeout=-1", 0),
        (b"timeout=" + b"9" * 30, 86400),
    ],
)
def test_the_upstreams_idle_timeout_is_learnt(value: bytes, seconds: int) -> None:
    """
    In seconds, a day at most; nothing if it makes no sense.
    """
    assert read(b"Keep-Alive: " + value).keep_alive_seconds == seconds


def test_a_plain_answer_is_one_that_needs_nothing_but_an_id() -> None:
    """
    Final, of known length, no error, nothing to rewrite, and more may follow.
    """
    plain = read(b"Content-Length: 3")
    assert plain.is_plain
    assert passed(plain) == plain.start + ID_LINE + b"\r\n"
    for other in (
        read(),
        read(b"Content-Length: 3", b"Connection: close"),
        read(b"Content-Length: 3", b"Location: /v1/a"),
        read(b"Content-Length: 3", b"X-Request-Id: a"),
        read(b"Content-Length: 3", status=b"401 No"),
        read(b"Content-Length: 3", status=b"500 Oh"),
        read(status=b"103 Early Hints"),
    ):
        assert not other.is_plain


# Our own.


def own(
    error: ProxyError = ERROR, *, keep_alive: bool = True, to_head: bool = False
) -> tuple[bytes, bytes]:
    """Return head and body of our own answer."""
    data = answer.own(error, request_id=b"id-1", wall=0, keep_alive=keep_alive, to_head=to_head)
    head, _, body = data.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def test_an_error_of_ours_is_a_problem_that_a_program_can_read() -> None:
    """
    RFC 9457, with a stable code, in a body of the stated length.
    """
    head, body = own()
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\nServer: bearer-proxy\r\n")
    assert b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" in head
    assert b"Content-Type: application/problem+json\r\n" in head
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"Cache-Control: no-store\r\n" in head
    assert b"X-Request-Id: id-1\r\n" in head
    assert b"Retry-After: 2\r\n" in head
    assert json.loads(body) == {
        "type": "urn:bearer-proxy:error:token_pending",
        "title": "No token yet",
        "status": 503,
        "detail": ERROR.detail,
        "instance": "urn:request:id-1",
        "code": "token_pending",
        "retry_after": 2,
        "hint": "Wait.",
    }


def test_a_detail_can_not_break_out_of_the_head() -> None:
    """
    Proxy-Status quotes it (RFC 9651): no line end, no quote and nothing beyond ASCII escapes.
    """
    head, _ = own(ProxyError("bad_request", 'a"b\\c\r\nX-Evil: 1\u00e9'))
    assert rb'details="a\"b\\c??X-Evil: 1?"' in head
    assert b"\r\nX-Evil" not in head


def test_an_answer_to_a_head_request_has_no_body() -> None:
    """
    And the length of the one that it would have.
    """
    head, body = own(to_head=True)
    assert body == b""
    assert head == own()[0]


def test_the_connection_goes_on_or_not_as_it_says() -> None:
    """
    A client need not guess.
    """
    assert b"Connection: keep-alive\r\n" in own()[0]
    assert b"Connection: close\r\n" in own(keep_alive=False)[0]


@each("code", sorted(KINDS))
def test_every_error_of_the_table_can_be_answered(code: str) -> None:
    """
    With its status and a reason; never 401, which is the upstream's word.
    """
    head, body = own(ProxyError(code, "x"))
    assert head.startswith(b"HTTP/1.1 %d " % KINDS[code].status)
    assert json.loads(body)["code"] == code
    assert b"Retry-After" not in head
    assert KINDS[code].status != 401


def test_a_client_is_owed_further_fields_in_our_answers_too() -> None:
    """
    So that a page can read our 503.
    """
    line = b"Access-Control-Allow-Origin: https://page.example\r\n"
    data = answer.own(ERROR, request_id=b"id-1", wall=0, keep_alive=True, fields=line)
    assert line in data.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_a_settled_question_is_answered_without_a_body() -> None:
    """
    RFC 9110 section 8.6: a 204 has no length either.
    """
    data = answer.settled(b"A: b\r\n", request_id=b"id-1", wall=0, keep_alive=False)
    assert data.startswith(b"HTTP/1.1 204 No Content\r\nServer: bearer-proxy\r\n")
    assert data.endswith(b"A: b\r\nX-Request-Id: id-1\r\nConnection: close\r\n\r\n")
    assert b"Content-Length" not in data
