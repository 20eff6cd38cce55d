"""
How long a start takes, and what an idle proxy and its image weigh: the README's table.

    sudo .venv/bin/python -m deploy.measure [--image NAME] [--starts 20]

Needs root, because the proxy's memory is closed to other processes of its user. The image is one
that deploy/build-image.sh has built.
"""

import argparse
import http.client
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import tree_cpu_ns, tree_pss_kib
from proxy.demo.threaded import ThreadedDemoAPI

_COMMAND = Path(sys.executable).with_name("bearer-proxy")
_PATIENCE_SECONDS = 20.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", help="name of an image that was built here")
    parser.add_argument("--starts", type=int, default=20, help="how many are timed")
    given = parser.parse_args()
    with ThreadedDemoAPI() as api:
        starts = [started(api) for _ in range(given.starts + 1)][1:]  # the first one warms caches
    rows = {
        "from nothing to the first answer with a token": _milliseconds(
            [each.seconds for each in starts]
        ),
        "processor time of that": _milliseconds([each.cpu_seconds for each in starts]),
        "memory when idle (PSS)": f"{statistics.median(each.mib for each in starts):.0f} MiB",
    }
    if given.image:
        rows["image"] = f"{image_bytes(given.image) / 1024 / 1024:.0f} MiB"
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    machine = (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    )
    sys.stdout.write("\n".join([*lines, "", f"{time.strftime('%Y-%m-%d')}, {machine}", ""]))


@dataclass(frozen=True, slots=True)
class Start:
    """How long one start took, the processor's time in it, and the memory a moment after it."""

    seconds: float
    cpu_seconds: float
    mib: float


def started(api: ThreadedDemoAPI) -> Start:
    """Start a process, and return what it took until it answers."""
    with _free_port() as port:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("BEARER_PROXY")
        }
        environment |= api.environment() | {
            "BEARER_PROXY_LISTEN_ADDRESS": f"127.0.0.1:{port}",
            "BEARER_PROXY_ADMIN_ADDRESS": "127.0.0.1:0",
        }
        begun = time.perf_counter()
        process = subprocess.Popen(
            [_COMMAND, "run"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    try:
        _answer(process, port)
        seconds, cpu = time.perf_counter() - begun, tree_cpu_ns(process.pid) / 1e9
        # What the start has left behind is still being given back.
        time.sleep(0.5)
        return Start(seconds, cpu, tree_pss_kib(process.pid) / 1024)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    yield port


def _answer(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Return when a request was answered with 200."""
    end = time.perf_counter() + _PATIENCE_SECONDS
    while process.poll() is None and time.perf_counter() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request("GET", "/transactions")
            if connection.getresponse().status == 200:
                return
        except ConnectionError:
            time.sleep(0.001)
        finally:
            connection.close()
    raise SystemExit("measure: the proxy does not answer")


def image_bytes(name: str) -> int:
    """Return the size of the image *name*, as its engine counts."""
    if shutil.which("buildah") and not os.environ.get("DOCKER_HOST"):
        driver = os.environ.get("STORAGE_DRIVER", "vfs")
        container = _said("buildah", "--storage-driver", driver, "from", "--pull-never", name)
        try:
            root = _said("buildah", "--storage-driver", driver, "mount", container)
            return int(_said("du", "--summarize", "--bytes", root).split()[0])
        finally:
            _said("buildah", "--storage-driver", driver, "rm", container)
    return int(_said("docker", "image", "inspect", "--format", "{{.Size}}", name))


def _said(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def _milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:.0f} ms"


if __name__ == "__main__":
    main()
