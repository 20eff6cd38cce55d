"""
What a service manager is told: sd_notify(3) without its library.

Rule 1: ready means listening, not yet a token. An issuer that is down must not keep a machine from
        booting, nor have the manager start us again and again, each time with a question to the
        issuer. Until there is a token requests wait or get 503, and the status line says why.

Rule 2: the watchdog is fed by the loop that serves. A loop that hangs feeds nobody.

Rule 3: a manager that can't be told costs a line in the log. Requests are served all the same.
"""

import asyncio
import math
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress

import structlog

_log = structlog.get_logger()

# How long a manager may leave its socket full. A status that it misses is superseded by the next; a
# change of state is not.
_PATIENCE_SECONDS = 1.0
_STATUS_CHARACTERS = 400
# What changes without the token, an upstream that fails for one, is told after so long.
_NEWS_SECONDS = 5.0


class Notifier:
    """
    Speaks to the manager at *address*; the empty one stands for no manager.

    *watchdog_seconds* is how long it waits for a sign of life; None: it doesn't.
    """

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds if address else None
        self._to = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        elif address:
            _log.warning("notify.failed", message="NOTIFY_SOCKET names no Unix socket")

    @property
    def heard(self) -> bool:
        """Whether there is anybody to be told."""
        return self._socket is not None

    def ready(self) -> None:
        """Tell that requests are taken, after the start or a reload."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._tell("STOPPING=1\nSTATUS=Draining: what is in flight may end, nothing new begins.")

    def status(self, sentence: str) -> None:
        """Tell a person how things stand."""
        line = "".join(each if each.isprintable() else "?" for each in sentence)
        self._tell(f"STATUS={line[:_STATUS_CHARACTERS]}", patience_seconds=0)

    def alive(self) -> None:
        """Feed the watchdog."""
        self._tell("WATCHDOG=1", patience_seconds=0)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Tell that the configuration is being read, and at the end of the block that it is not."""
        # From the clock that Type=notify-reload compares with the moment of its signal.
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")
        try:
            yield
        finally:
            self.ready()

    def close(self) -> None:
        """Tell nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, lines: str, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(patience_seconds)
        try:
            self._socket.sendto(lines.encode(), self._to)
        except (BlockingIOError, TimeoutError):
            return
        except OSError as error:
            _log.warning("notify.failed", message="the service manager can't be told", error=error)
            self.close()


def take(environ: MutableMapping[str, str], pid: int) -> Notifier:
    """Return who speaks to the manager of process *pid*; *environ* does not name it any more."""
    address = environ.pop("NOTIFY_SOCKET", "")
    microseconds = environ.pop("WATCHDOG_USEC", "")
    meant_for = environ.pop("WATCHDOG_PID", "")
    seconds = None
    if meant_for in ("", str(pid)):
        with suppress(ValueError):
            seconds = int(microseconds) / 1e6
    return Notifier(address, seconds if seconds and seconds > 0 else None)


@contextmanager
def notifying(
    notifier: Notifier,
    *,
    sentence: Callable[[], str],
    on_change: Callable[[Callable[[], None]], Callable[[], None]],
) -> Iterator[None]:
    """
    Keep the manager informed for the length of the block: ready at its begin, stopping at its end.

    *sentence* says how things stand; *on_change* has a call run whenever the token's life takes a
    turn, and returns what cancels that.
    """
    if not notifier.heard:
        yield
        return
    pulse = _Pulse(notifier, sentence)
    pulse.tell()
    notifier.ready()
    pulse.beat()
    forget = on_change(pulse.tell)
    try:
        yield
    finally:
        forget()
        pulse.stop()
        notifier.stopping()


class _Pulse:
    """Feeds the watchdog from the loop, twice in each of its intervals, and looks for news."""

    def __init__(self, notifier: Notifier, sentence: Callable[[], str]) -> None:
        self._notifier = notifier
        self._sentence = sentence
        self._told = ""
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = min(_NEWS_SECONDS, (notifier.watchdog_seconds or math.inf) / 2)

    def tell(self) -> None:
        if (now := self._sentence()) != self._told:
            self._told = now
            self._notifier.status(now)

    def beat(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.beat)
        if self._notifier.watchdog_seconds is not None:
            self._notifier.alive()
        self.tell()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
