"""
Where clients come in: each one that connects gets a protocol of the data plane.

Rule 1: a listener is there for as long as the process. An event loop that can't accept for want of
        a descriptor may give its listening socket up for good, or try again without a pause (libuv
        does either, once its reserve is gone). So ours stays open beside it, and is accepted from
        only while there are descriptors.

Rule 2: a flood is told of now and then, not once a client.
"""

import asyncio
import socket
from contextlib import suppress
from functools import partial

import structlog

from proxy.dataplane import ends
from proxy.dataplane.downstream import Downstream
from proxy.dataplane.plane import Plane
from proxy.dataplane.sockets import BACKLOG, Address, Sockets
from proxy.seldom import Seldom

_log = structlog.get_logger()
_WATCH_SECONDS = 0.5
_SPARE = 16  # descriptors that there have to be before clients are accepted again


class Listener:
    """Where the clients of one plane come in."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._sockets = Sockets()
        self._doors: list[_Door] = []
        self._timer: asyncio.TimerHandle | None = None
        self._opening: list[asyncio.Task[None]] = []
        self._seen = 0
        self._crowded = Seldom("clients.turned_away")
        self._wanting = Seldom("descriptors.exhausted")

    @property
    def bound(self) -> list[Address]:
        """The addresses that are listened at."""
        return self._sockets.bound

    async def start(self, addresses: list[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        await self._sockets.open(addresses)
        self._doors = [_Door(sock, partial(Downstream, self._plane)) for sock in self._sockets]
        try:
            for door in self._doors:
                await door.open()
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
            door.shut()
        self._doors.clear()
        self._sockets.close()

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
        sock = self._used = self._sock.dup()
        # For Unix sockets, too: from Python 3.13 on create_unix_server's would remove the file when
        # it is closed, which is no business of one who may open again, or was passed the socket.
        self._server = await asyncio.get_running_loop().create_server(
            self._factory, sock=sock, backlog=BACKLOG
        )

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
