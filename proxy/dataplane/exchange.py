"""
One request and its answer, from the verdict to the last byte.

The exchange owns what lies between the two connections: which upstream connection serves it, what
of the body has been sent, whether an answer has begun, what to do when either side goes away.

    wait for a credential ──▶ lease or connect ──▶ send ──▶ answer ──▶ finished
          (bounded)              │ failed           │ lost before an answer: once more on a
                                 ▼                  │ fresh connection, if that is safe
                              refuse ◀──────────────┘ 401 to our credential: hold the answer,
                                                      replay with another credential
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.dataplane.flow import Reason
from proxy.errors import ProxyError, Side
from proxy.policy import answer, framing, verdict
from proxy.policy.answer import Answered, Client
from proxy.policy.message import Malformed
from proxy.policy.replay import Kept
from proxy.policy.verdict import Forward, Received, Refuse, Situation

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.plane import Plane
    from proxy.dataplane.upstream import Upstream

# nginx's word for a client that went away before its answer was complete.
_CLIENT_CLOSED = 499


class Exchange:
    """
    The life of one request.

    ``Downstream`` feeds it the request and hears ``exchange_ended``; ``Upstream`` feeds it the
    answer. ``body_done`` says that the whole request has been read, ``answer_seen`` that the
    upstream has sent at least a byte.
    """

    __slots__ = (
        "_body",
        "_connecting",
        "_deadline",
        "_downstream",
        "_first_byte",
        "_forward",
        "_held",
        "_held_answer",
        "_keep_alive",
        "_kept",
        "_method",
        "_moved",
        "_pending",
        "_plane",
        "_received",
        "_rechunk",
        "_replayed",
        "_request_bytes",
        "_request_id",
        "_response_bytes",
        "_retried",
        "_started",
        "_status",
        "_stop_listening",
        "_target",
        "_touched",
        "_upstream",
        "answer_seen",
        "body_done",
        "to_head",
        "tunnelling",
    )

    def __init__(
        self,
        downstream: "Downstream",
        plane: "Plane",
        method: bytes,
        target: bytes,
        received: Received,
    ) -> None:
        self._downstream = downstream
        self._plane = plane
        self._method = method
        self._target = target
        self._received = received
        self._request_id = received.request_id or plane.new_request_id()
        self._started = self._touched = time.monotonic()
        self._moved = False  # bytes came or went since the last sweep
        self.to_head = method == b"HEAD"
        # The request's body.
        self._body = framing.reader(received.framing) if received.framing else None
        self.body_done = self._body is None
        self._kept = Kept(plane.limits.replay_max_bytes)
        self._pending: list[bytes] | None = []  # what waits for a connection; None: there is one
        self._request_bytes = 0
        # The way to the upstream.
        self._forward: Forward | None = None
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._stop_listening: Callable[[], None] | None = None
        self._deadline = 0.0
        self._retried = False
        self._replayed = False
        self._held: Upstream | None = None
        self._held_answer: tuple[int, bytes, Answered, int] | None = None
        # The answer.
        self.answer_seen = False
        self.tunnelling = False
        self._keep_alive = False
        self._rechunk = False
        self._status = 0  # 0 until its head has been sent
        self._first_byte: float | None = None
        self._response_bytes = 0

    @property
    def offers_upgrade(self) -> bool:
        """Tell whether the client asked for another protocol, so that a 101 makes sense."""
        return self._received.upgrade

    # The way to the upstream.

    def begin(self) -> None:
        """Ask for the verdict and obey it; the exchange may end before this returns."""
        if self._plane.draining:
            self.fail(_draining())
            return
        decided = self._judge()
        if isinstance(decided, Forward):
            self._send(decided)
        elif self._may_wait(decided.error):
            self._wait_for_credential()
        else:
            self.fail(decided.error)

    def _judge(self) -> Forward | Refuse:
        route = self._plane.route
        credential = route.credentials.current() or route.credentials.shortage()
        situation = Situation(route.rules, credential, self._request_id)
        return verdict.judge(self._method, self._target, self._received, situation)

    def _may_wait(self, error: ProxyError) -> bool:
        route = self._plane.route
        return error.kind.side is Side.TOKEN and route.credentials.worth_waiting(route.wait_seconds)

    def _wait_for_credential(self) -> None:
        route = self._plane.route
        self._deadline = time.monotonic() + route.wait_seconds
        self._stop_listening = route.credentials.on_change(self._credentials_changed)

    def _credentials_changed(self) -> None:
        """Judge again: there may be a credential, or no reason left to wait for one."""
        decided = self._judge()
        if isinstance(decided, Forward):
            self._stop_waiting()
            self._send(decided)
        elif not self._may_wait(decided.error):
            self._give_up(decided.error)

    def _stop_waiting(self) -> None:
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self._deadline = 0.0

    def _send(self, forward: Forward) -> None:
        self._forward = forward
        upstream = self._plane.route.pool.lease(certain=not forward.idempotent)
        if upstream is not None:
            self._attach(upstream, forward)
        else:
            self._connect(forward)

    def _connect(self, forward: Forward) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._connect_and_attach(forward))

    async def _connect_and_attach(self, forward: Forward) -> None:
        try:
            upstream = await self._plane.route.pool.connect()
        except ProxyError as error:
            self._connecting = None
            self._give_up(error)
            return
        self._connecting = None
        self._attach(upstream, forward)

    def _attach(self, upstream: "Upstream", forward: Forward) -> None:
        """Send the head, and whatever of the body has come by now."""
        self._upstream = upstream
        self._moved = True
        pending, self._pending = self._pending, None
        upstream.start(self, b"".join([forward.head, *pending]) if pending else forward.head)
        self._downstream.gate.open(Reason.NOT_YET_SENT)

    def _send_again(self) -> None:
        """Make ready to send the very same bytes of the body once more."""
        self._upstream = None
        self._pending = list(self._kept.pieces)
        self.answer_seen = False
        self._downstream.gate.open(Reason.PEER_IS_FULL)

    # The request's body.

    def feed(self, data: bytes) -> bytes:
        """Take what *data* holds of the body; return what follows it."""
        body = self._body
        assert body is not None
        try:
            piece, rest = body.feed(data)
        except Malformed as reason:
            self.fail(verdict.malformed(reason))
            return b""
        self._moved = True
        self._request_bytes += len(piece)
        limit = self._plane.route.rules.body_bytes
        if limit and self._request_bytes > limit:
            self.fail(verdict.body_too_large(limit))
            return b""
        if self._received.framing == framing.CHUNKED:
            piece = framing.chunk(piece) if piece else b""
            if body.done:
                piece += framing.last_chunk(body.trailers)
        self.body_done = body.done
        if piece:
            self._pass_up(piece)
        return rest

    def _pass_up(self, data: bytes) -> None:
        self._kept.add(data)
        if self._pending is not None:
            self._pending.append(data)
            if not self._kept.whole:
                self._downstream.gate.close(Reason.NOT_YET_SENT)
        elif self._upstream is not None:
            self._upstream.write(data)

    def upstream_is_full(self) -> None:
        """Stop reading the client until the upstream has taken what was read."""
        self._downstream.gate.close(Reason.PEER_IS_FULL)

    def upstream_drained(self) -> None:
        """Read the client again."""
        self._moved = True
        self._downstream.gate.open(Reason.PEER_IS_FULL)

    # The answer.

    def interim(self, status: int, line: bytes, answered: Answered) -> None:
        """Pass on a 1xx answer; HTTP/1.0 has none."""
        self._moved = True
        if self._received.minor:
            self._downstream.write(self._head(status, line, answered, 0))

    def answer_begins(
        self, status: int, line: bytes, answered: Answered, body: int
    ) -> bytes | None:
        """Return the head for the client, or None: keep the answer back until ``resume``."""
        if status == 401 and self._replay_instead(status, line, answered, body):
            return None
        if self._held is not None:
            self._held.abort()
            self._held = None
        return self._begin_answer(status, line, answered, body)

    def _begin_answer(self, status: int, line: bytes, answered: Answered, body: int) -> bytes:
        self._status = status
        self._first_byte = time.monotonic() - self._started
        minor = self._received.minor
        self._rechunk = body < 0 and minor == 1
        delimited = body >= 0 or self._rechunk
        self._keep_alive = self._received.keep_alive and delimited and not self._plane.draining
        return self._head(status, line, answered, body)

    def _head(self, status: int, line: bytes, answered: Answered, body: int) -> bytes:
        received = self._received
        client = Client(
            received.host, received.minor, self._request_id, self.to_head, self._keep_alive
        )
        base = self._plane.route.rules.base
        return answer.pass_on(status, line, answered, body=body, client=client, base=base)

    def retract(self) -> None:
        """Take back a head that was returned but not passed on yet: what follows it is broken."""
        self._status = 0

    def answer_goes_on(self, head: bytes, piece: bytes) -> None:
        """Pass on a *piece* of the body, behind the *head* if it came with it."""
        self._moved = True
        self._downstream.write(self._framed(head, piece))

    def answer_ends(self, head: bytes, piece: bytes, *, trailers: bytes) -> None:
        """Pass on the last *piece* and the body's end; ``finished`` follows."""
        data = self._framed(head, piece)
        if self._rechunk:
            data += framing.last_chunk(trailers)
        if data:
            self._downstream.write(data)

    def _framed(self, head: bytes, piece: bytes) -> bytes:
        if not piece:
            return head
        self._response_bytes += len(piece)
        if self._rechunk:
            piece = framing.chunk(piece)
        return head + piece if head else piece

    def client_is_full(self) -> None:
        """Stop reading the upstream until the client has taken what was read."""
        if self._upstream is not None:
            self._upstream.gate.close(Reason.PEER_IS_FULL)

    def client_drained(self) -> None:
        """Read the upstream again."""
        self._moved = True
        if self._upstream is not None:
            self._upstream.gate.open(Reason.PEER_IS_FULL)

    def finished(self, *, reusable: bool) -> None:
        """End well: the answer is complete. *reusable*: its connection may serve another."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and self.body_done:
                upstream.gate.open(Reason.PEER_IS_FULL)
                self._plane.route.pool.release(upstream)
            else:
                upstream.abort()
        self._end(keep_alive=self._keep_alive and self.body_done)

    # A refused credential.

    def _replay_instead(self, status: int, line: bytes, answered: Answered, body: int) -> bool:
        """Report the 401; hold it back if the request can be sent again with another credential."""
        forward = self._forward
        assert forward is not None
        worthwhile = self._plane.route.credentials.refused(forward.credential)
        if not worthwhile or self._replayed or not self.body_done or not self._kept.whole:
            return False
        self._held, self._held_answer = self._upstream, (status, line, answered, body)
        self._replayed = True
        self._send_again()
        # In a turn of its own: the held connection has still to finish reading this head.
        asyncio.get_running_loop().call_soon(self._replay)
        return True

    def _replay(self) -> None:
        if self._held is None or self._upstream is not None:
            return
        decided = self._judge()
        if isinstance(decided, Forward):
            self._send(decided)
        elif self._may_wait(decided.error):
            self._wait_for_credential()
        else:
            self._give_up(decided.error)

    def _give_up(self, error: ProxyError) -> None:
        """Answer with the 401 that was held back, if there is one, else with *error*."""
        held, kept_answer = self._held, self._held_answer
        if held is None or kept_answer is None or held.is_closing():
            self.fail(error)
            return
        self._stop_waiting()
        self._held, self._upstream, self._pending = None, held, None
        held.resume(self._begin_answer(*kept_answer))

    # Ends that nobody wished for.

    def upstream_lost(self, upstream: "Upstream") -> None:
        """Deal with a connection that went before its answer was complete."""
        if upstream is self._held:
            self._held = None
            return
        self._upstream = None
        if self.tunnelling:
            self._end(keep_alive=False)
            return
        forward = self._forward
        again = (
            forward is not None
            and forward.idempotent
            and upstream.reused
            and not self.answer_seen
            and not self._retried
            and self._kept.whole
        )
        if again and forward is not None:
            self._retried = True
            self._send_again()
            self._connect(forward)
            return
        name = self._plane.route.rules.base.url
        when = "in the middle of" if self.answer_seen else "before"
        self._give_up(
            ProxyError(
                "upstream_closed",
                f"{name} closed the connection {when} its answer.",
                hint="Whether it acted on the request is not known.",
                proxy_status="http_response_incomplete" if self.answer_seen else "",
            )
        )

    def fail(self, error: ProxyError) -> None:
        """End with *error*: as the answer, or by cutting off one that has begun."""
        self._let_go()
        if self._status:
            self._record(self._status, "upstream", error.code)
            self._downstream.cut_off(visibly=not self._received.minor)
            return
        keep_alive = (
            self._received.keep_alive
            and self.body_done
            and error.kind.code != "bad_request"
            and not self._plane.draining
        )
        self._downstream.write(
            answer.own(
                error,
                request_id=self._request_id,
                wall=time.time(),
                keep_alive=keep_alive,
                to_head=self.to_head,
            )
        )
        self._status = error.status
        self._record(error.status, error.kind.side, error.code)
        self._downstream.exchange_ended(keep_alive=keep_alive, linger=not keep_alive)

    def client_lost(self) -> None:
        """Cancel: there is nobody left to answer."""
        self._let_go()
        code = "" if self.tunnelling else "client_closed"
        self._record(self._status or _CLIENT_CLOSED, "upstream" if not code else "downstream", code)

    def _let_go(self) -> None:
        """Close or cancel all that this exchange holds."""
        self._stop_waiting()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        for upstream in (self._upstream, self._held):
            if upstream is not None and self.tunnelling:
                upstream.close()  # what the client sent last is still on its way
            elif upstream is not None:
                upstream.abort()
        self._upstream = self._held = None

    def _end(self, *, keep_alive: bool) -> None:
        self._record(self._status, "upstream", "")
        self._downstream.exchange_ended(keep_alive=keep_alive, linger=not self.body_done)

    def _record(self, status: int, side: str, code: str) -> None:
        self._plane.journal.record(
            time.time(),
            self._method,
            self._target,
            status,
            side,
            time.monotonic() - self._started,
            self._first_byte,
            self._request_bytes,
            self._response_bytes,
            self._request_id,
            code,
            self._downstream.peer,
        )

    # A tunnel.

    def tunnel_opens(self, head: bytes, data: bytes) -> None:
        """Pass on the 101 and become a pair of pipes."""
        self.tunnelling = True
        self._downstream.write(head)
        if data:
            self.tunnel_bytes(data)
        self._downstream.tunnel_opens()

    def tunnel_bytes(self, data: bytes) -> None:
        """Pass *data* from the upstream to the client."""
        self._response_bytes += len(data)
        self._downstream.write(data)

    def client_bytes(self, data: bytes) -> None:
        """Pass *data* from the client to the upstream."""
        self._request_bytes += len(data)
        if self._upstream is not None:
            self._upstream.write(data)

    def upstream_said_eof(self) -> bool:
        """Pass on the upstream's end; True while the client's half goes on."""
        return self._downstream.write_eof()

    def client_said_eof(self) -> bool:
        """Pass on the client's end; True while the upstream's half goes on."""
        return self._upstream is not None and self._upstream.write_eof()

    # Time.

    def sweep(self, now: float) -> None:
        """Give up on whoever is overdue."""
        if self._deadline and now >= self._deadline:
            self._give_up(self._plane.route.credentials.shortage())
            return
        if self._moved:
            self._moved = False
            self._touched = now
            return
        if self._upstream is None or self.tunnelling:
            return
        idle, limits = now - self._touched, self._plane.limits
        if not self.body_done and self._downstream.gate.is_open and not self._status:
            if _over(idle, limits.body_idle_seconds):
                self.fail(_too_slow("body", "body_idle_seconds", limits.body_idle_seconds))
        elif not self._status:
            if _over(idle, limits.response_head_seconds):
                self.fail(self._no_answer(limits.response_head_seconds))
        elif _over(idle, limits.response_idle_seconds):
            self.fail(self._no_answer(limits.response_idle_seconds))

    def _no_answer(self, seconds: float) -> ProxyError:
        return ProxyError(
            "upstream_timeout",
            f"{self._plane.route.rules.base.url} sent nothing for {seconds:g} s.",
            hint="Whether it acted on the request is not known. The limits are [limits] "
            "response_head_seconds and response_idle_seconds.",
        )


def _draining() -> ProxyError:
    return ProxyError(
        "draining",
        "The proxy is stopping and takes no further requests.",
        hint="Send the request again; another instance may take it.",
        retry_after=1,
    )


def _over(idle: float, limit: float) -> bool:
    return 0 < limit <= idle


def _too_slow(part: str, key: str, seconds: float) -> ProxyError:
    return ProxyError(
        "request_timeout",
        f"The request's {part} did not go on for {seconds:g} s.",
        hint=f"The limit is [limits] {key}.",
    )
