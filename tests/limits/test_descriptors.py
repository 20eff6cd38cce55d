"""More connections than the process may have descriptors: some are refused, that is all."""

import json
import resource
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.connections import BOUNDS
from proxy.admin.health import main as health
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess
from tests.limits.clients import Client, Crowd, Vitals, with_descriptors
from tests.limits.conftest import Begin

# 128 are kept for the proxy itself; the rest is shared between clients and upstream.
DESCRIPTORS = 192
SERVED = 32


def _open_descriptors(proxy: ProxyProcess) -> int:
    admin = proxy.wait_for("listener.opened")["admin"]
    with urllib.request.urlopen(f"http://{admin}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("process_open_fds "):
                return int(float(line.split()[1]))
    raise AssertionError("not told")


def _events(proxy: ProxyProcess, event: str) -> list[dict[str, Any]]:
    return [line for line in proxy.log if line["event"] == event]


def test_a_flood_is_refused_and_who_is_in_service_stays_so(begin: Begin) -> None:
    """
    Of far more clients than there are descriptors, all hear a 503 with Retry-After that may not be
    served, and none of those that were there before has an error. The log says so in a line, not in
    hundreds; no processor time goes into a flood that stands still; afterwards nothing is left.
    """
    proxy = begin(with_descriptors(DESCRIPTORS))
    vitals = Vitals(proxy)
    with Crowd(proxy.port, 5) as served:
        served.ask()
        before = _open_descriptors(proxy)
        with Crowd(proxy.port, 2 * DESCRIPTORS) as flood:
            refused = flood.clients[SERVED:]
            for client in refused:
                answer = client.answer()
                assert (answer.status, answer.code) == (503, "overloaded")
                assert b"\r\nRetry-After: 1" in answer.head
                if client is refused[-1] or client is refused[0]:
                    assert {answer.status for answer in served.ask()} == {200}
            idle = vitals.cpu_seconds
            time.sleep(1)  # the promise is about a flood that stands still for so long
            assert vitals.cpu_seconds - idle < 0.5
            assert {answer.status for answer in served.ask()} == {200}
        _until(lambda: _open_descriptors(proxy) <= before + 1)
        with Crowd(proxy.port, SERVED - 8) as later:
            assert {answer.status for answer in later.ask()} == {200}
        assert {answer.status for answer in served.ask()} == {200}
    assert 1 <= len(_events(proxy, "clients.turned_away")) <= 3
    assert _events(proxy, "clients.turned_away")[0]["limit"] == SERVED
    assert proxy.stop() == 0
    assert proxy.errors == ""


def test_want_of_descriptors_is_survived(begin: Begin, stack: ExitStack, tmp_path: Path) -> None:
    """
    With none to be had at all, who has a connection is served on, without a busy loop, and the log
    tells why others are not. As soon as there are some again, new clients are served: a listening
    socket that the event loop gave up is opened anew.
    """
    path = tmp_path / "proxy.sock"
    proxy = begin(listen_address=f"127.0.0.1:0,unix:{path}")
    vitals, pid = Vitals(proxy), proxy.process.pid
    there = stack.enter_context(closing(Client(proxy.port)))
    assert there.ask().status == 200
    enough = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, enough[1]))
    stack.enter_context(Crowd(proxy.port, 20))
    proxy.wait_for("descriptors.exhausted")
    idle = vitals.cpu_seconds
    for _ in range(8):
        assert there.ask().status == 200
        time.sleep(0.1)  # the promise is about a want that lasts for so long
    assert vitals.cpu_seconds - idle < 0.4
    resource.prlimit(pid, resource.RLIMIT_NOFILE, enough)
    for place in (proxy.port, path):
        later = stack.enter_context(closing(Client(place)))
        assert later.ask().status == 200
    assert there.ask().status == 200
    assert len(_events(proxy, "descriptors.exhausted")) == 1
    reopened = {line["listen"] for line in _events(proxy, "listener.reopened")}
    assert reopened == {proxy.address, f"unix:{path}"}
    assert proxy.stop() == 0
    assert proxy.errors == ""


@pytest.mark.parametrize("path", ["/", "/metrics"])
def test_who_first_looks_without_a_descriptor_is_told_so(
    begin: Begin, stack: ExitStack, path: str
) -> None:
    """
    The page and the metrics are imported when they are first asked for, which takes files: without
    them it is a 503 from the error table, and afterwards there is the page.
    """
    proxy = begin()
    host, _, port = proxy.wait_for("listener.opened")["admin"].rpartition(":")
    there = HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    stack.callback(there.close)
    there.request("GET", "/livez")
    assert there.getresponse().read()
    enough = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (3, enough[1]))
    refused = _asked(there, path)
    assert (refused["status"], refused["code"]) == (503, "overloaded")
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, enough)
    there.request("GET", path)
    assert there.getresponse().status == 200
    assert proxy.errors == ""


def _asked(there: HTTPConnection, path: str) -> dict[str, Any]:
    """Return the problem that *path* is answered with."""
    there.request("GET", path)
    problem: dict[str, Any] = json.loads(there.getresponse().read())
    return problem


def test_who_fills_the_listeners_for_health_takes_nothing_from_others(
    begin: Begin, stack: ExitStack
) -> None:
    """
    Hundreds of connections to the admin and ops listeners, held open with half a request, leave the
    descriptors to the clients, of which all that may be served are; and health is told.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        ops = int(probe.getsockname()[1])
    proxy = begin(with_descriptors(DESCRIPTORS), ops_address=f"127.0.0.1:{ops}")
    admin = int(proxy.wait_for("listener.opened")["admin"].rpartition(":")[2])
    for port in (admin, ops):
        for client in stack.enter_context(Crowd(port, 2 * DESCRIPTORS)).clients:
            client.say(b"GET /livez HT")
    clients = stack.enter_context(Crowd(proxy.port, SERVED))
    assert {answer.status for answer in clients.ask()} == {200}
    for port in (admin, ops):
        assert health(["--address", f"127.0.0.1:{port}"]) == 0
        told = proxy.wait_for("admin.clients_dropped", listen=f"127.0.0.1:{port}")
        assert told["limit"] == BOUNDS.most
    assert not _events(proxy, "descriptors.exhausted")
    assert proxy.stop() == 0
    assert proxy.errors == ""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What the test has opened, and is closed after it."""
    with ExitStack() as stack:
        yield stack


def _until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)
