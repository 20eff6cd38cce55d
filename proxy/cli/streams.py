"""The three standard streams, whatever state the process was started with them in."""

import io
import os
import sys


class OutputError(Exception):
    """Standard output takes no more, and not because its reader left; the text says why."""


def prepare() -> None:
    """
    See that standard streams exist and take any text.

    A descriptor that the starter left closed would go to the first file or socket opened, and what
    is written to standard error would arrive there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _to(1)
    sys.stderr = sys.stderr or _to(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Write *text* to standard output at once; OutputError or BrokenPipeError when it can't be."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def silence() -> None:
    """Let go nowhere what standard output still holds, or its last flush would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _to(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", encoding="utf-8", closefd=False)
