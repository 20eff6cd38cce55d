"""
Completion scripts, one for each shell, all from the same tables.

They call nothing of ours: pressing the tab key starts no Python.
"""

from collections.abc import Iterator

from proxy.cli.commands import COMMANDS
from proxy.cli.words import ANY, FILE, SWITCH, WORDS, Words

_ALWAYS = ("--help",)

_BASH = """\
# bash completion for bearer-proxy
_bearer_proxy() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[1]}} words= files= i IFS=$' \\t\\n'
    COMPREPLY=()
    # "--flag=value" comes as three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [[ $command == @({commanding}) && ${{COMP_WORDS[i]}} == -- ]]; then
            if declare -F _command_offset >/dev/null; then
                _command_offset $((i + 1))
            else
                IFS=$'\\n'
                COMPREPLY=($(compgen -"$([[ $COMP_CWORD == $((i + 1)) ]] && echo c || echo f)" \\
                    -- "$current"))
            fi
            return
        fi
    done
    [[ $command == -* ]] && command=run
    case $previous in
{values}
    *)
        if ((COMP_CWORD == 1)); then
            words="{commands}"
            [[ $current == -* ]] && words="{bare}"
        else
            case $command in
{flags}
            esac
        fi
        ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ $files ]]; then
        IFS=$'\\n'
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -f -- "$current"))
    fi
}}
complete -F _bearer_proxy bearer-proxy
"""

_ZSH = """\
#compdef bearer-proxy
# zsh completion for bearer-proxy
_bearer_proxy() {{
    local command=$words[2]
    if (( CURRENT == 2 )) && [[ $command != -* ]]; then
        local -a commands=(
{commands}
        )
        _describe command commands
        return
    fi
    if [[ $command == -* ]]; then
        command=run
    else
        shift words
        (( CURRENT-- ))
    fi
    case $command in
{flags}
    esac
}}
if [[ $funcstack[1] == _bearer_proxy ]]; then
    _bearer_proxy "$@"
else
    compdef _bearer_proxy bearer-proxy
fi
"""

_FISH = """\
# fish completion for bearer-proxy
function __bearer_proxy_command -d "complete the command behind --"
    set -l words (commandline -opc)
    set -e words[1..(contains -i -- -- $words)]
    complete -C (string join ' ' -- (string escape -- $words) (commandline -ct))
end"""


def bash() -> str:
    """Return the script for bash, 3.2 and later."""
    return _BASH.format(
        commanding="|".join(name for name, words in WORDS.items() if words.command),
        values="\n".join(_bash_values()),
        commands=" ".join(COMMANDS),
        bare=" ".join([*WORDS["run"].flags, *_ALWAYS, "--version"]),
        flags="\n".join(_bash_flags(name, words) for name, words in WORDS.items()),
    )


def _bash_values() -> Iterator[str]:
    """Yield a case for each kind of value, with all flags that take it."""
    by_value: dict[str, set[str]] = {}
    for words in WORDS.values():
        for flag, value in words.flags.items():
            by_value.setdefault(value, set()).add(flag)
    for value, flags in sorted(by_value.items()):
        if value == SWITCH:
            continue
        does = ":" if value == ANY else "files=1" if value == FILE else f'words="{value}"'
        yield f"    {' | '.join(sorted(flags))}) {does} ;;"


def _bash_flags(name: str, words: Words) -> str:
    flags = [*words.flags, *_ALWAYS, *(["--"] if words.command else [])]
    does = f'words="{" ".join(flags)}"'
    if words.first:
        does = f'((COMP_CWORD == 2)) && words="{" ".join(words.first)}" || {does}'
    return f"            {name}) {does}{'; files=1' if words.file else ''} ;;"


def zsh() -> str:
    """Return the script for zsh: to be sourced, or a file of its ``fpath``."""
    summaries = (f"{name}:{summary}" for name, (_, summary) in COMMANDS.items())
    return _ZSH.format(
        commands="\n".join(f"            {_quoted(each)}" for each in summaries),
        flags="\n".join(_zsh_flags(name, words) for name, words in WORDS.items()),
    )


def _zsh_flags(name: str, words: Words) -> str:
    specs = [_zsh_flag(*each) for each in words.flags.items()] + ["--help"]
    if words.first:
        specs.append(f"1:word:({' '.join(words.first)})")
    if words.file:
        specs.append("1:file:_files")
    if words.command:
        specs.append("*:::command:_normal")
    listed = " \\\n            ".join(map(_quoted, specs))
    return f"    {name})\n        _arguments -s \\\n            {listed}\n        ;;"


def _zsh_flag(flag: str, value: str) -> str:
    if value == SWITCH:
        return flag
    many = "*" if flag == "--env" else ""
    action = " " if value == ANY else "_files" if value == FILE else f"({value})"
    return f"{many}{flag}=:value:{action}"


def fish() -> str:
    """Return the script for fish."""
    lines = [_FISH, "complete -c bearer-proxy -f"]
    lines += [
        f"complete -c bearer-proxy -n __fish_use_subcommand -a {name} -d {_fish_quoted(summary)}"
        for name, (_, summary) in COMMANDS.items()
    ]
    lines.append("complete -c bearer-proxy -l help")
    lines.append("complete -c bearer-proxy -n __fish_use_subcommand -l version")
    for name, words in WORDS.items():
        lines += _fish_flags(name, words)
    return "\n".join(lines) + "\n"


def _fish_flags(name: str, words: Words) -> Iterator[str]:
    when = f"__fish_seen_subcommand_from {name}"
    if words.command:
        behind = "contains -- -- (commandline -opc)"
        yield f"complete -c bearer-proxy -n '{when}; and {behind}' -x -a '(__bearer_proxy_command)'"
        when += f"; and not {behind}"
    start = f"complete -c bearer-proxy -n '{when}'"
    if words.first:
        yield f"{start} -a '{' '.join(words.first)}'"
    if words.file:
        yield f"{start} -F"
    for flag, value in words.flags.items():
        takes = {SWITCH: "", ANY: " -x", FILE: " -r -F"}.get(value, f" -x -a '{value}'")
        yield f"{start} -l {flag[2:]}{takes}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}
