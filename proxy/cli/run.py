"""``bearer-proxy run``: forward requests until a signal ends it."""

from proxy.cli.configuration import configured, options
from proxy.cli.streams import write

_USAGE = """\
usage: bearer-proxy [run] [--config PATH] [--TABLE-KEY VALUE ...]

Forward requests until SIGTERM or SIGINT, which drains: what is in flight may end. A second
signal ends at once. SIGHUP reads configuration and secret again.
"""


def main(arguments: list[str]) -> int:
    """Run the proxy; return its exit code."""
    flags = options(arguments)
    if "--help" in flags:
        write(_USAGE)
        return 0
    from proxy import app

    app.withhold_memory()
    return configured(flags, app.run)
