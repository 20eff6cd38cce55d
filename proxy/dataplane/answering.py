"""
The half of an exchange that comes back: the answer's head, its body, and what is told of the whole.

    answer ──▶ finished
      │ 401 to our credential: hold the answer, if the request can be sent again,
      ▼ and send it with another credential
    replay
"""

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from proxy.dataplane import flow
from proxy.dataplane.sending import Sending
from proxy.errors import ProxyError
from proxy.policy import answer, framing, headers, mask
from proxy.policy.answer import Answered
from proxy.policy.credential import Credential
from proxy.policy.mask import Mask
from proxy.policy.verdict import Forward, Refuse

if TYPE_CHECKING:
    from proxy.dataplane.upstream import Upstream
    from proxy.policy.trace import Trace


class _Held(NamedTuple):
    """A 401 kept back, and the connection that waits to go on with it."""

    upstream: "Upstream"
    answered: Answered
    credential: Credential


class Answering(Sending):
    """What ``Upstream`` feeds with the answer; ``exchange.Exchange`` is this and all other ends."""

    _held: _Held | None = None
    _replayed = False
    _mask: Mask | None = None
    _keep_alive = False
    _rechunk = False
    _status = 0  # 0 until its head has been sent
    _first_byte: float | None = None

    @property
    def offers_upgrade(self) -> bool:
        """Tell whether the client asked for another protocol, so that a 101 makes sense."""
        return self._meaning.received.upgrade

    @property
    def to_head(self) -> bool:
        """Tell whether the request is a HEAD, whose answer has no body whatever it says."""
        return self._meaning.to_head

    # The answer.

    def interim(self, answered: Answered) -> None:
        """Pass on a 1xx answer; HTTP/1.0 has none."""
        self._moved = True
        if self._meaning.received.minor:
            self._downstream.write(self._head(answered, 0))

    def answer_begins(self, answered: Answered) -> bytes | None:
        """Return the head for the client, or None: keep the answer back until ``resume``."""
        if answered.status == 401 and self._replay_instead(answered):
            return None
        if self._held is not None:
            self._plane.replays["refused" if answered.status == 401 else "ok"] += 1
            self._held.upstream.abort()
            self._held = None
        return self._begin_answer(answered)

    def _begin_answer(self, answered: Answered) -> bytes:
        meaning = self._meaning
        received = meaning.received
        self._status = answered.status
        self._first_byte = time.monotonic() - self._started
        body = 0 if meaning.to_head else answered.framing
        self._keep_alive = received.keep_alive and self._downstream.may_go_on
        if not self.body_done and answered.status >= 300:
            self._keep_alive = False  # an early refusal: the rest of the body will not be read
        if body < 0:
            self._rechunk = bool(received.minor)
            self._keep_alive = self._keep_alive and self._rechunk
        if self._hides_token and answered.status != 101 and not answered.encoded:
            self._mask = Mask(self._token)
        return self._head(answered, body)

    def _head(self, answered: Answered, body: int) -> bytes:
        head = answer.pass_on(
            answered,
            body,
            headers.request_id_line(self._request_id),
            self._keep_alive,
            self._meaning.received,
            self._route.rules.base,
        )
        return mask.hidden(head, self._token) if self._hides_token else head

    @property
    def _hides_token(self) -> bool:
        return self._route.rules.mask_token and len(self._token) >= mask.SHORTEST

    @property
    def _token(self) -> bytes:
        """The one that the request was sent with."""
        assert self._credential is not None
        return self._credential.token.encode("ascii")

    def answer_at_once(self, answered: Answered, piece: bytes) -> bool:
        """
        Pass on the whole answer, whose body is *piece*; its connection is free again.

        The same as ``answer_begins`` and ``answer_ends``, for what most answers are. False, and
        nothing done, where this one is not.
        """
        downstream, plane, meaning = self._downstream, self._plane, self._meaning
        if not (meaning.plain and self.body_done and self._held is None and downstream.may_go_on):
            return False
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        upstream.exchange = None
        request_id, sent = self._request_id, self._sent
        downstream.write(
            b"".join((answered.start, b"X-Request-Id: ", request_id, b"\r\n\r\n", piece))
        )
        now, started = time.monotonic(), self._started
        duration = now - started
        if upstream.gate.reasons:
            upstream.gate.open(flow.PEER_IS_FULL)
        self._route.pool.release(upstream, now)
        plane.journal.record(
            time.time(),
            meaning.method,
            meaning.target,
            answered.status,
            "upstream",
            duration,
            duration,
            self._request_bytes,
            len(piece),
            request_id,
            "",
            downstream.peer,
            None if sent is None else sent - started,
            "",
        )
        downstream.exchange_ended(now, keep_alive=True, linger=False)
        return True

    def retract(self) -> None:
        """Take back a head that was returned but not passed on yet: what follows it is broken."""
        self._status = 0

    def answer_goes_on(self, head: bytes, piece: bytes) -> None:
        """Pass on a *piece* of the body, behind the *head* if it came with it."""
        self._moved = True
        if self._mask is not None:
            piece = self._mask.feed(piece)
        if data := self._framed(head, piece):
            self._downstream.write(data)

    def _framed(self, head: bytes, piece: bytes) -> bytes:
        if not piece:
            return head
        self._response_bytes += len(piece)
        if self._rechunk:
            piece = framing.chunk(piece)
        return head + piece if head else piece

    def answer_ends(self, head: bytes, piece: bytes, trailers: bytes, reusable: bool) -> None:
        """
        Pass on the last *piece*, behind the *head* if it came with it, and the body's end.

        *reusable*: the upstream connection may serve another request.
        """
        if self._mask is not None:
            piece = self._mask.feed(piece) + self._mask.end()
            trailers = mask.hidden(trailers, self._token)
        data = self._framed(head, piece)
        if self._rechunk:
            data += framing.last_chunk(trailers)
        if data:
            self._downstream.write(data)
        now = time.monotonic()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and self.body_done:
                if upstream.gate.reasons:
                    upstream.gate.open(flow.PEER_IS_FULL)
                self._route.pool.release(upstream, now)
            else:
                upstream.abort()
        self._end(now, keep_alive=self._keep_alive and self.body_done)

    def client_is_full(self) -> None:
        """Stop reading the upstream until the client has taken what was read."""
        if self._upstream is not None:
            self._upstream.gate.close(flow.PEER_IS_FULL)

    def client_drained(self) -> None:
        """Read the upstream again."""
        self._moved = True
        if self._upstream is not None:
            self._upstream.gate.open(flow.PEER_IS_FULL)

    # A refused credential.

    def _replay_instead(self, answered: Answered) -> bool:
        """Report the 401; hold it back if the request can be sent again with another credential."""
        upstream, credential = self._upstream, self._credential
        assert upstream is not None
        assert credential is not None
        worthwhile = self._route.credentials.refused(credential)
        if not worthwhile or self._replayed or not self.body_done or not self._is_whole:
            return False
        self._held = _Held(upstream, answered, credential)
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
            self._send_or_give_up(decided)
        elif isinstance(decided, Refuse):
            self._wait_or_give_up(decided.error)

    def give_up(self, error: ProxyError) -> None:
        """Answer with the 401 that was held back, if there is one, else with *error*."""
        held, self._held = self._held, None
        if held is not None:
            self._plane.replays["failed"] += 1
        if held is None:
            self.fail(error)
            return
        self._stop_waiting()
        self._upstream, self._pending = held.upstream, None
        self._credential = held.credential
        self.answer_seen = True  # its head goes out now: nothing is sent again
        held.upstream.resume(self._begin_answer(held.answered))

    def was_refused(self, credential: Credential) -> bool:
        """Tell whether *credential* is the one that this very request was refused with."""
        return self._held is not None and credential == self._credential

    # The end.

    def _end(self, now: float, *, keep_alive: bool) -> None:
        self._record(self._status, "upstream", "", now)
        self._downstream.exchange_ended(now, keep_alive=keep_alive, linger=not self.body_done)

    def _record(
        self, status: int, side: str, code: str, now: float, detail: str = "", *place: "Trace"
    ) -> None:
        meaning = self._meaning
        self._plane.journal.record(
            time.time(),
            meaning.method,
            meaning.target,
            status,
            side,
            now - self._started,
            self._first_byte,
            self._request_bytes,
            self._response_bytes,
            self._request_id,
            code,
            self._downstream.peer,
            None if self._sent is None else self._sent - self._started,
            detail,
            *place,
        )
