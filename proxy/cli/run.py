"""``bearer-proxy run``: forward requests until a signal ends it."""

import gc

from proxy.cli.arguments import UsageError
from proxy.cli.configuration import configured, options
from proxy.cli.imports import without_authorities
from proxy.cli.streams import write

_USAGE = """\
usage: bearer-proxy [run] [--workers N] [--config PATH] [--TABLE-KEY VALUE ...]

Forward requests until SIGTERM or SIGINT, which drains: what is in flight may end. A second
signal ends at once.

  --workers N   processes that serve clients, or "auto" for one per core; the client secret stays
                with another one. 0, the default: one process does everything

SIGHUP, or POST /-/reload to the admin listener, reads the file and the secret again, under the
flags and variables of the start. What can't be used changes nothing; what needs a restart is named.
"""


def main(arguments: list[str]) -> int:
    """Run the proxy; return its exit code."""
    flags = options(arguments, valued=frozenset({"--workers"}))
    if "--workers" in flags:
        if "--process-workers" in flags:
            raise UsageError("--workers and --process-workers are the same")
        flags["--process-workers"] = flags.pop("--workers")
    if "--help" in flags:
        write(_USAGE)
        return 0
    # Imports make a hundred thousand objects that stay; ``app.run`` switches it on again.
    gc.disable()
    try:
        with without_authorities():
            from proxy import app

        app.withhold_memory()
        return configured(flags, app.run)
    finally:
        gc.enable()
