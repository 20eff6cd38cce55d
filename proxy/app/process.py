"""The process: signals in, exit code out."""

import asyncio
import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable

import structlog
import uvloop

from proxy import log
from proxy.app import inherited, notify
from proxy.app.compose import StartError
from proxy.app.notify import Notifier, notifying
from proxy.app.reload import reloading
from proxy.app.serving import Running, serving
from proxy.log import Output
from proxy.settings.load import Loaded
from proxy.settings.names import HIDDEN, KEYS

_log = structlog.get_logger()
_PR_SET_DUMPABLE = 4  # linux/prctl.h


def run(loaded: Loaded) -> int:
    """
    Run until SIGTERM or SIGINT; return the exit code.

    0: stopped as asked, however much was still in flight. 1: could not start. The first signal
    drains, a second one ends at once; SIGHUP reads configuration and secret again.
    """
    output = log.configure(loaded.settings.log.format, loaded.settings.log.level)
    forget_secret_variables()
    raise_descriptor_limit()
    notifier = notify.take(os.environ, os.getpid())
    passed = inherited.take(os.environ, os.getpid())
    try:
        inherited.check(loaded.settings.listen.address, passed)
        uvloop.run(_run(loaded, output, notifier))
    except StartError as error:
        sys.stderr.write(f"bearer-proxy: {error}\n")
        return 1
    finally:
        output.sink.finish()
    return 0


async def _run(loaded: Loaded, output: Output, notifier: Notifier) -> None:
    loop = asyncio.get_running_loop()
    stop, at_once = asyncio.Event(), asyncio.Event()

    def asked_to_stop() -> None:
        (at_once if stop.is_set() else stop).set()

    # Before anything is open: a signal during the start must not find the default action.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    early = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early.set)
    async with serving(loaded, output) as running, reloading(running) as reloader:
        reloader.around = notifier.reloading
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        if early.is_set():
            reloader.ask()
        running.console.on_quit = stop.set
        _introduce(running, output)
        # What start-up made lives as long as the process: no collection needs to look at it, now or
        # later. To look for the little of it that is garbage takes longer than all the rest here.
        gc.freeze()
        gc.enable()
        with notifying(
            notifier,
            sentence=lambda: running.console.view().verdict.sentence,
            on_change=running.tokens.on_change,
        ):
            await stop.wait()
        await drain(running, at_once, running.settings.drain.timeout_seconds)


def _introduce(running: Running, output: Output) -> None:
    """Give the person at the terminal the address that may change things; no log ever has it."""
    if output.console and running.admin_url and sys.stderr.isatty():
        sys.stderr.write(f"status page  {running.admin_url}\n")


async def drain(running: Running, at_once: asyncio.Event, timeout_seconds: float) -> None:
    """Let what is in flight end, until *timeout_seconds* are over or *at_once* is set."""
    _log.info(
        "drain.started",
        connections=len(running.plane.connections),
        timeout_seconds=timeout_seconds,
    )
    drained = asyncio.ensure_future(running.drain(timeout_seconds))
    hurried = asyncio.ensure_future(at_once.wait())
    await asyncio.wait((drained, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not drained.done():
        drained.cancel()
        cut_off = await running.drain(0)
        _log.warning("drain.hurried", cut_off=cut_off)
        return
    cut_off = drained.result()
    say: Callable[..., object] = _log.warning if cut_off else _log.info
    say("drain.finished", cut_off=cut_off)


def withhold_memory() -> None:
    """
    Keep other processes of the same user out of this one's memory and initial environment.

    Called before anything secret is read. There will be no core file, no debugger attaches, and
    ``/proc/<pid>/environ`` and ``mem`` are root's; on systems without Linux' ``prctl`` only the
    first of these holds.
    """
    # A pipe as core_pattern is handed a core whatever the limit says; not being dumpable stops it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_secret_variables() -> None:
    """Take what may be secret out of the environment, so that no child process inherits it."""
    for path in HIDDEN:
        os.environ.pop(KEYS[path].variable, None)


def raise_descriptor_limit() -> None:
    """Take as many descriptors as may be had: every request needs two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        _log.debug("process.descriptor_limit_kept")
