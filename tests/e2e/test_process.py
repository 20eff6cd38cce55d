"""The process as its supervisor sees it: signals, exit codes, lines of log."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess, command


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_proxy_with_code_0(proxy: ProxyProcess, number: int) -> None:
    """
    SIGTERM and SIGINT are a clean stop, not a failure.
    """
    assert proxy.stop(number) == 0
    assert proxy.errors == ""
    assert proxy.log[-1]["event"] == "drain.finished"


def test_what_is_in_flight_is_finished_before_the_end(proxy: ProxyProcess) -> None:
    """
    A request that began before SIGTERM gets its whole answer; a new one finds nobody.
    """
    answers: list[int] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE_SECONDS)
        with closing(connection):
            connection.request("GET", "/slow?seconds=1")
            answers.append(connection.getresponse().status)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)  # the request must be on its way; nothing of it shows before it is answered
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for("drain.started")
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", proxy.port), 2)
    asking.join(PATIENCE_SECONDS)
    assert answers == [200]
    assert proxy.process.wait(PATIENCE_SECONDS) == 0


def test_a_drain_ends_at_its_limit(environment: dict[str, str], tmp_path: Path) -> None:
    """
    drain.timeout_seconds bounds the wait for what never ends, and the code is still 0.
    """
    environment["BEARER_PROXY_DRAIN_TIMEOUT_SECONDS"] = "0.5"
    with ProxyProcess(environment, tmp_path) as process, _stream(process):
        begun = time.monotonic()
        assert process.stop() == 0
        assert 0.4 < time.monotonic() - begun < 5
        assert process.wait_for("drain.finished")["cut_off"] == 1


def test_a_second_signal_ends_at_once(proxy: ProxyProcess) -> None:
    """
    Whoever signals twice does not want to wait 25 seconds.
    """
    with _stream(proxy):
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_for("drain.started")
        begun = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - begun < 5


def _stream(proxy: ProxyProcess) -> socket.socket:
    """Return a connection on which an endless stream of events has begun."""
    _ = proxy.url
    sock = socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS)
    sock.sendall(b"GET /ticks?interval=0.05 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = b""
    while b"data" not in received:
        received += sock.recv(65536)
    return sock


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="a PID namespace needs root and unshare",
)
def test_it_stops_as_process_1(environment: dict[str, str], tmp_path: Path) -> None:
    """
    As a container's first process, for which no signal has a default action.
    """
    probe = subprocess.run(["unshare", "--pid", "--fork", "true"], check=False)
    if probe.returncode:
        pytest.skip("this system allows no PID namespace")
    wrapper = ("unshare", "--pid", "--fork", "--kill-child")
    with ProxyProcess(environment, tmp_path, wrapper=wrapper) as process:
        process.wait_for("proxy.ready")
        child = int(
            Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text()
        )
        os.kill(child, signal.SIGTERM)
        assert process.process.wait(PATIENCE_SECONDS) == 0
        assert process.log[-1]["event"] == "drain.finished"


def test_the_ready_line_tells_from_where_to_where(
    proxy: ProxyProcess, api: ThreadedDemoAPI
) -> None:
    """
    It has the bound port, though the configured one was 0, and how long the token is valid.
    """
    line = proxy.wait_for("proxy.ready")
    assert line["listen"] == [f"127.0.0.1:{proxy.port}"]
    assert line["message"].startswith(f"http://127.0.0.1:{proxy.port} → {api.url} token valid ")
    assert 50 <= line["token_expires_in_seconds"] <= 60
    assert proxy.port != 0


def test_every_request_is_one_line(proxy: ProxyProcess) -> None:
    """
    Method, path without query values, status, whose, duration, bytes and id.
    """
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE_SECONDS)
    with closing(connection):
        fields = {"X-Request-Id": "mine-1"}
        connection.request("GET", "/transactions?cursor=private", headers=fields)
        body = connection.getresponse().read()
    line = proxy.wait_for("request.completed")
    assert line["method"] == "GET"
    assert line["path"] == "/transactions?…"
    assert line["status"] == 200
    assert line["side"] == "upstream"
    assert line["request_id"] == "mine-1"
    assert line["response_bytes"] == len(body)
    assert 0 < line["first_byte_seconds"] <= line["duration_seconds"] < 5
    assert "private" not in proxy.output


def test_a_bind_beyond_the_loopback_is_warned_of(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    One line says whose credentials everyone who reaches the port will use.
    """
    environment["BEARER_PROXY_LISTEN_ADDRESS"] = "0.0.0.0:0"
    with ProxyProcess(environment, tmp_path) as process:
        line = process.wait_for("listener.exposed")
        assert line["level"] == "warning"
        assert api.client_id in line["message"]


def test_a_taken_port_is_a_sentence_and_code_1(environment: dict[str, str]) -> None:
    """
    The address in use is named, and what to do; there is no traceback.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment["BEARER_PROXY_LISTEN_ADDRESS"] = address
        result = command("run", environment=environment)
    assert result.returncode == 1
    assert f"cannot listen on {address}" in result.stderr
    assert "BEARER_PROXY_LISTEN_ADDRESS" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_a_ca_file_without_certificates_is_a_sentence_and_code_1(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    Trust that can't be established is not silently the system's.
    """
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    environment["BEARER_PROXY_UPSTREAM_CA_FILE"] = str(empty)
    result = command("run", environment=environment)
    assert result.returncode in (1, 78)
    assert str(empty) in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_the_listener_opens_before_the_first_token(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    With the issuer down, a request is answered: 503, with a code and a time to come back.
    """
    api.fault("down", what="issuer")
    environment["BEARER_PROXY_TOKEN_WAIT_SECONDS"] = "0.2"
    with ProxyProcess(environment, tmp_path) as process:
        port = int(process.address.rpartition(":")[2])
        process.wait_for("token.refresh_failed")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        with closing(connection):
            connection.request("GET", "/transactions")
            answer = connection.getresponse()
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert answer.headers["Proxy-Status"].startswith("bearer-proxy; error=")
            assert b'"code": "issuer_unreachable"' in answer.read()
        assert api.stats().api_requests == 0
        api.fault("recover")
        process.wait_for("proxy.ready")


def test_wait_tells_that_the_issuer_rejects_the_credentials(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    Code 3 as from check --online, and the sentence that the probe gets.
    """
    environment["BEARER_PROXY_TOKEN_CLIENT_SECRET"] = "mistyped"
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("token.latched")
        admin = process.wait_for("listener.opened")["admin"]
        done = command("wait", "--address", admin, "--timeout", "0.5")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith("token failed (the issuer answered 401 (INVALID_CREDENTIALS)")
