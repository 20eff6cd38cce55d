"""The admin listener of the installed command."""

import http.client
import json
import os
import pty
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, ProxyProcess, clean_environment, command


class Admin:
    """A running proxy's admin listener, asked over one connection."""

    def __init__(self, process: ProxyProcess, token_file: Path) -> None:
        self.process = process
        self.token_file = token_file
        self.address = str(process.wait_for("listener.opened")["admin"])
        host, _, port = self.address.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)

    def ask(self, path: str, method: str = "GET", **fields: str) -> tuple[int, str]:
        """Return status and body."""
        self._connection.request(method, path, headers=fields)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def act(self, action: str) -> int:
        """Have *action* done with the token of the file; return the status."""
        token = self.token_file.read_text().strip()
        return self.ask(f"/-/{action}", "POST", Authorization=f"Bearer {token}")[0]

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def admin(environment: dict[str, str], tmp_path: Path) -> Iterator[Admin]:
    """The admin listener of a ready proxy; its token is in a file of the test's own."""
    environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        address = str(process.wait_for("listener.opened")["admin"])
        file = tmp_path / "bearer-proxy" / f"{address.replace(':', '_')}.token"
        admin = Admin(process, file)
        yield admin
        admin.close()


def get(process: ProxyProcess, path: str) -> int:
    """Send a request through the proxy; return its status."""
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_the_token_is_in_a_file_of_ours_while_we_run(admin: Admin) -> None:
    """
    0600 from the start to the end, and nowhere else: neither printed nor logged.
    """
    assert admin.token_file.stat().st_mode & 0o777 == 0o600
    token = admin.token_file.read_text().strip()
    assert admin.act("refresh") == 200
    assert admin.process.stop() == 0
    assert not admin.token_file.exists()
    assert token not in admin.process.output


def test_status_finds_the_running_proxy(admin: Admin, tmp_path: Path) -> None:
    """
    By its address: as a table, as JSON, and as the page's address with the token.
    """
    environment = {"BEARER_PROXY_ADMIN_ADDRESS": admin.address, "XDG_RUNTIME_DIR": str(tmp_path)}
    table = command("status", environment=environment)
    assert (table.returncode, table.stdout.partition(".")[0]) == (0, "Ready")
    found = json.loads(command("status", "--json", environment=environment).stdout)
    assert found["verdict"]["level"] == "ok"
    url = command("status", "--url", environment=environment).stdout
    assert url == f"http://{admin.address}/#token={admin.token_file.read_text().strip()}\n"
    assert command("wait", "--timeout", "5", environment=environment).returncode == 0


def test_a_refresh_brings_another_token(admin: Admin, api: ThreadedDemoAPI) -> None:
    """
    The issuer is asked once more, and the page shows another fingerprint.
    """
    before = json.loads(admin.ask("/api/status")[1])["token"]["fingerprint"]
    assert admin.act("refresh") == 200
    end = time.monotonic() + PATIENCE_SECONDS
    while json.loads(admin.ask("/api/status")[1])["token"]["fingerprint"] == before:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert api.stats().issued == 2


def test_a_drain_leaves_the_process_alive_and_not_ready(admin: Admin) -> None:
    """
    New connections find nobody, readiness fails, liveness does not.
    """
    assert get(admin.process, "/transactions") == 200
    assert admin.act("drain") == 200
    status, body = admin.ask("/readyz")
    assert (status, "[-]accepting failed (draining)" in body) == (503, True)
    assert admin.ask("/livez")[0] == 200
    with pytest.raises(ConnectionError):
        get(admin.process, "/transactions")
    assert admin.process.process.poll() is None
    assert admin.process.stop() == 0


def test_quit_ends_the_process_with_code_0(admin: Admin) -> None:
    """
    What a Job's application asks for at its own end.
    """
    assert admin.act("quit") == 200
    admin.close()
    assert admin.process.process.wait(PATIENCE_SECONDS) == 0
    assert admin.process.log[-1]["event"] == "drain.finished"


def test_metrics_are_of_what_happened(admin: Admin) -> None:
    """
    Requests, bytes, overhead and the token's life, as a scrape has them.
    """
    for _ in range(3):
        assert get(admin.process, "/transactions") == 200
    assert get(admin.process, "/status/404") == 404
    samples = {
        (sample.name.removeprefix("bearer_proxy_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(admin.ask("/metrics")[1])
        for sample in family.samples
    }
    assert samples["requests_total", "200", "GET"] == 3
    assert samples["requests_total", "404", "GET"] == 1
    assert samples["overhead_seconds_count",] == 4
    assert samples["upstream_ttfb_seconds_count", "2xx"] == 3
    assert 0 < samples["overhead_seconds_sum",] < samples["request_duration_seconds_sum", "2xx"] + 1
    assert samples["response_body_bytes_total",] > 100
    assert samples["token_refreshes_total", "ok"] == 1
    assert samples["token_refresh_duration_seconds_count",] == 1
    assert 0 < samples["token_expiry_timestamp_seconds",] - time.time() <= 60
    assert samples["upstream_connections", "idle"] >= 1
    assert samples["config_last_reload_successful",] == 1


def test_a_replay_after_a_401_is_counted(admin: Admin, api: ThreadedDemoAPI) -> None:
    """
    Revoked tokens are replaced and the request sent again, which shows in a metric alone.
    """
    api.fault("revoke")
    assert get(admin.process, "/transactions") == 200
    assert 'bearer_proxy_upstream_401_replays_total{result="ok"} 1.0' in admin.ask("/metrics")[1]


def test_nothing_is_remembered_if_that_is_asked(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    admin.recent_requests = 0 and the list says so.
    """
    environment |= {"BEARER_PROXY_ADMIN_RECENT_REQUESTS": "0", "XDG_RUNTIME_DIR": str(tmp_path)}
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        get(process, "/transactions")
        admin = Admin(process, tmp_path)
        assert json.loads(admin.ask("/api/status")[1])["requests"] is None
        admin.close()


def test_queries_and_fields_are_not_shown(admin: Admin, api: ThreadedDemoAPI) -> None:
    """
    Whatever form the page is asked for.
    """
    connection = http.client.HTTPConnection("127.0.0.1", admin.process.port)
    connection.request("GET", "/transactions?cursor=private", headers={"X-Mine": "private"})
    connection.getresponse().read()
    connection.close()
    for accept in ("text/html", "application/json", "text/plain"):
        _, body = admin.ask("/", Accept=accept)
        assert "/transactions" in body
        assert "private" not in body
        assert api.client_secret not in body


# Sends the next request on each of 16 connections as soon as it has read something of the answer:
# a refusal, so that nobody but the proxy is busy.
_LOAD = """
import asyncio, sys
class Client(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.data_received(b"")
    def data_received(self, data):
        self.transport.write(b"GET /transactions HTTP/1.1\\r\\nHost: x.test\\r\\n\\r\\n")
async def main():
    loop = asyncio.get_running_loop()
    for _ in range(16):
        await loop.create_connection(Client, "127.0.0.1", int(sys.argv[1]))
    print("begun", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_health_is_answered_at_once_while_the_data_plane_is_busy(admin: Admin) -> None:
    """
    Within 10 ms, with 16 connections that never pause. The quicker half of two seconds' probes is
    looked at: the other shows what else the machine does.
    """
    load = subprocess.Popen(
        [sys.executable, "-c", _LOAD, str(admin.process.port)], stdout=subprocess.PIPE
    )
    try:
        assert load.stdout is not None
        assert load.stdout.readline() == b"begun\n"
        took = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            begun = time.perf_counter()
            assert admin.ask("/readyz") == (200, "ok\n")
            took.append(time.perf_counter() - begun)
    finally:
        load.kill()
        load.wait()
        if load.stdout is not None:
            load.stdout.close()
    assert statistics.quantiles(took)[0] < 0.010
    served = re.search(r'requests_total{code="403",method="GET"} (\S+)', admin.ask("/metrics")[1])
    assert served is not None
    assert float(served[1]) > 1000, "the data plane was not busy"


def test_a_terminal_is_told_the_pages_address_once(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    With the token in it; the person at the keyboard needs to copy nothing from a file.
    """
    environment |= {
        "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
        "BEARER_PROXY_ADMIN_ADDRESS": "127.0.0.1:0",
        "BEARER_PROXY_ADMIN_TOKEN_FILE": str(tmp_path / "token"),
    }
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(COMMAND), "run"], env=clean_environment(environment), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        seen = ""
        while "proxy.ready" not in seen:
            seen += os.read(ours, 65536).decode()
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        os.close(ours)
    token = re.findall(r"status page  http://127\.0\.0\.1:\d+/#token=([\w-]{32})\r?\n", seen)
    assert len(token) == 1
    assert seen.count(token[0]) == 1


def test_reload_and_quit_are_commands(admin: Admin, tmp_path: Path) -> None:
    """
    For a unit's ExecReload and a Job's end: they find the token, and say what came of it.
    """
    environment = {"BEARER_PROXY_ADMIN_ADDRESS": admin.address, "XDG_RUNTIME_DIR": str(tmp_path)}
    reload = command("reload", environment=environment)
    assert (reload.returncode, reload.stdout) == (0, "Nothing changes now.\n")
    done = command("quit", environment=environment)
    assert (done.returncode, done.stdout) == (0, "Stopping: what is in flight may end.\n")
    admin.close()
    assert admin.process.process.wait(PATIENCE_SECONDS) == 0
    again = command("quit", environment=environment)
    assert again.returncode == 1
    assert "no admin token for" in again.stderr
