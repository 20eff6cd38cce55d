"""
The admin token: what proves that somebody may change things here.

It is new at every start. Whoever runs as the proxy's user can read it from a file, and the person
at the terminal sees it once, in an address whose fragment no browser sends anywhere.
"""

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path


def new() -> str:
    """Return a token of 192 random bits."""
    return secrets.token_urlsafe(24)


def url(address: str, token: str) -> str:
    """Return the page's address with the *token* in it."""
    return f"http://{address}/#token={token}"


def usual_path(address: str, environ: Mapping[str, str]) -> Path:
    """Return where the token of the admin listener at *address* is kept, unless configured."""
    directory = environ.get("XDG_RUNTIME_DIR")
    parent = (
        Path(directory, "bearer-proxy")
        if directory
        else Path(tempfile.gettempdir(), f"bearer-proxy-{os.getuid()}")
    )
    return parent / f"{address.replace(':', '_')}.token"


def save(token: str, path: Path) -> None:
    """Write *token* to *path*, for this user alone; OSError if that can't be had."""
    path.unlink(missing_ok=True)
    # Not through a link that somebody has put there in between.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")


def make_private(directory: Path) -> None:
    """Make *directory* if need be; OSError unless this user alone can write to it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "not a directory of this user alone", str(directory))


def forget(token: str, path: Path) -> None:
    """Remove the file at the end, unless another process has put its own there."""
    try:
        if path.read_text().strip() == token:
            path.unlink()
    except OSError:
        return
