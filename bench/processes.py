"""Start a server for the length of a block, wait until it serves, and stop it with its children."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.programs import PATH


class StartError(Exception):
    """A server did not come up; the text ends in what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start a server: *environment* is added to ours."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(launch: Launch, *, core: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a server on one *core* until the block ends, which need not serve yet when it begins.

    Standard output and error go to *log*, which is opened for appending: it may be truncated.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            # taskset and not sched_setaffinity(2) from here: children inherit it from the start.
            ["taskset", "--cpu-list", str(core), *launch.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_without_our_settings() | {"PATH": PATH} | dict(launch.environment),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


@contextlib.contextmanager
def running(launch: Launch, *, core: int, port: int, log: Path) -> Iterator[int]:
    """Do what ``started`` does, and give its process number once *port* accepts."""
    with started(launch, core=core, log=log) as process:
        _wait_for(port, process=process, log=log)
        yield process.pid


def tail(log: Path) -> str:
    """Return the end of what a server wrote, fit for an error's text."""
    return log.read_text("utf-8", "replace")[-600:].strip() or "(nothing)"


def _without_our_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "BEARER_PROXY" not in name}


def _wait_for(port: int, *, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise StartError(f"{process.args!r} did not listen on port {port}; it wrote: {tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    # The session is the server's own, so its group is exactly the server and its children.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
