"""
When the same request may be sent again.

Rule 1: after no byte of an answer, and only if a second arrival can do no more than the first:
        the method is idempotent (RFC 9110 section 9.2.2), or nothing of the request left us.

Rule 2: only the very bytes that were sent. A body can be repeated while all of it is still kept.
"""

_IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))


def idempotent(method: bytes) -> bool:
    """Tell whether sending *method* twice intends no more than sending it once."""
    return method in _IDEMPOTENT


class Kept:
    """
    The body of a request in flight, as it goes out, kept for as long as it is small.

    *pieces* are what was sent so far, in the framing that the upstream sees. Once they exceed
    *limit* bytes they are let go, and ``whole`` is False for good.
    """

    __slots__ = ("_limit", "_size", "pieces", "whole")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self.pieces: list[bytes] = []
        self.whole = True

    def add(self, piece: bytes) -> None:
        """Keep *piece* too, or nothing any more if that is too much."""
        if not self.whole:
            return
        self._size += len(piece)
        self.pieces.append(piece)
        if self._size > self._limit:
            self.whole = False
            self.pieces = []
