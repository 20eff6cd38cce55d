"""Clients by the thousand which do next to nothing (``make limits``); fewer among the tests."""

import os
import resource
import sys
import time
from contextlib import closing

import pytest

from tests.limits.clients import Client, Elsewhere, Vitals, percentile
from tests.limits.conftest import Begin

FULL = bool(os.environ.get("LIMITS_FULL"))
SLOW_CLIENTS = 1000 if FULL else 200
IDLE_CLIENTS = 10_000 if FULL else 1000
REQUESTS = 4000 if FULL else 300
P99_SECONDS = 0.05
BYTES_EACH = 6 * 1024
# The machine may have something else to do for a while.
ATTEMPTS = 3

pytestmark = pytest.mark.skipif(
    resource.getrlimit(resource.RLIMIT_NOFILE)[1] < IDLE_CLIENTS + 2000,
    reason="too few descriptors (ulimit -Hn)",
)


@pytest.mark.timeout(180)
def test_slow_clients_do_not_slow_down_others(begin: Begin) -> None:
    """
    Slowloris: while clients by the hundred drip a head byte by byte, one that asks as it should is
    answered in under 50 ms in 99 of 100 cases, on a connection that it keeps as on new ones.
    """
    proxy = begin(log_access="off")
    with Elsewhere("tests.limits.slowloris", proxy.port, SLOW_CLIENTS):
        for attempt in range(ATTEMPTS):
            kept, fresh = _kept(proxy.port), _fresh(proxy.port)
            p99 = max(percentile(times, 0.99) for times in (kept, fresh))
            sys.stdout.write(
                f"{SLOW_CLIENTS} slow clients: p50 {percentile(kept, 0.5) * 1e3:.1f} ms, p99"
                f" {percentile(kept, 0.99) * 1e3:.1f} ms, worst {max(kept) * 1e3:.1f} ms; new"
                f" connections p99 {percentile(fresh, 0.99) * 1e3:.1f} ms\n"
            )
            if p99 < P99_SECONDS:
                break
            assert attempt < ATTEMPTS - 1, p99


def _kept(port: int) -> list[float]:
    """Return how long each request took on one connection, the API's own time included."""
    times = []
    with closing(Client(port)) as client:
        for _ in range(REQUESTS):
            began = time.perf_counter()
            assert client.ask().status == 200
            times.append(time.perf_counter() - began)
    return times


def _fresh(port: int) -> list[float]:
    """Return how long each request took on a connection of its own."""
    times = []
    for _ in range(REQUESTS // 5):
        began = time.perf_counter()
        with closing(Client(port)) as client:
            assert client.ask().status == 200
            times.append(time.perf_counter() - began)
    return times


@pytest.mark.timeout(180)
@pytest.mark.parametrize("requests", [0, 1] if FULL else [1])
def test_an_idle_client_costs_little(begin: Begin, requests: int) -> None:
    """
    Each of thousands of connections takes less than 6 KiB of memory, whether it has asked for
    something a moment ago or not at all; together they take next to no processor time, and one that
    asks is served.
    """
    proxy = begin(log_access="off", limits_connections=IDLE_CLIENTS + 100)
    vitals = Vitals(proxy)
    with Elsewhere("tests.limits.crowd", proxy.port, 50, 1):
        pass  # what the first clients cost is paid once
    before = vitals.resident_bytes
    with Elsewhere("tests.limits.crowd", proxy.port, IDLE_CLIENTS, requests):
        each = (vitals.resident_bytes - before) / IDLE_CLIENTS
        computed = vitals.cpu_seconds
        time.sleep(1)  # the promise is about a crowd that is idle for so long
        computed = vitals.cpu_seconds - computed
        with closing(Client(proxy.port)) as client:
            assert client.ask().status == 200
    sys.stdout.write(
        f"{IDLE_CLIENTS} idle clients after {requests} requests: {each / 1024:.2f} KiB each,"
        f" {computed:.2f} s of CPU a second\n"
    )
    assert each < BYTES_EACH
    assert computed < 0.3
