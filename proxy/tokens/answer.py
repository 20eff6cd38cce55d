"""
How an issuer's answer is read: bytes in, a grant or a failure out.

Rule 1: a word that the configuration knows outranks the HTTP status; an envelope that says
        ``"success": false`` is a failure whatever its status.

Rule 2: a token is taken only from a 2xx answer, only where the pointer says, and only if it can
        stand in a header field. An empty 200 is a failure (Envoy #42009).

Rule 3: nothing of an answer is quoted but its message, redacted.

Rule 4: an answer that can be read in two ways is not read. JSON that names a member twice is as
        malformed as JSON that does not end.

Reference: RFC 6749 sections 5.1 and 5.2, RFC 6750 section 2.1.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeGuard

from proxy.tokens import pointer
from proxy.tokens.config import IssuerConfig
from proxy.tokens.lifetime import AbsurdLifetime, clock_skew, http_date, lifetime
from proxy.tokens.outcome import Failure, Grant, Kind
from proxy.tokens.redact import excerpt, spellings
from proxy.tokens.schedule import retry_after

# RFC 6750's b64token. What is outside it would end the header field, or a parser's patience.
_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_TOKEN_CHARACTERS = 16 * 1024
# Where issuers put their words for people; the first that holds text is taken.
_MESSAGES = ("/message", "/error_description", "/error/message", "/detail", "/error", "/title")
_REJECTED = frozenset({401, 403})
_TOO_EARLY = frozenset({408, 425})
# The second is Apigee's word for the first.
_BEARER = frozenset({"bearer", "bearertoken"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came, and when: *sent_at* on our clock, the others on the wall's."""

    status: int
    body: bytes = field(repr=False)
    sent_at: float
    sent_wall: float
    received_wall: float
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)


def read(answer: Answer, *, config: IssuerConfig, hide: Iterable[str] = ()) -> Grant | Failure:
    """Return what *answer* amounts to. Nothing of *hide* is left in a failure's excerpt."""
    document, flaw = _document(answer)
    failure = _failure(answer, document, config)
    if failure is None:
        try:
            return _grant(answer, document, config)
        except _Unfit as unfit:
            failure = Failure(Kind.BAD_RESPONSE, flaw or str(unfit))
    return _told(failure, answer, document, config, hide)


def sendable(token: object) -> TypeGuard[str]:
    """Tell whether *token* is one that may stand in a header field."""
    if not isinstance(token, str) or len(token) > _TOKEN_CHARACTERS:
        return False
    return _B64TOKEN.fullmatch(token) is not None


class _Unfit(Exception):
    """The answer claims success and holds no token that could be used; the text is ours."""


def _document(answer: Answer) -> tuple[object, str]:
    """Return the parsed body and, if there is none, what is wrong with it."""
    if answer.fields.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return None, "sent a compressed answer, which was not asked for"
    if not answer.body.strip():
        return None, f"answered {answer.status} with an empty body"
    try:
        text = answer.body.decode("utf-8-sig")
        return json.loads(text, parse_constant=_not_json, object_pairs_hook=_members), ""
    except (ValueError, RecursionError):
        return None, f"answered {answer.status} with something that is not JSON"


def _not_json(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member occurs twice")
    return members


def _failure(answer: Answer, document: object, config: IssuerConfig) -> Failure | None:
    """Return the failure that code, status or envelope speak of, None if they speak of success."""
    status = answer.status
    code = _word(pointer.resolve(document, config.error_code_pointer))
    known = config.error_codes.get(code)
    if known is not None:
        return Failure(Kind(known), f"answered {status} ({code})")
    if status in _REJECTED:
        return Failure(Kind.REJECTED, f"rejected the client credentials ({status})")
    if status == 429:
        return Failure(Kind.RATE_LIMITED, "limits the rate of requests (429)")
    if status >= 500 or status in _TOO_EARLY:
        return Failure(Kind.UNAVAILABLE, f"answered {status}")
    if 300 <= status < 400:
        return Failure(Kind.BAD_RESPONSE, f"answered {status}, a redirect, which is never followed")
    if not 200 <= status < 300:
        return Failure(Kind.BAD_RESPONSE, f"answered {status}")
    if isinstance(document, dict) and document.get("success") is False:
        return Failure(Kind.BAD_RESPONSE, f"answered {status} without success")
    return None


def _word(code: object) -> str:
    """Return an error code as configurations write it: some envelopes have numbers."""
    if isinstance(code, int) and not isinstance(code, bool):
        return str(code)
    return code if isinstance(code, str) else ""


def _grant(answer: Answer, document: object, config: IssuerConfig) -> Grant:
    """Return the token of a successful answer; _Unfit if there is none to use."""
    token = pointer.resolve(document, config.access_token_pointer)
    if not isinstance(token, str) or not token:
        raise _Unfit(f"answered {answer.status} without a token at {config.access_token_pointer}")
    if not sendable(token):
        raise _Unfit("sent a token that cannot stand in a header field")
    kind = pointer.resolve(document, pointer.sibling(config.access_token_pointer, "token_type"))
    if kind is not None and not (isinstance(kind, str) and kind.lower() in _BEARER):
        raise _Unfit("sent a token that is not of the type bearer")
    date = http_date(answer.fields.get("date"))
    try:
        life = lifetime(
            expires_in=pointer.resolve(document, config.expires_in_pointer),
            token=token,
            default=config.default_lifetime_seconds,
            sent_wall=answer.sent_wall,
            date=date,
        )
    except AbsurdLifetime as absurd:
        raise _Unfit(f"sent an absurd lifetime: {absurd}") from None
    skew = clock_skew(date, sent_wall=answer.sent_wall, received_wall=answer.received_wall)
    return Grant(token, life, answer.sent_at, skew)


def _told(
    failure: Failure,
    answer: Answer,
    document: object,
    config: IssuerConfig,
    hide: Iterable[str],
) -> Failure:
    """Return *failure* with what else the answer has to say: its message, and when to come back."""
    token = pointer.resolve(document, config.access_token_pointer)
    hidden = [*hide]
    if isinstance(token, str):
        hidden += spellings(token) if sendable(token) else [token]
    said = (pointer.resolve(document, each) for each in _MESSAGES)
    message = next((each for each in said if isinstance(each, str) and each), "")
    date = http_date(answer.fields.get("date"))
    return Failure(
        failure.kind,
        failure.cause,
        excerpt(message, hide=hidden),
        retry_after(
            answer.fields.get("retry-after"),
            now=answer.received_wall if date is None else date,
        ),
    )
