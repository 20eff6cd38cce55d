"""``bearer-proxy init``: three answers become a configuration that works."""

import io
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy import cli
from proxy.demo.threaded import ThreadedDemoAPI
from proxy.settings import load
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, clean_environment, command

SECRET = "canary s3cret=of#mine\\"
OAUTH2 = "https://api.example.com/v2", "https://login.example.com/token"
Answer = Callable[..., int]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answer:
    """Run ``init`` in an empty directory with lines of standard input; return the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*lines: str, arguments: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return cli.main(["init", *arguments])

    return run


def mode(path: Path) -> int:
    """Return the permissions of *path*."""
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("first", ["", "1"])
def test_three_answers_are_a_configuration(answer: Answer, tmp_path: Path, first: str) -> None:
    """
    Hashrails, who asks, and the secret: two files of this user alone, the secret in one of them.
    """
    assert answer(first, "acme", SECRET) == 0
    file, secret = tmp_path / "config.toml", tmp_path / "config.secret"
    assert (mode(file), mode(secret)) == (0o600, 0o600)
    assert secret.read_text() == SECRET + "\n"
    loaded = load({}, {}, file)
    assert loaded.settings.token.client_id == "acme"
    assert loaded.settings.token.profile == "hashrails"
    assert loaded.secret.read() == SECRET
    assert loaded.warnings == ()
    assert SECRET not in file.read_text()


def test_another_issuer_is_asked_for_by_its_urls(answer: Answer, tmp_path: Path) -> None:
    """
    The second API is any whose issuer speaks OAuth 2.0.
    """
    assert answer("2", *OAUTH2, "acme", SECRET) == 0
    settings = load({}, {}, tmp_path / "config.toml").settings
    assert (settings.upstream.url, settings.token.url) == OAUTH2
    assert settings.token.request_format == "form"


def test_flags_answer_beforehand(answer: Answer, tmp_path: Path) -> None:
    """
    With all of them nothing is asked, and a secret that is in a file already stays there.
    """
    secret = tmp_path / "elsewhere"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    flags = ("--token-profile=oauth2", "--token-client-id", "acme", f"--upstream-url={OAUTH2[0]}")
    more = ("--token-url", OAUTH2[1], "--token-client-secret-file", "elsewhere")
    assert answer(arguments=("mine.toml", *flags, *more)) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["elsewhere", "mine.toml"]
    loaded = load({}, {}, tmp_path / "mine.toml")
    assert loaded.secret.where == str(secret)
    assert loaded.secret.read() == SECRET


def test_the_path_of_a_file_answers_for_the_secret(answer: Answer, tmp_path: Path) -> None:
    """
    Whoever has it in a file names that; no copy is made, and a file that others can read is told.
    """
    secret = tmp_path / "elsewhere"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    assert answer("1", "acme", str(secret)) == 0
    assert load({}, {}, tmp_path / "config.toml").secret.where == str(secret)
    assert not (tmp_path / "config.secret").exists()


def test_every_line_is_explained(answer: Answer, tmp_path: Path) -> None:
    """
    Above each key, set or shown, stands what it means; what is shown can be taken as it is.
    """
    assert answer("1", "acme", SECRET) == 0
    text = (tmp_path / "config.toml").read_text()
    paragraphs = text.strip().split("\n\n")
    assert all(each.startswith(("# ", "[")) for each in paragraphs)
    assert all("\n# " in each or each.startswith("# ") for each in paragraphs)
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    shown = "\n".join(line.removeprefix("#") for line in lines)
    (tmp_path / "shown.toml").write_text(shown)
    assert len(tomllib.loads(shown)) == 6
    assert load({}, {}, tmp_path / "shown.toml").settings.token.client_id == "acme"


@pytest.mark.parametrize("taken", ["config.toml", "config.secret"])
def test_nothing_is_overwritten(
    answer: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: str
) -> None:
    """
    Code 1; the file that was there is as it was, and there is no other one.
    """
    (tmp_path / taken).write_text("mine")
    assert answer("1", "acme", SECRET) == 1
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(taken, "mine")]
    assert f"{tmp_path / taken}" in capsys.readouterr().err


def test_a_link_is_not_followed(answer: Answer, tmp_path: Path) -> None:
    """
    One that leads nowhere yet is no free place.
    """
    (tmp_path / "config.toml").symlink_to(tmp_path / "elsewhere")
    assert answer("1", "acme", SECRET) == 1
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("lines", "arguments", "code", "sentence"),
    [
        ((), (), 2, "no answer; --token-profile would give it"),
        (("1", ""), (), 2, "no answer; --token-client-id would give it"),
        (("1", "acme"), (), 2, "no answer; --token-client-secret-file would give it"),
        (("3", "acme", SECRET), (), 2, "the API is chosen by 1 or 2"),
        (("x",), ("--token-profile=oauth2",), 2, "no answer; --token-url would give it"),
        ((*OAUTH2, "acme"), ("--token-profile=oauth1",), 78, "token.profile"),
        (("2", "http://api.example.com", OAUTH2[1], "acme"), (), 78, "plain http"),
        (("1", "acme", SECRET), ("no/such/config.toml",), 1, "no such file or directory"),
        (("1", "acme"), ("--token-client-secret-file=/no/such",), 78, "cannot read /no/such"),
        ((), ("--client-secret", SECRET), 2, "unknown flag"),
    ],
)
def test_what_makes_no_configuration_writes_nothing(
    answer: Answer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: tuple[str, ...],
    arguments: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    """
    It is said why, in the words of `check`, and no file is left; the secret is not repeated.
    """
    assert answer(*lines, arguments=arguments) == code
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert SECRET not in captured.err + captured.out
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_the_secret_is_not_shown(tmp_path: Path) -> None:
    """
    Questions and answers are on the screen, but for that one.
    """
    program = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(COMMAND), "init"],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = b""
        for question, typed in (
            (b"1 or 2 [1]: ", b"1"),
            (b"Client id: ", b"acme"),
            (b"holds it): ", SECRET.encode()),
        ):
            while question not in seen:
                seen += os.read(process.stdout.fileno(), 4096)
            process.stdin.write(typed + b"\r")
            process.stdin.flush()
        seen += process.stdout.read()
        assert process.wait(PATIENCE_SECONDS) == 0
    assert b"Client id: acme" in seen
    assert SECRET.encode() not in seen
    assert (tmp_path / "config.secret").read_text() == SECRET + "\n"


def test_what_was_written_works(tmp_path: Path) -> None:
    """
    Piped answers, then `check --online` with the file: every step is well.
    """
    with ThreadedDemoAPI() as api:
        answers = f"1\n{api.client_id}\n{api.client_secret}\n"
        path = str(tmp_path / "config.toml")
        assert command("init", path, f"--upstream-url={api.url}", text=answers).returncode == 0
        assert command("check", "--online", "--config", path).returncode == 0
