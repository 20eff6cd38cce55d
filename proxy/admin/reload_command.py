"""``bearer-proxy reload``: has a running proxy read its configuration again."""

from proxy.admin import acting

_USAGE = """\
usage: bearer-proxy reload [--address HOST:PORT] [--timeout SECONDS] [--config PATH]

Have a running proxy read its configuration and secret again, as SIGHUP does, and say what changed.
For whoever may read its admin token. It is looked for as `bearer-proxy health` does.
Exit 0 if the configuration is in force, 1 if nothing changed because it can't be used, 2 for wrong
usage.
"""


def main(argv: list[str]) -> int:
    """Print what changed, or why nothing did; return the exit code."""
    return acting.main("reload", _USAGE, argv, timeout="30")
