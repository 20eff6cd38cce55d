"""Events that may come by the thousand, and are told of now and then."""

import time

import structlog

_log = structlog.get_logger()
_QUIET_SECONDS = 10.0


class Seldom:
    """A warning of *event*: logged at once, and then not before a while has passed."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._untold = 0
        self._quiet_until = 0.0

    def count(self, more: int, **fields: object) -> None:
        """Have it happened *more* times since the last call; log how often since the last line."""
        self._untold += more
        now = time.monotonic()
        if self._untold and now >= self._quiet_until:
            _log.warning(self._event, times=self._untold, **fields)
            self._untold, self._quiet_until = 0, now + _QUIET_SECONDS
