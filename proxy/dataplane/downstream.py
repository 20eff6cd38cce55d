"""
One client connection: heads are cut out of its bytes, judged, and answered one after the other.

Attributes are grouped by how long they live. Bytes that come while a request is being answered are
the next request's (pipelining); they wait, and beyond a bound the client does.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

from proxy.dataplane import ends, faults, flow, heads
from proxy.dataplane.exchange import Exchange
from proxy.dataplane.flow import Gate
from proxy.dataplane.plane import Plane
from proxy.errors import ProxyError
from proxy.policy import answer, callers, message, verdict
from proxy.policy.message import Malformed, TooLarge
from proxy.policy.verdict import Alike, Asked

# How long we listen to a client whose request was refused before it was read whole: closing at
# once would reset the connection, and the reset may overtake the answer (RFC 9112 section 9.6).
_LINGER_SECONDS = 2.0
# How long an idle connection remembers its last request. That is 3 KiB, and 5 if values vary, of
# the 4 and 6 that it takes, a token among it; clients that repeat themselves do it sooner.
_REMEMBERED_SECONDS = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Downstream(asyncio.Protocol):
    """The protocol of one client connection; ``listener`` makes one for each."""

    __slots__ = (
        "_address",
        "_alike",
        "_asked",
        "_buffer",
        "_exchange",
        "_head",
        "_local",
        "_plane",
        "_requests",
        "_said_eof",
        "_since",
        "_transport",
        "_until",
        "_user",
        "gate",
        "peer",
        "write",
    )

    def __init__(self, plane: Plane) -> None:
        # Process.
        self._plane = plane
        # Connection.
        self._transport: asyncio.Transport
        # Sends bytes; ``Exchange.client_is_full`` is called when that is too much for now. It is
        # the transport's own, as every answer is sent by it.
        self.write: Callable[[bytes], None]
        self.gate: Gate
        self.peer = ""  # who asks: the address, and the caller's name if it has shown one
        self._address = ""
        self._user: int | None = None  # who is at the other end of a Unix socket
        self._local = ""
        self._said_eof = False
        self._requests = 0
        self._until = 0.0  # lingering: what comes is discarded, until then
        # The connection's last head, and what it meant: clients repeat its first line now and then,
        # what follows nearly always, or but for some values.
        self._head = b""
        self._asked: Asked | None = None
        self._alike: Alike | None = None
        # Request.
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._since = 0.0  # since when a head is incomplete, or the connection idle

    @property
    def may_go_on(self) -> bool:
        """Tell whether the connection may have another request after this one."""
        plane = self._plane
        limit = plane.limits.requests_per_connection
        return not plane.draining and not (limit and self._requests >= limit)

    @property
    def in_flight(self) -> Exchange | None:
        """The request that is being answered, if there is one."""
        return self._exchange

    @property
    def listener(self) -> str:
        """Where the client connected to: ``127.0.0.1:8080``, ``unix:/path``, empty if unknown."""
        return ends.shown(self._transport.get_extra_info("sockname"))

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn the transport, and between which addresses it runs."""
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self.gate = Gate(transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if isinstance(peer, tuple):
            self._address = ends.shown(peer)
            self._local = local[0].partition("%")[0]
        else:
            user = self._user = ends.user(transport.get_extra_info("socket"))
            self._address = "unix" if user is None else f"unix uid={user}"
        self.peer = self._address
        self._since = time.monotonic()
        plane = self._plane
        plane.joined(self)
        limit = plane.limits.connections
        if limit and len(plane.connections) > limit:
            plane.turned_away += 1
            lingers = len(plane.connections) <= limit + plane.limits.lingering
            self._refuse(faults.crowded(limit), linger=lingers)
        elif plane.route.rules.callers.uids:
            try:
                self._check_user()
            except ProxyError as error:
                self._refuse(error)

    def _check_user(self) -> None:
        callers.check_user(self._user, self._plane.route.rules.callers)

    def data_received(self, data: bytes) -> None:
        """Give bytes to whom they belong: the request in hand, the next one, or nobody."""
        exchange = self._exchange
        if exchange is None:
            plane, asked = self._plane, self._asked
            values: tuple[bytes, ...] = ()
            if data != self._head or self._buffer or asked is None:
                again = None if self._buffer else self._again(data)
                if again is None or len(data) > plane.limits.head_bytes:
                    self._read_on(data)
                    return
                asked, values = again
            # The last request once more: all that was understood of it holds, but for some values.
            self._requests += 1
            exchange = self._exchange = plane.exchange(self, plane, asked, values)
            exchange.begin()
            return
        if not exchange.body_done:
            data = exchange.feed(data)
        if data and self._exchange is exchange:
            self._wait_with(data)
        elif data and not self._until:
            self._read(data)

    def eof_received(self) -> bool:
        """
        Treat the client's end as its departure, outside of tunnels.

        A client that half-closes after its request can't be told from one that went away, and the
        upstream must not go on working for the latter.
        """
        self._said_eof = True
        return self._exchange is not None and self._exchange.client_said_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel what was in flight."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_lost()
        self._plane.left(self)

    def pause_writing(self) -> None:
        """Have the upstream wait: the client takes no more for now."""
        if self._exchange is not None:
            self._exchange.client_is_full()

    def resume_writing(self) -> None:
        """Have the upstream go on."""
        if self._exchange is not None:
            self._exchange.client_drained()

    # From bytes to requests.

    def _read_on(self, data: bytes) -> None:
        """Read *data* behind whatever came before."""
        if self._until:
            return
        if self._buffer:
            known = len(self._buffer)
            data, self._buffer = self._buffer + data, b""
            self._read(data, known)
        else:
            self._read(data)

    def _read(self, data: bytes, known: int = 0) -> None:
        """
        Begin the requests in *data*, one after the other, for as long as each ends at once.

        The first *known* bytes are the beginning of a head that was looked at before.
        """
        while data and self._exchange is None and not self._until:
            if data[:2] == b"\r\n":
                data = data[2:]  # RFC 9112 section 2.2: one empty line before a request is ignored
                known = 0
            head_bytes = self._plane.limits.head_bytes
            # First of all, and only where it can be new: a head may come in drops.
            end = data.find(b"\r\n\r\n", known - 3 if known > 3 else 0, head_bytes)
            if end < 0:
                self._wait_for_head(data, known)
                return
            head = data[: end + 4]
            try:
                asked, values = self._again(head) or (self._understand(head), ())
            except (Malformed, ProxyError) as why:
                self._refuse(verdict.malformed(why) if isinstance(why, Malformed) else why)
                return
            data, known = self._begin(asked, values, data[end + 4 :]), 0
        if data and self._exchange is not None:
            self._wait_with(data)

    def _again(self, head: bytes) -> tuple[Asked, tuple[bytes, ...]] | None:
        """Return what *head* asks and its values, if it is the last one but for those."""
        if head == self._head and self._asked is not None:
            return self._asked, ()
        alike = self._alike
        values = None if alike is None else alike.pattern.values(head)
        return None if alike is None or values is None else (alike, values)

    def _begin(self, asked: Asked, values: tuple[bytes, ...], rest: bytes) -> bytes:
        """Begin the request; return what is not of it in the *rest* that came with its head."""
        self._requests += 1
        exchange = self._exchange = self._plane.exchange(self, self._plane, asked, values)
        if rest and not exchange.body_done:
            rest = exchange.feed(rest)
        if self._exchange is exchange:
            exchange.begin()
        return rest

    def _understand(self, head: bytes) -> Asked:
        """
        Learn what *head* asks, and remember it.

        Raise Malformed, or the ProxyError of a user whom other rules than at first keep out.
        """
        last, rules = self._asked, self._plane.route.rules
        if last is None:
            self._check_user()
        asked, self._alike = heads.understand(
            head, last=self._head, asked=last, rules=rules, local=self._local
        )
        if last is None or asked.meaning.received is not last.meaning.received:
            name = asked.meaning.received.caller
            self.peer = f"{self._address} ({name})" if name else self._address
        self._head, self._asked = head, asked
        return asked

    def _wait_for_head(self, data: bytes, known: int) -> None:
        """Keep an incomplete head, unless it is too long or can't become one."""
        limit = self._plane.limits.head_bytes
        if len(data) >= limit:
            self._refuse(
                verdict.malformed(TooLarge(f"a head of over {limit} bytes (limits.head_bytes)"))
            )
        elif reason := message.hopeless(data, known=known):
            self._refuse(verdict.malformed(Malformed(reason)))
        else:
            # From its first byte on: a client that drips gets no more time with every drop. A lone
            # CR is no beginning yet, but perhaps half of an empty line.
            if not known and data != b"\r":
                self._since = time.monotonic()
            self._buffer = data

    def _wait_with(self, data: bytes) -> None:
        """Keep what a pipelining client sent ahead."""
        self._buffer += data
        if len(self._buffer) >= self._plane.limits.head_bytes:
            self.gate.close(flow.AHEAD)

    # Asked by the exchange.

    def write_eof(self) -> bool:
        """Pass on a tunnel's end; True while the client's own half goes on."""
        if self._said_eof or self._transport.is_closing():
            return False
        self._transport.write_eof()
        return True

    def tunnel_opens(self) -> None:
        """Hand over what the client sent ahead of the 101."""
        data, self._buffer = self._buffer, b""
        self.gate.open(flow.AHEAD)
        if data and self._exchange is not None:
            self._exchange.feed(data)

    def exchange_ended(self, now: float, *, keep_alive: bool, linger: bool) -> None:
        """Take up the next request, or close: at once, or after listening for a while."""
        self._exchange = None
        if not keep_alive or self._plane.draining:
            self._close(linger=linger)
            return
        self._since = now
        if self.gate.reasons:
            self.gate.open(flow.ANY)
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._read(data)

    def cut_off(self, *, visibly: bool) -> None:
        """
        End an answer that can't be completed.

        *visibly*: its end would be the connection's, so that only a reset tells it from a whole.
        """
        self._exchange = None
        if visibly and (sock := self._transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        else:
            self._transport.close()

    # Ends.

    def _refuse(self, error: ProxyError, *, linger: bool = True) -> None:
        """Answer bytes that are no request; what follows them can't be trusted either."""
        request_id = next(self._plane.request_ids)
        error = error.on_the_way(self.listener, self._plane.route.name)
        said = answer.own(error, request_id=request_id, wall=time.time(), keep_alive=False)
        self.write(said)
        self._plane.journal.record(
            time.time(),
            b"-",
            b"-",
            error.status,
            error.kind.side,
            time.monotonic() - self._since,
            None,
            0,
            answer.body_bytes(said),
            request_id,
            error.code,
            self._address,
            None,
            error.said,
        )
        self._close(linger=linger)

    def _close(self, *, linger: bool) -> None:
        self._buffer = b""
        if linger and not self._said_eof and not self._transport.is_closing():
            self._until = time.monotonic() + _LINGER_SECONDS
            self.forget()  # or what repeats the last head would be served
            self.gate.open(flow.ANY)
            self._transport.write_eof()
        else:
            self._transport.close()

    def forget(self) -> None:
        """Read the next request afresh, though it repeat the last one."""
        self._head, self._asked, self._alike = b"", None, None

    def drain(self) -> None:
        """Take no further request; close as soon as nothing is in flight."""
        if self._exchange is None and not self._until:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is in flight."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cut_short()
        self._transport.abort()

    def _is_gone(self, exchange: Exchange) -> bool:
        """Tell whether the client left while it is not read from, which no event tells then."""
        return ends.is_gone(
            self._transport.get_extra_info("socket"), half_is_gone=not exchange.tunnelling
        )

    def sweep(self, now: float) -> None:
        """Act on whatever is overdue."""
        limits = self._plane.limits
        if self._exchange is not None:
            if self.gate.reasons and self._is_gone(self._exchange):
                self._transport.abort()
            else:
                self._exchange.sweep(now)
        elif self._until:
            if now >= self._until:
                self._transport.abort()
        elif self._buffer not in (b"", b"\r"):
            if 0 < limits.head_seconds <= now - self._since:
                self._refuse(faults.head_too_slow(limits.head_seconds))
        elif 0 < limits.keep_alive_seconds <= now - self._since:
            self._transport.close()
        elif self._asked is not None and now - self._since >= _REMEMBERED_SECONDS:
            self.forget()
