"""The command under a service manager: told by datagrams, given sockets by descriptor."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess

# What systemd does between fork and exec: descriptors from 3 on, and the variables that name them.
_PASS = """\
import os, sys
number, pid, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
os.environ["LISTEN_FDS"] = str(number)
os.environ["LISTEN_PID"] = pid or str(os.getpid())
os.execv(command[0], command)
"""


class Manager:
    """Receives what a service tells, at a Unix datagram socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.told: list[str] = []

    def until(self, line: str) -> None:
        """Receive until a line begins so."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            lines = self.socket.recv(4096).decode().splitlines()
            self.told += lines
            if any(each.startswith(line) for each in lines):
                return
        raise AssertionError(f"no {line} in {self.told}")

    def all(self) -> list[str]:
        """Receive what is left, and return every line so far."""
        self.socket.settimeout(0)
        try:
            while True:
                self.told += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.told


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager at an abstract address, as a container's often is."""
    found = Manager(f"@bearer-proxy-{os.getpid()}-{tmp_path.name}")
    yield found
    found.socket.close()


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API."""
    with ThreadedDemoAPI() as api:
        yield api


def notified(api: ThreadedDemoAPI, manager: Manager, **more: str) -> dict[str, str]:
    """Return the environment of a service of *manager*."""
    return {**api.environment(), "NOTIFY_SOCKET": manager.address, **more}


def test_a_life_is_told_from_ready_to_stopping(
    manager: Manager, api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    Ready once it listens, how it stands, the reload with its moment, the end; and that it lives.
    """
    watched = notified(api, manager, WATCHDOG_USEC="200000")
    with ProxyProcess(watched, tmp_path) as process:
        manager.until("READY=1")
        manager.until("STATUS=Ready. Requests to http://127.0.0.1:")
        for _ in range(3):
            manager.until("WATCHDOG=1")
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        process.process.send_signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        manager.until("READY=1")
        assert process.stop() == 0
    told = manager.all()
    (moment,) = (int(each.partition("=")[2]) for each in told if each.startswith("MONOTONIC_USEC"))
    assert before <= moment <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    others = ("STATUS", "MONOTONIC", "WATCHDOG")
    states = [each.split("=")[0] for each in told if not each.startswith(others)]
    assert states == ["READY", "RELOADING", "READY", "STOPPING"]
    assert told[-1].startswith("STATUS=Draining")
    assert api.client_secret not in "".join(told)


def test_it_is_ready_without_an_issuer_and_says_so(
    manager: Manager, tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    An issuer that is down keeps no machine from booting; the status has the reason.
    """
    api.fault("down")
    # The watchdog of another process is not ours to feed.
    watched = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with ProxyProcess(notified(api, manager, **watched), tmp_path) as process:
        manager.until("READY=1")
        manager.until("STATUS=Not ready: the issuer ")
        assert process.stop() == 0
    assert not [each for each in manager.all() if each.startswith("WATCHDOG")]


def passing(*sockets: socket.socket, claimed: int | None = None, pid: str = "") -> list[str]:
    """Return the wrapper that has a command find *sockets* at descriptors from 3 on."""
    for at, each in enumerate(sockets):
        os.dup2(each.fileno(), 100 + at)
        os.set_inheritable(100 + at, True)
    moves = "".join(f"os.dup2({100 + at}, {3 + at});" for at in range(len(sockets)))
    number = len(sockets) if claimed is None else claimed
    return [sys.executable, "-c", f"import os;{moves}\n{_PASS}", str(number), pid]


class Passed(ProxyProcess):
    """The command, given listening sockets."""

    def __enter__(self) -> "Passed":
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(
                self._arguments, env=self._environment, stdout=out, stderr=err, close_fds=False
            )
        return self


def asked(connection: socket.socket) -> bytes:
    """Send a request and return its status line."""
    with connection:
        connection.settimeout(PATIENCE_SECONDS)
        connection.sendall(b"GET /transactions HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(4096).partition(b"\r\n")[0]


def test_passed_sockets_are_served_and_outlive_the_process(
    tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    One by TCP and one by path; who comes during a restart is served by the next process.
    """
    path = tmp_path / "proxy.sock"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    environment = {**api.environment(), "BEARER_PROXY_LISTEN_ADDRESS": "fd:3,fd:4"}
    with socket.create_server(("127.0.0.1", 0)) as tcp, unix:
        wrapper = passing(tcp, unix)
        for _ in range(2):
            early = socket.create_connection(tcp.getsockname())
            with Passed(environment, tmp_path, wrapper=wrapper) as process:
                process.wait_for("proxy.ready")
                at_path = socket.socket(socket.AF_UNIX)
                at_path.connect(str(path))
                assert asked(early) == b"HTTP/1.1 200 OK"
                assert asked(at_path) == b"HTTP/1.1 200 OK"
                assert process.stop() == 0
            assert path.exists()


def test_a_socket_that_was_passed_and_is_not_served_is_no_start(
    tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    In a sentence that has both ways out of it.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        Passed(api.environment(), tmp_path, wrapper=passing(tcp)) as process,
    ):
        assert process.process.wait(PATIENCE_SECONDS) == 1
    (said,) = process.errors.splitlines()
    assert said.startswith("bearer-proxy: nobody would answer at fd:3: systemd passed it and ")


def test_a_socket_from_another_supervisor_needs_no_variables(
    tmp_path: Path, api: ThreadedDemoAPI
) -> None:
    """
    A descriptor that is open and listens is enough; LISTEN_* of another process mean nothing. And a
    manager that can't be told costs a line in the log.
    """
    environment = {
        **api.environment(),
        "BEARER_PROXY_LISTEN_ADDRESS": "fd:3",
        "NOTIFY_SOCKET": "/nowhere/notify",
    }
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        Passed(environment, tmp_path, wrapper=passing(tcp, claimed=7, pid="1")) as process,
    ):
        process.wait_for("proxy.ready")
        assert asked(socket.create_connection(tcp.getsockname())) == b"HTTP/1.1 200 OK"
    assert [line["event"] for line in process.log].count("notify.failed") == 1
