"""
Which words may stand behind each command, for completion.

A flag's value is described by a string: `SWITCH` (it takes none), `ANY`, `FILE`, or the words that
it may be. A test holds the table against the commands and what they say of themselves.
"""

from dataclasses import dataclass, field

from proxy.cli.keys import KEY_FLAGS

SWITCH, ANY, FILE = "-", "", "FILE"

_CONFIG = {"--config": FILE}
_KEYS = _CONFIG | KEY_FLAGS
_ASKING = {"--address": ANY, "--timeout": ANY} | _CONFIG


@dataclass(frozen=True, slots=True)
class Words:
    """
    *first* are those of which one comes next; *flags* maps each flag to its value.

    *file*: a file's name may come next. *command*: behind ``--`` stands a command of its own.
    """

    flags: dict[str, str] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    file: bool = False
    command: bool = False


WORDS = {
    "run": Words({"--workers": ANY} | _KEYS),
    "check": Words({"--online": SWITCH} | _KEYS),
    "init": Words(
        {
            "--token-profile": KEY_FLAGS["--token-profile"],
            "--upstream-url": ANY,
            "--token-url": ANY,
            "--token-client-id": ANY,
            "--token-client-secret-file": FILE,
        },
        file=True,
    ),
    "exec": Words(
        {"--env": ANY, "--unix-socket": SWITCH, "--timeout": ANY} | _KEYS,
        command=True,
    ),
    "demo": Words({"--check": SWITCH}),
    "config": Words({"--json": SWITCH} | _KEYS, first=("show", "schema")),
    "status": Words({"--json": SWITCH, "--url": SWITCH} | _ASKING),
    "health": Words({"--live": SWITCH, "--ready": SWITCH, "--startup": SWITCH} | _ASKING),
    "wait": Words(_ASKING),
    "reload": Words(_ASKING),
    "quit": Words(_ASKING),
    "completion": Words(first=("bash", "zsh", "fish")),
}
