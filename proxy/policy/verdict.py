"""
The one question asked for every request: forward it as which bytes, or refuse it why?

(A browser's preflight is the exception: it is settled here, with an answer that is no refusal.)

It is asked in three steps, because a keep-alive client repeats itself byte for byte. ``read`` takes
a header block apart and holds for as long as the connection repeats that block; ``ask`` adds the
request line and holds for as long as it repeats both; ``judge`` adds the moment's credential, and
does nothing that the others could have done.

Rule 1: a refusal means that the upstream is never touched.

Rule 2: ambiguous HTTP is refused, never repaired; what is sent is our own serialisation of what was
        understood, never the client's bytes around a doubt.

Rule 3: no credential, no forwarding.
"""

from dataclasses import dataclass
from typing import NamedTuple

from proxy.errors import ProxyError
from proxy.policy import callers, cors, framing, headers, message, target
from proxy.policy.access import EVERYTHING, Access, check_method, check_overrides
from proxy.policy.admission import Admission, check_host, check_origin, split_authority
from proxy.policy.callers import ANYONE, Callers
from proxy.policy.cors import Preflight
from proxy.policy.credential import Credential
from proxy.policy.headers import Kind
from proxy.policy.memory import Memory, Pattern
from proxy.policy.message import Malformed, TooLarge, TooLong
from proxy.policy.replay import idempotent
from proxy.policy.target import Base


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides, besides the request: one upstream behind one listener. Sizes in bytes."""

    base: Base
    admission: Admission
    access: Access = EVERYTHING
    callers: Callers = ANYONE
    head_fields: int = 100
    target_bytes: int = 16384
    body_bytes: int = 0  # 0: no limit
    send_via: bool = True
    mask_token: bool = False  # an answer that repeats the credential does not pass as it is
    refuse_inbound: bool = False  # a client that authenticates itself is refused, not overruled


@dataclass(slots=True)
class Received:
    """
    A client's header block, understood. *fields* is what goes upstream of it, ours included.
    *memory* is how it came about, line by line as soon as that is asked for.

    *refusal* is what admission says of its Host and Origin; *host_refusal* the part of it that an
    absolute-form target may overrule. *caller* is the name of who sent it, *caller_refusal* why
    nothing but a browser's question may come from there. *cors* are the fields that every answer
    owes to its Origin, *preflight* is set if it would be a browser's question under OPTIONS.
    """

    fields: bytes
    framing: int
    host: bytes
    minor: int
    keep_alive: bool
    request_id: bytes
    upgrade: bool
    expects_continue: bool
    host_refusal: ProxyError | None
    refusal: ProxyError | None
    caller: str
    caller_refusal: ProxyError | None
    cors: bytes
    preflight: Preflight | None
    memory: "Memory | _Block"


@dataclass(slots=True)
class Asked:
    """
    A request understood, all but the moment's credential.

    *start* is its head as it will be sent, *line* and fields, up to the fields that change from one
    request to the next; it is empty where *refusal* says why nothing will be sent, and where the
    question is *settled* already, by the fields of a 204. *repeatable*: sending it twice intends no
    more than sending it once. *plain*: an answer needs nothing but an id. *request_id* is the
    client's, empty where it is ours to make. *forward* is the last verdict, which stands for as
    long as its credential.
    """

    method: bytes
    target: bytes
    received: Received
    line: bytes
    start: bytes
    refusal: ProxyError | None
    settled: bytes
    repeatable: bool
    to_head: bool
    plain: bool
    request_id: bytes
    forward: "Forward | None" = None


class Forward(NamedTuple):
    """
    Send *head*, then the body; *credential* is the one that *head* carries.

    *head* is complete but for the request's id, if that is ours to make, and the empty line.
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
        return Refuse(asked.refusal) if asked.refusal else Settle(asked.settled)
    if isinstance(credential, ProxyError):
        return Refuse(credential)
    asked.forward = Forward(asked.start + credential.line, credential)
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
    return Asked(
        method=method,
        target=wanted,
        received=received,
        line=line,
        start=start,
        refusal=refusal,
        settled=settled,
        repeatable=idempotent(method),
        to_head=method == b"HEAD",
        plain=bool(received.minor and received.keep_alive)
        and method != b"HEAD"
        and not received.cors
        and not rules.mask_token,
        request_id=received.request_id,
    )


def again(asked: Asked, block: bytes) -> Asked | None:
    """
    Return what *asked* is above another header *block* of the same connection.

    None unless the two differ in nothing but values that mean nothing to us: ``read`` and ``ask``
    then have to be asked, and would have said the same as this.
    """
    received = reread(block, asked.received)
    if received is None or not asked.start:
        return None
    return Asked(
        asked.method,
        asked.target,
        received,
        asked.line,
        asked.line + received.fields,
        None,
        b"",
        asked.repeatable,
        asked.to_head,
        asked.plain,
        received.request_id,
    )


def pattern(asked: Asked, line: bytes) -> Pattern | None:
    """Return the heads that mean what *asked* does, whose request line was *line*, if any."""
    memory = asked.received.memory
    return memory.pattern(line, asked.line) if asked.start and isinstance(memory, Memory) else None


def varied(asked: Asked, pattern: Pattern, data: bytes) -> tuple[Asked, int] | None:
    """
    Return what the head that *data* begins with asks for, and its length.

    None unless it is of the *pattern* that *asked* gave: then this is what ``again`` says.
    """
    found = pattern.received.match(data)
    if found is None:
        return None
    values = found.groups()
    return Asked(
        asked.method,
        asked.target,
        asked.received,
        asked.line,
        pattern.sent % values,
        None,
        b"",
        asked.repeatable,
        asked.to_head,
        asked.plain,
        values[pattern.id_at] if pattern.id_at >= 0 else asked.request_id,
    ), found.end()


def remembered(received: Received) -> Memory:
    """Return how *received* came about, line by line, and keep it there from now on."""
    if isinstance(received.memory, _Block):
        received.memory = received.memory.line_by_line()
    return received.memory


def reread(block: bytes, received: Received) -> Received | None:
    """Return what *block* means, if it differs from the one *received* in values alone."""
    if isinstance(received.memory, _Block) and not received.memory.may_mean_the_same(block):
        return None
    memory = remembered(received).repeated(block)
    if memory is None:
        return None
    return Received(
        memory.fields(),
        received.framing,
        received.host,
        received.minor,
        received.keep_alive,
        memory.request_id,
        received.upgrade,
        received.expects_continue,
        received.host_refusal,
        received.refusal,
        received.caller,
        received.caller_refusal,
        received.cors,
        received.preflight,
        memory,
    )


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


def read(block: bytes, *, minor: int, rules: Rules, local: str) -> Received:
    """
    Return what a client's header *block* means; *local* is the address that it came in at.

    Raises Malformed for what can't be read in one way only.
    """
    pairs = message.fields(block, limit=rules.head_fields)
    noticed: dict[Kind, list[bytes]] = {}
    for name, value in pairs:
        kind = headers.kind_of(name)
        if kind:
            noticed.setdefault(kind, []).append(value)
    body = framing.of_request(
        noticed.get(Kind.CONTENT_LENGTH, []), noticed.get(Kind.TRANSFER_ENCODING, []), minor=minor
    )
    host = _host(noticed.get(Kind.HOST, []), minor=minor)
    options = headers.nominated(noticed.get(Kind.CONNECTION, []))
    if b"content-length" in options:
        raise Malformed("Connection names Content-Length")
    upgrade = b"" if body else _upgrade(noticed.get(Kind.UPGRADE, []), options, minor=minor)
    request_id = _request_id(noticed.get(Kind.REQUEST_ID, []), options)
    # Of this hop alone, and of meaning: what Connection names, and what shows who is calling.
    own = options if rules.callers is ANYONE else options | rules.callers.shown_in(pairs)
    if rules.mask_token:
        own |= {b"accept-encoding"}  # what is compressed could not be looked into
    after = _hop(noticed, rules, body=body, upgrade=upgrade, minor=minor)
    memory = _Block(block, own, minor, rules, after, request_id)
    caller, caller_refusal = _caller(pairs, rules.callers)
    return Received(
        fields=memory.before + b"".join(memory.sent(pairs)) + after,
        framing=body,
        host=host,
        minor=minor,
        keep_alive=b"close" not in options if minor else b"keep-alive" in options,
        request_id=request_id,
        upgrade=bool(upgrade),
        expects_continue=minor == 1 and _expects(noticed.get(Kind.EXPECT, [])),
        host_refusal=_host_refusal(host, rules.admission, local),
        refusal=_refusal(noticed, host, rules),
        caller=caller,
        caller_refusal=caller_refusal,
        cors=cors.fields(noticed.get(Kind.ORIGIN, []), rules.admission),
        preflight=_preflight(pairs, rules.admission),
        memory=memory,
    )


class _Block(NamedTuple):
    """
    A block that was read, and what else decides what is sent of it.

    A connection that does not vary needs no more of it, and its lines one by one are 2 KiB.
    """

    raw: bytes
    own: frozenset[bytes]
    minor: int
    rules: Rules
    after: bytes
    request_id: bytes

    @property
    def before(self) -> bytes:
        """The fields of ours that precede the client's."""
        return b"Host: %b\r\n" % self.rules.base.authority

    def sent(self, pairs: message.Fields) -> list[bytes]:
        """Return what goes upstream of each of *pairs*, empty for what is not passed on."""
        has_id = bool(self.request_id)
        return [
            b"%b: %b\r\n" % pair if _passes(pair[0], self.own, self.minor, has_id) else b""
            for pair in pairs
        ]

    def may_mean_the_same(self, block: bytes) -> bool:
        """Tell whether *block* differs in fields alone that may; no other is worth a memory."""
        ours, theirs = self.raw.split(b"\r\n"), block.split(b"\r\n")
        return len(ours) == len(theirs) and all(
            line == other or self._may_vary(line, other)
            for line, other in zip(ours, theirs, strict=True)
        )

    def _may_vary(self, line: bytes, other: bytes) -> bool:
        name = _varies(line.partition(b":")[0], self.own, bool(self.request_id))
        return bool(name) and other.startswith(name)

    def line_by_line(self) -> Memory:
        """Return the memory that tells which other blocks mean the same."""
        pairs = message.fields(self.raw, limit=self.rules.head_fields)
        return Memory(
            lines=self.raw.split(b"\r\n"),
            names=[_varies(name, self.own, bool(self.request_id)) for name, _ in pairs],
            sent=self.sent(pairs),
            before=self.before,
            after=self.after,
            request_id=self.request_id,
        )


def _caller(pairs: message.Fields, rules: Callers) -> tuple[str, ProxyError | None]:
    if rules is ANYONE:
        return "", None
    try:
        return callers.recognise(pairs, rules), None
    except ProxyError as error:
        return "", error


def _preflight(pairs: message.Fields, rules: Admission) -> Preflight | None:
    if not rules.origins:
        return None
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value)
    return cors.preflight(values, rules)


def _host(values: list[bytes], *, minor: int) -> bytes:
    if len(values) > 1:
        raise Malformed("more than one Host field")
    if not values:
        if minor:
            raise Malformed("no Host field")
        return b""
    if split_authority(values[0]) is None:
        raise Malformed("a Host that is not a name with an optional port")
    return values[0]


def _upgrade(values: list[bytes], options: frozenset[bytes], *, minor: int) -> bytes:
    """Return the protocols to offer upstream; h2c never, as it would carry requests unseen."""
    if not values or not minor or b"upgrade" not in options:
        return b""
    offered = b", ".join(values)
    if any(protocol.partition(b"/")[0] == b"h2c" for protocol in message.options(offered)):
        return b""
    return offered


def _request_id(values: list[bytes], options: frozenset[bytes]) -> bytes:
    if len(values) != 1 or b"x-request-id" in options:
        return b""
    return values[0] if headers.acceptable_request_id(values[0]) else b""


def _expects(values: list[bytes]) -> bool:
    return [value.lower() for value in values] == [b"100-continue"]


_PASSING = frozenset(
    (
        Kind.END_TO_END,
        Kind.CONTENT_LENGTH,
        Kind.ORIGIN,
        Kind.SEC_FETCH_SITE,
        Kind.EXPECT,
        Kind.VIA,
        Kind.REQUEST_ID,
        Kind.LOCATION,
        Kind.METHOD_OVERRIDE,
    )
)


def _passes(name: bytes, options: frozenset[bytes], minor: int, has_id: bool) -> bool:
    kind = headers.kind_of(name)
    if kind not in _PASSING or (options and name.lower() in options):
        return False
    if kind is Kind.EXPECT:
        return minor == 1  # RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored
    return has_id if kind is Kind.REQUEST_ID else True


def _varies(name: bytes, options: frozenset[bytes], has_id: bool) -> bytes:
    """Return *name* and colon if another value of that field would change nothing but itself."""
    kind = headers.kind_of(name)
    low = name.lower()
    if low in options or low.startswith(b"access-control-"):
        return b""
    return name + b":" if kind is Kind.END_TO_END or (kind is Kind.REQUEST_ID and has_id) else b""


def _hop(
    noticed: dict[Kind, list[bytes]], rules: Rules, *, body: int, upgrade: bytes, minor: int
) -> bytes:
    """Return the fields of our own hop that follow the client's."""
    lines = []
    connection = []
    if b"trailers" in [m for v in noticed.get(Kind.TE, []) for m in message.options(v)]:
        lines.append(b"TE: trailers\r\n")
        connection.append(b"TE")
    if upgrade:
        lines.append(b"Upgrade: %b\r\n" % upgrade)
        connection.append(b"Upgrade")
    if connection:
        lines.append(b"Connection: %b\r\n" % b", ".join(connection))
    if rules.send_via:
        lines.append(headers.VIA if minor else headers.VIA_1_0)
    if rules.mask_token:
        lines.append(b"Accept-Encoding: identity\r\n")
    if body == framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    return b"".join(lines)


def _host_refusal(host: bytes, rules: Admission, local: str) -> ProxyError | None:
    # A client of HTTP/1.0 may have no Host; no browser is one.
    if host:
        try:
            check_host(host, rules=rules, local=local)
        except ProxyError as error:
            return error
    return None


def _refusal(noticed: dict[Kind, list[bytes]], host: bytes, rules: Rules) -> ProxyError | None:
    origins, sites = noticed.get(Kind.ORIGIN, []), noticed.get(Kind.SEC_FETCH_SITE, [])
    try:
        check_origin(origins, sites, host=host, rules=rules.admission)
        check_overrides(noticed.get(Kind.METHOD_OVERRIDE, []), rules.access)
    except ProxyError as error:
        return error
    if any(headers.went_through_us(via) for via in noticed.get(Kind.VIA, [])):
        return ProxyError(
            "loop_detected",
            f"The request has been through bearer-proxy before; is {rules.base.url} this proxy?",
            hint="Point upstream.url at the API. Behind another bearer-proxy, let that one have "
            "[upstream] send_via = false.",
        )
    if rules.refuse_inbound and Kind.OWNED in noticed:
        return ProxyError(
            "bad_request",
            "The request brings an Authorization of its own.",
            hint="Leave it out, or have it replaced: [token] inbound = 'replace'.",
        )
    return None
