"""Clients that are many, and plain enough to be so."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.e2e.process import ProxyProcess

PATIENCE_SECONDS = 20.0
# What the requests of a common client look like.
GET = (
    b"GET /transactions HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: python-requests/2.32.5\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n"
)

# Lowers the limit for good, before the command is started in its place.
_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]);"
    " resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)); os.execv(sys.argv[2], sys.argv[2:])"
)


def with_descriptors(number: int) -> list[str]:
    """Return what a command is put behind to have that *number* of descriptors at most."""
    return [sys.executable, "-c", _LIMITED, str(number)]


class Answer(NamedTuple):
    """An answer, read whole; *code* is empty unless it is the proxy's own."""

    status: int
    code: str
    head: bytes


class Client:
    """A connection to the proxy, at a port or a Unix socket, that waits for each answer."""

    def __init__(self, place: int | Path) -> None:
        if isinstance(place, int):
            self._sock = socket.create_connection(("127.0.0.1", place), PATIENCE_SECONDS)
        else:
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.settimeout(PATIENCE_SECONDS)
            self._sock.connect(str(place))

    def ask(self, request: bytes = GET) -> Answer:
        """Send *request* and return its answer; EOFError if there is none."""
        self._sock.sendall(request)
        return self.answer()

    def say(self, text: bytes) -> None:
        """Send *text*, unless the other end has closed."""
        with suppress(ConnectionError):
            self._sock.sendall(text)

    def answer(self) -> Answer:
        """Return the answer that comes; EOFError if there is none."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        found = re.search(rb"\ncontent-length: (\d+)", head.lower())
        missing = int(found[1]) - len(body) if found else 0
        while missing > 0:
            piece = self._some()
            body += piece
            missing -= len(piece)
        own = b"application/problem+json" in head
        return Answer(int(head[9:12]), json.loads(body)["code"] if own else "", head)

    def _some(self) -> bytes:
        piece = self._sock.recv(65536)
        if not piece:
            raise EOFError
        return piece

    def close(self) -> None:
        """Close it."""
        self._sock.close()


class Crowd:
    """Connections to the proxy, all open until the end of ``with``; ``clients`` in their order."""

    def __init__(self, port: int, size: int) -> None:
        self._port = port
        self._size = size
        self._stack = ExitStack()
        self.clients: list[Client] = []

    def __enter__(self) -> Self:
        for _ in range(self._size):
            client = Client(self._port)
            self._stack.callback(client.close)
            self.clients.append(client)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def ask(self, request: bytes = GET) -> list[Answer]:
        """Have each of them ask, one after the other."""
        return [client.ask(request) for client in self.clients]


class Vitals:
    """What the kernel tells of a running proxy, whoever asks."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self._proc = Path(f"/proc/{proxy.process.pid}")

    @property
    def resident_bytes(self) -> int:
        """Memory in use of its own: without files that are mapped."""
        status = (self._proc / "status").read_text()
        found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    @property
    def cpu_seconds(self) -> float:
        """Time that it has computed, to a hundredth."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


class Elsewhere:
    """A module of the tests, run in a process of its own so that it does not slow down ours."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self.wait_for("ready")
        return self

    def wait_for(self, line: str) -> None:
        """Wait until it says *line*."""
        assert self._process.stdout is not None
        for said in self._process.stdout:
            if said.strip() == line:
                return
        raise AssertionError(f"it ended before it said {line!r}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that *share* of the *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
