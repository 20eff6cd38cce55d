"""
Neither the secret nor a token is ever printed: every command and every failure, searched.

The secret and the tokens are marked strings. Whatever the commands print, log or answer, what other
processes can see of them, and what a child of theirs would inherit, is searched for the marks, in
each spelling in which a string may travel.
"""

import base64
import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, ProxyProcess, clean_environment

SECRET = "canary+s3cret/with=marks%and&more"
# Every token begins so.
TOKEN = "c4n4ry-t0ken-"


_EVENTS = {"none": "proxy.ready", "lie": "proxy.ready", "reject": "token.latched"}


def spellings(marked: str) -> list[str]:
    """Return what *marked* looks like plain, in a URL, in JSON, in base64."""
    encoded = base64.b64encode(f"demo:{marked}".encode()).decode()
    return [marked, quote(marked, safe=""), quote(marked), json.dumps(marked)[1:-1], encoded]


def assert_clean(said: str, *marked: str) -> None:
    """Fail if *said* holds any of the *marked* strings, in any spelling."""
    for each in marked:
        for spelling in spellings(each):
            assert spelling not in said, f"{spelling} in {said}"


@pytest.fixture
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API, for a client whose secret is marked."""
    with ThreadedDemoAPI(client_secret=SECRET, token_format="opaque", token_prefix=TOKEN) as api:
        yield api


@pytest.fixture
def environment(api: ThreadedDemoAPI, tmp_path: Path) -> dict[str, str]:
    """What points a proxy at it, with the secret in a variable and everything logged."""
    return {**api.environment(), "BEARER_PROXY_LOG_LEVEL": "debug"}


def command(environment: dict[str, str], *arguments: str) -> str:
    """Return all that a command prints, whatever its exit code."""
    done = subprocess.run(
        [str(COMMAND), *arguments],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "--online"),
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "schema"),
        ("check", "--upstream-url", "nonsense"),
        ("check", "--config", "/does/not/exist"),
        ("run", "--listen-address", "nonsense"),
        ("--help",),
        ("--version",),
        ("health", "--address", "127.0.0.1:1"),
        ("frobnicate",),
    ],
    ids=" ".join,
)
def test_no_command_prints_the_secret(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """
    Well or badly used, a command that has the secret in its environment does not show it.
    """
    assert_clean(command(environment, *arguments), SECRET)


@pytest.mark.parametrize(
    "content",
    [
        "[token]\nclient_secret = ['{}']\n",
        "[token]\nclient_secret = {{ value = '{}' }}\n",
        "[token]\nclient_secrets = '{}'\n",
        "[token]\nclient_id = ''\nclient_secret = '{}'\n",
        "[token]\nprofile = '{}'\n",
        "[token]\nextra = '{}'\n",
        "[tokens]\nclient_secret = '{}'\n",
        "client_secret = '{}'\n",
        "[token]\nclient_secret = '{}\n",
        "[token]\nclient_secret = '{}'\nclient_secret_file = '/dev/null'\n",
    ],
)
def test_no_mistake_in_the_file_prints_the_secret(
    environment: dict[str, str], tmp_path: Path, content: str
) -> None:
    """
    A secret in the wrong place or of the wrong type is complained of without being shown.
    """
    del environment["BEARER_PROXY_TOKEN_CLIENT_SECRET"]
    path = tmp_path / "config.toml"
    path.write_text(content.format(SECRET))
    said = command(environment, "check", "--config", str(path))
    assert "bearer-proxy:" in said
    assert_clean(said, SECRET)


@pytest.mark.parametrize(
    "fault",
    ["none", "reject", "rate-limit", "down", "malformed", "truncate", "redirect", "lie"],
)
def test_no_failure_of_the_issuer_prints_secret_or_token(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path, fault: str
) -> None:
    """
    Whatever goes wrong with the issuer: log, answers, command line and what a child would inherit.
    """
    if fault != "none":
        api.fault(fault)
    environment["BEARER_PROXY_TOKEN_WAIT_SECONDS"] = "0.5"
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for(_EVENTS.get(fault, "token.refresh_failed"))
        pid = process.process.pid
        answers = [_ask(process, "/transactions"), _ask(process, f"/echo?q={quote(SECRET)}")]
        os.kill(pid, signal.SIGHUP)
        answers.append(_ask(process, "/transactions"))
        seen = Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/comm").read_text()
        admin = process.wait_for("listener.opened")["admin"]
        answers += [_get(admin, path) for path in ("/readyz?verbose", "/livez", "/nothing")]
        assert process.stop() == 0
        assert_clean(process.output + seen, SECRET, TOKEN)
        # What the upstream echoes is the upstream's; all else has no business with a token.
        assert_clean("".join(answers[2:]), SECRET, TOKEN)


def test_no_child_inherits_the_secret(environment: dict[str, str]) -> None:
    """
    Once it is read, the secret is out of the environment that children get.
    """
    program = (
        "import subprocess; from proxy.app import process; process.forget_secret_variables();"
        "subprocess.run(['env'], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "BEARER_PROXY_TOKEN_CLIENT_ID" in done.stdout
    assert_clean(done.stdout, SECRET)


class _Echo(http.server.BaseHTTPRequestHandler):
    """An issuer that repeats what it was sent, as some do in their errors."""

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        message = f"no such client: {said} {self.headers['Authorization']}"
        body = json.dumps({"error": "invalid_client", "error_description": message}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("request_format", ["json", "form"])
@pytest.mark.parametrize("client_auth", ["body", "basic"])
def test_an_issuer_that_echoes_the_secret_gets_it_nowhere(
    environment: dict[str, str], tmp_path: Path, request_format: str, client_auth: str
) -> None:
    """
    The excerpt of an issuer's message, in log and answers, holds no spelling of the secret.
    """
    server = http.server.HTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment |= {
        "BEARER_PROXY_TOKEN_PROFILE": "oauth2",
        "BEARER_PROXY_TOKEN_URL": f"http://127.0.0.1:{server.server_port}/token",
        "BEARER_PROXY_TOKEN_REQUEST_FORMAT": request_format,
        "BEARER_PROXY_TOKEN_CLIENT_AUTH": client_auth,
    }
    try:
        with ProxyProcess(environment, tmp_path) as process:
            process.wait_for("token.latched")
            answer = _ask(process, "/transactions")
            assert "credentials_rejected" in answer
            assert process.stop() == 0
            online = command(environment, "check", "--online")
            assert "FAILED" in online
            assert_clean(process.output + answer + online, SECRET)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _ask(process: ProxyProcess, target: str) -> str:
    return _get(process.address, target)


def _get(address: str, target: str, fields: Mapping[str, str] | None = None) -> str:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    with closing(connection):
        connection.request("GET", target, headers=fields or {})
        answer = connection.getresponse()
        return f"{answer.getheaders()}{answer.read().decode(errors='replace')}"


def test_garbage_is_answered_and_logged_without_it(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    A client that sends the secret in every place of a request finds it in no log line.
    """
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        port = int(process.address.rpartition(":")[2])
        for marked in (SECRET, api.issue()):
            for attack in (
                f"GET /{quote(marked)} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                f"GET /{marked} HTTP/1.1\r\nHost: localhost\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: {marked}\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {marked}\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: {marked}\r\n\r\n",
                f"{marked} / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                f"GET http://{marked}/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
                f"{marked}\r\n\r\n",
            ):
                with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as sock:
                    sock.sendall(attack.replace("HTTP/1.1\r\n", "HTTP/1.1\r\n", 1).encode())
                    assert sock.recv(65536)
        assert process.stop() == 0
        assert_clean(process.output, SECRET)


class _EchoesTheRequest(http.server.BaseHTTPRequestHandler):
    """An API that repeats a request's fields, in its head and in its body."""

    def do_GET(self) -> None:
        said = str(self.headers["Authorization"])
        body = f"{said} {said}".encode()
        self.send_response(200)
        self.send_header("X-Said", said)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_upstream_that_echoes_the_token_gets_it_to_no_client(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    If masking is on: asterisks stand where it was.
    """
    server = http.server.HTTPServer(("127.0.0.1", 0), _EchoesTheRequest)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    environment |= {
        "BEARER_PROXY_UPSTREAM_URL": f"http://127.0.0.1:{server.server_port}",
        "BEARER_PROXY_UPSTREAM_MASK_TOKEN_IN_RESPONSES": "true",
    }
    try:
        with ProxyProcess(environment, tmp_path) as process:
            process.wait_for("proxy.ready")
            answer = _ask(process, "/")
            assert answer.count("Bearer " + "*" * len(TOKEN)) == 3
            assert process.stop() == 0
            assert_clean(process.output + answer, TOKEN, SECRET)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


LOCAL = "c4n4ry-l0cal-t0ken+/="


@pytest.mark.parametrize(
    ("field", "workers"), [("Proxy-Authorization", "0"), ("X-Local-Token", "2")]
)
def test_a_local_token_is_shown_to_nobody(
    environment: dict[str, str], tmp_path: Path, field: str, workers: str
) -> None:
    """
    Right or nearly right, in its field or in any other place: the log has its name, and neither the
    upstream nor a refusal, a page of ours or a command has the token.
    """
    tokens = tmp_path / "tokens"
    tokens.write_text(f"shop:{LOCAL}\n")
    tokens.chmod(0o600)
    environment["BEARER_PROXY_LISTEN_LOCAL_TOKEN_FILE"] = str(tokens)
    environment["BEARER_PROXY_LISTEN_LOCAL_TOKEN_HEADER"] = field
    environment["BEARER_PROXY_PROCESS_WORKERS"] = workers
    scheme = "" if field.startswith("X-") else "Bearer "
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        shown = {field: scheme + LOCAL}
        answer = _get(process.address, "/echo", shown)
        assert '"fields": [["Host"' in answer
        asked = process.wait_for("request.completed", path="/echo")
        assert asked["client"].endswith(" (shop)")
        for wrong in ({field: scheme + LOCAL + "x"}, {"X-Other": LOCAL}, {field: LOCAL * 2}):
            answer += _get(process.address, "/echo", wrong)
        assert answer.count("caller_not_allowed") >= 3
        answer += _get(process.address, f"/{LOCAL}", {})
        os.kill(process.process.pid, signal.SIGHUP)
        process.wait_for("config.reloaded")
        admin = process.wait_for("listener.opened")["admin"]
        answer += "".join(_get(admin, path) for path in ("/", "/api/status", "/metrics"))
        assert process.stop() == 0
        assert_clean(process.output + answer, LOCAL, SECRET)
    assert_clean(command(environment, "config", "show"), LOCAL)


def test_no_mistake_in_a_file_of_local_tokens_prints_one(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    The complaint names file, line and key.
    """
    tokens = tmp_path / "tokens"
    tokens.write_text(f"shop:{LOCAL}\nci:{LOCAL} {LOCAL}\n")
    environment["BEARER_PROXY_LISTEN_LOCAL_TOKEN_FILE"] = str(tokens)
    said = command(environment, "check")
    assert "listen.local_token_file" in said
    assert f"{tokens}:2" in said
    assert_clean(said, LOCAL)
