"""Another configuration for the installed command, by signal and by POST."""

import html
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import COMMAND, PATIENCE_SECONDS, clean_environment
from tests.e2e.reloaded import FAILED, RELOADED, Connection, Reloaded, pointing_to

README = Path(__file__).parents[2] / "README.md"

# One process for most of them: that it goes from each configuration to the next is a test as well.
pytestmark = pytest.mark.xdist_group("reload")


@pytest.fixture(scope="module")
def first() -> Iterator[ThreadedDemoAPI]:
    """The API of the configuration that each test begins with."""
    with ThreadedDemoAPI(token_seconds=3600, issuing_seconds=0.001) as api:
        yield api


@pytest.fixture(scope="module")
def second() -> Iterator[ThreadedDemoAPI]:
    """Another API, which takes none of the first one's tokens."""
    with ThreadedDemoAPI(token_seconds=3600, issuing_seconds=0.001) as api:
        yield api


@pytest.fixture(scope="module")
def shared(first: ThreadedDemoAPI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloaded]:
    """The process that they share; at its end, nothing that it said holds a secret."""
    directory = tmp_path_factory.mktemp("reload")
    with Reloaded(first, directory) as shared:
        shared.process.wait_for("proxy.ready")
        yield shared
        assert shared.process.stop() == 0
    for secret in directory.glob("secret-*"):
        assert secret.read_text().strip() not in shared.process.output


@pytest.fixture
def proxy(shared: Reloaded) -> Reloaded:
    """The process, at the configuration that it began with."""
    shared.write()
    assert shared.post()[0] == 200
    return shared


@pytest.fixture
def kept(proxy: Reloaded) -> Iterator[Connection]:
    """A connection on which a request was answered and repeated before anything changes."""
    with proxy.connection() as connection:
        for _ in range(3):
            assert connection.get("/echo") == 200
        yield connection


@pytest.mark.parametrize("way", ["signal", "post"])
def test_limits_and_lists_hold_for_open_connections_at_once(
    proxy: Reloaded, kept: Connection, way: str
) -> None:
    """
    The very request that was answered a moment ago is judged anew, on the connection that it came
    on, whichever way the change was asked for; and so is the next when it is taken back.
    """
    proxy.write('deny.paths = ["/echo"]\nlimits.body_bytes = 3\n')
    if way == "signal":
        line = proxy.hang_up()
        assert (line["changed"], line["at_next_start"]) == (["deny.paths", "limits.body_bytes"], [])
    else:
        assert proxy.post() == (200, "Changed: deny.paths, limits.body_bytes.")
    assert (kept.get("/echo"), kept.code) == (403, "path_not_allowed")
    assert kept.get("/status/200") == 200
    assert (kept.get("/upload", "POST", b"four"), kept.code) == (413, "body_too_large")
    with proxy.connection() as other:
        assert other.get("/upload", "POST", b"two") == 200
        proxy.write()
        assert proxy.post()[0] == 200
        assert other.get("/echo") == 200
        assert other.get("/upload", "POST", b"four") == 200


def test_what_an_answer_is_given_changes_on_open_connections(
    proxy: Reloaded, kept: Connection
) -> None:
    """
    An upstream repeats its heads, and what was made of the last one is remembered: not across a
    change of what is to be made of it.
    """
    page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    assert kept.answer.headers["Via"]
    assert (kept.get("/echo", fields=page), kept.code) == (403, "origin_not_allowed")
    proxy.write('upstream.send_via = false\nlisten.allowed_origins = ["http://localhost:3000"]\n')
    said = "Changed: listen.allowed_origins, upstream.send_via."
    assert proxy.post() == (200, said)
    with proxy.connection() as other:
        assert other.get("/echo") == 200
        assert other.answer.headers["Via"] is None
        assert other.get("/echo", fields=page) == 200
        assert other.answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        proxy.write()
        assert proxy.post()[0] == 200
        assert other.get("/echo") == 200
        assert other.answer.headers["Via"]
        assert other.get("/echo", fields=page) == 403


def test_another_client_is_asked_for_and_nobody_notices(
    proxy: Reloaded, first: ThreadedDemoAPI
) -> None:
    """
    A wrong id or a wrong secret is told, and the token at hand serves on; with the right ones
    again, a new token is had at once.
    """
    for wrong in ("id", "secret"):
        rejected, issued = first.stats().rejected, first.stats().issued
        latched = len(proxy.told("token.latched"))
        recovered = len(proxy.told("token.recovered"))
        text = pointing_to(first, proxy.directory)
        if wrong == "id":
            text = text.replace(first.client_id, "nobody", 1)
        else:
            wrong_file = proxy.directory / "wrong"
            wrong_file.touch(0o600)
            wrong_file.write_text("a-secret-that-is-wrong")
            text = "".join(
                f'token.client_secret_file = "{wrong_file}"\n' if "secret_file" in line else line
                for line in text.splitlines(keepends=True)
            )
        proxy.file.write_text(text)
        key = "client_id" if wrong == "id" else "client_secret_file"
        assert proxy.hang_up()["changed"] == [f"token.{key}"]
        proxy.next_told("token.latched", latched)
        assert first.stats().rejected == rejected + 1
        assert proxy.get("/echo") == 200
        proxy.write()
        assert proxy.post() == (200, f"Changed: token.{key}.")
        proxy.next_told("token.recovered", recovered)
        assert first.stats().issued == issued + 1
        assert proxy.get("/echo") == 200


def test_the_log_follows(proxy: Reloaded, kept: Connection) -> None:
    """
    A level and an access policy, there and back, with no line lost before the change.
    """
    assert kept.get("/status/201") == 201
    proxy.write('log.level = "warning"\n')
    assert proxy.post() == (200, "Changed: log.level.")
    assert kept.get("/status/200") == 200
    assert kept.get("/status/503") == 503
    proxy.write('log.access = "off"\n')
    assert proxy.post() == (200, "Changed: log.level, log.access.")
    assert kept.get("/status/503") == 503
    proxy.write()
    assert proxy.hang_up()["level"] == "info"
    assert kept.get("/status/204") == 204
    proxy.process.wait_for("request.completed", path="/status/204")
    lines = [line["path"] for line in proxy.told("request.completed")]
    assert lines[lines.index("/status/201") :] == ["/status/201", "/status/503", "/status/204"]


def test_another_upstream_is_for_what_comes_and_the_former_for_what_is_in_flight(
    proxy: Reloaded, first: ThreadedDemoAPI, second: ThreadedDemoAPI
) -> None:
    """
    A stream goes on where it began while the same client's next requests go elsewhere; neither API
    ever sees a token of the other.
    """
    with closing(_stream(proxy.process.port)) as stream, proxy.connection() as kept:
        assert kept.get("/echo") == 200
        asked, refused = first.stats().api_requests, first.stats().api_401s
        proxy.write(api=second)
        status, said = proxy.post()
        assert (status, said.startswith("Changed: upstream.url, token.url, ")) == (200, True)
        for connection in (kept, kept):
            assert connection.get("/echo") == 200
            assert f"127.0.0.1:{second.origin.rpartition(':')[2]}".encode() in connection.body
        assert _grows(stream)
        assert first.stats().api_requests == asked
        assert proxy.metric('upstream_connections{state="busy"}') == 1
        assert f"reach {second.url} as client {second.client_id}" in proxy.ask_admin("/")[1]
        proxy.write()
        assert proxy.post()[0] == 200
        assert kept.get("/echo") == 200
        assert first.stats().api_requests == asked + 1
        assert _grows(stream)
    assert first.stats().api_401s == refused
    assert second.stats().api_401s == 0


def test_authorities_that_are_replaced_in_place_are_read_again(
    proxy: Reloaded, tmp_path: Path
) -> None:
    """
    The file's name is the same, and it is told that it changed. Until then a client of an issuer
    that can't be verified is not gone over to: the token at hand would be given up for none.
    """
    trusted, untrusted = trustme.CA(), trustme.CA()
    authorities = tmp_path / "authorities.pem"
    untrusted.cert_pem.write_to_path(str(authorities))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusted.issue_cert("127.0.0.1").configure_cert(context)
    text = f'upstream.ca_file = "{authorities}"\n'
    proxy.write(text)
    assert proxy.post() == (200, "Changed: upstream.ca_file.")
    with ThreadedDemoAPI(tls=context) as third:
        proxy.write(text, api=third)
        status, said = proxy.post()
        assert status == 409
        assert said.startswith(
            "Nothing has changed: the issuer of the new configuration failed the TLS handshake"
        )
        assert proxy.get("/echo") == 200
        assert third.stats().api_requests == 0
        # As tools do it: another file takes the place.
        trusted.cert_pem.write_to_path(str(tmp_path / "new.pem"))
        os.replace(tmp_path / "new.pem", authorities)
        proxy.write(text)
        assert proxy.post() == (200, "Changed: upstream.ca_file.")
        proxy.write(text, api=third)
        assert proxy.post()[0] == 200
        assert proxy.get("/echo") == 200
        assert third.stats().api_requests == 1
        # Now and then they write into it.
        untrusted.cert_pem.write_to_path(str(authorities))
        line = proxy.hang_up()
        assert line["changed"] == ["upstream.ca_file"]
        with proxy.connection() as connection:
            assert (connection.get("/echo"), connection.code) == (502, "upstream_tls_failed")
        proxy.write()
        assert proxy.post()[0] == 200


def test_keys_that_are_taken_at_start_are_named(proxy: Reloaded) -> None:
    """
    In the answer, the log and on the page, until the file says again what is in force; the rest of
    the file is taken.
    """
    elsewhere = _nobody().removeprefix("http://")
    text = f'listen.socket_mode = "0660"\nops.address = "{elsewhere}"\nlog.format = "console"\n'
    proxy.write(text + 'allow.methods = ["GET"]\n')
    late = ["listen.socket_mode", "ops.address", "log.format"]
    said = f"Changed: allow.methods. At the next start: {', '.join(late)}."
    assert proxy.post() == (200, said)
    line = proxy.told(RELOADED)[-1]
    assert (line["level"], line["at_next_start"]) == ("warning", late)
    with pytest.raises(ConnectionRefusedError):
        Connection(int(elsewhere.rpartition(":")[2]))
    page = proxy.page()
    for key in late:
        assert f"{key} changes at the next start" in page
    questionable = len(proxy.told("configuration.questionable"))
    assert proxy.post() == (200, f"Nothing changes now. At the next start: {', '.join(late)}.")
    assert len(proxy.told("configuration.questionable")) == questionable, "said again"
    proxy.write()
    assert proxy.post() == (200, "Changed: allow.methods.")
    assert "at the next start" not in proxy.page()


def test_a_bad_file_changes_nothing_and_shows_everywhere(proxy: Reloaded, kept: Connection) -> None:
    """
    In the answer, the log, the metric and on the page in each of its forms, with file, line and
    key; a good one ends that.
    """
    read_at = proxy.metric("config_last_reload_success_timestamp_seconds")
    proxy.write('log.level = "debug"\ndeny.paths = ["/echo"]\nlimits.quue = 1\n')
    failed = len(proxy.told(FAILED))
    problem = f'{proxy.file}:3 limits.quue: unknown key; did you mean "queue"?'
    assert proxy.post() == (409, f"Nothing has changed: {problem}.")
    line = proxy.hang_up(FAILED)
    assert (line["level"], line["message"]) == ("error", problem)
    assert len(proxy.told(FAILED)) == failed + 2
    assert kept.get("/echo") == 200
    assert proxy.metric("config_last_reload_successful") == 0
    assert proxy.metric("config_last_reload_success_timestamp_seconds") == read_at
    page = html.unescape(proxy.page())
    assert f"<li>{problem}</li>" in page
    assert "; the latest reload was refused" in page
    assert f"reload      {problem}\n" in proxy.ask_admin("/")[1]
    found = json.loads(proxy.ask_admin("/api/status")[1])["configuration"]
    assert found["reload_problem"] == problem
    proxy.file.unlink()
    status, said = proxy.post()
    assert (status, str(proxy.file) in said) == (409, True)
    proxy.write()
    assert proxy.post() == (200, "Nothing changes now.")
    assert proxy.metric("config_last_reload_successful") == 1
    assert proxy.metric("config_last_reload_success_timestamp_seconds") > read_at
    assert "the latest reload was refused" not in proxy.page()
    assert "\nreload " not in proxy.ask_admin("/")[1]


def test_many_may_ask_at_once(proxy: Reloaded) -> None:
    """
    Twenty clients and as many signals: all are answered, and what the file says last is in force.
    """
    said: list[tuple[int, str]] = []

    def ask() -> None:
        said.append(proxy.post())
        proxy.process.process.send_signal(signal.SIGHUP)

    known = len(proxy.told(RELOADED))
    proxy.write("limits.queue = 5\n")
    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(PATIENCE_SECONDS)
    assert [status for status, _ in said] == [200] * 20
    assert "Changed: limits.queue." in {text for _, text in said}
    assert proxy.post() == (200, "Nothing changes now.")
    assert len(proxy.told(RELOADED)) - known <= 42
    assert '<th scope="row">limits.queue</th><td>5</td>' in proxy.page()


def test_it_needs_the_admin_token(proxy: Reloaded) -> None:
    """
    A GET changes nothing, and a POST without the token does not either.
    """
    proxy.write("limits.queue = 6\n")
    assert proxy.ask_admin("/-/reload")[0] == 405
    assert proxy.ask_admin("/-/reload", "POST")[0] == 403
    assert proxy.ask_admin("/-/reload", "POST", {"Authorization": "Bearer guess"})[0] == 403
    assert proxy.post() == (200, "Changed: limits.queue.")


def test_what_the_readme_says_is_done_and_answered(proxy: Reloaded) -> None:
    """
    Its command as it is, and the very answer; a signal does the same.
    """
    block = re.search(
        r"```console\n(\$ bearer-proxy reload\n.*?)```", README.read_text(), re.DOTALL
    )
    assert block
    command, answer = block[1].splitlines()
    environment = {
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "BEARER_PROXY_ADMIN_ADDRESS": proxy.admin,
        "BEARER_PROXY_ADMIN_TOKEN_FILE": str(proxy.directory / "admin-token"),
    }
    proxy.write('ops.address = "127.0.0.1:1"\nallow.paths = ["/echo"]\n')
    done = subprocess.run(
        ["sh", "-euc", command.removeprefix("$ ")],
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout == f"{answer}\n"
    proxy.write()
    known = len(proxy.told(RELOADED))
    os.kill(proxy.process.process.pid, signal.SIGHUP)
    assert proxy.next_told(RELOADED, known)["changed"] == ["allow.paths"]


# A process of their own.


def test_a_reload_while_draining_takes_no_requests_back(
    first: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    What is in flight goes on, the new configuration is in force, and the drain stays one: the page
    says so, readiness fails, the process ends with code 0 by the new limit.
    """
    with Reloaded(first, tmp_path) as proxy:
        assert proxy.process.url
        with closing(_stream(proxy.process.port)) as stream:
            proxy.write("drain.timeout_seconds = 0.2\n")
            token = (tmp_path / "admin-token").read_text().strip()
            fields = {"Authorization": f"Bearer {token}"}
            assert proxy.ask_admin("/-/drain", "POST", fields)[0] == 200
            assert proxy.post() == (200, "Changed: drain.timeout_seconds.")
            assert proxy.ask_admin("/readyz")[0] == 503
            with pytest.raises(ConnectionRefusedError):
                proxy.get("/echo")
            assert _grows(stream)
            assert proxy.process.stop() == 0
        assert proxy.process.wait_for("drain.started")["timeout_seconds"] == 0.2


def test_a_reload_that_takes_long_does_not_keep_the_process(
    first: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    The issuer of the new configuration takes its time; whoever stops the process is not made to
    wait for it, and the requests under the old one have been served meanwhile.
    """
    with ThreadedDemoAPI() as slow, Reloaded(first, tmp_path) as proxy:
        assert proxy.process.url
        slow.fault("slow", what="issuer", delay=60)
        proxy.write("token.timeout_seconds = 60\n", api=slow)
        proxy.process.process.send_signal(signal.SIGHUP)
        _until(lambda: slow.stats().in_flight == 1)
        assert proxy.get("/echo") == 200
        assert proxy.process.stop() == 0
    assert not proxy.told(RELOADED) + proxy.told(FAILED)
    assert "Traceback" not in proxy.process.output


def test_a_reload_opens_the_latch(
    first: ThreadedDemoAPI, second: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    The same secret is not asked with again; another one is, at once.
    """
    wrong = tmp_path / f"secret-{first.client_id}"
    wrong.touch(0o600)
    wrong.write_text("a-secret-that-is-wrong")
    rejected = first.stats().rejected
    with Reloaded(first, tmp_path, "token.wait_seconds = 0.1\n") as proxy:
        proxy.process.wait_for("token.latched")
        assert proxy.get("/echo") == 503
        assert proxy.hang_up()["changed"] == []
        proxy.process.wait_for("token.credential_unchanged")
        assert first.stats().rejected == rejected + 1
        wrong.write_text(first.client_secret)
        assert proxy.post() == (200, "Nothing changes now.")
        proxy.process.wait_for("proxy.ready")
        assert proxy.get("/echo") == 200


@pytest.mark.parametrize("moves", [False, True])
def test_another_issuer_while_there_is_no_token(
    first: ThreadedDemoAPI, second: ThreadedDemoAPI, tmp_path: Path, moves: bool
) -> None:
    """
    Nobody answers where the issuer should be, and a request waits. It goes on with a token of the
    right one. If the upstream is another as well, it is told to come again, having been read for
    the former; who comes then is served.
    """
    proxy = Reloaded(first, tmp_path)
    begun = second if moves else first
    text = pointing_to(begun, tmp_path).replace(begun.issue_url(), f"{_nobody()}/token")
    proxy.file.write_text(f"token.wait_seconds = 30\n{text}")
    with proxy, proxy.connection() as waiting:
        proxy.process.wait_for("token.refresh_failed")
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(waiting.get("/echo")))
        asking.start()
        _until(lambda: proxy.metric("requests_waiting_for_token") == 1)
        proxy.write()
        assert proxy.post()[0] == 200
        asking.join(PATIENCE_SECONDS)
        assert answers == [503 if moves else 200]
        if moves:
            assert waiting.code == "token_pending"
            assert waiting.answer.headers["Retry-After"] == "1"
        proxy.process.wait_for("proxy.ready")
        assert waiting.get("/echo") == 200


def _nobody() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def _stream(port: int) -> socket.socket:
    """Return a connection on which an endless stream of events has begun."""
    stream = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    stream.sendall(b"GET /ticks?interval=0.02 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert _grows(stream)
    return stream


def _grows(stream: socket.socket) -> bool:
    """Tell whether two further events come."""
    received = b""
    while received.count(b"data") < 2 and (piece := stream.recv(65536)):
        # What was under way before this was asked does not count.
        received += b"" if len(piece) > 4096 else piece
    return received.count(b"data") >= 2


def _until(so: Callable[[], bool]) -> None:
    """Wait until *so* holds."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not so():
        assert time.monotonic() < end
        time.sleep(0.01)
