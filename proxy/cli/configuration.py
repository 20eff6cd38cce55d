"""What ``run``, ``check`` and ``config show`` share: flags that name keys, and the report of 78."""

import os
import sys
from collections.abc import Callable

from proxy.cli.arguments import UsageError, parse
from proxy.settings import Loaded, SettingsError, load
from proxy.settings.names import HIDDEN, KEYS

INVALID = 78

# The values of the keys without one may be secrets.
FLAGS = {key.flag: key.path for key in KEYS.values() if key.path not in HIDDEN}
_SECRETS = {KEYS[path].flag: KEYS[path].variable for path in sorted(HIDDEN)}


def options(arguments: list[str], *, switches: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the flags of *arguments*: ``--config``, one for each key, and *switches*."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if name in _SECRETS:
            raise UsageError(
                f"there is no {name}: every user of the machine can read a command line;"
                f" set {_SECRETS[name]}"
            )
    return parse(
        arguments, switches=switches | {"--help", "-h"}, valued=frozenset({"--config", *FLAGS})
    )


def configured(flags: dict[str, str], use: Callable[[Loaded], int]) -> int:
    """Return what *use* makes of the configuration; 78, with a report, if there is none to use."""
    keys = {FLAGS[name]: value for name, value in flags.items() if name in FLAGS}
    try:
        loaded = load(keys, os.environ, flags.get("--config"))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return INVALID
    return use(loaded)
