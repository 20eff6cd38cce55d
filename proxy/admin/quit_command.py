"""``bearer-proxy quit``: ends a proxy when the work that it was started for is done."""

from proxy.admin import acting

_USAGE = """\
usage: bearer-proxy quit [--address HOST:PORT] [--timeout SECONDS] [--config PATH]

Have a running proxy drain and end, with exit code 0. For whoever may read its admin token: the same
user, or a container that shares the token's directory (BEARER_PROXY_ADMIN_TOKEN_FILE for both). It
is looked for as `bearer-proxy health` does. Exit 0 if it said yes, 1 if not, 2 for wrong usage.
"""


def main(argv: list[str]) -> int:
    """Print what was done, or why not; return the exit code."""
    return acting.main("quit", _USAGE, argv, timeout="2")
