"""``bearer-proxy completion``: a script by which a shell knows commands, flags and their values."""

from proxy.cli.arguments import UsageError, did_you_mean
from proxy.cli.streams import write

_USAGE = """\
usage: bearer-proxy completion bash|zsh|fish

Print a script that completes commands, flags and their values with the tab key.

  bash  source <(bearer-proxy completion bash)        in ~/.bashrc
  zsh   source <(bearer-proxy completion zsh)         in ~/.zshrc, behind compinit
  fish  bearer-proxy completion fish | source         in ~/.config/fish/config.fish
"""


def main(arguments: list[str]) -> int:
    """Print the script; return the exit code."""
    shell = arguments[0] if arguments else ""
    if shell in ("--help", "-h"):
        write(_USAGE)
        return 0
    from proxy.cli import shells

    if shell not in shells.SCRIPTS or len(arguments) > 1:
        raise UsageError(f"completion needs bash, zsh or fish{did_you_mean(shell, shells.SCRIPTS)}")
    write(shells.SCRIPTS[shell]())
    return 0
