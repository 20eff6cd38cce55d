"""What passes through the proxy does not pile up in it, whichever side is slow."""

import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import trustme

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import ProxyProcess

MOVED = 256 * 1024 * 1024
ALLOWED_GROWTH = 16 * 1024 * 1024
_BLOCK = bytes(range(256)) * 1024
# So long nothing was taken: both sides' buffers are full, and the proxy has stopped reading.
_STALLED_SECONDS = 0.3
_PATIENCE_SECONDS = 20.0


class Pair:
    """The proxy as a process, a raw client and a raw upstream, connected through it."""

    def __init__(self, proxy: ProxyProcess, server: socket.socket) -> None:
        self._proc = Path(f"/proc/{proxy.process.pid}")
        self.client = socket.create_connection(("127.0.0.1", proxy.port), _PATIENCE_SECONDS)
        self.client.sendall(b"GET /warm HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.upstream, _ = server.accept()  # the handshake too, where there is one
        self.upstream.settimeout(_PATIENCE_SECONDS)
        take_head(self.upstream)
        self.upstream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        take_head(self.client)
        # From here on VmHWM is the peak since now (proc(5), clear_refs).
        (self._proc / "clear_refs").write_text("5")
        self._before = self._peak()

    def _peak(self) -> int:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (self._proc / "status").read_text(), re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    @property
    def growth(self) -> int:
        """How much memory the proxy has had at most since it was warm, in bytes more than then."""
        return self._peak() - self._before

    def close(self) -> None:
        """End both connections."""
        self.client.close()
        self.upstream.close()


@pytest.fixture(params=["http", "https"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """Both ends of the installed command, warm; the upstream's is plain or TLS."""
    with ExitStack() as stack:
        api = stack.enter_context(ThreadedDemoAPI())
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        environment = {
            **api.environment(),
            "BEARER_PROXY_UPSTREAM_URL": f"{request.param}://127.0.0.1:{server.getsockname()[1]}",
        }
        if request.param == "https":
            authority = trustme.CA()
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            environment["BEARER_PROXY_UPSTREAM_CA_FILE"] = str(tmp_path / "ca.pem")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            server = stack.enter_context(context.wrap_socket(server, server_side=True))
        server.settimeout(_PATIENCE_SECONDS)
        proxy = stack.enter_context(ProxyProcess(environment, tmp_path))
        proxy.wait_for("proxy.ready")
        yield stack.enter_context(closing(Pair(proxy, server)))


def take_head(sock: socket.socket) -> bytes:
    """Return a head that comes alone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(65536)
        assert piece, head
        head += piece
    return head


def send_until_full(sock: socket.socket) -> int:
    """Send until nothing more goes in, MOVED bytes at most; return how many went in."""
    sent = 0
    patience = sock.gettimeout()
    sock.setblocking(False)
    while sent < MOVED and select.select([], [sock], [], _STALLED_SECONDS)[1]:
        try:
            sent += sock.send(_BLOCK[: MOVED - sent])
        except (BlockingIOError, ssl.SSLWantWriteError):
            continue  # there is room, but not yet for a whole record
    sock.settimeout(patience)
    return sent


def move(source: socket.socket, sink: socket.socket) -> int:
    """
    Send MOVED bytes into *source*, and take as many out of *sink* once nothing more goes in.

    Returns how many went in before the first was taken out.
    """
    stalled_at = send_until_full(source)

    def send_the_rest() -> None:
        missing = MOVED - stalled_at
        while missing:
            missing -= source.send(_BLOCK[:missing])

    sender = threading.Thread(target=send_the_rest)
    sender.start()
    taken = 0
    while taken < MOVED and (piece := sink.recv(1 << 20)):
        taken += len(piece)
    sender.join(_PATIENCE_SECONDS)
    assert taken == MOVED
    return stalled_at


def test_a_slow_client_does_not_make_the_proxy_grow(pair: Pair) -> None:
    """The upstream is not read from while the client takes nothing."""
    pair.client.sendall(b"GET /download HTTP/1.1\r\nHost: localhost\r\n\r\n")
    take_head(pair.upstream)
    pair.upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MOVED)
    take_head(pair.client)
    assert move(pair.upstream, pair.client) < MOVED / 2
    assert pair.growth < ALLOWED_GROWTH


def test_a_slow_upstream_does_not_make_the_proxy_grow(pair: Pair) -> None:
    """The client is not read from while the upstream takes nothing."""
    pair.client.sendall(
        b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % MOVED
    )
    take_head(pair.upstream)
    assert move(pair.client, pair.upstream) < MOVED / 2
    pair.upstream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    take_head(pair.client)
    assert pair.growth < ALLOWED_GROWTH


def test_a_slow_end_of_a_tunnel_does_not_make_the_proxy_grow(pair: Pair) -> None:
    """Both directions of it, one after the other."""
    pair.client.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
    )
    take_head(pair.upstream)
    pair.upstream.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n"
    )
    take_head(pair.client)
    assert move(pair.client, pair.upstream) < MOVED / 2
    assert move(pair.upstream, pair.client) < MOVED / 2
    assert pair.growth < ALLOWED_GROWTH
