"""``bearer-proxy exec``: a command with a proxy of its own, for as long as it runs."""

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from proxy.cli.arguments import UsageError
from proxy.cli.child import Child, CommandError
from proxy.cli.configuration import configured, options
from proxy.cli.imports import without_authorities
from proxy.cli.streams import write

_URL, _SOCKET = "BEARER_PROXY_URL", "BEARER_PROXY_SOCKET"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_SECONDS = 3600
_USAGE = f"""\
usage: bearer-proxy exec [--env NAME ...] [--unix-socket] [--timeout SECONDS]
                         [--config PATH] [--TABLE-KEY VALUE ...] -- COMMAND [ARGUMENT ...]

Run COMMAND beside a proxy of its own: on a free port of the loopback, with a token before the
command starts, and gone when it ends. The address is in the variable NAME, {_URL}
unless told otherwise; --env may be given several times.

  --unix-socket      listen at a Unix socket in a directory of this user alone; NAME is its path,
                     {_SOCKET} unless told otherwise
  --timeout SECONDS  how long to wait for the first token, 30 unless told otherwise; credentials
                     that the issuer rejects are not waited for

COMMAND gets no variable of the proxy's but the address, its standard streams as they are, and every
signal once. The proxy writes warnings to standard error; --log-level and --log-access tell more. It
has no status page unless --admin-address is given.

exit codes: the command's own, 128 + n if signal n ended it; 127 no such command, 126 it can't be
run; 1 no proxy or no token, 2 wrong usage, 78 invalid configuration
"""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code, or why it was not run."""
    ours, command = _divided(arguments)
    flags = options(
        ours,
        switches=frozenset({"--unix-socket"}),
        valued=frozenset({"--timeout"}),
        listed=frozenset({"--env"}),
    )
    if "--help" in flags:
        write(_USAGE)
        return 0
    if not command:
        raise UsageError('the command is missing: it stands behind "--"')
    if "--listen-address" in flags:
        raise UsageError("exec chooses the address itself; see --unix-socket and --env")
    variables = _variables(flags)
    seconds = _seconds(flags.get("--timeout", "30"))
    try:
        child = Child(command)
    except CommandError as error:
        sys.stderr.write(f"bearer-proxy: {error}\n")
        return error.code
    try:
        return _beside(child, flags, variables, seconds)
    finally:
        child.end()


def _beside(child: Child, flags: dict[str, str], variables: Sequence[str], seconds: float) -> int:
    with without_authorities():
        from proxy import app

    app.withhold_memory()
    terms = app.Terms(variables, seconds)
    address = {
        "--admin-address": "off",
        "--ops-address": "off",
        "--listen-address": "127.0.0.1:0",
        # The command's are all the children there are.
        "--process-workers": "0",
    }
    if "--unix-socket" not in flags:
        return configured(address | flags, lambda loaded: app.run_beside(loaded, child, terms))
    with tempfile.TemporaryDirectory(prefix="bearer-proxy-") as directory:
        address["--listen-address"] = f"unix:{Path(directory, 'proxy.sock')}"
        return configured(address | flags, lambda loaded: app.run_beside(loaded, child, terms))


def _divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what stands before the first ``--``, and what behind."""
    if "--" in arguments:
        at = arguments.index("--")
        return arguments[:at], arguments[at + 1 :]
    if arguments and not arguments[0].startswith("-"):
        raise UsageError('write "--" before the command')
    return arguments, []


def _variables(flags: dict[str, str]) -> Sequence[str]:
    usual = _SOCKET if "--unix-socket" in flags else _URL
    names = flags.get("--env", usual).split(",")
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError("--env needs the name of a variable")
    return names


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MOST_SECONDS:
        raise UsageError(f"--timeout needs a number of seconds up to {_MOST_SECONDS}")
    return seconds
