"""
What is counted, and how it is told.

``Counts`` takes each request as it ends, ``Traffic`` remembers the last minutes, ``Recent`` the
last requests; ``Exposition`` writes all of it for Prometheus.
"""

from proxy.metrics.counts import Counts
from proxy.metrics.exposition import Exposition
from proxy.metrics.readings import Readings, TokenReading
from proxy.metrics.recent import Finished, Recent
from proxy.metrics.traffic import Tick, Traffic

__all__ = [
    "Counts",
    "Exposition",
    "Finished",
    "Readings",
    "Recent",
    "Tick",
    "TokenReading",
    "Traffic",
]
