"""
The sockets that clients connect to, whoever accepts: how they are opened, and what is left of them.

Rule 1: all or none. Of several addresses one that can't be had closes the others.

Rule 2: a socket's file is never open to more users than it shall be, replaces nothing but a socket
        that nobody listens at, and goes when the socket does.
"""

import asyncio
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BACKLOG = 1024  # net.core.somaxconn caps it; a burst of clients must not see resets


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


class Sockets:
    """Listening sockets; *bound* are the addresses that they really have."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []
        self._paths: list[str] = []
        self.bound: list[Address] = []

    def __iter__(self) -> Iterator[socket.socket]:
        """Go through those that are open."""
        return iter(self._open)

    async def open(self, addresses: Iterable[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        loop = asyncio.get_running_loop()
        try:
            for address in addresses:
                # Elsewhere, because a host name may have to be looked up.
                sock = await loop.run_in_executor(None, bind, address)
                self._open.append(sock)
                if address.path:
                    self._paths.append(address.path)
                sock.setblocking(False)
                sock.listen(BACKLOG)
                self.bound.append(_bound(sock, address))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close them, and remove their files."""
        for sock in self._open:
            sock.close()
        self._open.clear()
        for path in self._paths:
            Path(path).unlink(missing_ok=True)
        self._paths.clear()


def bind(address: Address) -> socket.socket:
    """Return a socket at *address*, not listening yet; OSError if that can't be had."""
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
    """Return the address that *sock*, made for *address*, really has."""
    if sock.family == socket.AF_UNIX:
        return address
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)
