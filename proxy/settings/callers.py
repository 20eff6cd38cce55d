"""Which callers a listener knows: the file of local tokens, and the owners of a socket."""

import grp
import os
import pwd
import re
from collections.abc import Callable

from proxy.policy.callers import LocalToken
from proxy.settings.secret import SecretError, text_of

# Shorter ones can be guessed: 16 characters of base64 are 96 bits.
_SHORTEST = 16
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What may stand in any field without quotes: RFC 9110 section 11.2, token68 and more.
_TOKEN = re.compile(r"[!-~]+")


def local_tokens(path: str | os.PathLike[str]) -> tuple[LocalToken, ...]:
    """Return the tokens of the file at *path*, at least one; SecretError says what is wrong."""
    path = os.fspath(path)
    found: dict[bytes, LocalToken] = {}
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if not (content := line.strip()) or content.startswith("#"):
            continue
        token = _parsed(content, f"{path}:{number}")
        if token.token in found:
            raise SecretError(f"{path}:{number} repeats a token")
        found[token.token] = token
    if not found:
        raise SecretError(f"{path} holds no token")
    return tuple(found.values())


def _parsed(content: str, place: str) -> LocalToken:
    name, colon, token = content.partition(":")
    if not colon:
        name, token = "", content
    elif not _NAME.fullmatch(name):
        raise SecretError(f"{place} has a name of other than letters, digits, dot, _ and -")
    if not _TOKEN.fullmatch(token):
        raise SecretError(f"{place} has a token with other than visible ASCII characters")
    if len(token) < _SHORTEST:
        raise SecretError(f"{place} has a token of under {_SHORTEST} characters")
    return LocalToken(name, token.encode("ascii"))


def owners(text: str | None) -> tuple[int, int]:
    """Return the ids of ``user`` or ``user:group``, -1 for what is not named; or ValueError."""
    if text is None:
        return -1, -1
    user, _, group = text.partition(":")
    return (
        _id(user, "user", lambda name: pwd.getpwnam(name).pw_uid),
        _id(group, "group", lambda name: grp.getgrnam(name).gr_gid) if group else -1,
    )


def _id(name: str, what: str, known: Callable[[str], int]) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return known(name)
    except KeyError:
        raise ValueError(f"there is no {what} {name}") from None
