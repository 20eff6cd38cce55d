"""``demo`` and ``demo --check``, with a stand-in for the proxy."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from io import BytesIO, TextIOWrapper

import pytest

from proxy.demo import command, steps
from proxy.demo.command import Running, run
from proxy.demo.server import DemoAPI
from proxy.demo.terminal import Terminal
from tests.demo.forwarder import Forwarder, serving

# The demo has ports of its own: one at a time.
pytestmark = pytest.mark.xdist_group("fixed-ports")

_PATIENCE_SECONDS = 10.0
_DEMO = (
    "import sys; from proxy.demo.command import run; from tests.demo.forwarder import serving;"
    "sys.exit(run(False, serving))"
)


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    """Run ``demo`` as a process, and kill it at the end if it is still there."""
    environ = {**os.environ, "BEARER_PROXY_UPSTREAM_URL": "http://127.0.0.1:1/not-this"}
    with subprocess.Popen(
        [sys.executable, "-c", _DEMO], stdout=subprocess.PIPE, text=True, env=environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hold(sock: socket.socket, port: int) -> None:
    """Have *sock* listen at *port*, unless somebody else does so for good, which is as good."""
    # Connections of an earlier demo may linger in TIME_WAIT.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)  # another test's, which may end any moment
        else:
            sock.listen()
            return


def introduction(process: subprocess.Popen[str]) -> str:
    """Read what the demo says before it waits."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            return said
    raise AssertionError(said)


def status(url: str) -> int:
    """Return the status that a GET gets."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines written so far."""
    return capsys.readouterr().out.splitlines()


def test_check_performs_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """
    In front of a proxy that does its work every step has its ✓, and the exit code is 0.
    """
    assert run(True, serving) == 0
    shown = lines(capsys)
    assert [line[:3] for line in shown] == ["  ✓"] * 8
    for number, seen in enumerate(("401 without", "200 with it", "3 events", "came back")):
        assert seen in shown[number]


@pytest.mark.parametrize(
    ("flaw", "failing"),
    [
        ("no-token", {1, 2, 3, 4, 5, 6}),
        ("two-tokens", {7}),
        ("buffering", {2}),
        ("location", {6}),
        ("short", {2, 5}),  # it holds back in order to shorten
        ("no-upgrade", {3}),
    ],
)
def test_check_fails_on_the_step_that_a_flaw_breaks(
    capsys: pytest.CaptureFixture[str], flaw: str, failing: set[int]
) -> None:
    """
    Each flaw of a proxy has its ✗ with what was seen, and the exit code is 1.
    """
    assert run(True, partial(serving, flaw=flaw)) == 1
    shown = lines(capsys)
    assert failing == {number for number, line in enumerate(shown) if line.startswith("  ✗")}
    assert shown[0].startswith("  ✓")
    assert len(shown) == 8


def test_a_proxy_that_hangs_fails_its_steps_in_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A step ends after its time, as failed, and the next is performed.
    """
    monkeypatch.setattr(steps, "_STEP_SECONDS", 0.2)
    assert run(True, partial(serving, flaw="hangs")) == 1
    assert sum("nothing within" in line for line in lines(capsys)) == 6


@pytest.mark.parametrize("check", [False, True])
def test_without_a_token_the_demo_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, check: bool
) -> None:
    """
    A proxy that never gets ready is exit code 1, not a demo that hangs.
    """
    monkeypatch.setattr(command, "_READY_SECONDS", 0.1)
    assert run(check, partial(serving, flaw="never-ready")) == 1
    assert "no token" in capsys.readouterr().err


def test_check_takes_free_ports_and_keeps_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The proxy gets port 0 and no status page; neither the secret nor the id's owner is shown it.
    """
    given: list[Mapping[str, str]] = []

    def noting(environ: Mapping[str, str]) -> AbstractAsyncContextManager[Forwarder]:
        given.append(environ)
        return serving(environ)

    run(True, noting)
    (environ,) = given
    assert environ["BEARER_PROXY_LISTEN_ADDRESS"] == "127.0.0.1:0"
    assert environ["BEARER_PROXY_ADMIN_ADDRESS"] == "off"
    assert len(environ["BEARER_PROXY_TOKEN_CLIENT_SECRET"]) >= 32
    captured = capsys.readouterr()
    assert environ["BEARER_PROXY_TOKEN_CLIENT_SECRET"] not in captured.out + captured.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_does_what_it_proposes_and_stops_on_a_signal(number: signal.Signals) -> None:
    """
    The curl lines work as they say; SIGINT and SIGTERM end the demo with exit code 0.
    """
    with demo() as process:
        said = introduction(process)
        without, through, stream = re.findall(r"curl (?:-N )?(http://\S+)", said)
        assert (status(without), status(through)) == (401, 200)
        with urllib.request.urlopen(stream, timeout=10) as response:
            assert response.readline() == b"id: 1\n"
        assert re.search(r"proxy +http://\S+ +token issued, valid 60 s, next refresh in 48 s", said)
        assert "status page" in said
        assert "\x1b" not in said
        process.send_signal(number)
        assert process.wait(10) == 0


def test_a_taken_port_is_told_and_another_one_used() -> None:
    """
    With 8080 taken the demo runs on a free port, and says so.
    """
    with socket.socket() as holder:
        hold(holder, 8080)
        with demo() as process:
            said = introduction(process)
            assert "Port 8080 is taken" in said
            through = re.findall(r"curl (http://\S+)", said)[1]
            assert ":8080/" not in through
            assert status(through) == 200


async def test_a_port_that_is_taken_in_the_last_moment_is_given_up() -> None:
    """
    Two demos that start at once both find 8080 free, and only one can have it.
    """
    asked: list[str] = []
    with socket.socket() as thief:

        @asynccontextmanager
        async def late(environ: Mapping[str, str]) -> AsyncIterator[Running]:
            asked.append(environ["BEARER_PROXY_LISTEN_ADDRESS"])
            if asked[-1].endswith(":8080"):
                hold(thief, 8080)
                raise OSError("address already in use")
            async with serving(environ) as running:
                yield running

        async with DemoAPI() as api, command._serving_a_person(api, late) as running:
            assert not running.addresses[0].endswith(":8080")
    assert asked[-1] == "127.0.0.1:0"


async def test_any_other_failure_to_start_is_told() -> None:
    """
    Where all ports are as free as they were, it is not tried again.
    """
    tries: list[str] = []

    @asynccontextmanager
    async def broken(environ: Mapping[str, str]) -> AsyncIterator[Running]:
        tries.append(environ["BEARER_PROXY_LISTEN_ADDRESS"])
        raise OSError("no such thing")
        yield serving(environ)  # never: it makes this a generator

    async with DemoAPI() as api:
        with pytest.raises(OSError, match="no such thing"):
            async with command._serving_a_person(api, broken):
                pass
    assert tries


async def test_a_second_signal_cuts_the_stop_short() -> None:
    """
    While the first signal's drain goes on, another cancels it.
    """

    async def draining() -> None:
        with command._stopped_by_signals() as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
            await stopped.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()  # a drain with somebody to wait for

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(draining())


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    """
    On a terminal there is colour, unless NO_COLOR is set and not empty.
    """
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert Terminal.stdout().coloured is coloured
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert Terminal.stdout().coloured is False


def test_a_sign_that_the_stream_cannot_write_is_no_error() -> None:
    """
    ✓ becomes "?" where the encoding has none.
    """
    written = BytesIO()
    with TextIOWrapper(written, encoding="ascii") as stream:
        Terminal(stream, coloured=False).line("✓ done")
        assert written.getvalue() == b"? done\n"
