"""
A client's header block: what it means, read once for as long as the connection repeats it.
"""

from dataclasses import dataclass

from proxy.errors import ProxyError
from proxy.policy import callers, cors, framing, headers, message
from proxy.policy.access import check_overrides
from proxy.policy.admission import Admission, check_host, check_origin, split_authority
from proxy.policy.callers import ANYONE, Callers
from proxy.policy.cors import Preflight
from proxy.policy.headers import Kind
from proxy.policy.memory import Block, Memory
from proxy.policy.message import Malformed
from proxy.policy.rules import Rules


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
    memory: Memory | Block


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
    before = b"Host: %b\r\n" % rules.base.authority
    memory = Block(block, rules.head_fields, own, minor, before, after, request_id)
    caller, caller_refusal = _caller(pairs, rules.callers)
    return Received(
        fields=before + b"".join(memory.sent(pairs)) + after,
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


def remembered(received: Received) -> Memory:
    """Return how *received* came about, line by line, and keep it there from now on."""
    if isinstance(received.memory, Block):
        received.memory = received.memory.line_by_line()
    return received.memory


def reread(block: bytes, received: Received) -> Received | None:
    """Return what *block* means, if it differs from the one *received* in values alone."""
    if isinstance(received.memory, Block) and not received.memory.may_mean_the_same(block):
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
