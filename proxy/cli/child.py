"""
The process of a command: made before all else, and let loose when its time has come.

Rule 1: it is forked while this process has a single thread, and limits, signals and descriptors as
        its starter left them. So that is what the command finds.

Rule 2: it does not outlive this process. Where that ends in order, it ends the command; where it is
        killed, the kernel kills the command with it (Linux).

Rule 3: as in a shell, the exit code is 127 if there is no such command, 126 if it can't be run, and
        128 + n if signal n ended it.
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

NOT_EXECUTABLE, NOT_FOUND, BY_SIGNAL = 126, 127, 128

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h
# Whatever ends by SIGTERM does so within moments.
_GRACE_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
_SHELL = "/bin/sh"


class CommandError(Exception):
    """The command can't be run; *code* is the exit code that a shell has for that."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code = code


def program(name: str) -> str:
    """Return the path of the program called *name*; CommandError if there is none to run."""
    if found := shutil.which(name):
        return found
    if shutil.which(name, os.F_OK) or Path(name).is_dir():
        raise CommandError(NOT_EXECUTABLE, f"cannot run {name}: it is no executable file")
    raise CommandError(NOT_FOUND, f"cannot run {name}: no such command")


class Child:
    """
    A process that waits to become *command*; CommandError if there is no such program.

    Made while there is one thread. ``start`` lets it, ``end`` is called when all is over.
    """

    def __init__(self, command: list[str]) -> None:
        path, parent = program(command[0]), os.getpid()
        prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
        source, self._go = os.pipe()
        self._started = False
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            _wait_and_become(path, command, source, parent=parent, prctl=prctl)
        os.close(source)

    def start(self, environment: Mapping[str, str]) -> None:
        """Have the process become the command, in *environment*; once at most."""
        self._started = True
        # Whoever has killed it meanwhile: the exit code tells.
        with suppress(BrokenPipeError), os.fdopen(self._go, "wb") as pipe:
            pipe.write(json.dumps(dict(environment)).encode("ascii"))

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs; any other child that has ended goes as well."""
        with suppress(ChildProcessError):
            # As a container's first process we inherit whatever the command leaves behind.
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self.pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._code = code if code >= 0 else BY_SIGNAL - code
        return self._code

    def pass_on(self, number: int) -> None:
        """Send it the signal *number*, unless it has ended."""
        if self._code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def end(self) -> None:
        """See that it is gone: one that waits at once, a command asked by SIGTERM first."""
        if not self._started:
            os.close(self._go)
        elif self.exit_code() is None:
            self.pass_on(signal.SIGTERM)
        if not self._is_gone_within(_GRACE_SECONDS):
            self.pass_on(signal.SIGKILL)
            # One that has become another user's is not ours to kill.
            self._is_gone_within(_GRACE_SECONDS)

    def _is_gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.exit_code() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        return True


def _wait_and_become(
    path: str, command: list[str], source: int, *, parent: int, prctl: Any
) -> NoReturn:
    """Wait for the environment, then become the command; in the new process, without return."""
    try:
        if prctl is not None:
            # Until it is another program its memory is a copy of ours, which holds secrets.
            prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _undo_what_python_did()
        with os.fdopen(source, "rb") as pipe:
            said = pipe.read()
        if not said or os.getppid() != parent:
            os._exit(0)
        _become(path, command, json.loads(said))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        os.write(2, f"bearer-proxy: cannot run {command[0]}: {reason}\n".encode(errors="replace"))
    finally:
        os._exit(NOT_EXECUTABLE)


def _undo_what_python_did() -> None:
    """Give signals the meaning that they have for a program that has just been started."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _become(path: str, command: list[str], environment: dict[str, str]) -> NoReturn:
    try:
        os.execve(path, command, environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without a first line that names its interpreter is the shell's, as execvp(3) has it.
    os.execve(_SHELL, [_SHELL, path, *command[1:]], environment)
