"""
``bearer-proxy init``: a configuration to begin with, by three questions.

Rule 1: nothing that exists is overwritten, and what is written is this user's alone.

Rule 2: the secret is read without being shown, and written to a file of its own; the configuration
        has that file's path.

Rule 3: a flag answers its question beforehand. Without a terminal, lines of standard input answer
        the others in their order.
"""

import getpass
import os
import sys
from contextlib import suppress
from pathlib import Path

from proxy.cli.arguments import UsageError, parse
from proxy.cli.configuration import INVALID
from proxy.cli.streams import write

_FAILURE = 1
_USAGE = """\
usage: bearer-proxy init [PATH] [--token-profile hashrails|oauth2] [--upstream-url URL]
                         [--token-url URL] [--token-client-id ID]
                         [--token-client-secret-file FILE]

Write a commented configuration to PATH, config.toml unless told otherwise, by asking which API it
is for, who asks, and for the client secret. That is not shown, and goes to a file beside PATH that
ends in .secret, unless it is in a file already: then answer with that file's path. Both files are
this user's alone (mode 0600); nothing is overwritten. What a flag says is not asked; without a
terminal, lines of standard input are the answers.

exit codes: 0 written, 1 not written, 2 wrong usage, 78 the answers make no valid configuration
"""
_FLAGS = {
    "--token-profile": "token.profile",
    "--upstream-url": "upstream.url",
    "--token-url": "token.url",
    "--token-client-id": "token.client_id",
    "--token-client-secret-file": "token.client_secret_file",
}
_API = """\
Which API?
  1  Hashrails
  2  another one, whose issuer speaks OAuth 2.0 (client credentials)
"""
_PROFILES = {"": "hashrails", "1": "hashrails", "2": "oauth2"}
_SECRET = "Client secret, not shown (or the path of a file that holds it): "


class _InitError(Exception):
    """Nothing was written; the text says why."""


def main(arguments: list[str]) -> int:
    """Ask what no flag answers, and write the files; return the exit code."""
    path, flags = Path("config.toml"), arguments
    if arguments and not arguments[0].startswith("-"):
        path, flags = Path(arguments[0]), arguments[1:]
    given = parse(flags, valued=frozenset(_FLAGS))
    if "--help" in given:
        write(_USAGE)
        return 0
    try:
        return _initialise(path, {_FLAGS[name]: value for name, value in given.items()})
    except _InitError as error:
        sys.stderr.write(f"bearer-proxy: {error}\n")
        return _FAILURE


def _initialise(path: Path, values: dict[str, str]) -> int:
    path = path.expanduser().absolute()
    _check_free(path)
    _ask_for_api(values)
    if "token.client_id" not in values:
        values["token.client_id"] = _answer("Client id: ", "--token-client-id")
    # Before the secret is asked for: a wrong URL is no reason to type that again.
    if report := _problems(values):
        sys.stderr.write(f"{report}\n")
        return INVALID
    made = _Made()
    try:
        values["token.client_secret_file"] = str(_secret_file(path, values, made))
        made.write(path, _text(path, values))
        return _tell(path, made)
    except BaseException:
        made.undo()
        raise


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _InitError(f"{path} exists already; for another file, bearer-proxy init PATH")


def _ask_for_api(values: dict[str, str]) -> None:
    if "token.profile" not in values:
        if "token.url" in values:
            values["token.profile"] = "oauth2"
        else:
            chosen = _answer(f"{_API}1 or 2 [1]: ", "--token-profile", empty=True)
            if chosen not in _PROFILES:
                raise UsageError("the API is chosen by 1 or 2; --token-profile would name it")
            values["token.profile"] = _PROFILES[chosen]
    if values["token.profile"] == "hashrails":
        return
    for key, question in (
        ("upstream.url", "Base URL of the API: "),
        ("token.url", "URL where tokens are issued: "),
    ):
        if key not in values:
            values[key] = _answer(question, "--" + key.replace(".", "-"))


def _answer(question: str, flag: str, *, empty: bool = False) -> str:
    """Return the next line of standard input; *flag* is named when there is none."""
    if sys.stdin.isatty():
        sys.stderr.write(question)
        sys.stderr.flush()
    line = sys.stdin.readline()
    if answer := line.strip():
        return answer
    if not line or not empty:
        raise UsageError(f"no answer; {flag} would give it")
    return ""


def _problems(values: dict[str, str]) -> str:
    """Return the report on *values*; empty if they make a configuration, given a secret."""
    from proxy.settings import SettingsError, load

    given = {key: text for key, text in values.items() if key != "token.client_secret_file"}
    try:
        load(given, {"BEARER_PROXY_TOKEN_CLIENT_SECRET": "-"})
    except SettingsError as error:
        return str(error)
    return ""


def _secret_file(path: Path, values: dict[str, str], made: "_Made") -> Path:
    """Return the file that holds the secret, made beside *path* if there is none."""
    if "token.client_secret_file" in values:
        return Path(values["token.client_secret_file"]).expanduser().absolute()
    if sys.stdin.isatty():
        secret = getpass.getpass(_SECRET, stream=sys.stderr)
    else:
        secret = sys.stdin.readline().removesuffix("\n")
    if not secret.strip():
        raise UsageError("no answer; --token-client-secret-file would give it")
    with suppress(OSError, ValueError):
        # A path that is meant for a secret would be a secret that is shown; not the other way.
        if (file := Path(secret.strip()).expanduser().absolute()).is_file():
            return file
    file = path.with_suffix(".secret")
    made.write(file, secret + "\n")
    return file


def _text(path: Path, values: dict[str, str]) -> str:
    from proxy.settings import template

    return template.configuration(
        values,
        about="Configuration of bearer-proxy. What stands behind a # is a default, or an example. "
        f"`bearer-proxy check --online --config {path}` tries it; `bearer-proxy config show` has "
        "every key there is.",
    )


def _tell(path: Path, made: "_Made") -> int:
    """Say what was written and what comes next; return the exit code."""
    from proxy.settings import SettingsError, load

    try:
        warnings = load({}, {}, path).warnings
    except SettingsError as error:
        made.undo()
        sys.stderr.write(f"{error}\nbearer-proxy: nothing was written\n")
        return INVALID
    for each in warnings:
        sys.stderr.write(f"warning: {each}\n")
    lines = [f"wrote {each}\n" for each in made.paths]
    write(
        "".join(lines) + f"try it    bearer-proxy check --online --config {path}\n"
        f"run it    bearer-proxy run --config {path}\n"
    )
    return 0


class _Made:
    """The files that were written, so that a failure leaves none of them."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def write(self, path: Path, text: str) -> None:
        """Write *text* to *path*, which must not exist, for this user alone."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
            self.paths.append(path)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise _InitError(f"cannot write {path}: {reason}") from None

    def undo(self) -> None:
        """Remove them."""
        while self.paths:
            self.paths.pop().unlink(missing_ok=True)
