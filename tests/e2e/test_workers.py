"""
Several workers are one proxy, over the installed command.

What the processes are, and which connections they hold, is asked of the system.
"""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e import tree
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess
from tests.e2e.reloaded import Connection, Reloaded
from tests.e2e.tree import until

WORKERS = "process.workers = 2\n"
VARIABLE = {"BEARER_PROXY_PROCESS_WORKERS": "2"}
SECRET = "canary-s3cret-that-no-worker-has-ever-seen"
pytestmark = [
    pytest.mark.xdist_group("workers"),  # most share one proxy: three processes take a second
    pytest.mark.skipif(
        not Path("/proc/net/tcp").exists(), reason="asks /proc what the processes are"
    ),
]


@pytest.fixture(scope="module")
def api() -> Iterator[ThreadedDemoAPI]:
    """The embedded API, whose client has a marked secret and tokens that outlive a test."""
    with ThreadedDemoAPI(token_seconds=3600, client_secret=SECRET) as api:
        yield api


@pytest.fixture(scope="module")
def running(api: ThreadedDemoAPI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloaded]:
    """The command with two workers, ready; what a test changes the next one finds."""
    with Reloaded(api, tmp_path_factory.mktemp("workers"), WORKERS) as proxy:
        _ = proxy.process.url
        yield proxy


@pytest.fixture
def proxy(running: Reloaded) -> Reloaded:
    """The same with the rules of the start, and both workers there."""
    running.write(WORKERS)
    assert running.post()[0] == 200
    until(lambda: running.metric("workers") == 2, "both workers are there")
    return running


@pytest.fixture
def own(api: ThreadedDemoAPI, tmp_path: Path) -> Iterator[Reloaded]:
    """One that may be ended."""
    with Reloaded(api, tmp_path, WORKERS) as proxy:
        _ = proxy.process.url
        yield proxy


@contextmanager
def connected(proxy: Reloaded, number: int) -> Iterator[list[Connection]]:
    """Give so many connections, on each of which something was answered with 200."""
    with ExitStack() as stack:
        made = [stack.enter_context(proxy.connection()) for _ in range(number)]
        assert statuses(made) == {200}
        yield made


def statuses(connections: list[Connection]) -> set[int]:
    """Return what is answered to a request on each of *connections*."""
    return {each.get("/transactions") for each in connections}


def processes(proxy: Reloaded) -> dict[int, set[int]]:
    """Return the processes that have clients, and the ports of those."""
    return tree.serving(proxy.process.process.pid, proxy.process.port)


class Asking(threading.Thread):
    """Asks on one connection, one request after the other, until ``stop``."""

    def __init__(self, connection: Connection, path: str = "/transactions") -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.statuses: list[int] = []
        self.failure = ""
        self._path = path
        self._over = threading.Event()

    def run(self) -> None:
        """Ask."""
        try:
            while not self._over.is_set():
                self.statuses.append(self.connection.get(self._path))
        except Exception as error:
            self.failure = repr(error)

    def stop(self) -> None:
        """End with the request of the moment."""
        self._over.set()
        self.join(PATIENCE_SECONDS)


@contextmanager
def load(connections: list[Connection]) -> Iterator[list[Asking]]:
    """Have all *connections* asked on; at the end nothing but 200 must have been answered."""
    asking = [Asking(each) for each in connections]
    for each in asking:
        each.start()
    further(asking)
    yield asking
    further(asking)
    for each in asking:
        each.stop()
    assert [each.failure for each in asking] == [""] * len(asking)
    assert {status for each in asking for status in each.statuses} == {200}


def further(asking: list[Asking]) -> None:
    """Wait until each has had some more answers."""
    seen = [len(each.statuses) + 5 for each in asking]
    until(
        lambda: all(
            len(each.statuses) >= wanted or each.failure
            for each, wanted in zip(asking, seen, strict=True)
        ),
        "more answers",
    )


def test_connections_are_spread_evenly_and_one_token_serves_all(
    proxy: Reloaded, api: ThreadedDemoAPI
) -> None:
    """
    Each of two workers has 40 to 60 % of the connections, the keeper none; no token was issued but
    the one that the proxy began with.
    """
    issued = api.stats().issuer_requests
    with connected(proxy, 32):
        held = processes(proxy)
        assert len(held) == 2
        assert proxy.process.process.pid not in held
        assert all(13 <= len(clients) <= 19 for clients in held.values())
        assert api.stats().issuer_requests == issued


def test_a_killed_worker_is_replaced_and_no_request_of_the_other_fails(
    proxy: Reloaded, api: ThreadedDemoAPI
) -> None:
    """
    SIGKILL under load: who is connected to the other worker notices nothing, who connects anew is
    served, and soon by two workers again. No token is issued for that.
    """
    issued = api.stats().issuer_requests
    with connected(proxy, 8) as connections, ExitStack() as stack:
        victim, survivor = held = processes(proxy)
        theirs = [each for each in connections if each.port in held[survivor]]
        stack.enter_context(load(theirs))
        os.kill(victim, signal.SIGKILL)

        def is_replaced() -> bool:
            assert statuses([stack.enter_context(proxy.connection())]) == {200}
            return len(processes(proxy).keys() - {victim}) == 2

        until(is_replaced, "another worker serves")
        assert survivor in processes(proxy)
        assert proxy.process.wait_for("worker.ended", pid=victim)["level"] == "warning"
    assert api.stats().issuer_requests == issued


def test_a_revocation_costs_one_issuance_whoever_meets_it(
    proxy: Reloaded, api: ThreadedDemoAPI
) -> None:
    """
    Under load on both workers a revoked token is replaced by one exchange, and no client sees it.
    """
    before = api.stats()
    with connected(proxy, 6) as connections, load(connections) as asking:
        api.fault("revoke")
        further(asking)
        further(asking)
    stats = api.stats()
    assert (stats.issuer_requests, stats.max_in_flight) == (before.issuer_requests + 1, 1)
    assert stats.api_401s > before.api_401s


def test_a_reload_is_answered_when_all_workers_have_taken_it(proxy: Reloaded) -> None:
    """
    From the answer on, open connections of each worker follow the new rules, as often as they
    change; a file that can't be used changes nothing in any of them.
    """
    with connected(proxy, 8) as connections:
        assert len(processes(proxy)) == 2
        for denied in (True, False, True, False):
            proxy.write(WORKERS + ('deny.paths = ["/transactions"]\n' if denied else ""))
            assert proxy.post()[0] == 200
            assert statuses(connections) == {403 if denied else 200}
        proxy.write(WORKERS + 'deny.path = ["/transactions"]\n')
        assert proxy.post()[0] == 409
        assert statuses(connections) == {200}


def test_a_worker_that_comes_later_has_the_configuration_of_now(proxy: Reloaded) -> None:
    """
    What was reloaded holds for a replacement as well.
    """
    with connected(proxy, 4):
        proxy.write(WORKERS + 'deny.paths = ["/transactions"]\n')
        assert proxy.post()[0] == 200
        for pid in processes(proxy):
            os.kill(pid, signal.SIGKILL)
    assert {proxy.get("/transactions") for _ in range(4)} == {403}


def test_metrics_and_page_are_of_all_workers_and_never_go_back(proxy: Reloaded) -> None:
    """
    Requests are counted and listed whichever worker had them, in the order of their coming, and
    stay counted when it is gone.
    """
    with connected(proxy, 1):
        pass
    before = _counted(proxy)
    with connected(proxy, 6) as connections:
        assert statuses(connections) == {200}
        until(lambda: _counted(proxy) == before + 12, "all are counted")
        fields = {"Accept": "application/json"}
        status = json.loads(proxy.ask_admin("/api/status", fields=fields)[1])
        assert set(status["process"]["workers"]) == processes(proxy).keys()
        assert all(f"{pid}" in proxy.page() for pid in processes(proxy))
        listed = status["requests"]
        times = [each["at"] for each in listed]
        assert proxy.ask_admin("/readyz?verbose")[1].count("[+]workers ok (2 serving)") == 1
        assert len(times) >= 12
        assert times == sorted(times, reverse=True)
        os.kill(min(processes(proxy)), signal.SIGKILL)
    with connected(proxy, 2):
        until(lambda: _counted(proxy) == before + 14, "the others as well")
    assert proxy.ask_admin("/readyz")[0] == 200


def _counted(proxy: Reloaded) -> int:
    """Return how many requests were answered with 200, once that stands still."""
    seen = [-1, -2]
    while seen[-1] != seen[-2]:
        time.sleep(0.3)  # workers report four times a second
        lines = proxy.ask_admin("/metrics")[1].splitlines()
        counts = [line.split()[1] for line in lines if 'requests_total{code="200"' in line]
        seen.append(int(sum(map(float, counts))))
    return seen[-1]


def test_the_drain_is_of_all_workers(own: Reloaded) -> None:
    """
    After SIGTERM, were it sent to every single process, what is in flight in each worker ends as it
    should; then all are gone, and the exit code is 0.
    """
    with connected(own, 4) as connections:
        asking = [Asking(each, "/ticks?count=5&interval=0.2") for each in connections]
        for each in asking:
            each.start()
        until(lambda: own.metric("requests_in_flight") == 4, "all are in flight")
        everyone = [*tree.descendants(own.process.process.pid), own.process.process.pid]
        for pid in everyone:
            os.kill(pid, signal.SIGTERM)
        for each in asking:
            each.stop()
        assert [each.statuses for each in asking] == [[200]] * 4
    assert own.process.process.wait(PATIENCE_SECONDS) == 0
    assert own.process.wait_for("drain.finished")["cut_off"] == 0
    until(lambda: not any(map(tree.is_alive, everyone)), "all are gone")
    assert own.process.errors == ""
    assert sum(line["path"] == "/ticks?…" for line in own.told("request.completed")) == 4


def test_workers_do_not_outlive_the_keeper(own: Reloaded) -> None:
    """
    Without whoever brings them tokens there is nothing left for them to do.
    """
    with connected(own, 2):
        everyone = tree.descendants(own.process.process.pid)
        own.process.process.kill()
        until(lambda: not any(map(tree.is_alive, everyone)), "all are gone")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads another's memory")
def test_no_worker_has_ever_had_the_client_secret(api: ThreadedDemoAPI, tmp_path: Path) -> None:
    """
    Not even where it came in the environment: it is in no worker's memory, environment or command
    line, not after a refresh and a reload, and not in those that came later. The token is.
    """
    with ProxyProcess(api.environment() | VARIABLE, tmp_path) as process:
        _ = process.url
        keeper = process.process.pid
        with ExitStack() as stack:
            for _ in range(4):
                connection = stack.enter_context(closing(Connection(process.port)))
                assert connection.get("/transactions") == 200
            os.kill(min(tree.serving(keeper, process.port)), signal.SIGKILL)
            process.wait_for("worker.ended")
            api.fault("revoke")
            os.kill(keeper, signal.SIGHUP)
            process.wait_for("config.reloaded")
            until(lambda: _serves_by_two(process, stack), "two workers serve")
            workers = tree.serving(keeper, process.port)
            assert tree.memory_holds(keeper, SECRET.encode())
            for pid in tree.descendants(keeper):
                assert not tree.memory_holds(pid, SECRET.encode())
                for name in ("environ", "cmdline"):
                    assert SECRET not in Path(f"/proc/{pid}/{name}").read_text()
            assert keeper not in workers
            assert all(tree.memory_holds(pid, b"Authorization: Bearer ") for pid in workers)


def _serves_by_two(process: ProxyProcess, stack: ExitStack) -> bool:
    connection = stack.enter_context(closing(Connection(process.port)))
    assert connection.get("/transactions") == 200
    return len(tree.serving(process.process.pid, process.port)) == 2


def test_unix_sockets_and_descriptors_are_shared_as_well(
    api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    Each of several clients is served at either, and every worker knows which user it is.
    """
    path, passed = tmp_path / "proxy.sock", tmp_path / "passed.sock"
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(str(passed))
        inherited.listen()
        environment = {
            **api.environment(),
            **VARIABLE,
            "BEARER_PROXY_LISTEN_ADDRESS": f"unix:{path},fd:{inherited.fileno()}",
            "BEARER_PROXY_LISTEN_ALLOWED_UIDS": str(os.geteuid()),
        }
        with ProxyProcess(environment, tmp_path, pass_fds=[inherited.fileno()]) as process:
            process.wait_for("proxy.ready")
            assert [_status_at(each) for each in (path, passed) * 3] == [200] * 6
            assert process.stop() == 0
    assert not path.exists()


def _status_at(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(str(path))
        sock.sendall(b"GET /transactions HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return int(sock.recv(65536).split()[1])


def test_who_waits_for_the_first_token_waits_across_a_reload(
    api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    A reload that has nothing to do with tokens costs no request that waits for one.
    """
    api.fault("slow", what="issuer", delay=1)
    with Reloaded(api, tmp_path, WORKERS) as proxy, proxy.connection() as connection:
        asking = Asking(connection)
        asking.start()
        until(lambda: proxy.metric("requests_waiting_for_token") == 1, "it waits")
        proxy.write(WORKERS + 'deny.paths = ["/elsewhere"]\n')
        assert proxy.post()[0] == 200
        until(lambda: bool(asking.statuses), "it is answered")
        asking.stop()
        assert set(asking.statuses) == {200}


def test_workers_that_die_at_once_are_replaced_ever_more_slowly(own: Reloaded) -> None:
    """
    A worker that ends again and again makes nobody start processes without end, and whoever asks
    meanwhile is served as soon as one lives.
    """
    for _ in range(3):
        with connected(own, 2):
            for pid in processes(own):
                os.kill(pid, signal.SIGKILL)
    with connected(own, 2):
        pauses = [line["next_start_in_seconds"] for line in own.told("worker.ended")]
    assert 3 <= len(pauses) <= 6
    assert pauses[-1] > 0


def test_a_port_that_is_taken_is_a_sentence_and_leaves_nobody(
    api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    As with one process: exit code 1, which address, and no traceback.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environment = {**api.environment(), **VARIABLE, "BEARER_PROXY_LISTEN_ADDRESS": address}
        with ProxyProcess(environment, tmp_path) as process:
            assert process.process.wait(PATIENCE_SECONDS) == 1
            assert f"cannot listen on {address}" in process.errors
            assert "Traceback" not in process.output
