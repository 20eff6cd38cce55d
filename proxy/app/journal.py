"""Where the data plane tells what is over: one call for each request, all listeners in it."""

from typing import Any

from proxy.log import AccessLog
from proxy.metrics import Counts, Recent


class Journal:
    """Tells *counts*, *recent* and *access_log*, in a form that costs least: the facts unopened."""

    def __init__(self, counts: Counts, recent: Recent, access_log: AccessLog) -> None:
        self._count = counts.record
        self._remember = recent.record
        self._log = access_log.record

    def record(self, *facts: Any) -> None:
        """Note a request that is over; the facts are those of ``dataplane.plane.Journal``."""
        self._count(*facts)
        self._remember(*facts)
        self._log(*facts)
