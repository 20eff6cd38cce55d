"""
One request and its answer, from the verdict to the last byte.

The exchange owns what lies between the two connections: which upstream connection serves it, what
of the body has been sent, whether an answer has begun, what to do when either side goes away. Its
halves are ``sending`` and ``answering``; here are the ends that nobody wished for, and time.

    send ──▶ answer ──▶ finished
      ▲        │ 401 to our credential
      └────────┘

After a 101 it is a tunnel: two bodies that end with their connections.
"""

import time
from typing import TYPE_CHECKING

from proxy.dataplane import faults, flow
from proxy.dataplane.answering import Answering
from proxy.errors import ProxyError, Side
from proxy.policy import answer, framing
from proxy.policy.verdict import Forward

if TYPE_CHECKING:
    from proxy.dataplane.upstream import Upstream

# nginx's word for a client that went away before its answer was complete.
_CLIENT_CLOSED = 499


class Exchange(Answering):
    """
    The life of one request.

    ``Downstream`` feeds it the request and hears ``exchange_ended``; ``Upstream`` feeds it the
    answer.
    """

    def attach(self, upstream: "Upstream", forward: Forward) -> None:
        """Send *forward* on *upstream*, and whatever of the body has come by now."""
        self._upstream = upstream
        self._moved = True
        head, values = forward.head, self._values
        if values:
            head %= values
        if not self._asked.request_id:
            head = b"".join((head, b"X-Request-Id: ", self._request_id, b"\r\n\r\n"))
        if self._pending is not None:
            head = b"".join((head, *self._pending))
            self._pending = None
            self._downstream.gate.open(flow.NOT_YET_SENT)
        self._sent = time.monotonic()
        upstream.start(self, head)

    # Ends that nobody wished for.

    def upstream_lost(self, upstream: "Upstream") -> None:
        """Deal with a connection that went before its answer was complete."""
        if self._held is not None and upstream is self._held.upstream:
            self._held = None
            return
        self._upstream = None
        if self.tunnelling:
            self._end(time.monotonic(), keep_alive=False)
        elif self._may_retry(upstream):
            self._retry()
        else:
            name = self._route.name
            self.give_up(faults.closed(name, answer_seen=self.answer_seen))

    def fail(self, error: ProxyError) -> None:
        """End with *error*: as the answer, or by cutting off one that has begun."""
        self._let_go()
        error = error.on_the_way(self._downstream.listener, self._route.name)
        if self._status:
            self._record(self._status, "upstream", error.code, time.monotonic(), error.said)
            self._downstream.cut_off(visibly=not self._meaning.received.minor)
            return
        keep_alive = (
            self._meaning.received.keep_alive
            and self.body_done
            and error.kind.code != "bad_request"
            and not self._plane.draining
        )
        said = answer.own(
            error,
            request_id=self._request_id,
            wall=time.time(),
            keep_alive=keep_alive,
            to_head=self.to_head,
            fields=self._meaning.received.cors,
        )
        self._downstream.write(said)
        self._status, self._response_bytes = error.status, answer.body_bytes(said)
        now = time.monotonic()
        self._record(error.status, error.kind.side, error.code, now, error.said)
        self._downstream.exchange_ended(now, keep_alive=keep_alive, linger=not keep_alive)

    def settle(self, fields: bytes) -> None:
        """End with a 204 of our own that has *fields*."""
        keep_alive = self._meaning.received.keep_alive and self.body_done
        now = time.monotonic()
        self._downstream.write(
            answer.settled(
                fields, request_id=self._request_id, wall=time.time(), keep_alive=keep_alive
            )
        )
        self._record(204, Side.DOWNSTREAM, "", now)
        self._downstream.exchange_ended(now, keep_alive=keep_alive, linger=not keep_alive)

    def cut_short(self) -> None:
        """Give up what the end of the process does not wait for."""
        self._let_go()
        error = faults.cut_short().on_the_way(self._downstream.listener, self._route.name)
        now = time.monotonic()
        self._record(self._status or error.status, Side.PROXY, error.code, now, error.said)

    def client_lost(self) -> None:
        """Cancel: there is nobody left to answer."""
        self._let_go()
        now = time.monotonic()
        if self.tunnelling:
            self._record(self._status, "upstream", "", now)
        else:
            self._record(self._status or _CLIENT_CLOSED, "downstream", "client_closed", now)

    def _let_go(self) -> None:
        """Close or cancel all that this exchange holds."""
        self._stop_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._held is not None:
            self._held.upstream.abort()
        if self._upstream is not None and self.tunnelling:
            self._upstream.close()  # what the client sent last is still on its way
        elif self._upstream is not None:
            self._upstream.abort()
        self._upstream = self._held = None

    # A tunnel.

    def tunnel_opens(self, head: bytes, data: bytes) -> None:
        """Pass on the 101 and become a pair of pipes."""
        self.tunnelling, self.body_done = True, False
        self._body, self._kept = framing.UntilClose(), None
        self.answer_goes_on(head, data)
        self._downstream.tunnel_opens()

    def upstream_said_eof(self) -> bool:
        """Pass on the upstream's end; True while the client's half goes on."""
        return self._downstream.write_eof()

    def client_said_eof(self) -> bool:
        """Pass on a tunnel's end; True while the upstream's half goes on."""
        return self.tunnelling and self._upstream is not None and self._upstream.write_eof()

    # Time.

    def sweep(self, now: float) -> None:
        """Give up on whoever is overdue."""
        if self._deadline and now >= self._deadline:
            self.give_up(self._overdue())
            return
        if self._moved:
            self._moved = False
            self._touched = now
            return
        if self._upstream is None or self.tunnelling:
            return
        idle, limits = now - self._touched, self._plane.limits
        if not self.body_done and not self._downstream.gate.reasons and not self._status:
            if _over(idle, limits.body_idle_seconds):
                self.fail(faults.too_slow("body", "body_idle_seconds", limits.body_idle_seconds))
        elif not self._status:
            if _over(idle, limits.response_head_seconds):
                self.fail(faults.silent(self._route.name, limits.response_head_seconds))
        elif _over(idle, limits.response_idle_seconds):
            self.fail(faults.silent(self._route.name, limits.response_idle_seconds))


def _over(idle: float, limit: float) -> bool:
    return 0 < limit <= idle
