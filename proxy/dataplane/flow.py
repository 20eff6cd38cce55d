"""Back-pressure: one side is not read from while anyone has a reason to wait."""

from asyncio import ReadTransport
from enum import IntFlag
from typing import cast


class Reason(IntFlag):
    """Why a connection is not read from at the moment."""

    PEER_IS_FULL = 1  # what was read before has not been taken by the other side
    NOT_YET_SENT = 2  # there is no upstream connection to take it
    AHEAD = 4  # a client pipelines faster than it is answered
    HELD = 8  # an answer is kept back while the request is replayed


class Gate:
    """The reading half of one transport; it is open when no reason is left to keep it closed."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: object) -> None:
        self._transport = cast(ReadTransport, transport)
        self._reasons = 0

    @property
    def is_open(self) -> bool:
        """Tell whether bytes can arrive."""
        return not self._reasons

    def close(self, reason: Reason) -> None:
        """Stop reading, for *reason* too."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons |= reason

    def open(self, reason: Reason) -> None:
        """Take *reason* back; reading goes on if it was the last."""
        if self._reasons:
            self._reasons &= ~reason
            if not self._reasons and not self._transport.is_closing():
                self._transport.resume_reading()
