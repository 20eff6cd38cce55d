"""``bearer-proxy demo``: the whole thing in one process, without an account anywhere."""

from proxy.cli.arguments import parse
from proxy.cli.streams import write

_USAGE = """\
usage: bearer-proxy demo [--check]

Start an embedded API with an issuer of its own and the proxy in front of it, and print what to
try. With --check, try it, print a line for each step, and exit 1 if one fails.
"""


def main(arguments: list[str]) -> int:
    """Run the demo or its checks; return the exit code."""
    flags = parse(arguments, switches=frozenset({"--check"}))
    if "--help" in flags:
        write(_USAGE)
        return 0
    from proxy import app
    from proxy.demo import command

    return command.run("--check" in flags, serve=app.serving_from_environment)
