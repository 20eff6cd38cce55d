"""``bearer-proxy config``: what the configuration is, and what it could be."""

from proxy.cli.arguments import UsageError, did_you_mean, parse
from proxy.cli.streams import write

_USAGE = """\
usage: bearer-proxy config show [--json] [--config PATH] [--TABLE-KEY VALUE ...]
       bearer-proxy config schema

show: every key, its value in force and where that came from; of the secret, only place and length.
An invalid configuration is shown as well, and then what is wrong with it (exit code 78).
schema: the JSON Schema of the file, for editors and for tests of your own.
"""


def main(arguments: list[str]) -> int:
    """Print what was asked for; return the exit code."""
    what = arguments[0] if arguments else ""
    if what in ("--help", "-h"):
        write(_USAGE)
        return 0
    if what == "show":
        return _show(arguments[1:])
    if what == "schema":
        return _schema(arguments[1:])
    raise UsageError(f"config needs show or schema{did_you_mean(what, ('show', 'schema'))}")


def _show(arguments: list[str]) -> int:
    from proxy.cli.configuration import configured, options
    from proxy.settings import Loaded, SettingsError, show

    flags = options(arguments, switches=frozenset({"--json"}))
    if "--help" in flags:
        write(_USAGE)
        return 0

    listing = show.as_json if "--json" in flags else show.table

    def usable(loaded: Loaded) -> int:
        write(listing(show.rows(loaded)))
        return 0

    def unusable(error: SettingsError) -> None:
        write(listing(error.rows))

    return configured(flags, usable, otherwise=unusable)


def _schema(arguments: list[str]) -> int:
    if parse(arguments):
        write(_USAGE)
        return 0
    from proxy.settings import reference

    write(reference.schema())
    return 0
