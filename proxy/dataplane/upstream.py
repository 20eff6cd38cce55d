"""
One connection to the upstream, from its answer's first byte to the last.

It belongs to one exchange at a time, from ``start`` until ``Exchange.finished``; while it belongs
to none, any byte on it is one too many and closes it (a late or second answer must never reach the
next request).
"""

import asyncio
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from proxy.dataplane import ends, flow, referee
from proxy.dataplane.flow import Gate
from proxy.errors import ProxyError
from proxy.policy import answer, framing
from proxy.policy.answer import Answered
from proxy.policy.message import Malformed

if TYPE_CHECKING:
    from proxy.dataplane.exchange import Exchange

# Envoy allows 60 KiB, nginx one page by default, Go 10 MiB: enough for any cookie jar.
_HEAD_LIMIT = 131072
_INTERIM_LIMIT = 32  # interim answers to one request; more is a loop, not a hint


class Upstream(asyncio.Protocol):
    """The protocol of one upstream connection; ``pool.Pool`` makes, leases and keeps them."""

    __slots__ = (
        "_answered",
        "_body",
        "_buffer",
        "_ended",
        "_forget",
        "_head",
        "_interim",
        "_plain",
        "_plain_bytes",
        "_poll",
        "_remote",
        "_said_eof",
        "_transport",
        "closed",
        "exchange",
        "gate",
        "idle_until",
        "keep_alive_seconds",
        "name",
        "requests",
        "send_via",
        "tunnelling",
        "write",
    )

    def __init__(self, name: str, forget: Callable[["Upstream"], None], send_via: bool) -> None:
        # Connection.
        self.name = name
        self.send_via = send_via
        self._forget = forget
        self._poll: select.poll | None = None
        self._transport: asyncio.Transport
        # Sends bytes; ``Exchange.upstream_is_full`` is called when that is too much for now. It is
        # the transport's own, as every request is sent by it.
        self.write: Callable[[bytes], None]
        self.gate: Gate
        self.requests = 0
        self._remote = ""
        self.closed = False  # it can't be used any more
        self.idle_until = 0.0
        self.keep_alive_seconds = 0
        # The connection's last head, its empty line included, and what it meant: servers repeat it.
        self._head = b""
        self._answered: Answered | None = None
        self._plain: Answered | None = None  # the same, if nothing about it is out of the ordinary
        self._plain_bytes = 0  # how long such an answer is as a whole
        # Request.
        self.exchange: Exchange | None = None
        self._buffer = b""
        self._body: framing.Body | None = None
        self._interim = 0
        self.tunnelling = False
        self._said_eof = False
        self._ended: tuple[Exception | None] | None = None  # the end came while it was held

    # Asked by pool and exchange.

    @property
    def reused(self) -> bool:
        """Tell whether the request in hand is not the connection's first."""
        return self.requests > 1

    @property
    def remote(self) -> str:
        """The address it is connected to, as ``127.0.0.1:443``; empty if it was lost at once."""
        if not self._remote:
            self._remote = ends.shown(self._transport.get_extra_info("peername"))
        return self._remote

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session; None on a plain connection."""
        return cast("ssl.SSLObject | None", self._transport.get_extra_info("ssl_object"))

    def has_unread_input(self) -> bool:
        """Tell whether the socket holds bytes or an end that the loop has not delivered yet."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def start(self, exchange: "Exchange", first: bytes) -> None:
        """Belong to *exchange* and send its *first* bytes."""
        self.exchange = exchange
        self.requests += 1
        self.write(first)

    def write_eof(self) -> bool:
        """Say that nothing more will be sent (in a tunnel); True while more may be received."""
        if self._transport.can_write_eof() and not self._said_eof:
            self._transport.write_eof()
            return True
        self._transport.close()  # TLS has no half-closed state
        return False

    def close(self) -> None:
        """Close once everything written has been sent; no exchange is told."""
        self.exchange, self.closed = None, True
        self._transport.close()

    def abort(self) -> None:
        """Close at once; no exchange is told."""
        self.exchange, self.closed = None, True
        self._transport.abort()

    def resume(self, head: bytes) -> None:
        """Go on with an answer that ``Exchange.answer_begins`` held back, now as *head*."""
        exchange, answered = self.exchange, self._answered
        assert exchange is not None
        assert answered is not None
        rest, self._buffer = self._buffer, b""
        self.gate.open(flow.HELD)
        self._go_on(exchange, answered, head, rest)
        if self._ended is not None:
            self._end(*self._ended)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self.gate = Gate(transport)

    def data_received(self, data: bytes) -> None:
        """Read an answer's head, or pass on its body."""
        exchange = self.exchange
        if exchange is None:
            self._transport.abort()
        elif self._body is not None:
            self._read_body(exchange, data)
        else:
            plain = self._plain
            # The last head again, and the whole of a body: it is passed on at once. Whatever is out
            # of the ordinary takes the long way, which gives the same result.
            if (
                plain is None
                or len(data) != self._plain_bytes
                or not data.startswith(self._head)
                or self._buffer
                or not exchange.answer_at_once(plain, data[len(self._head) :])
            ):
                self._read_head(exchange, data)

    def eof_received(self) -> bool:
        """Let a tunnel's other half live on; anything else ends with the connection."""
        self.closed = True
        if self.tunnelling and self.exchange is not None:
            self._said_eof = True
            return self.exchange.upstream_said_eof()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the pool, and the exchange if there is one."""
        self.closed = True
        self._forget(self)
        if self.gate.reasons & flow.HELD and self.exchange is not None:
            self._ended = (error,)  # what came of the answer still stands, until resume
        else:
            self._end(error)

    def _end(self, error: Exception | None) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if isinstance(self._body, framing.UntilClose) and error is None:
            exchange.answer_ends(b"", b"", b"", False)
        else:
            exchange.upstream_lost(self)

    def pause_writing(self) -> None:
        """Have the client wait: the upstream takes no more for now."""
        if self.exchange is not None:
            self.exchange.upstream_is_full()

    def resume_writing(self) -> None:
        """Have the client go on."""
        if self.exchange is not None:
            self.exchange.upstream_drained()

    # The answer, in the order in which it comes.

    def _read_head(self, exchange: "Exchange", data: bytes) -> None:
        exchange.answer_seen = True
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        if self.gate.reasons & flow.HELD:
            self._buffer = data  # what TLS had decrypted before the gate closed
            return
        while data:
            end = data.find(b"\r\n\r\n", 0, _HEAD_LIMIT)
            if end < 0:
                self._wait_for_more(exchange, data)
                return
            head, data = data[: end + 4], data[end + 4 :]
            answered = self._answered
            try:
                if answered is None or head != self._head:
                    answered = answer.read(head[:-2], send_via=self.send_via)
                    referee.check_answer(head[:-2], status=answered.status)
                    self._head, self._answered = head, answered
                    self._plain = answered if answered.is_plain else None
                    self._plain_bytes = len(head) + answered.framing
                if answered.status < 200 and self._is_interim(exchange, answered):
                    continue
            except Malformed as reason:
                self._fail(exchange, str(reason))
                return
            self._begin(exchange, answered, data)
            return

    def _is_interim(self, exchange: "Exchange", answered: Answered) -> bool:
        """Pass on an interim answer; False if this one is final, because it switches protocols."""
        if answered.status == 101:
            if not (exchange.offers_upgrade and answered.upgrade):
                raise Malformed("it switches protocols unasked")
            self.tunnelling = True
            return False
        self._interim += 1
        if self._interim > _INTERIM_LIMIT:
            raise Malformed(f"it sent more than {_INTERIM_LIMIT} interim answers")
        exchange.interim(answered)
        return True

    def _wait_for_more(self, exchange: "Exchange", data: bytes) -> None:
        """Keep an incomplete head, unless it is too long or can't become one."""
        start = b"HTTP/1."
        if len(data) >= _HEAD_LIMIT:
            self._fail(exchange, f"its head is over {_HEAD_LIMIT} bytes")
        elif data[: len(start)] != start[: len(data)]:
            self._fail(exchange, "its first bytes are not HTTP/1")
        else:
            self._buffer = data

    def _begin(self, exchange: "Exchange", answered: Answered, data: bytes) -> None:
        self._interim = 0
        self.keep_alive_seconds = answered.keep_alive_seconds
        head = exchange.answer_begins(answered)
        if head is None:
            self.gate.close(flow.HELD)
            self._buffer = data
        else:
            self._go_on(exchange, answered, head, data)

    def _go_on(self, exchange: "Exchange", answered: Answered, head: bytes, data: bytes) -> None:
        """Pass on *head* and what of the body came with it, in one write."""
        body = 0 if exchange.to_head else answered.framing
        if self.tunnelling:
            self._body = framing.UntilClose()
            exchange.tunnel_opens(head, data)
        elif body == len(data):
            # Usual for small answers: it is all here, and there is nothing to count.
            self._body = self.exchange = None
            exchange.answer_ends(head, data, b"", answered.keep_alive and not self.closed)
        else:
            self._body = framing.reader(body)
            self._read_body(exchange, data, head)

    def _read_body(self, exchange: "Exchange", data: bytes, head: bytes = b"") -> None:
        body, answered = self._body, self._answered
        assert body is not None
        assert answered is not None
        try:
            piece, rest = body.feed(data)
        except Malformed as reason:
            if head:
                exchange.retract()
            self._fail(exchange, str(reason))
            return
        if body.done:
            self._body = self.exchange = None
            # Bytes behind the end are nobody's answer: such a connection gets no further request.
            reusable = answered.keep_alive and not rest and not self.closed
            exchange.answer_ends(head, piece, body.trailers, reusable)
        else:
            exchange.answer_goes_on(head, piece)

    def _fail(self, exchange: "Exchange", reason: str) -> None:
        self.abort()
        exchange.fail(
            ProxyError(
                "upstream_bad_response",
                f"The answer of {self.name} is not acceptable HTTP: {reason}.",
                hint="It was not passed on. Is upstream.url the API itself, at a port that speaks"
                " HTTP/1.1? Then whoever runs it has to mend it.",
            )
        )
