"""The one question: forward it as which bytes, or refuse it why."""

from dataclasses import replace

import pytest

from proxy.errors import ProxyError
from proxy.policy import access, framing, message, reading, verdict
from proxy.policy.admission import Admission
from proxy.policy.credential import Credential
from proxy.policy.message import Malformed, TooLarge, TooLong
from proxy.policy.reading import Received
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.verdict import Forward, Refuse, Settle, Verdict
from tests.each import each

PAGE = b"https://page.example"
BASE = Base(b"https", b"api.example", b"/v1", frozenset({b"/v1/token"}))
RULES = Rules(base=BASE, admission=Admission(), send_via=False)
OPENED = replace(RULES, admission=Admission(origins=frozenset({PAGE})))
TOKEN = Credential("t0k3n", 0, 1, 2)
LINE = b"Authorization: Bearer t0k3n\r\n"


def read(
    *fields: bytes, rules: Rules = RULES, minor: int = 1, host: bytes = b"localhost"
) -> Received:
    lines = ([b"Host: " + host] if host else []) + list(fields)
    block = b"".join(line + b"\r\n" for line in lines)
    return reading.read(block, minor=minor, rules=rules, local="127.0.0.1")


def judged(
    *fields: bytes,
    method: bytes = b"GET",
    target: bytes = b"/a",
    rules: Rules = RULES,
    minor: int = 1,
    host: bytes = b"localhost",
) -> Verdict:
    received = read(*fields, rules=rules, minor=minor, host=host)
    return verdict.judge(verdict.ask(method, target, received, rules), TOKEN)


def sent(*fields: bytes, rules: Rules = RULES, minor: int = 1) -> bytes:
    """Return the fields that go upstream between our Host and our Authorization."""
    found = judged(*fields, rules=rules, minor=minor)
    assert isinstance(found, Forward)
    start = b"GET /v1/a HTTP/1.1\r\nHost: api.example\r\n"
    # Nothing but an id of ours goes behind the credential.
    end = LINE + (b"\r\n" if b"\r\nX-Request-Id: " in found.head else b"")
    assert found.head.startswith(start)
    assert found.head.endswith(end)
    return found.head[len(start) : -len(end)]


def code(found: Verdict) -> str:
    """Return the code of a refusal."""
    assert isinstance(found, Refuse)
    return found.error.code


# What is sent.


def test_a_request_is_forwarded_with_our_host_and_the_credential() -> None:
    """
    Under the base path; the client's other fields as they came, in their order.
    """
    found = judged(b"Accept: */*", b"x-A:b", b"X-a: c ")
    assert found == Forward(
        b"GET /v1/a HTTP/1.1\r\nHost: api.example\r\nAccept: */*\r\nx-A: b\r\nX-a: c\r\n" + LINE,
        TOKEN,
    )


@each("name", [b"Authorization", b"authorization", b"AUTHORIZATION"])
def test_a_client_can_not_authenticate_itself(name: bytes) -> None:
    """
    Its own Authorization is replaced; there is one, and it is ours.
    """
    assert sent(name + b": Basic eDp5", name + b": Bearer x") == b""


@each("nominated", [b"Authorization", b"Host", b"authorization, host", b"close, Via"])
def test_nothing_that_a_client_nominates_takes_ours_out(nominated: bytes) -> None:
    """
    Strip first, inject last.
    """
    rules = replace(RULES, send_via=True)
    assert sent(b"Connection: " + nominated, rules=rules) == b"Via: 1.1 bearer-proxy\r\n"


@each(
    "field",
    [
        b"Connection: close",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: close",
        b"Proxy-Authorization: x",
        b"TE: gzip",
        b"Upgrade: h2c",
        b"HTTP2-Settings: x",
        b"X-Forwarded-For: 1.2.3.4",
        b"Forwarded: for=x",
        b"X_Forwarded_For: 1.2.3.4",
        b"X-Original-URL: /admin",
        b"Content_Length: 5",
        b"X-Real-IP: x",
    ],
)
def test_fields_of_this_hop_and_claims_are_not_passed_on(field: bytes) -> None:
    """
    RFC 9110 section 7.6.1; only a trusted hop may say who the client is.
    """
    assert sent(field) == b""


def test_a_nominated_field_is_not_passed_on() -> None:
    """
    In any case, from any of the Connection fields.
    """
    fields = (b"Connection: x-a", b"X-A: 1", b"X-B: 2", b"connection: close, X-C", b"x-c: 3")
    assert sent(*fields) == b"X-B: 2\r\n"


def test_trailers_are_asked_for_if_the_client_did() -> None:
    """
    On our own hop, in our own words.
    """
    assert sent(b"TE: gzip;q=0.5, Trailers") == b"TE: trailers\r\nConnection: TE\r\n"


def test_another_protocol_is_offered_on_our_own_hop() -> None:
    """
    If Connection says so and there is no body; h2c never, as it would carry requests unseen.
    """
    asked = (b"Connection: Upgrade", b"Upgrade: websocket")
    assert sent(*asked) == b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    assert read(*asked).upgrade
    assert sent(b"Upgrade: websocket") == b""
    assert sent(b"Connection: Upgrade", b"Upgrade: websocket, h2c") == b""
    assert sent(*asked, b"Content-Length: 3") == b"Content-Length: 3\r\n"
    assert sent(*asked, minor=0) == b""


def test_a_body_keeps_its_framing_in_our_own_words() -> None:
    """
    Chunked stays chunked, a length stays that length.
    """
    assert sent(b"Transfer-Encoding: Chunked") == b"Transfer-Encoding: chunked\r\n"
    assert sent(b"content-length: 3") == b"content-length: 3\r\n"
    assert read(b"Transfer-Encoding: chunked").framing == framing.CHUNKED
    assert read(b"Content-Length: 3").framing == 3


def test_via_says_what_was_received() -> None:
    """
    RFC 9110 section 7.6.3.
    """
    rules = replace(RULES, send_via=True)
    assert sent(b"Via: 1.1 a", rules=rules) == b"Via: 1.1 a\r\nVia: 1.1 bearer-proxy\r\n"
    assert sent(rules=rules, minor=0) == b"Via: 1.0 bearer-proxy\r\n"


def test_a_request_id_of_the_clients_is_taken_on_if_it_is_safe() -> None:
    """
    Else it gets one of ours, and the client's goes nowhere.
    """
    assert sent(b"X-Request-Id: a-1") == b"X-Request-Id: a-1\r\n"
    assert read(b"X-Request-Id: a-1").request_id == b"a-1"
    for fields in (
        (b"X-Request-Id: a b",),
        (b"X-Request-Id: a", b"X-Request-Id: b"),
        (b"X-Request-Id: a", b"Connection: X-Request-Id"),
    ):
        assert sent(*fields) == b""
        assert read(*fields).request_id == b""


def test_an_expectation_of_an_old_client_is_ignored() -> None:
    """
    RFC 9110 section 10.1.1: HTTP/1.0 has none.
    """
    assert sent(b"Expect: 100-continue") == b"Expect: 100-continue\r\n"
    assert read(b"Expect: 100-Continue").expects_continue
    assert sent(b"Expect: 100-continue", minor=0) == b""
    assert not read(b"Expect: 100-continue", minor=0).expects_continue


@each(
    ("minor", "fields", "goes_on"),
    [
        (1, (), True),
        (1, (b"Connection: Close",), False),
        (0, (), False),
        (0, (b"Connection: keep-alive",), True),
    ],
)
def test_a_connection_goes_on_as_its_version_has_it(
    minor: int, fields: tuple[bytes, ...], goes_on: bool
) -> None:
    """
    RFC 9112 section 9.3.
    """
    assert read(*fields, minor=minor).keep_alive is goes_on


# What is malformed.


@each(
    "fields",
    [
        (b"Host: localhost",),
        (b"Content-Length: 3", b"Content-Length: 3"),
        (b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Connection: Content-Length", b"Content-Length: 3"),
        (b"A b: c",),
        (b" folded",),
        (b"A: b\x00",),
    ],
)
def test_what_can_be_read_in_two_ways_is_malformed(fields: tuple[bytes, ...]) -> None:
    """
    Refused, never repaired.
    """
    with pytest.raises(Malformed):
        read(*fields)


def test_http_1_1_needs_a_host_and_http_1_0_does_not() -> None:
    """
    RFC 9112 section 3.2.
    """
    with pytest.raises(Malformed):
        read(host=b"")
    assert read(host=b"", minor=0).host == b""
    with pytest.raises(Malformed):
        read(host=b"a b")


def test_the_number_of_fields_has_a_limit() -> None:
    """
    The limit itself is within.
    """
    rules = replace(RULES, head_fields=3)
    read(b"A: b", b"A: b", rules=rules)
    with pytest.raises(TooLarge):
        read(b"A: b", b"A: b", b"A: b", rules=rules)


@each(
    ("reason", "answered"),
    [
        (Malformed("x"), "bad_request"),
        (TooLarge("x"), "head_too_large"),
        (TooLong("x"), "target_too_long"),
    ],
)
def test_what_is_malformed_has_a_code_of_its_kind(reason: Malformed, answered: str) -> None:
    """
    An operator would do something different about each.
    """
    assert verdict.malformed(reason).code == answered


# What is refused.


@each("method", [b"CONNECT", b"TRACE", b"connect", b"Trace"])
def test_a_tunnel_or_a_trace_is_refused(method: bytes) -> None:
    """
    In any case: there are servers that fold it. A trace would echo the credential.
    """
    assert code(judged(method=method)) == "method_not_allowed"


@each(
    ("found", "answered"),
    [
        (judged(host=b"evil.example"), "host_not_allowed"),
        (judged(host=b"localhost.evil.com"), "host_not_allowed"),
        (judged(b"Origin: https://evil.example"), "origin_not_allowed"),
        (judged(b"Sec-Fetch-Site: cross-site"), "origin_not_allowed"),
        (judged(b"Sec-Fetch-Site: cross-site", method=b"POST"), "origin_not_allowed"),
        (
            judged(b"Connection: Upgrade", b"Upgrade: websocket", b"Origin: http://evil.example"),
            "origin_not_allowed",
        ),
        (judged(b"Via: 1.1 a, 1.1 bearer-proxy"), "loop_detected"),
        (judged(target=b"/../a"), "bad_request"),
        (judged(target=b"/token"), "token_endpoint_blocked"),
        (judged(target=b"http://evil.example/"), "host_not_allowed"),
    ],
)
def test_a_refusal_says_why(found: Verdict, answered: str) -> None:
    """
    By the code of the one rule that was broken.
    """
    assert code(found) == answered


def test_the_rules_of_access_are_applied_and_not_only_kept() -> None:
    """
    Methods, those that a field overrides, and paths.
    """
    rules = replace(RULES, access=access.rules(methods=["GET"], deny_paths=["/admin"]))
    assert isinstance(judged(rules=rules), Forward)
    assert code(judged(rules=rules, method=b"POST")) == "method_not_allowed"
    assert code(judged(b"X-HTTP-Method-Override: PUT", rules=rules)) == "method_not_allowed"
    assert code(judged(rules=rules, target=b"/admin/x")) == "path_not_allowed"


def test_a_body_over_its_limit_is_refused_by_its_length() -> None:
    """
    Before anything of it is sent.
    """
    rules = replace(RULES, body_bytes=3)
    assert isinstance(judged(b"Content-Length: 3", rules=rules), Forward)
    assert code(judged(b"Content-Length: 4", rules=rules)) == "body_too_large"


def test_a_client_that_authenticates_itself_can_be_refused() -> None:
    """
    By ``token.inbound = "refuse"``.
    """
    rules = replace(RULES, refuse_inbound=True)
    assert code(judged(b"Authorization: Basic x", rules=rules)) == "bad_request"
    assert isinstance(judged(rules=rules), Forward)


def test_an_absolute_form_may_name_the_upstream_as_host_does() -> None:
    """
    Then the Host is no stranger's (RFC 9112 section 3.2.2); one that differs still is.
    """
    url = b"http://api.example/v1/a"
    assert isinstance(judged(target=url, host=b"api.example"), Forward)
    assert code(judged(target=url, host=b"evil.example")) == "host_not_allowed"
    assert code(judged(host=b"api.example")) == "host_not_allowed"


def test_without_a_credential_nothing_is_forwarded() -> None:
    """
    The reason for the want of one is the answer, but a refusal of the request comes first.
    """
    shortage = ProxyError("token_pending", "Not yet.", retry_after=1)
    asked = verdict.ask(b"GET", b"/a", read(), RULES)
    assert verdict.judge(asked, shortage) == Refuse(shortage)
    refused = verdict.ask(b"GET", b"/../a", read(), RULES)
    assert code(verdict.judge(refused, shortage)) == "bad_request"


def test_a_verdict_stands_for_as_long_as_its_credential() -> None:
    """
    The very same one; another token makes another head.
    """
    asked = verdict.ask(b"GET", b"/a", read(), RULES)
    first = verdict.judge(asked, TOKEN)
    assert verdict.judge(asked, TOKEN) is first
    other = verdict.judge(asked, Credential("other", 0, 1, 2))
    assert isinstance(other, Forward)
    assert b"Bearer other\r\n" in other.head
    assert b"t0k3n" not in other.head
    shortage = ProxyError("token_pending", "Not yet.", retry_after=1)
    assert verdict.judge(asked, shortage) == Refuse(shortage)


# Pages that may call.

ASKED = (b"Origin: " + PAGE, b"Access-Control-Request-Method: DELETE")


def test_a_preflight_is_settled_here() -> None:
    """
    It needs no credential, and the upstream does not hear of it.
    """
    asked = verdict.ask(b"OPTIONS", b"/a", read(*ASKED, rules=OPENED), OPENED)
    found = verdict.judge(asked, ProxyError("token_pending", "Not yet."))
    assert isinstance(found, Settle)
    assert b"Access-Control-Allow-Origin: https://page.example\r\n" in found.fields


def test_only_options_is_a_preflight_and_only_of_an_allowed_page() -> None:
    """
    Any other method with the same fields is a request; any other page is a stranger.
    """
    assert isinstance(judged(*ASKED, rules=OPENED), Forward)
    assert code(judged(*ASKED, method=b"OPTIONS")) == "origin_not_allowed"
    assert read(*ASKED, rules=OPENED).cors.startswith(b"Access-Control-Allow-Origin: ")
    assert read(*ASKED[1:]).cors == b""


# The same again.


def test_another_block_of_the_same_shape_is_not_asked_about_again() -> None:
    """
    If it differs in values that mean nothing here; else it has to be read afresh.
    """
    asked = verdict.ask(b"GET", b"/a", read(b"X-A: 1"), RULES)
    repeated = verdict.again(asked, b"Host: localhost\r\nX-A: 2\r\n")
    assert repeated is not None
    assert repeated.start == asked.start.replace(b"X-A: 1", b"X-A: 2")
    assert verdict.again(asked, b"Host: evil\r\nX-A: 1\r\n") is None
    assert verdict.again(asked, b"Host: localhost\r\nX-B: 1\r\n") is None


def test_what_was_refused_is_asked_about_again() -> None:
    """
    A refusal is not remembered.
    """
    refused = verdict.ask(b"GET", b"/../a", read(b"X-A: 1"), RULES)
    assert verdict.again(refused, b"Host: localhost\r\nX-A: 2\r\n") is None


def test_a_plain_request_owes_its_answer_nothing() -> None:
    """
    Not a HEAD, no page, no old client, and more may follow.
    """
    assert verdict.ask(b"GET", b"/a", read(), RULES).meaning.plain
    for method, received in (
        (b"HEAD", read()),
        (b"GET", read(b"Connection: close")),
        (b"GET", read(minor=0)),
        (b"GET", read(*ASKED, rules=OPENED)),
    ):
        assert not verdict.ask(method, b"/a", received, RULES).meaning.plain


def test_what_is_sent_is_itself_a_head_that_is_read_alike() -> None:
    """
    Rule 2: our own serialisation.
    """
    block = sent(b"A:b", b"C: \td\t")
    assert message.fields(block, limit=9) == [(b"A", b"b"), (b"C", b"d")]
