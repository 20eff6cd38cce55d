"""
The composition root: the only place that knows everyone.

``run`` is the process, which ``withhold_memory`` closes to others before anything is read, and
``run_beside`` the same around a command; ``serving`` is a proxy inside a loop of somebody else's.
``app.online`` is a look at everything the proxy would need, imported for ``check`` alone.
"""

from proxy.app.beside import Terms, run_beside
from proxy.app.compose import StartError, exposures
from proxy.app.process import run, withhold_memory
from proxy.app.serving import Running, serving, serving_from_environment

__all__ = [
    "Running",
    "StartError",
    "Terms",
    "exposures",
    "run",
    "run_beside",
    "serving",
    "serving_from_environment",
    "withhold_memory",
]
