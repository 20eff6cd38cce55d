"""How an issuer's answer is read: envelopes, error codes, and everything that is no token."""

import json
from typing import Any

from proxy.tokens import POLICY, RESULTS, Failure, Grant, Kind
from proxy.tokens.answer import Answer, read, sendable
from proxy.tokens.config import WELL_KNOWN_CODES
from proxy.tokens.policy import Reaction
from tests.each import each
from tests.tokens.fakes import config

NOW = 1_700_000_000.0
HASHRAILS: dict[str, Any] = {
    "access_token_pointer": "/data/access_token",
    "expires_in_pointer": "/data/expires_in",
    "error_code_pointer": "/code",
}


def reading(
    document: object,
    status: int = 200,
    *,
    fields: dict[str, str] | None = None,
    hide: tuple[str, ...] = (),
    **more: object,
) -> Grant | Failure:
    """Return what is read in *document*, which may be raw bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = Answer(
        status, body, sent_at=10.0, sent_wall=NOW, received_wall=NOW, fields=fields or {}
    )
    return read(answer, config=config("https://issuer.test", **more), hide=hide)


def failing(document: object, status: int = 200, **more: Any) -> Failure:
    result = reading(document, status, **more)
    assert isinstance(result, Failure)
    return result


def test_an_envelope_is_opened_where_the_pointers_say() -> None:
    """
    Hashrails' documented answer, to the letter.
    """
    result = reading(
        {
            "success": True,
            "message": "API token issued successfully",
            "data": {"access_token": "t0k3n", "expires_in": 3600, "token_type": "Bearer"},
        },
        **HASHRAILS,
    )
    assert isinstance(result, Grant)
    assert (result.token, result.lifetime.seconds, result.sent_at) == ("t0k3n", 3600, 10)
    assert "t0k3n" not in repr(result)


def test_a_byte_order_mark_is_no_obstacle() -> None:
    """
    Some servers put one in front of their JSON.
    """
    assert isinstance(reading(b'\xef\xbb\xbf{"access_token": "t", "expires_in": 60}'), Grant)


@each("status", [200, 201, 203])
def test_any_success_counts(status: int) -> None:
    """
    Some issuers answer 201.
    """
    assert isinstance(reading({"access_token": "t"}, status), Grant)


@each("word", ["Bearer", "bearer", "BEARER", "BearerToken", None])
def test_a_bearer_token_is_taken(word: object) -> None:
    """
    In any case; Apigee says BearerToken, and some say nothing.
    """
    assert isinstance(reading({"access_token": "t", "token_type": word}), Grant)


@each("word", ["mac", "DPoP", "", 7])
def test_another_type_of_token_is_not(word: object) -> None:
    """
    RFC 6749 section 7.1: a type that is not understood must not be used.
    """
    assert "type bearer" in failing({"access_token": "t", "token_type": word}).cause


@each(
    "body",
    [
        b"",
        b" \r\n",
        b"<html>",
        b"{",
        b"\xff\xfe{}",
        b'{"access_token": "t", "expires_in": NaN}',
        b'{"access_token": "t", "expires_in": Infinity}',
        b'{"access_token": "t", "expires_in": 1e999}',
        b'{"access_token": "t", "access_token": "u"}',
        b'{"access_token": "t", "x": {"a": 1, "a": 1}}',
        b'{"access_token": "t", "expires_in": ' + b"9" * 10_000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'"t"',
        b"[]",
        b"{}",
        b'{"access_token": null}',
        b'{"access_token": 7}',
        b'{"access_token": ""}',
        b'{"access_token": ["t"]}',
        b'{"access_token": "a b"}',
        b'{"access_token": "a\\r\\nX-Evil: 1"}',
        b'{"access_token": "a\\u0000"}',
        b'{"access_token": "\\ud800"}',
        b'{"access_token": "t\xc3\xb6k"}',
        b'{"access_token": "=="}',
        b'{"access_token": "' + b"t" * 16_385 + b'"}',
        b'{"access_token": "t", "expires_in": 0}',
        b'{"access_token": "t", "expires_in": -1}',
        b'{"access_token": "t", "expires_in": "soon"}',
        b'{"access_token": "t", "success": false}',
    ],
)
def test_what_holds_no_token_is_a_bad_response(body: bytes) -> None:
    """
    Empty, broken, ambiguous, endless, or with a token that can't stand in a header: no exception,
    no token, and a cause that quotes none of it.
    """
    failure = failing(body)
    assert failure.kind is Kind.BAD_RESPONSE
    assert "Evil" not in failure.cause


@each(
    ("status", "kind"),
    [
        (401, Kind.REJECTED),
        (403, Kind.REJECTED),
        (429, Kind.RATE_LIMITED),
        (408, Kind.UNAVAILABLE),
        (425, Kind.UNAVAILABLE),
        (500, Kind.UNAVAILABLE),
        (503, Kind.UNAVAILABLE),
        (599, Kind.UNAVAILABLE),
        (302, Kind.BAD_RESPONSE),
        (304, Kind.BAD_RESPONSE),
        (400, Kind.BAD_RESPONSE),
        (404, Kind.BAD_RESPONSE),
    ],
)
@each("body", [b"", b"<html>", b'{"access_token": "t"}'])
def test_a_status_has_a_class_whatever_the_body(status: int, kind: Kind, body: bytes) -> None:
    """
    A token in an answer that speaks of failure is none.
    """
    assert failing(body, status).kind is kind


@each("status", [200, 400, 401, 500])
@each("code", WELL_KNOWN_CODES)
def test_a_known_code_outranks_the_status(status: int, code: str) -> None:
    """
    invalid_client is often a 400, and an envelope's failure often a 200.
    """
    failure = failing({"error": code, "access_token": "t"}, status)
    assert failure.kind == WELL_KNOWN_CODES[code]
    assert failure.cause == f"answered {status} ({code})"


def test_a_third_issuers_codes_are_configuration() -> None:
    """
    Words or numbers, wherever they stand.
    """
    dialect: dict[str, Any] = {
        "error_code_pointer": "/err/no",
        "error_codes": {"40001": "rejected"},
    }
    assert failing({"err": {"no": 40001}}, **dialect).kind is Kind.REJECTED
    assert failing({"err": {"no": "40001"}}, **dialect).kind is Kind.REJECTED
    assert isinstance(reading({"err": {"no": 0}, "access_token": "t"}, **dialect), Grant)
    assert isinstance(reading({"err": {"no": True}, "access_token": "t"}, **dialect), Grant)


@each(
    ("document", "said"),
    [
        ({"message": "m", "detail": "d"}, "m"),
        ({"error": "invalid_scope", "error_description": "no such scope"}, "no such scope"),
        ({"error": {"message": "deep"}}, "deep"),
        ({"error": "only_a_word"}, "only_a_word"),
        ({"message": {"not": "text"}, "title": "t"}, "t"),
        (b"<html>secret words</html>", ""),
        ({}, ""),
    ],
)
def test_the_message_is_quoted_and_never_the_body(document: object, said: str) -> None:
    """
    Only what stands where messages stand.
    """
    assert failing(document, 400).excerpt == said


def test_what_is_hidden_is_hidden_and_so_is_the_answers_token() -> None:
    """
    A failing answer may quote the secret, and the token it does not want to give.
    """
    failure = failing(
        {"access_token": "t0k3n-of-failure", "message": "s3cret-of-acme t0k3n-of-failure"},
        500,
        hide=("s3cret-of-acme",),
    )
    assert failure.excerpt == "[redacted] [redacted]"


@each(
    ("field", "date", "seconds"),
    [
        ("120", None, 120),
        ("Tue, 14 Nov 2023 22:14:20 GMT", None, 60),
        # The issuer's clock is an hour ahead: so is its moment.
        ("Tue, 14 Nov 2023 23:14:20 GMT", "Tue, 14 Nov 2023 23:13:20 GMT", 60),
        ("never", None, None),
    ],
)
def test_retry_after_is_read_on_the_issuers_clock(
    field: str, date: str | None, seconds: float | None
) -> None:
    """
    A date means a time from the issuer's own Date.
    """
    fields = {"retry-after": field} | ({"date": date} if date else {})
    assert failing({}, 429, fields=fields).retry_after == seconds


def test_a_token_is_what_rfc_6750_lets_be_one() -> None:
    """
    b64token, and nothing that could end the field.
    """
    assert sendable("aZ09-._~+/==")
    assert sendable("t" * 16_384)
    for wrong in ("", "=", "a=b", "a b", "a\n", "\na", "ä", "a\t", 7, None, "t" * 16_385):
        assert not sendable(wrong)


def test_every_failure_has_its_row() -> None:
    """
    The table is complete, latches where asking again is no use, and has a word for metrics in each
    row.
    """
    assert set(POLICY) == set(Kind)
    latching = {kind for kind, row in POLICY.items() if row.reaction is Reaction.LATCH}
    assert latching == {Kind.REJECTED, Kind.UNREADABLE}
    words = "ok no_secret rejected rate_limited unreachable timeout bad_response"
    assert list(RESULTS) == words.split()
