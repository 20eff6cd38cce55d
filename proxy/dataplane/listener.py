"""Where clients come in: TCP addresses, Unix sockets, and descriptors that a supervisor opened."""

import asyncio
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxy.dataplane.downstream import Downstream
from proxy.dataplane.plane import Plane

_BACKLOG = 1024  # net.core.somaxconn caps it; a burst of clients must not see resets


@dataclass(frozen=True, slots=True)
class Address:
    """
    One place to listen: *host* and *port*, a Unix socket's *path*, or an inherited *fd*.

    The socket at *path* gets *mode*, and *user* and *group* as its owners; -1 leaves one as it is.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    mode: int = 0o600
    user: int = -1
    group: int = -1

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        if self.fd >= 0:
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listener:
    """The listening sockets of one plane; *bound* are the addresses they really have."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._servers: list[asyncio.Server] = []
        self._paths: list[str] = []
        self.bound: list[Address] = []

    async def start(self, addresses: list[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        loop = asyncio.get_running_loop()
        try:
            for address in addresses:
                sock = await loop.run_in_executor(None, _bind, address)
                if address.path:
                    self._paths.append(address.path)
                factory = partial(Downstream, self._plane)
                if sock.family == socket.AF_UNIX:
                    server = await loop.create_unix_server(factory, sock=sock, backlog=_BACKLOG)
                else:
                    server = await loop.create_server(factory, sock=sock, backlog=_BACKLOG)
                self._servers.append(server)
                self.bound.append(_bound(sock, address))
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Accept no more; connections that are open stay so."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for path in self._paths:
            Path(path).unlink(missing_ok=True)
        self._paths.clear()


def _bind(address: Address) -> socket.socket:
    if address.fd >= 0:
        return socket.socket(fileno=os.dup(address.fd))
    if address.path:
        return _bind_path(address)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    if not address.host.replace(".", "").isdigit() and ":" not in address.host:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
    # asyncio switches Nagle's algorithm off for sockets that say that they are TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    except OSError:
        sock.close()
        raise
    return sock


def _bind_path(address: Address) -> socket.socket:
    """Bind to a path; a socket that a dead process left there is removed, anything else is not."""
    path = Path(address.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            _remove_if_dead(address.path)
        with suppress(OSError):
            # Linux makes the file with the mode of the socket, so it is never wider than it shall
            # be. Elsewhere nobody can connect before it listens, and by then the mode is right.
            os.fchmod(sock.fileno(), address.mode & 0o600)
        sock.bind(address.path)
    except OSError:
        sock.close()
        raise
    try:
        if (address.user, address.group) != (-1, -1):
            os.chown(path, address.user, address.group, follow_symlinks=False)
        path.chmod(address.mode)
    except OSError:
        sock.close()
        path.unlink(missing_ok=True)
        raise
    return sock


def _remove_if_dead(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()


def _bound(sock: socket.socket, address: Address) -> Address:
    if sock.family == socket.AF_UNIX:
        return address
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)
