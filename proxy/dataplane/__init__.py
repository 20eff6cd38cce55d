"""Moving bytes: sockets, connections and bodies. What may pass is policy's to say."""

from proxy.dataplane.exchange import Exchange
from proxy.dataplane.listener import Listener
from proxy.dataplane.plane import Limits, Plane, Route
from proxy.dataplane.pool import Destination, Pool
from proxy.dataplane.sockets import Address
from proxy.dataplane.traced import Tracer, traced_by

__all__ = [
    "Address",
    "Destination",
    "Exchange",
    "Limits",
    "Listener",
    "Plane",
    "Pool",
    "Route",
    "Tracer",
    "traced_by",
]
