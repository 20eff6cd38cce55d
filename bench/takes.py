"""One measurement of each kind, of one proxy that is up, or that comes up here."""

import http.client
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import load
from bench.load import LoadError
from bench.measure import tree_cpu_ns, tree_pss_kib
from bench.modes import Mode
from bench.peers.site import Site
from bench.processes import Launch, started
from bench.programs import found
from bench.upstream import BULK_BYTES

WARM_UP_SECONDS = 1
_TRANSFERS = 2
_SECONDS_OF_REFRESHING = 13
_REFRESHES = re.compile(r"^bearer_proxy_token_refreshes_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)
_SETTLED_SECONDS = 1.0
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that serves; *log* is what it writes."""

    name: str
    pid: int
    site: Site
    log: Path


def load_on(server: Running, mode: Mode, *, seconds: int) -> Mapping[str, float]:
    """Send *mode*'s requests for *seconds*, after a second of warm-up."""
    directory, port = server.site.directory, server.site.port
    load.run(mode, port=port, seconds=WARM_UP_SECONDS, directory=directory)
    before = tree_cpu_ns(server.pid)
    seen = load.run(mode, port=port, seconds=seconds, directory=directory)
    cpu_seconds = (tree_cpu_ns(server.pid) - before) / 1e9
    return {
        "cpu_us": cpu_seconds * 1e6 / seen.requests,
        "busy": cpu_seconds / seen.seconds,
        "requests_per_second": seen.requests / seen.seconds,
        "p50_us": seen.p50_us,
        "p99_us": seen.p99_us,
    }


def bulk_through(server: Running, mode: Mode, *, seconds: int) -> Mapping[str, float]:
    """Move 256 MiB down or up, twice; how long that takes is not of interest."""
    command = [found("curl"), "--silent", "--show-error", "--fail", "--output", "/dev/null"]
    if mode.method == "PUT":
        command += ["--upload-file", str(server.site.upstream.bulk_file)]
    command.append(f"http://127.0.0.1:{server.site.port}{mode.path}")
    before = tree_cpu_ns(server.pid)
    for _ in range(_TRANSFERS):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LoadError(done.stderr.strip())
    cpu_seconds = (tree_cpu_ns(server.pid) - before) / 1e9
    return {"cpu_s_per_gb": cpu_seconds / (_TRANSFERS * BULK_BYTES / 1e9)}


def idle_at(server: Running, mode: Mode) -> Mapping[str, float]:
    """Tell the memory after the first requests, and what connections add that have had one each."""
    for _ in range(10):
        _get(server.site.port, mode.path)
    time.sleep(_SETTLED_SECONDS)
    before = tree_pss_kib(server.pid)
    with ExitStack() as stack:
        for _ in range(mode.connections):
            connection = http.client.HTTPConnection("127.0.0.1", server.site.port, timeout=10)
            stack.callback(connection.close)
            _ask(connection, mode.path)
        time.sleep(_SETTLED_SECONDS)
        after = tree_pss_kib(server.pid)
    return {"start_mib": before / 1024, "idle_kib": (after - before) / mode.connections}


def start_of(
    launch: Launch, mode: Mode, *, site: Site, core: int, log: Path
) -> Mapping[str, float]:
    """Start a proxy; tell when the first request got a 200, and the processor time until then."""
    begin = time.perf_counter()
    with started(launch, core=core, log=log) as process:
        while time.perf_counter() < begin + _START_SECONDS:
            try:
                _get(site.port, mode.path)
            except (OSError, http.client.HTTPException, LoadError):
                time.sleep(0.001)
                continue
            milliseconds = (time.perf_counter() - begin) * 1e3
            return {
                "first_200_ms": milliseconds,
                "start_cpu_ms": tree_cpu_ns(process.pid) / 1e6,
            }
    raise LoadError(f"no 200 within {_START_SECONDS:g} s; it wrote: {log.read_text()[-600:]}")


def refreshing(server: Running, mode: Mode, *, seconds: int) -> Mapping[str, float]:
    """Load it second by second, and compare those in which a token was issued with the others."""
    site = server.site
    load.run(mode, port=site.port, seconds=WARM_UP_SECONDS, directory=site.directory)
    quiet, refreshed = list[float](), list[float]()
    for _ in range(_SECONDS_OF_REFRESHING):
        before = _refreshes(site.admin_port)
        seen = load.run(mode, port=site.port, seconds=1, directory=site.directory)
        (refreshed if _refreshes(site.admin_port) > before else quiet).append(seen.p99_us)
    if not quiet or not refreshed:
        raise LoadError(f"{len(refreshed)} seconds with a refresh, {len(quiet)} without")
    return {
        "refresh_p99": median(refreshed) / median(quiet),
        "p99_us_with": median(refreshed),
        "p99_us_without": median(quiet),
    }


def _refreshes(admin_port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=5) as answer:
        return sum(map(float, _REFRESHES.findall(answer.read().decode())))


def _get(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        _ask(connection, path)
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, path: str) -> None:
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise LoadError(f"GET {path}: {answer.status}")
