"""
The worker processes: started, given clients, replaced, ended.

Rule 1: one that is gone is replaced; the others serve on. One that ends again and again is waited
        for longer every time.

Rule 2: a client belongs to the worker that has said it took it. Of one that it has not taken no
        byte has been read, and another worker gets it.
"""

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import structlog

from proxy.app.nursery import Nursery
from proxy.app.spread import Spread
from proxy.app.told import NUMBERS
from proxy.worker.channel import OBJECT, Channel
from proxy.worker.messages import Drain, packed

_log = structlog.get_logger()

START_SECONDS = 20.0
# One that lived longer did not end because it can't live.
_LONG_ENOUGH_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 10.0
_GRACE_SECONDS = 1.0


class Worker:
    """One worker, as the keeper knows it."""

    def __init__(self, workers: "Workers", pid: int, clients: socket.socket, *, part: int) -> None:
        self.pid = pid
        self.part = part  # which share of the limits is its own
        self.born = time.monotonic()
        self.ready = asyncio.Event()
        # What there is between the two.
        self.channel = Channel(
            lambda kind, content: workers.heard(self, kind, content), lambda: workers.lost(self)
        )
        self.clients = clients
        self.offered: deque[socket.socket] = deque()  # those that it has not said it took
        self.holds = 0  # connections
        # What it has told.
        self.numbers: Mapping[str, int] = dict.fromkeys(NUMBERS, 0)
        self.replays: Mapping[str, int] = {}
        self.configured = -1
        self.refusals = 0
        self.drained: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def burden(self) -> int:
        """How many connections it has, as far as is known."""
        return self.holds + len(self.offered)

    def offer(self, client: socket.socket) -> bool:
        """Hand *client* over; False if it can take none."""
        try:
            socket.send_fds(self.clients, [b"c"], [client.fileno()])
        except OSError:
            return False
        self.offered.append(client)
        return True

    def took(self, number: int) -> None:
        """Have so many of the offered be its own; IndexError if there are not so many."""
        for _ in range(number):
            self.offered.popleft().close()
            self.holds += 1

    def closed(self, number: int) -> None:
        """Have it hold so many fewer."""
        self.holds = max(0, self.holds - number)

    def end(self) -> None:
        """End it at once; ``Workers.lost`` follows."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)


class Workers:
    """
    *number* of them; ``entrance`` is where clients come in.

    *greet* tells a new one what to serve by, *heard* is given what each says (ValueError for what
    it can't mean), and *parted* is called with one that is gone.
    """

    def __init__(
        self,
        number: int,
        environment: Mapping[str, str],
        *,
        greet: Callable[[Worker], None],
        heard: Callable[[Worker, bytes, bytes], None],
        parted: Callable[[Worker], None],
    ) -> None:
        self._number = number
        self._greet = greet
        self.heard = heard
        self._parted = parted
        self._nursery = Nursery(environment)
        self._present: list[Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._short_lives = 0
        self._leaving = False  # nobody is replaced any more
        self._closed = False
        self.entrance = Spread(self._give)

    def __iter__(self) -> Iterator[Worker]:
        """Go through those that are there, ready or not."""
        return iter(self._present)

    @property
    def ready(self) -> list[Worker]:
        """Those that serve."""
        return [each for each in self._present if each.ready.is_set()]

    async def start(self) -> None:
        """Start them all; OSError if they don't come up."""
        workers = [await self._hire() for _ in range(self._number)]
        try:
            async with asyncio.timeout(START_SECONDS):
                for each in workers:
                    await each.ready.wait()
                    _log.info("worker.started", pid=each.pid)
        except TimeoutError:
            raise OSError("the worker processes did not come up") from None

    async def drain(self, timeout_seconds: float) -> int:
        """Let what is in flight finish, for *timeout_seconds* at most; return how many did not."""
        self._leaving = True
        for each in self._present:
            each.channel.send(OBJECT, packed(Drain(timeout_seconds)))
        ends = [each.drained for each in self._present]
        if ends:
            await asyncio.wait(ends, timeout=timeout_seconds + _GRACE_SECONDS)
        return sum(each.result() if each.done() else 1 for each in ends)

    def close(self) -> None:
        """End all processes."""
        self._leaving = self._closed = True
        for task in self._tasks:
            task.cancel()
        for each in self._present:
            each.end()
        self._nursery.close()

    async def _hire(self) -> Worker:
        ours, theirs = socket.socketpair()
        our_way, their_way = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pid = await self._nursery.bear(theirs, their_way)
        except OSError:
            ours.close()
            our_way.close()
            raise
        finally:
            theirs.close()
            their_way.close()
        our_way.setblocking(False)
        taken = {each.part for each in self._present}
        part = next(each for each in range(self._number) if each not in taken)
        worker = Worker(self, pid, our_way, part=part)
        await asyncio.get_running_loop().create_connection(lambda: worker.channel, sock=ours)
        self._greet(worker)
        self._present.append(worker)
        return worker

    def lost(self, worker: Worker) -> None:
        """Replace *worker*, which is gone."""
        worker.clients.close()
        if not worker.drained.done():
            worker.drained.set_result(0 if self._closed else worker.numbers["in_flight"])
        if worker in self._present:
            self._present.remove(worker)
        while worker.offered:
            client = worker.offered.popleft()
            if self._leaving:
                client.close()
            else:
                self.entrance.take_back(client)
        self._parted(worker)
        if not self._leaving:
            self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        lived = time.monotonic() - worker.born
        self._short_lives = self._short_lives + 1 if lived < _LONG_ENOUGH_SECONDS else 0
        pause = 0.0
        if self._short_lives > 1:
            pause = min(0.1 * 2 ** min(self._short_lives, 9), _LONGEST_PAUSE_SECONDS)
        _log.warning(
            "worker.ended",
            pid=worker.pid,
            lived_seconds=round(lived, 3),
            next_start_in_seconds=pause,
            message="a worker process has ended; it is replaced",
        )
        task = asyncio.create_task(self._hire_after(pause))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hire_after(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            if self._leaving:
                return
            try:
                worker = await self._hire()
            except OSError as error:
                pause = min(max(2 * pause, 0.1), _LONGEST_PAUSE_SECONDS)
                _log.error("worker.not_started", error=error, next_try_in_seconds=pause)
                continue
            _log.info("worker.started", pid=worker.pid)
            return

    def _give(self, client: socket.socket) -> bool:
        by_burden = sorted(self.ready, key=lambda each: each.burden)
        return any(worker.offer(client) for worker in by_burden)
