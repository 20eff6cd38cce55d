"""The installed command in front of an HTTPS API, driven by the clients that people have."""

import asyncio
import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess, clean_environment
from tests.programs import needs

needs_curl = needs("curl")
pytestmark = pytest.mark.xdist_group("clients")  # most share one proxy, which none of them changes


@pytest.fixture(scope="module")
def upstream(authority: trustme.CA) -> Iterator[ThreadedDemoAPI]:
    """The API behind the proxy that they share; its tokens outlive them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadedDemoAPI(token_seconds=3600, tls=context) as api:
        yield api


@pytest.fixture(scope="module")
def proxy(
    upstream: ThreadedDemoAPI, ca_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    """The installed command, running and ready."""
    environment = {**upstream.environment(), "BEARER_PROXY_UPSTREAM_CA_FILE": str(ca_file)}
    with ProxyProcess(environment, tmp_path_factory.mktemp("clients")) as process:
        process.wait_for("proxy.ready")
        yield process


def curl(*arguments: str, **environment: str) -> str:
    """Return what curl prints."""
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "10", *arguments],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    ).stdout


@needs_curl
def test_curl_gets_what_needs_a_token_without_having_one(
    proxy: ProxyProcess, upstream: ThreadedDemoAPI
) -> None:
    """
    The same request is a 401 at the API and a 200 through the proxy.
    """
    status = ("--output", "/dev/null", "--write-out", "%{http_code}")
    assert curl("--insecure", *status, f"{upstream.url}/transactions") == "401"
    assert curl(*status, f"{proxy.url}/transactions") == "200"
    assert json.loads(curl(f"{proxy.url}/transactions"))["success"] is True


@needs_curl
def test_curl_uploads_what_it_has_and_downloads_what_there_is(
    proxy: ProxyProcess, tmp_path: Path
) -> None:
    """
    Megabytes pass both ways unaltered, chunked and counted.
    """
    sent = tmp_path / "sent"
    sent.write_bytes(b"0123456789abcdef" * 262_144)
    digest = hashlib.sha256(sent.read_bytes()).hexdigest()
    for framing in ("Content-Length: 4194304", "Transfer-Encoding: chunked"):
        answer = curl("-T", str(sent), "-X", "POST", "-H", framing, f"{proxy.url}/upload")
        assert digest in answer
    received = tmp_path / "received"
    curl("--output", str(received), f"{proxy.url}/download?bytes=5000000")
    assert received.stat().st_size == 5_000_000


@needs_curl
def test_a_tool_that_only_knows_http_proxy_can_use_us(
    proxy: ProxyProcess, upstream: ThreadedDemoAPI
) -> None:
    """
    http_proxy= sends absolute targets: the upstream's are served, a stranger's are not.
    """
    plain = upstream.url.replace("https://", "http://")
    answer = curl(f"{plain}/transactions", http_proxy=proxy.url, no_proxy="")
    assert json.loads(answer)["success"] is True
    refused = curl("http://example.com/transactions", http_proxy=proxy.url, no_proxy="")
    assert json.loads(refused)["code"] == "host_not_allowed"


@needs_curl
def test_a_unix_socket_serves_as_well(environment: dict[str, str], tmp_path: Path) -> None:
    """
    unix:/path listens there, for this user alone, and leaves nothing behind.
    """
    path = tmp_path / "proxy.sock"
    environment["BEARER_PROXY_LISTEN_ADDRESS"] = f"unix:{path}"
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        assert path.stat().st_mode & 0o777 == 0o600
        answer = curl("--unix-socket", str(path), "http://localhost/transactions")
        assert json.loads(answer)["success"] is True
        assert process.stop() == 0
    assert not path.exists()


def test_http_client_keeps_its_connection(proxy: ProxyProcess) -> None:
    """
    Python's http.client sends a hundred requests over one connection.
    """
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=PATIENCE_SECONDS)
    local = None
    for _ in range(100):
        connection.request("GET", "/transactions?page=2")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        local = local or connection.sock.getsockname()
        assert connection.sock.getsockname() == local
    connection.close()


def test_urllib_follows_a_redirect_to_the_proxy_and_not_around_it(proxy: ProxyProcess) -> None:
    """
    The Location of a created resource leads back through the proxy.
    """
    request = urllib.request.Request(
        f"{proxy.url}/transactions",
        data=b'{"amount": "1.00", "currency": "EUR"}',
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as created:
        assert created.status == 201
        location = created.headers["Location"]
    url = location if location.startswith("http") else proxy.url + location
    assert url.startswith(proxy.url + "/transactions/")
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as found:
        assert found.status == 200


async def test_aiohttp_streams_events_as_they_happen(proxy: ProxyProcess) -> None:
    """
    A server-sent event arrives when it is sent, not when the stream ends.
    """
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        url = f"{proxy.url}/ticks?interval=0.2&count=4"
        async with session.get(url) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            arrivals = [loop.time() async for line in stream.content if line.startswith(b"data")]
    assert len(arrivals) == 4
    assert arrivals[-1] - arrivals[0] > 0.4


async def test_aiohttp_talks_through_a_websocket(proxy: ProxyProcess) -> None:
    """
    Text and binary messages come back, and the closing handshake completes.
    """
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{proxy.url}/ws") as ws:
        await ws.send_str("hello")
        assert (await ws.receive_str()) == "hello"
        await ws.send_bytes(b"\x00" * 100_000)
        assert (await ws.receive_bytes()) == b"\x00" * 100_000
        await ws.close()
        assert ws.close_code == 1000


async def test_a_thousand_requests_at_cold_start_cost_one_issuance(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    All wait for the one fetch under way, and all succeed.
    """
    api.fault("slow", delay=1)
    with ProxyProcess(environment, tmp_path) as process:
        url = f"http://{process.address}/transactions"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one() -> int:
                async with session.get(url) as answer:
                    await answer.read()
                    return answer.status

            statuses = await asyncio.gather(*(one() for _ in range(1000)))
    assert set(statuses) == {200}
    assert api.stats().issued == 1
    assert api.stats().max_in_flight == 1


def test_bytes_on_a_socket_are_enough(proxy: ProxyProcess) -> None:
    """
    Two pipelined requests of HTTP/1.1, written by hand, are answered in order.
    """
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE_SECONDS) as sock:
        first = b"GET /status/201 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        second = b"GET /status/202 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        sock.sendall(first + second)
        received = b"".join(iter(lambda: sock.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 201 ")
    assert received.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 202 " in received
