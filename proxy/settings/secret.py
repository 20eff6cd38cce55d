"""
Where the client secret is, and how it is read.

Rule 1: a file is read again each time, so that a rotated secret needs no restart and no watcher.

Rule 2: exactly one trailing newline goes, because editors and ``echo`` put it there. Any other
        white space around the secret stays and is warned of.

Rule 3: no representation, error or warning holds any part of the secret.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import SecretStr

# A secret is a line, a key file a few KiB; what is larger is some other file.
_FILE_BYTES = 64 * 1024


class SecretError(Exception):
    """The secret cannot be read; the text says why and names the place."""


class SecretKind(StrEnum):
    """How the secret was given."""

    VARIABLE = "variable"
    CONFIG = "configuration"
    FILE = "file"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class SecretSource:
    """
    The secret's place: *where* is a variable's name, ``file:line`` of the configuration, or a path.

    *value* is set for the first two only.
    """

    kind: SecretKind
    where: str
    value: SecretStr | None = field(default=None, repr=False)

    def read(self) -> str:
        """Return the secret as it is now; SecretError when there is none to be had."""
        return _one_newline_less(self._text())

    def warnings(self) -> tuple[str, ...]:
        """Say what is odd about the secret as it is now, though it can be used."""
        secret = self.read()
        if secret == secret.strip():
            return ()
        return (f"the client secret in {self.where} has white space around it",)

    def exposures(self) -> tuple[str, ...]:
        """Say whether others than its owner can read the secret's file, if it has one."""
        # systemd grants access to its credentials by ACL, which shows as a group's permission.
        return exposure(self.where, "secret file") if self.kind is SecretKind.FILE else ()

    @property
    def description(self) -> str:
        """Place and length, for example ``file /run/secrets/api, 64 bytes``; never the content."""
        try:
            size = len(self.read().encode())
        except SecretError:
            return f"{self.kind} {self.where}, unreadable"
        return f"{self.kind} {self.where}, {size} byte{'' if size == 1 else 's'}"

    def _text(self) -> str:
        text = text_of(self.where) if self.value is None else self.value.get_secret_value()
        if not text.strip():
            raise SecretError(f"{self.where} is empty")
        return text


def _one_newline_less(text: str) -> str:
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def text_of(path: str) -> str:
    """Return what the file at *path* holds; SecretError says why that can't be had."""
    content = _file_bytes(path)
    # The exception holds the content, and one raised while it is handled would carry it along.
    with suppress(UnicodeDecodeError):
        return content.decode()
    raise SecretError(f"{path} is not UTF-8 text")


def _file_bytes(path: str) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not hang before it can be refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            # One byte more than may be, to tell; a regular file is read whole by one call.
            content = os.read(descriptor, _FILE_BYTES + 1) if regular else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SecretError(f"cannot read {named(path)}: {reason(error)}") from None
    if not regular:
        raise SecretError(f"{path} is not a regular file; it may be read again at any time")
    if len(content) > _FILE_BYTES:
        raise SecretError(f"{path} is larger than {_FILE_BYTES} bytes; is it the right file?")
    return content


def named(path: str) -> str:
    """Return *path*, unless it may be the secret itself, put where its file's path belongs."""
    return (
        path if path.startswith(("/", "./", "../")) else "the file (a relative path is not shown)"
    )


def reason(error: OSError) -> str:
    """Return the system's words for *error*, beginning small."""
    words = error.strerror or type(error).__name__
    return words[0].lower() + words[1:]


def _is_from_a_kubelet(path: str) -> bool:
    """
    Tell whether *path* is in a Secret's volume: ``name -> ..data/name``, ``..data -> ..<moment>``.

    Its modes say nothing about a machine's users: it is seen by the containers that mount it, and
    without an fsGroup it is readable by everyone there or by root alone.
    """
    try:
        link, data = os.readlink(path), os.readlink(os.path.join(os.path.dirname(path), "..data"))
    except OSError:
        return False
    return link.startswith("..data/") and data.startswith("..") and "/" not in data


def exposure(path: str, what: str) -> tuple[str, ...]:
    """Warn when others than its owner can read the file at *path*."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return ()
    if not mode & (stat.S_IRGRP | stat.S_IROTH) or _is_from_a_kubelet(path):
        return ()
    return (f"{what} {path} can be read by others (mode {mode:04o}); chmod 600 {path}",)
