"""What a service manager is told, at a real datagram socket."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.app import notify
from proxy.app.compose import StartError
from proxy.app.notify import Notifier, notifying


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A manager's socket; nothing is waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "notify"))
        found.setblocking(False)
        yield found


@pytest.fixture
def address(manager: socket.socket) -> str:
    """Its address."""
    return str(manager.getsockname())


def told(manager: socket.socket) -> list[str]:
    """Return what has come so far."""
    found = []
    try:
        while True:
            found.append(manager.recv(4096).decode())
    except BlockingIOError:
        return found


def test_what_names_the_manager_is_taken_out_of_the_environment(address: str) -> None:
    """
    No process that is started later speaks in our name.
    """
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "9", "WATCHDOG_PID": "7", "HOME": "/"}
    notify.take(environ, 7).close()
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("3000000", "7", 3.0),
        ("3000000", None, 3.0),
        ("3000000", "8", None),
        ("0", "7", None),
        ("soon", "7", None),
    ],
)
def test_the_watchdog_is_ours_if_it_is_meant_for_us(
    usec: str, pid: str | None, seconds: float | None, address: str
) -> None:
    """
    WATCHDOG_PID is of the process that is expected to give signs of life.
    """
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec}
    notifier = notify.take(environ if pid is None else {**environ, "WATCHDOG_PID": pid}, 7)
    assert notifier.watchdog_seconds == seconds
    notifier.close()


def test_without_a_manager_nothing_is_told() -> None:
    """
    In a terminal or a container there is none.
    """
    notifier = notify.take({"WATCHDOG_USEC": "9"}, 7)
    assert (notifier.heard, notifier.watchdog_seconds) == (False, None)
    notifier.ready()
    notifier.status("Ready.")


def test_a_status_is_one_line(manager: socket.socket, address: str) -> None:
    """
    Whatever is in a sentence, it sets no other variable.
    """
    notifier = Notifier(address)
    notifier.status("Fine.\nMAINPID=1\n" + "x" * 1000)
    (line,) = told(manager)
    assert line.startswith("STATUS=Fine.?MAINPID=1?xxx")
    assert len(line) < 500
    notifier.close()


def test_a_manager_that_does_not_read_is_not_waited_for(
    manager: socket.socket, address: str
) -> None:
    """
    Signs of life that find its socket full are dropped; the loop goes on.
    """
    notifier = Notifier(address)
    for _ in range(10_000):
        notifier.alive()
    received = told(manager)
    assert 0 < len(received) < 10_000
    notifier.status("Still here.")
    assert told(manager) == ["STATUS=Still here."]
    notifier.close()


def test_a_reload_that_fails_ends_as_well(manager: socket.socket, address: str) -> None:
    """
    Or the manager would wait for its end.
    """
    notifier = Notifier(address)

    def failing() -> None:
        with notifier.reloading():
            raise StartError("no")

    with pytest.raises(StartError):
        failing()
    begun, ended = told(manager)
    assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert ended == "READY=1"
    notifier.close()


async def test_news_are_told_and_no_news_are_not(manager: socket.socket, address: str) -> None:
    """
    A sentence is sent when it is another one, before and while it is ready.
    """
    said, calls = ["Starting."], list[Callable[[], None]]()

    def on_change(call: Callable[[], None]) -> Callable[[], None]:
        calls.append(call)
        return calls.clear

    notifier = Notifier(address)
    with notifying(notifier, sentence=lambda: said[-1], on_change=on_change):
        assert told(manager) == ["STATUS=Starting.", "READY=1"]
        calls[0]()
        assert told(manager) == []
        said.append("Ready.")
        calls[0]()
        assert told(manager) == ["STATUS=Ready."]
    assert calls == []
    (last,) = told(manager)
    assert last.startswith("STOPPING=1\nSTATUS=Draining: ")
    notifier.close()


async def test_a_loop_that_hangs_gives_no_sign_of_life(
    manager: socket.socket, address: str
) -> None:
    """
    While it turns there are two in each interval, and none while it does not.
    """
    notifier = Notifier(address, watchdog_seconds=0.1)
    with notifying(notifier, sentence=str, on_change=lambda _: lambda: None):
        received: list[str] = []
        while received.count("WATCHDOG=1") < 3:
            await asyncio.sleep(0.01)
            received += told(manager)
        time.sleep(0.3)  # noqa: ASYNC251 - a loop that hangs is what this is about
        assert told(manager) == []
    notifier.close()
