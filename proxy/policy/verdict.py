"""
The one question asked for every request: forward it as which bytes, or refuse it why?

(A browser's preflight is the exception: it is settled here, with an answer that is no refusal.)

It is asked in three steps, because a keep-alive client repeats itself byte for byte.
``reading.read`` takes a header block apart and holds for as long as the connection repeats that
block; ``ask`` adds the request line and holds for as long as it repeats both; ``judge`` adds the
moment's credential, and does nothing that the others could have done.

Rule 1: a refusal means that the upstream is never touched.

Rule 2: ambiguous HTTP is refused, never repaired; what is sent is our own serialisation of what was
        understood, never the client's bytes around a doubt.

Rule 3: no credential, no forwarding.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from proxy.errors import ProxyError
from proxy.policy import cors, target
from proxy.policy.access import check_method
from proxy.policy.credential import Credential
from proxy.policy.memory import Memory, Pattern, literal
from proxy.policy.message import Malformed, TooLarge, TooLong
from proxy.policy.reading import Received, reread
from proxy.policy.replay import idempotent
from proxy.policy.rules import Rules
from proxy.policy.target import Base


@dataclass(slots=True)
class Meaning:
    """
    What a head means, whatever the values of those fields are that mean nothing to us.

    *line* is the request line to send, and *refusal* why nothing will be sent. The question is
    *settled* already where the fields of a 204 answer it. *repeatable*: sending it twice intends no
    more than sending it once. *plain*: an answer needs nothing but an id.
    """

    method: bytes
    target: bytes
    received: Received
    line: bytes
    refusal: ProxyError | None
    settled: bytes
    repeatable: bool
    to_head: bool
    plain: bool


@dataclass(slots=True)
class Asked:
    """
    A request understood, all but the moment's credential.

    *start* is its head as it will be sent, up to the credential; it is empty where nothing will be
    sent. *request_id* is the client's, empty where it is ours to make; *id_at* is for ``Alike``.
    *forward* is the last verdict, which stands for as long as its credential.
    """

    meaning: Meaning
    start: bytes
    request_id: bytes
    id_at: int = -1
    forward: "Forward | None" = None


@dataclass(slots=True)
class Alike(Asked):
    """
    All requests whose heads are of a *pattern*; what each of them asks is ``filled``.

    *start* is a format for their values. *request_id* is one of those where *id_at*, its place
    among them, is not negative. What was received stands for all: its values are those of another.
    """

    pattern: Pattern = field(kw_only=True)


@dataclass(slots=True)
class Forward:
    """
    Send *head*, then the body; *credential* is the one that *head* carries.

    *head* is complete or, if the request's id is ours to make, ends where that goes. If an
    ``Alike`` was asked it is a format for the values.
    """

    head: bytes
    credential: Credential


class Refuse(NamedTuple):
    """Answer *error*; the upstream is not to hear of the request."""

    error: ProxyError


class Settle(NamedTuple):
    """Answer 204 with these *fields*; the upstream is not to hear of the request."""

    fields: bytes


Verdict = Forward | Refuse | Settle

_TOO_LONG = "Send what is long as a body if the API takes it so, or raise that limit."
_TOO_LARGE = "Send fewer or shorter fields (cookies are the usual reason), or raise that limit."
_MALFORMED = (
    "Speak plain HTTP/1.1 to the proxy (http://, not https://). What two readers could understand"
    " differently is refused, so mend what sends it."
)


def malformed(reason: Malformed) -> ProxyError:
    """Return the answer to a request that can't be read in exactly one way."""
    if isinstance(reason, TooLong):
        return ProxyError("target_too_long", f"The request has {reason}.", hint=_TOO_LONG)
    if isinstance(reason, TooLarge):
        return ProxyError("head_too_large", f"The request has {reason}.", hint=_TOO_LARGE)
    return ProxyError(
        "bad_request", f"The request is not acceptable HTTP: {reason}.", hint=_MALFORMED
    )


def judge(asked: Asked, credential: Credential | ProxyError) -> Verdict:
    """Return the verdict on *asked*, given the *credential* of this moment or why there is none."""
    forward = asked.forward
    if forward is not None and forward.credential is credential:
        return forward
    if not asked.start:
        meaning = asked.meaning
        return Refuse(meaning.refusal) if meaning.refusal else Settle(meaning.settled)
    if isinstance(credential, ProxyError):
        return Refuse(credential)
    line = credential.line
    if isinstance(asked, Alike):
        line = literal(line)
    end = b"\r\n" if asked.request_id else b""
    asked.forward = Forward(asked.start + line + end, credential)
    return asked.forward


def ask(method: bytes, wanted: bytes, received: Received, rules: Rules) -> Asked:
    """Return what a request line for the target *wanted* means above the *received* fields."""
    line = start = settled = b""
    refusal: ProxyError | None = None
    try:
        _check(method, wanted, received, rules)
        if method == b"OPTIONS" and received.preflight is not None:
            settled = cors.answer(received.preflight, rules.access)
        else:
            path = target.to_send(wanted, method=method, base=rules.base, access=rules.access)
            line = b"%b %b HTTP/1.1\r\n" % (method, path)
            start = line + received.fields
    except ProxyError as error:
        refusal = error
    meaning = Meaning(
        method=method,
        target=wanted,
        received=received,
        line=line,
        refusal=refusal,
        settled=settled,
        repeatable=idempotent(method),
        to_head=method == b"HEAD",
        plain=bool(received.minor and received.keep_alive)
        and method != b"HEAD"
        and not received.cors
        and not rules.mask_token,
    )
    return Asked(meaning, start, received.request_id)


def again(asked: Asked, block: bytes) -> Asked | None:
    """
    Return what *asked* is above another header *block* of the same connection.

    None unless the two differ in nothing but values that mean nothing to us: ``read`` and ``ask``
    then have to be asked, and would have said the same as this.
    """
    meaning = asked.meaning
    received = reread(block, meaning.received)
    if received is None or not asked.start:
        return None
    start = meaning.line + received.fields
    return Asked(replace(meaning, received=received), start, received.request_id)


def alike(asked: Asked, line: bytes) -> Alike | None:
    """
    Return the requests that mean what *asked* does, whose request line was *line*, if any.

    ``again`` says the same of each of them.
    """
    meaning = asked.meaning
    memory = meaning.received.memory
    if not asked.start or not isinstance(memory, Memory):
        return None
    pattern = memory.pattern(line, meaning.line)
    if pattern is None:
        return None
    return Alike(meaning, pattern.sent, asked.request_id, pattern.id_at, pattern=pattern)


def filled(asked: Asked, values: tuple[bytes, ...]) -> Asked:
    """Return what a request asks whose *values* are these; *asked* itself if it has none."""
    if not values:
        return asked
    request_id = values[asked.id_at] if asked.id_at >= 0 else asked.request_id
    return Asked(asked.meaning, asked.start % values, request_id)


def _check(method: bytes, wanted: bytes, received: Received, rules: Rules) -> None:
    """Raise the error that refuses the request, whatever its path."""
    # Methods are case-sensitive, and yet there are servers that fold them.
    if method.upper() in (b"CONNECT", b"TRACE"):
        raise _method_refused(method)
    if received.refusal is not None:
        raise received.refusal
    if received.host_refusal is not None and not _names_itself(wanted, received, rules.base):
        if target.authority_of(wanted):
            # A client that takes us for a proxy to anywhere learns that first.
            target.to_send(wanted, method=method, base=rules.base)
        raise received.host_refusal
    if received.preflight is None or method != b"OPTIONS":
        # A browser sends no field of the page's own with its question.
        if received.caller_refusal is not None:
            raise received.caller_refusal
        check_method(method, rules.access)
    if rules.body_bytes and received.framing > rules.body_bytes:
        raise body_too_large(rules.body_bytes)


def body_too_large(limit: int) -> ProxyError:
    """Return the error for a request body over *limit* bytes."""
    return ProxyError(
        "body_too_large",
        f"The request body is over {limit} bytes.",
        hint="Send it in parts if the API takes them, or raise [limits] body_bytes.",
    )


def _method_refused(method: bytes) -> ProxyError:
    if method.upper() == b"TRACE":
        return ProxyError(
            "method_not_allowed",
            "TRACE is not forwarded: its answer would repeat the credential.",
            hint="Send the API request itself.",
        )
    return ProxyError(
        "method_not_allowed",
        f"{method.decode('ascii')} is not forwarded: this is a reverse proxy for one API.",
        hint="Send the API request itself, without a tunnel.",
    )


def _names_itself(wanted: bytes, received: Received, base: Base) -> bool:
    """Tell whether an absolute-form target says the same as Host, and means the upstream."""
    authority = target.authority_of(wanted)
    return authority.lower() == received.host.lower() and base.names(b"http", authority)
