"""
The half of an exchange that goes up: a credential, a connection, the request's bytes.

    wait for a credential ──▶ lease or connect ──▶ send
          (bounded)              │ failed           │ lost before an answer: once more on a
                                 ▼                  │ fresh connection, if that is safe
                              refuse ◀──────────────┘
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.dataplane import faults, flow
from proxy.errors import ProxyError, Side
from proxy.policy import framing, verdict
from proxy.policy.credential import Credential
from proxy.policy.message import Malformed
from proxy.policy.replay import Kept
from proxy.policy.verdict import Asked, Forward, Refuse, Settle, Verdict

if TYPE_CHECKING:
    from proxy.dataplane.downstream import Downstream
    from proxy.dataplane.plane import Plane
    from proxy.dataplane.upstream import Upstream


class Sending(ABC):
    """
    A request on its way to the upstream; ``answering.Answering`` is this and what comes back.

    ``body_done`` says that the whole request has been read, ``answer_seen`` that the upstream has
    sent at least a byte.
    """

    # Where most requests end as they began the value stands here: one is made for every request.

    # The request's body.
    body_done = True
    _body: framing.Body | None = None
    _kept: Kept | None = None  # what was sent of it, if it can be sent again
    _pending: list[bytes] | None = None  # what waits for a connection
    _request_bytes = 0
    # The way to the upstream.
    _credential: Credential | None = None  # the one that was sent
    _upstream: "Upstream | None" = None
    _connecting: asyncio.Task[None] | None = None
    _stop_listening: Callable[[], None] | None = None
    _queued = False
    _deadline = 0.0
    _retried = False
    _sent: float | None = None  # when the head was
    answer_seen = False
    tunnelling = False
    _response_bytes = 0
    # Since the last sweep.
    _moved = False

    def __init__(
        self,
        downstream: "Downstream",
        plane: "Plane",
        asked: Asked,
        values: tuple[bytes, ...],
    ) -> None:
        self._downstream = downstream
        self._plane = plane
        self._route = plane.route  # for good: a reload is for the requests that come after it
        self._asked = asked
        meaning = self._meaning = asked.meaning
        self._values = values
        if asked.id_at >= 0:
            self._request_id = values[asked.id_at]
        else:
            self._request_id = asked.request_id or next(plane.request_ids)
        self._started = self._touched = time.monotonic()
        if body := meaning.received.framing:
            self._body = framing.reader(body)
            self._kept = Kept(plane.limits.replay_max_bytes)
            self._pending = []
            self.body_done = False

    # The other half.

    @abstractmethod
    def attach(self, upstream: "Upstream", forward: Forward) -> None:
        """Send *forward* on *upstream*, and whatever of the body has come by now."""

    @abstractmethod
    def settle(self, fields: bytes) -> None:
        """End with a 204 of our own that has *fields*."""

    @abstractmethod
    def fail(self, error: ProxyError) -> None:
        """End with *error*."""

    @abstractmethod
    def give_up(self, error: ProxyError) -> None:
        """End with a better answer than *error*, if there is one."""

    @abstractmethod
    def was_refused(self, credential: Credential) -> bool:
        """Tell whether *credential* is the one that this very request was refused with."""

    # The way to the upstream.

    def begin(self) -> None:
        """Ask for the verdict and obey it; the exchange may end before this returns."""
        if self._plane.draining:
            self.fail(faults.draining())
            return
        route = self._route
        credential, forward = route.credentials.current(), self._asked.forward
        if forward is not None and forward.credential is credential:
            self._send(forward)  # what ``judge`` would say, without asking it
            return
        decided = verdict.judge(self._asked, credential or route.credentials.shortage())
        if isinstance(decided, Forward):
            self._send(decided)
        elif isinstance(decided, Settle):
            self.settle(decided.fields)
        elif self._may_wait(decided.error):
            self._wait_for_credential()
        else:
            self.fail(decided.error)

    def _judge(self) -> Verdict:
        credentials = self._route.credentials
        return verdict.judge(self._asked, credentials.current() or credentials.shortage())

    def _may_wait(self, error: ProxyError) -> bool:
        route = self._route
        return error.kind.side is Side.TOKEN and route.credentials.worth_waiting(route.wait_seconds)

    def _wait_for_credential(self) -> None:
        route = self._route
        self._deadline = time.monotonic() + route.wait_seconds
        self._stop_listening = route.credentials.on_change(self._credentials_changed)

    def _credentials_changed(self) -> None:
        """Judge again: there may be a credential, or no reason left to wait for one."""
        decided = self._judge()
        if isinstance(decided, Forward):
            self._stop_waiting()
            self._send_or_give_up(decided)
        elif isinstance(decided, Refuse) and not self._may_wait(decided.error):
            self.give_up(decided.error)

    def _send_or_give_up(self, forward: Forward) -> None:
        """Send *forward*, unless it carries the very credential that was refused just now."""
        if self.was_refused(forward.credential):
            self.give_up(faults.closed(self._route.name, answer_seen=True))
        else:
            self._send(forward)

    def _wait_or_give_up(self, error: ProxyError) -> None:
        if self._may_wait(error):
            self._wait_for_credential()
        else:
            self.give_up(error)

    def _stop_waiting(self) -> None:
        if self._queued:
            self._route.pool.leave_line(self)
            self._queued = False
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        self._deadline = 0.0

    def _send(self, forward: Forward, *, fresh: bool = False) -> None:
        """Send *forward* on an idle connection, unless it has to be a *fresh* one."""
        self._credential = forward.credential
        pool = self._route.pool
        upstream = None if fresh else pool.lease(certain=not self._meaning.repeatable)
        if upstream is not None:
            self.attach(upstream, forward)
        elif pool.has_room:
            self._connect(forward)
        elif pool.stand_in_line(self):
            self._queued = True
            self._deadline = time.monotonic() + self._plane.limits.queue_seconds
        else:
            self.give_up(faults.overloaded("too many wait already", "queue"))

    def connection_free(self) -> None:
        """Take up the place that has become free, with the credential of this moment."""
        self._queued, self._deadline = False, 0.0
        decided = self._judge()
        if isinstance(decided, Forward):
            self._send_or_give_up(decided)
        elif isinstance(decided, Refuse):
            self._wait_or_give_up(decided.error)

    def _overdue(self) -> ProxyError:
        """Return what it means that a wait has come to its limit."""
        if self._queued:
            seconds = self._plane.limits.queue_seconds
            return faults.overloaded(f"none became free within {seconds:g} s", "queue_seconds")
        return self._route.credentials.shortage()

    def _connect(self, forward: Forward) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._connect_and_attach(forward))
        self._route.pool.connecting(self._connecting)

    async def _connect_and_attach(self, forward: Forward) -> None:
        try:
            upstream = await self._route.pool.connect()
        except ProxyError as error:
            self._connecting = None
            self.give_up(error)
            return
        self._connecting = None
        self.attach(upstream, forward)

    def _send_again(self) -> None:
        """Make ready to send the very same bytes of the body once more."""
        self._upstream = None
        self._pending = list(self._kept.pieces) if self._kept else []
        self.answer_seen = False
        self._downstream.gate.open(flow.PEER_IS_FULL)

    @property
    def waits_for_token(self) -> bool:
        """Tell whether it is parked until there is a credential."""
        return self._stop_listening is not None

    @property
    def moved_bytes(self) -> tuple[int, int]:
        """How many bytes of both bodies, the request's and the answer's, went through so far."""
        return self._request_bytes, self._response_bytes

    @property
    def _is_whole(self) -> bool:
        """Tell whether all that was sent of the request is still here."""
        return self._kept is None or self._kept.whole

    def _may_retry(self, upstream: "Upstream") -> bool:
        """Tell whether *upstream* closed an idle connection just when it was used again."""
        return (
            upstream.reused
            and self._meaning.repeatable
            and self._is_whole
            and not self.answer_seen
            and not self._retried
        )

    def _retry(self) -> None:
        """Send the request once more, on a connection of its own."""
        self._retried = True
        self._send_again()
        decided = self._judge()
        if isinstance(decided, Forward):
            self._send(decided, fresh=True)
        elif isinstance(decided, Refuse):
            self.give_up(decided.error)

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
        limit = self._route.rules.body_bytes
        if limit and self._request_bytes > limit and not self.tunnelling:
            self.fail(verdict.body_too_large(limit))
            return b""
        if self._meaning.received.framing == framing.CHUNKED:
            piece = framing.chunk(piece) if piece else b""
            if body.done:
                piece += framing.last_chunk(body.trailers)
        self.body_done = body.done
        if piece:
            self._pass_up(piece)
        return rest

    def _pass_up(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept.add(data)
        if self._pending is not None:
            self._pending.append(data)
            if not self._is_whole:
                self._downstream.gate.close(flow.NOT_YET_SENT)
        elif self._upstream is not None:
            self._upstream.write(data)

    def upstream_is_full(self) -> None:
        """Stop reading the client until the upstream has taken what was read."""
        self._downstream.gate.close(flow.PEER_IS_FULL)

    def upstream_drained(self) -> None:
        """Read the client again."""
        self._moved = True
        self._downstream.gate.open(flow.PEER_IS_FULL)
