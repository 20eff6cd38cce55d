"""
The composition root: the only place that knows everyone.

``run`` is the process, which ``withhold_memory`` closes to others before anything is read, and
``run_beside`` the same around a command; ``serving`` is a proxy inside a loop of somebody else's,
``check_online`` a look at everything the proxy would need.
"""

from proxy.app.beside import Terms, run_beside
from proxy.app.compose import StartError, exposures
from proxy.app.online import check_online, start_problem
from proxy.app.process import run, withhold_memory
from proxy.app.serving import Running, serving, serving_from_environment

__all__ = [
    "Running",
    "StartError",
    "Terms",
    "check_online",
    "exposures",
    "run",
    "run_beside",
    "serving",
    "serving_from_environment",
    "start_problem",
    "withhold_memory",
]
