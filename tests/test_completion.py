"""``bearer-proxy completion``: the tab key, in the shells themselves."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from proxy import cli
from proxy.cli.commands import COMMANDS
from proxy.cli.configuration import FLAGS
from proxy.cli.keys import KEY_FLAGS
from proxy.cli.words import ANY, FILE, SWITCH, WORDS
from proxy.settings.names import KEYS, Key
from tests.programs import needs

ROOT = Path(__file__).parent.parent
MODULE = ROOT / "proxy" / "cli" / "keys.py"
_SOURCE = '''"""
The flags that stand for keys, and what each may be set to, without what it takes to know a key.

Written by ``python -m tests.test_readme`` from the model, and held against it by a test: the tab
key has no time to import one.
"""

KEY_FLAGS = {{
{flags}
}}
'''


def keys_module() -> str:
    """Return the text of ``proxy/cli/keys.py`` as it should be."""
    lines = (f'    "{name}": "{value_of(KEYS[path])}",' for name, path in FLAGS.items())
    return _SOURCE.format(flags="\n".join(lines))


def value_of(key: Key) -> str:
    """Return what may be given for *key*, as ``words`` describes it."""
    annotation = key.field.annotation
    if get_origin(annotation) is Literal:
        return " ".join(get_args(annotation))
    if annotation is bool:
        return "true false"
    return FILE if Path in get_args(annotation) else ANY


def script(shell: str) -> str:
    """Return what the command prints for *shell*."""
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "completion", shell],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def bash() -> str:
    """The script for bash."""
    return script("bash")


def completed_by_bash(script: str, line: str, directory: Path) -> list[str]:
    """Return what bash offers at the end of *line*."""
    words = re.findall(r"=|[^ =]+", line) + ([""] if line.endswith((" ", "=")) else [])
    if line.endswith("="):
        words.pop()
    asking = (
        f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        'eval "$(complete -p bearer-proxy | sed "s/.*-F \\([^ ]*\\).*/\\1/")"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asking, "bash", *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_flags_of_keys_are_those_of_the_model() -> None:
    """
    `python -m tests.test_readme` writes them anew.
    """
    assert MODULE.read_text() == keys_module()
    assert set(KEY_FLAGS) == set(FLAGS)


def test_every_command_has_the_words_that_its_help_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    No flag is missing, and none is offered that the command does not know.
    """
    assert list(WORDS) == list(COMMANDS)
    for name, words in WORDS.items():
        assert cli.main([name, "--help"]) == 0
        usage, _, _ = capsys.readouterr().out.partition("\n\n")
        named = set(re.findall(r"--[a-z][a-z-]*", usage))
        known = set(words.flags)
        if "--TABLE-KEY" in usage:
            assert known >= set(KEY_FLAGS)
            known -= set(KEY_FLAGS) - named
        assert known == named, name
        assert all(word in usage for word in words.first)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_and_flag_is_in_the_script(shell: str) -> None:
    """
    Whichever the shell, it is told all that the tables have.
    """
    text = script(shell)
    for name, words in WORDS.items():
        assert re.search(rf"\b{name}\b", text), name
        for flag in words.flags:
            assert re.search(rf"(?:-l |--){flag[2:]}(?![\w-])", text), flag
        for value in words.flags.values():
            assert value in (SWITCH, ANY, FILE) or value in text


@needs("bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bearer-proxy c", ["check", "config", "completion"]),
        ("bearer-proxy ", list(COMMANDS)),
        ("bearer-proxy --ver", ["--version"]),
        (
            "bearer-proxy --listen-a",
            [
                "--listen-address",
                *[f"--listen-allowed-{each}" for each in ("hosts", "origins", "uids")],
            ],
        ),
        ("bearer-proxy check --on", ["--online"]),
        ("bearer-proxy check --log-level ", ["debug", "info", "warning", "error"]),
        ("bearer-proxy run --log-level=", ["debug", "info", "warning", "error"]),
        ("bearer-proxy run --log-level=w", ["warning"]),
        ("bearer-proxy --log-level w", ["warning"]),
        ("bearer-proxy run --config my", ["my.toml"]),
        ("bearer-proxy run --config=my", ["my.toml"]),
        ("bearer-proxy run --listen-address m", []),
        ("bearer-proxy init my", ["my.toml"]),
        ("bearer-proxy config ", ["show", "schema"]),
        ("bearer-proxy config show --js", ["--json"]),
        ("bearer-proxy completion z", ["zsh"]),
        ("bearer-proxy wait --t", ["--timeout"]),
        ("bearer-proxy exec --unix-socket -", ["--env", "--"]),
        ("bearer-proxy exec -- my", []),
        ("bearer-proxy exec -- cat my", ["my.toml"]),
    ],
)
def test_bash_completes(bash: str, tmp_path: Path, line: str, offered: list[str]) -> None:
    """
    Commands, flags, values, files, and behind `--` what another command takes.
    """
    (tmp_path / "my.toml").touch()
    found = completed_by_bash(bash, line, tmp_path)
    if line.endswith(" -"):
        assert set(offered) <= set(found)
    else:
        assert found == offered


@needs("zsh")
def test_zsh_understands_its_script(tmp_path: Path) -> None:
    """
    By its own check; what is in it is held against the tables above.
    """
    (tmp_path / "script").write_text(script("zsh"))
    subprocess.run(["zsh", "-n", str(tmp_path / "script")], check=True, timeout=20)


@needs("fish")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bearer-proxy co", ["config", "completion"]),
        ("bearer-proxy run --log-level w", ["warning"]),
        ("bearer-proxy run --log-level=w", ["--log-level=warning"]),
        ("bearer-proxy config sh", ["show"]),
        ("bearer-proxy run --config my", ["my.toml"]),
        ("bearer-proxy exec --uni", ["--unix-socket"]),
        ("bearer-proxy exec -- cat my", ["my.toml"]),
    ],
)
def test_fish_completes(tmp_path: Path, line: str, offered: list[str]) -> None:
    """
    As bash does; from fish 4 on behind it whatever holds those letters.
    """
    (tmp_path / "my.toml").touch()
    (tmp_path / "script.fish").write_text(script("fish"))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f'source script.fish; complete -C "{line}"'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stderr == ""
    typed = line.rpartition(" ")[2]
    found = [each.split("\t")[0] for each in done.stdout.splitlines()]
    assert sorted(each for each in found if each.startswith(typed)) == sorted(offered)


def write_keys_module() -> None:
    """Write ``proxy/cli/keys.py`` as it should be."""
    MODULE.write_text(keys_module())
