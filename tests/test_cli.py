"""The command line: which words mean what, which exit codes follow, and what it imports."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme

from proxy import __version__, cli
from proxy.cli.arguments import UsageError, parse
from proxy.cli.commands import COMMANDS
from proxy.cli.configuration import FLAGS
from proxy.settings.names import HIDDEN, KEYS

SECRET = "canary-51e7"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the two things that are required, and nothing of the tester's own."""
    for name in [name for name in os.environ if name.startswith("BEARER_PROXY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BEARER_PROXY_TOKEN_CLIENT_ID", "acme")
    monkeypatch.setenv("BEARER_PROXY_TOKEN_CLIENT_SECRET", SECRET)


def child(arguments: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process, within a shell line where *more* has one."""
    line = [sys.executable, "-m", "proxy", *arguments]
    if shell := more.get("shell"):
        line = ["sh", "-c", shell, "sh", *line]
    return subprocess.run(line, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["health", "--address=[::1]:1"],
        ["completion", "bash"],
        ["completion", "zsh"],
        ["completion", "fish"],
    ],
)
def test_what_is_run_often_imports_no_library(arguments: list[str]) -> None:
    """
    Neither aiohttp nor pydantic nor structlog: a health check is started every few seconds, and a
    script for completion with every shell.
    """
    script = (
        "import sys; from proxy.__main__ import main; sys.argv[1:] = "
        f"{arguments!r}; main(); sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=True
    )
    loaded = set(done.stderr.split())
    assert "proxy.cli" in loaded
    assert not loaded & {"aiohttp", "pydantic", "pydantic_settings", "structlog", "argparse"}


# What aiohttp has loaded when a command begins; and whether the next context is as ever.
_AUTHORITIES = """
import os, ssl
from proxy.cli.imports import without_authorities
os.environ["SSL_CERT_DIR"] = "/where/it/was"
with without_authorities():
    from aiohttp import connector
assert os.environ["SSL_CERT_DIR"] == "/where/it/was"
assert "SSL_CERT_FILE" not in os.environ
print(connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509_ca"])
print(ssl.create_default_context(cafile=os.environ["AUTHORITY"]).cert_store_stats()["x509_ca"])
"""


def test_aiohttps_own_contexts_trust_nobody(tmp_path: Path) -> None:
    """
    It is imported without the system's authorities, which takes time; later contexts have theirs.
    """
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    environment = {**os.environ, "AUTHORITY": str(authority)}
    environment.pop("SSL_CERT_FILE", None)
    done = subprocess.run(
        [sys.executable, "-c", _AUTHORITIES],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=environment,
    )
    assert done.stdout.split() == ["0", "1"]


def test_every_command_of_the_table_can_be_run_and_is_in_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    An entry names a module with ``main``, which has a help of its own.
    """
    assert cli.main(["--help"]) == 0
    overview = capsys.readouterr().out
    for name, (module, summary) in COMMANDS.items():
        assert callable(importlib.import_module(module).main)
        assert f"\n  {name} " in overview
        assert summary in overview
        assert cli.main([name, "--help"]) == 0
        assert f"bearer-proxy {name}" in capsys.readouterr().out.replace("[run]", "run")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Name and version, on one line.
    """
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"bearer-proxy {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chekc"], 'did you mean "check"?'),
        (["--verison"], 'did you mean "--version"?'),
        (["proxy.toml"], "--config proxy.toml"),
        (["--listen-adress", "x"], 'did you mean "--listen-address"?'),
        (["check", "--onlin"], 'did you mean "--online"?'),
        (["demo", "--chek"], 'did you mean "--check"?'),
        (["config"], "show or schema"),
        (["config", "shwo"], 'did you mean "show"?'),
        (["completion", "bsh"], 'did you mean "bash"?'),
        (["completion"], "needs bash, zsh or fish"),
        (["config", "show", "--jsn"], 'did you mean "--json"?'),
        (["check", "--online=1"], "--online takes no value"),
        (["run", "--config"], "--config needs a value"),
        (["run", "--config", "--log-level"], "--config needs a value"),
        (["run", "--log-level=info", "--log-level=info"], "--log-level is given twice"),
        (["exec"], 'the command is missing: it stands behind "--"'),
        (["exec", "--env=URL", "--"], "the command is missing"),
        (["exec", "env"], 'write "--" before the command'),
        (["exec", "--env", "A-B", "--", "env"], "--env needs the name of a variable"),
        (["exec", "--timeout", "0", "--", "env"], "--timeout needs a number of seconds"),
        (["exec", "--listen-address=127.0.0.1:9", "--", "env"], "chooses the address itself"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_was_meant(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """
    One line that says what is wrong and one where to read on; nothing on standard output.
    """
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 2
    assert captured.out == ""


@pytest.mark.parametrize("path", sorted(HIDDEN))
@pytest.mark.parametrize("command", [["run"], ["check"], ["config", "show"], []])
def test_no_flag_carries_a_secret(
    capsys: pytest.CaptureFixture[str], command: list[str], path: str
) -> None:
    """
    Such a flag is refused with the way that is safe, and its value is not repeated.
    """
    assert path not in FLAGS.values()
    for given in ([f"{KEYS[path].flag}={SECRET}"], [KEYS[path].flag, SECRET]):
        assert cli.main([*command, *given]) == 2
        said = "".join(capsys.readouterr())
        assert KEYS[path].variable in said
        assert SECRET not in said


@pytest.mark.parametrize(
    "arguments",
    [["run", "--token-secret", SECRET], ["run", f"--pasword={SECRET}"], ["run", SECRET]],
)
def test_a_refusal_repeats_no_value(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """
    Whoever invents a flag for the secret does not find it in a log afterwards.
    """
    assert cli.main(arguments) == 2
    assert SECRET not in "".join(capsys.readouterr())


def test_a_value_may_hold_an_equals_sign_and_begin_with_a_dash_behind_one() -> None:
    """
    ``--flag=value`` ends the flag at its first equals sign.
    """
    assert parse(["--a=-b=c"], valued=frozenset({"--a"})) == {"--a": "-b=c"}


def test_a_report_has_no_control_characters() -> None:
    """
    A command line may have been pasted from anywhere.
    """
    with pytest.raises(UsageError) as caught:
        parse(["--x\x1b[2J\n"])
    assert str(caught.value).isprintable()


def test_check_says_what_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Source, upstream, issuer, and of the secret its place and length.
    """
    assert cli.main(["check", "--upstream-url", "http://127.0.0.1:9/v1"]) == 0
    said = capsys.readouterr().out
    for part in (
        "environment and defaults",
        "127.0.0.1:8080",
        "http://127.0.0.1:9/v1\n",
        "http://127.0.0.1:9/v1/auth/token/issue (profile hashrails)",
        f"variable BEARER_PROXY_TOKEN_CLIENT_SECRET, {len(SECRET)} bytes",
    ):
        assert part in said
    assert SECRET not in said


def test_check_online_reports_an_issuer_that_is_away(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Exit code 4: neither issuer nor upstream can be reached.
    """
    assert cli.main(["check", "--online", "--upstream-url=http://127.0.0.1:1"]) == 4
    assert "FAILED  issuer" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["run"], [], ["check"], ["config", "show"]])
def test_an_invalid_configuration_is_exit_code_78(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """
    The report goes to standard error, names flag and key, and is no traceback.
    """
    assert cli.main([*command, "--log-level", "inf"]) == 78
    captured = capsys.readouterr()
    assert captured.err.startswith("bearer-proxy: the configuration has 1 problem\n  --log-level ")
    assert bool(captured.out) == (command == ["config", "show"])


def test_config_show_shows_what_is_invalid_as_well(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """
    Every key with what was given and by whom; a value that is complained of is not repeated in the
    table, because it may be a secret in the wrong place.
    """
    file = tmp_path / "config.toml"
    file.write_text(f'[token]\nprofile = "{SECRET}"\nextra = {{ key = "{SECRET}" }}\n')
    flags = ["--config", str(file), "--limits-head-bytes", "many", "--log-access", "errors"]
    assert cli.main(["config", "show", "--json", *flags]) == 78
    captured = capsys.readouterr()
    shown = json.loads(captured.out)
    assert list(shown) == list(KEYS)
    assert shown["token.profile"] == {"value": None, "source": f"file {file}:2"}
    assert shown["token.extra"]["value"] == {"key": "(hidden)"}
    assert shown["token.client_secret"]["value"] == "(hidden)"
    assert shown["limits.head_bytes"] == {"value": None, "source": "--limits-head-bytes"}
    assert shown["log.access"] == {"value": "errors", "source": "flag --log-access"}
    assert shown["limits.queue"] == {"value": 1024, "source": "default"}
    assert captured.err.startswith("bearer-proxy: ")
    assert SECRET not in captured.out
    assert cli.main(["config", "show", *flags]) == 78
    table = capsys.readouterr().out
    assert "limits.head_bytes" in table
    assert "(invalid)" in table
    assert SECRET not in table


def test_config_show_as_json_has_every_key_with_its_source(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """
    Flags and the file reach it; the secret does not.
    """
    file = tmp_path / "config.toml"
    file.write_text('[log]\naccess = "errors"\n')
    assert cli.main(["config", "show", "--json", "--config", str(file), "--log-level=debug"]) == 0
    text = capsys.readouterr().out
    shown = json.loads(text)
    assert list(shown) == list(KEYS)
    assert shown["log.level"] == {"value": "debug", "source": "flag --log-level"}
    assert shown["log.access"] == {"value": "errors", "source": f"file {file}:2"}
    assert SECRET not in text


def test_config_schema_is_json_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """
    It needs no configuration at all.
    """
    assert cli.main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("arguments", [["config", "schema"], ["--version"]])
def test_a_reader_that_left_is_no_error_to_speak_of(arguments: list[str]) -> None:
    """
    ``| head`` ends it without a word, whether much or little was still to be written.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", *arguments],
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["config", "schema"], ["--version"]])
def test_a_full_disk_is_said_in_a_line(arguments: list[str]) -> None:
    """
    What could not be written is a failure, not a traceback.
    """
    done = child(arguments, shell='exec "$@" >/dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith("bearer-proxy: cannot write to standard output")
    assert done.stderr.count("\n") == 1


def test_closed_standard_streams_are_replaced() -> None:
    """
    Started without any, a command does its work; no later descriptor becomes standard error.
    """
    assert child(["config", "schema"], shell='exec "$@" <&- >&- 2>&-').returncode == 0
    assert child(["chekc"], shell='exec "$@" <&- >&- 2>&-').returncode == 2
