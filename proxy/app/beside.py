"""
A proxy for one command: ready before it starts, there for as long as it runs.

Rule 1: the command gets each signal once. What the kernel sends (Ctrl-C, a terminal that is closed
        or resized) goes to the whole foreground group, the command in it; what somebody sends to
        this process is passed on.

Rule 2: nothing of ours is in its environment but the address: no variable of the proxy's, and none
        that holds the client secret.

Rule 3: standard input and output are the command's alone. What there is to say goes to standard
        error.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
import uvloop

from proxy import log
from proxy.app.compose import StartError
from proxy.app.process import drain, forget_secret_variables, raise_descriptor_limit
from proxy.app.serving import Running, serving
from proxy.errors import ProxyError
from proxy.log import Output
from proxy.settings import SecretError, SecretKind
from proxy.settings.load import Loaded
from proxy.settings.names import PREFIX
from proxy.tokens import State

_log = structlog.get_logger()

_FAILURE, _BY_SIGNAL = 1, 128
# Those that a person or a supervisor sends; the command decides what they mean.
_PASSED_ON = frozenset(
    (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    )
)
_SI_KERNEL = 0x80  # asm-generic/siginfo.h
# A command's standard error is its own, as far as nobody asks for more.
_QUIET = {"level": "warning", "access": "off"}
# A shorter secret may be part of anything.
_LONG_ENOUGH = 8


class Command(Protocol):
    """The process of the command, waiting to be let loose."""

    pid: int

    def start(self, environment: Mapping[str, str]) -> None:
        """Let it run, in *environment*."""
        ...

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        ...

    def pass_on(self, number: int) -> None:
        """Send it the signal *number*."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What a command is promised: the variables that hold the address, and how long it waits for it.

    The address is a URL, or the path of a Unix socket where the proxy listens there.
    """

    variables: Sequence[str]
    timeout_seconds: float


def run_beside(loaded: Loaded, command: Command, terms: Terms) -> int:
    """
    Run *command* with the proxy that *loaded* describes; return the command's exit code.

    1, and a sentence on standard error, when the proxy can't start or has no token in time; 128 + n
    when signal n came before that. When this returns or raises the command may still run: ending it
    is the caller's affair.
    """
    loaded = _quiet(loaded)
    settings = loaded.settings
    output = log.configure(settings.log.format, settings.log.level, stream=sys.stderr)
    environment = _without_secrets(os.environ, loaded)
    forget_secret_variables()
    raise_descriptor_limit()
    # For this thread and those to come. A signal that was ignored from the start stays so.
    heard = {each for each in _PASSED_ON if signal.getsignal(each) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard | {signal.SIGCHLD})
    try:
        return uvloop.run(_run(loaded, output, command, terms, environment))
    except StartError as error:
        sys.stderr.write(f"bearer-proxy: {error}\n")
        return _FAILURE
    finally:
        output.sink.finish()


async def _run(
    loaded: Loaded,
    output: Output,
    command: Command,
    terms: Terms,
    environment: dict[str, str],
) -> int:
    watch = _Watch(command)
    watch.begin(asyncio.get_running_loop())
    async with serving(loaded, output) as running:
        await _settled(running, watch.over, terms.timeout_seconds)
        if watch.over.is_set():
            return watch.code
        if trouble := _trouble(running, terms.timeout_seconds):
            sys.stderr.write(f"bearer-proxy: {trouble}\n")
            return _FAILURE
        watch.started = True
        command.start({**environment, **dict.fromkeys(terms.variables, _address(running))})
        await watch.over.wait()
        await drain(running, watch.hurried, running.settings.drain.timeout_seconds)
    return watch.code


class _Watch:
    """
    Hears signals, and the end of *command*.

    ``over`` is set when there is a ``code`` to end with: the command's own, or, before it was
    ``started``, that of the signal that came instead. ``hurried`` is set by a signal after that.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self.started = False
        self.over = asyncio.Event()
        self.hurried = asyncio.Event()
        self.code = _FAILURE

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen from now on, in a thread: where a signal came from is told by nothing else."""

        def listen() -> None:
            # The loop's end is the thread's.
            with suppress(RuntimeError):
                while True:
                    found = signal.sigwaitinfo(_PASSED_ON | {signal.SIGCHLD})
                    by_kernel = found.si_code == _SI_KERNEL
                    loop.call_soon_threadsafe(self._heard, found.si_signo, by_kernel)

        threading.Thread(target=listen, name="signals", daemon=True).start()
        self._look()

    def _heard(self, number: int, by_kernel: bool) -> None:
        if number == signal.SIGCHLD:
            self._look()
        elif self.over.is_set():
            self.hurried.set()
        elif self.started:
            if not (by_kernel and self._is_with_us()):
                self._command.pass_on(number)
        elif number != signal.SIGWINCH:
            self._end(_BY_SIGNAL + number)

    def _look(self) -> None:
        code = self._command.exit_code()
        if code is not None and not self.over.is_set():
            self._end(code)

    def _end(self, code: int) -> None:
        self.code = code
        self.over.set()

    def _is_with_us(self) -> bool:
        """Tell whether the command is in our process group, to which a terminal speaks."""
        try:
            return os.getpgid(self._command.pid) == os.getpgrp()
        except ProcessLookupError:
            return True


async def _settled(running: Running, over: asyncio.Event, timeout_seconds: float) -> None:
    """Return when there is a token, none will come (the issuer rejects us), or all is *over*."""
    settled = asyncio.Event()

    def look() -> None:
        snapshot = running.tokens.snapshot()
        if snapshot.usable or snapshot.state is State.LATCHED:
            settled.set()

    forget = running.tokens.on_change(look)
    look()
    waiting = [asyncio.ensure_future(each.wait()) for each in (settled, over)]
    await asyncio.wait(waiting, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
    forget()


def _trouble(running: Running, waited_seconds: float) -> str:
    """Say why there is no token; empty if there is one."""
    snapshot = running.tokens.snapshot()
    if snapshot.usable:
        return ""
    error = running.tokens.cache.shortage()
    if snapshot.state is State.LATCHED:
        return f"the command was not run. {_said(error)}"
    return f"the command was not run: no token within {waited_seconds:g} s. {_said(error)}"


def _said(error: ProxyError) -> str:
    return f"{error.detail} {error.hint}".strip()


def _address(running: Running) -> str:
    bound = running.addresses[0]
    path = bound.removeprefix("unix:")
    return f"http://{bound}" if path == bound else path


def _quiet(loaded: Loaded) -> Loaded:
    """Return *loaded* with what concerns the log made quiet, where nobody has set it."""
    unset = {
        name: value
        for name, value in _QUIET.items()
        if loaded.provenance[f"log.{name}"].kind == "default"
    }
    settings = loaded.settings
    quiet = settings.model_copy(update={"log": settings.log.model_copy(update=unset)})
    return replace(loaded, settings=quiet)


def _without_secrets(environ: Mapping[str, str], loaded: Loaded) -> dict[str, str]:
    """Return *environ* as the command may see it."""
    kept = {name: text for name, text in environ.items() if not name.upper().startswith(PREFIX)}
    if loaded.secret.kind is SecretKind.CREDENTIAL:
        kept.pop("CREDENTIALS_DIRECTORY", None)
    secret = _secret(loaded)
    for name in [name for name, text in kept.items() if _holds(text, secret)]:
        del kept[name]
        _log.warning(
            "command.variable_withheld",
            variable=name,
            message="it holds the client secret, which is not the command's to know",
        )
    return kept


def _secret(loaded: Loaded) -> str:
    with suppress(SecretError):
        return loaded.secret.read()
    return ""


def _holds(text: str, secret: str) -> bool:
    return bool(secret) and (text == secret or (len(secret) >= _LONG_ENOUGH and secret in text))
