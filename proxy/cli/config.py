"""``bearer-proxy config``: what the configuration is, and what it could be."""

import sys

from proxy.cli.arguments import UsageError, did_you_mean, parse

_USAGE = """\
usage: bearer-proxy config show [--json] [--config PATH] [--TABLE-KEY VALUE ...]
       bearer-proxy config schema

show: every key, its value in force and where that came from; of the secret, only place and length.
schema: the JSON Schema of the file, for editors and for tests of your own.
"""


def main(arguments: list[str]) -> int:
    """Print what was asked for; return the exit code."""
    what, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if what in ("--help", "-h"):
        sys.stdout.write(_USAGE)
        return 0
    if what == "show":
        return _show(rest)
    if what == "schema":
        return _schema(rest)
    raise UsageError(f"config needs show or schema{did_you_mean(what, ('show', 'schema'))}")


def _show(arguments: list[str]) -> int:
    from proxy.cli.configuration import configured, options
    from proxy.settings import Loaded, show

    def shown(loaded: Loaded) -> int:
        sys.stdout.write(show.as_json(loaded) if "--json" in flags else show.table(loaded))
        return 0

    flags = options(arguments, switches=frozenset({"--json"}))
    if "--help" in flags or "-h" in flags:
        sys.stdout.write(_USAGE)
        return 0
    return configured(flags, shown)


def _schema(arguments: list[str]) -> int:
    flags = parse(arguments, switches=frozenset({"--help", "-h"}), valued=frozenset())
    if flags:
        sys.stdout.write(_USAGE)
        return 0
    from proxy.settings import reference

    sys.stdout.write(reference.schema())
    return 0
