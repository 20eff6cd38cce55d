"""Back-pressure: one side is not read from while anyone has a reason to wait."""

from asyncio import ReadTransport
from typing import cast

# Why a connection is not read from at the moment. Plain bits: an IntFlag's arithmetic costs more
# than all else that a request does with them.
PEER_IS_FULL = 1  # what was read before has not been taken by the other side
NOT_YET_SENT = 2  # there is no upstream connection to take it
AHEAD = 4  # a client pipelines faster than it is answered
HELD = 8  # an answer is kept back while the request is replayed
ANY = 15


class Gate:
    """
    The reading half of one transport; it is open when no reason is left to keep it closed.

    ``reasons`` are those of the moment, 0 when bytes can arrive.
    """

    __slots__ = ("_transport", "reasons")

    def __init__(self, transport: object) -> None:
        self._transport = cast(ReadTransport, transport)
        self.reasons = 0

    def close(self, reason: int) -> None:
        """Stop reading, for *reason* too."""
        if not self.reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self.reasons |= reason

    def open(self, reason: int) -> None:
        """Take *reason* back; reading goes on if it was the last."""
        if self.reasons:
            self.reasons &= ~reason
            if not self.reasons and not self._transport.is_closing():
                self._transport.resume_reading()
