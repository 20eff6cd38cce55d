"""
Clients' connections, accepted here and handed to the worker that has fewest.

Not SO_REUSEPORT: the kernel deals by a hash, which leaves a third of a small number on the wrong
side, and resets what waits at a worker that dies. What is handed over is spread evenly, waits here
until somebody can take it, and comes by any socket: TCP, a Unix socket's file, a descriptor.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

import structlog

from proxy.dataplane import Address
from proxy.dataplane.sockets import Sockets

_AT_ONCE = 64
# Nobody can take one, or no descriptor is left: a moment later there may be.
_PAUSE_SECONDS = 0.02
_LONG_PAUSE_SECONDS = 0.5

_log = structlog.get_logger()


class Spread:
    """The listening sockets; *give* takes a connection over, or is False if nobody does."""

    def __init__(self, give: Callable[[socket.socket], bool]) -> None:
        self._give = give
        self._sockets = Sockets()
        self._held: deque[socket.socket] = deque()  # for whoever can take one
        self._paused: asyncio.TimerHandle | None = None

    @property
    def bound(self) -> list[Address]:
        """The addresses that are listened at."""
        return self._sockets.bound

    async def start(self, addresses: list[Address]) -> None:
        """Listen at all *addresses*, or raise the OSError of the first that can't be had."""
        await self._sockets.open(addresses)
        self._go_on()

    def stop(self) -> None:
        """Accept no more."""
        self._hold()
        if self._paused is not None:
            self._paused.cancel()
        while self._held:
            self._held.popleft().close()
        self._sockets.close()

    def _go_on(self) -> None:
        self._paused = None
        while self._held:
            if not self._give(self._held[0]):
                self._pause(_PAUSE_SECONDS)
                return
            self._held.popleft()
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._accept, sock)

    def take_back(self, connection: socket.socket) -> None:
        """Give *connection*, which nobody has read from, to somebody else."""
        self._held.append(connection)
        if self._paused is None:
            self._pause(0)

    def _hold(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())

    def _pause(self, seconds: float) -> None:
        self._hold()
        self._paused = asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.warning("listener.cannot_accept", error=error)
                self._pause(_LONG_PAUSE_SECONDS)
                return
            if not self._give(connection):
                self._held.append(connection)
                self._pause(_PAUSE_SECONDS)
                return
