"""Which commands there are, and how the one that was meant is found."""

import importlib

from proxy import __version__
from proxy.cli.arguments import UsageError, did_you_mean
from proxy.cli.streams import write

# One more command is one more line: its name, its module, and what `--help` says of it.
# In the order in which a newcomer meets them.
COMMANDS = {
    "run": ("proxy.cli.run", "forward requests; what is done without a command"),
    "check": ("proxy.cli.check", "say what `run` would do; with --online, try all that it needs"),
    "init": ("proxy.cli.init", "write a configuration to begin with, by asking three questions"),
    "exec": ("proxy.cli.exec", "run a command beside a proxy of its own, and pass its code on"),
    "demo": ("proxy.cli.demo", "the proxy in front of an embedded API; with --check, test it"),
    "config": ("proxy.cli.config", "`config show`: what is in force; `config schema`: what may be"),
    "status": ("proxy.admin.status_command", "what a running proxy does; --url: its status page"),
    "health": ("proxy.admin.health", "ask a running proxy how it is"),
    "wait": ("proxy.admin.wait_command", "wait until a proxy that is being started is ready"),
    "reload": ("proxy.admin.reload_command", "have a running proxy read its configuration again"),
    "quit": ("proxy.admin.quit_command", "have a running proxy drain and end"),
    "completion": (
        "proxy.cli.completion",
        "what makes the tab key of bash, zsh or fish know these",
    ),
}

_HELP = """\
usage: bearer-proxy [COMMAND] [FLAG ...]

A local reverse proxy that adds a fresh bearer token to every request.

commands:
{commands}
flags of run, check, exec and config show:
  --config PATH      the configuration, a TOML file; else $BEARER_PROXY_CONFIG, else none
  --TABLE-KEY VALUE  any key of it, such as --listen-address 127.0.0.1:8080
                     (not the secret: other users can read a command line)

  --help, --version; `bearer-proxy COMMAND --help` says more

Every key is a variable too: BEARER_PROXY_TABLE_KEY. A flag outranks a variable, and a variable
the file. Two suffice to begin with: BEARER_PROXY_TOKEN_CLIENT_ID and
BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE.

exit codes: 0 stopped as asked, 1 failure, 2 wrong usage, 78 invalid configuration;
check --online, wait: 3 credentials rejected; check --online: 4 issuer or upstream unreachable
"""


def run(arguments: list[str]) -> int:
    """Run the command that *arguments* begin with, ``run`` if with none; return its exit code."""
    first = arguments[0] if arguments else "run"
    if first in ("--help", "-h", "help"):
        write(usage())
        return 0
    if first in ("--version", "-V"):
        write(f"bearer-proxy {__version__}\n")
        return 0
    if first.startswith(("--ver", "--hel")):
        raise UsageError(f"unknown flag {first}{did_you_mean(first, ('--help', '--version'))}")
    if first.startswith("-"):
        return _main_of("run", arguments)
    if first not in COMMANDS:
        raise UsageError(f'unknown command "{first}"{_meant(first)}')
    return _main_of(first, arguments[1:])


def usage() -> str:
    """Return what ``--help`` prints."""
    lines = [f"  {name:<12}{summary}\n" for name, (_, summary) in COMMANDS.items()]
    return _HELP.format(commands="".join(lines))


def _main_of(name: str, arguments: list[str]) -> int:
    module, _ = COMMANDS[name]
    code: int = importlib.import_module(module).main(arguments)
    return code


def _meant(word: str) -> str:
    if word.endswith(".toml"):
        return f"; for a configuration write --config {word}"
    return did_you_mean(word, COMMANDS)
