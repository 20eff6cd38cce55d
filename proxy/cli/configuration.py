"""What ``run``, ``check`` and ``config show`` share: flags that name keys, and the report of 78."""

import os
import sys
from collections.abc import Callable

from proxy.cli.arguments import UsageError, parse
from proxy.settings import Loaded, SettingsError, load
from proxy.settings.names import HIDDEN, KEYS

INVALID = 78

# Those without one have values that may be secret.
FLAGS = {key.flag: key.path for key in KEYS.values() if key.path not in HIDDEN}
_INSTEAD = {
    "token.client_secret": KEYS["token.client_secret_file"].variable + "=/path/to/file",
    "token.extra": "[token] extra in the file, or " + KEYS["token.extra"].variable,
    "token.headers": "[token] headers in the file, or " + KEYS["token.headers"].variable,
}


def options(
    arguments: list[str],
    *,
    switches: frozenset[str] = frozenset(),
    valued: frozenset[str] = frozenset(),
    listed: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the flags of *arguments*: ``--config``, one for each key, and those that are named."""
    given = {argument.partition("=")[0] for argument in arguments}
    for path, instead in _INSTEAD.items():
        if (name := KEYS[path].flag) in given:
            raise UsageError(f"no flag {name}: other users can read a command line; set {instead}")
    known = frozenset({"--config", *FLAGS}) | valued
    return parse(arguments, switches=switches, valued=known, listed=listed)


def configured(
    flags: dict[str, str],
    use: Callable[[Loaded], int],
    *,
    otherwise: Callable[[SettingsError], object] = lambda _: None,
) -> int:
    """
    Return what *use* makes of the configuration.

    78, with a report, if there is none to use; *otherwise* is told before that.
    """
    keys = {FLAGS[name]: value for name, value in flags.items() if name in FLAGS}
    try:
        loaded = load(keys, os.environ, flags.get("--config"))
    except SettingsError as error:
        otherwise(error)
        sys.stderr.write(f"{error}\n")
        return INVALID
    return use(loaded)
