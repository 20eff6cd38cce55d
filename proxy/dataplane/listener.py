"""
Where clients come in: TCP addresses, Unix sockets, and descriptors that a supervisor opened.

Rule 1: a listener is there for as long as the process. An event loop that can't accept for want of
        a descriptor may give its listening socket up for good, or try again without a pause (libuv
        does either, once its reserve is gone). So ours stays open beside it, and is accepted from
        only while there are descriptors.

Rule 2: a flood is told of now and then, not once a client.
"""

import asyncio
import os
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from proxy.dataplane import ends
from proxy.dataplane.downstream import Downstream
from proxy.dataplane.plane import Plane

_log = structlog.get_logger()
_BACKLOG = 1024  # net.core.somaxconn caps it; a burst of clients must not see resets
_WATCH_SECONDS = 0.5
_SPARE = 16  # descriptors that there have to be before clients are accepted again
_QUIET_SECONDS = 10.0  # between two warnings of the same kind


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
        self._doors: list[_Door] = []
        self._paths: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._opening: list[asyncio.Task[None]] = []
        self._seen = 0
        self._crowded = _Warning("clients.turned_away")
        self._wanting = _Warning("descriptors.exhausted")
        self.bound: list[Address] = []

    async def start(self, addresses: list[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        loop = asyncio.get_running_loop()
        try:
            for address in addresses:
                sock = await loop.run_in_executor(None, bind, address)
                if address.path:
                    self._paths.append(address.path)
                door = _Door(sock, partial(Downstream, self._plane))
                self._doors.append(door)
                await door.open()
                self.bound.append(bound(sock, address))
        except OSError:
            self.stop()
            raise
        self._watch_later()

    def stop(self) -> None:
        """Accept no more; connections that are open stay so."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for opening in self._opening:
            opening.cancel()
        for door in self._doors:
            door.close()
        self._doors.clear()
        for path in self._paths:
            Path(path).unlink(missing_ok=True)
        self._paths.clear()

    def _watch_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """Accept nothing while there is no descriptor for it; tell of that and of floods."""
        turned_away = self._plane.turned_away
        self._crowded.count(turned_away - self._seen, limit=self._plane.limits.connections)
        self._seen = turned_away
        shut = [door for door in self._doors if not door.is_open]
        if not ends.may_open(_SPARE if shut else 1):
            self._wanting.count(1)
            for door in self._doors:
                door.shut()
        else:
            self._opening = [asyncio.create_task(door.open_again()) for door in shut]
        self._watch_later()


class _Door:
    """A listening socket, and the loop's server for it, which is not always there."""

    def __init__(self, sock: socket.socket, factory: partial[Downstream]) -> None:
        self._sock = sock
        self._factory = factory
        self._used: socket.socket
        self._server: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether clients are accepted."""
        return self._server is not None and self._used.fileno() >= 0

    async def open(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        sock = self._used = self._sock.dup()
        make = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        self._server = await make(self._factory, sock=sock, backlog=_BACKLOG)

    async def open_again(self) -> None:
        """Accept again, unless there is no descriptor after all."""
        with suppress(OSError):
            await self.open()
            _log.info("listener.reopened", listen=ends.shown(self._sock.getsockname()))

    def shut(self) -> None:
        """Accept no more for now: the kernel has clients wait."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Accept no more for good."""
        self.shut()
        self._sock.close()


class _Warning:
    """An *event* that is logged at once, and then not before a while has passed."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._untold = 0
        self._quiet_until = 0.0

    def count(self, more: int, **fields: object) -> None:
        """Have it happened *more* times since the last call; log how often since the last line."""
        self._untold += more
        now = time.monotonic()
        if self._untold and now >= self._quiet_until:
            _log.warning(self._event, times=self._untold, **fields)
            self._untold, self._quiet_until = 0, now + _QUIET_SECONDS


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


def bound(sock: socket.socket, address: Address) -> Address:
    """Return the address that *sock*, made for *address*, really has."""
    if sock.family == socket.AF_UNIX:
        return address
    host, port = sock.getsockname()[:2]
    return Address(host=host, port=port)
