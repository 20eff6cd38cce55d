"""``bearer-proxy check``: what would run, without running it."""

import sys
from collections.abc import Iterable

from proxy.cli.configuration import configured, options
from proxy.cli.streams import write
from proxy.settings import Loaded
from proxy.settings.report import printable

_USAGE = """\
usage: bearer-proxy check [--online] [--config PATH] [--TABLE-KEY VALUE ...]

Say what `bearer-proxy run` would do with the same flags and variables. With --online, also ask
the issuer for a token, which is dropped, and connect to the upstream.

exit codes: 0 all is well, 78 invalid configuration; --online: 3 credentials rejected,
4 issuer or upstream unreachable, 1 any other failure
"""


def main(arguments: list[str]) -> int:
    """Print the summary, and with ``--online`` a line for each step; return the exit code."""
    flags = options(arguments, switches=frozenset({"--online"}))
    if "--help" in flags:
        write(_USAGE)
        return 0
    return configured(flags, _online if "--online" in flags else _offline)


def _offline(loaded: Loaded) -> int:
    from proxy.app import online

    if problem := online.start_problem(loaded):
        sys.stderr.write(f"bearer-proxy: {problem}\n")
        return 1
    write(summary(loaded))
    return 0


def _online(loaded: Loaded) -> int:
    from proxy.app import online

    write(summary(loaded))
    return online.check_online(loaded, write)


def summary(loaded: Loaded) -> str:
    """Return what would run, a line each, and then the warnings."""
    from proxy import app

    rows = list(_rows(loaded))
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {printable(said)}\n" for name, said in rows]
    warnings = [
        f"warning: {printable(each)}\n"
        for each in (*loaded.warnings, *app.exposures(loaded.settings))
    ]
    return "".join(["bearer-proxy: the configuration is valid\n", *lines, *warnings])


def _rows(loaded: Loaded) -> Iterable[tuple[str, str]]:
    settings, token = loaded.settings, loaded.settings.token
    yield "configuration", loaded.path or "environment and defaults"
    yield "listens on", ", ".join(str(each) for each in settings.listen.address)
    yield "upstream", settings.upstream.url
    yield "issuer", f"{token.url} (profile {token.profile})"
    yield "client", token.client_id
    yield "secret", loaded.secret.description
    yield "status page", str(settings.admin.address or "off")
    yield "probes apart", str(settings.ops.address or "off")
