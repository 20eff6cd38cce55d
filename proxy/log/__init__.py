"""
What the process says: structlog everywhere, one line for each event.

Code that has something to say calls ``structlog.get_logger()``; nothing here is needed for that.
The composition root calls `configure` once, hands what it returns to an `AccessLog`, and whoever
reads a secret calls `protect` before anybody can log it.

Rule 1: a secret is kept out of the log by the code that knows it. Redaction here is the last
        defence, not the plan.

Rule 2: a traceback shows types and lines, never values: no locals, and no exception's text, which
        quotes whatever it choked on.

Rule 3: logging never raises. A full disk or a closed pipe costs lines, not traffic.
"""

from proxy.log.access import AccessLog, Policy
from proxy.log.output import Format, Output, configure
from proxy.log.secrets import protect

__all__ = ["AccessLog", "Format", "Output", "Policy", "configure", "protect"]
