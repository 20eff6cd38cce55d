"""
Upstream connections: which one a request gets, and when an idle one is closed.

Rule 1: last in, first out. The connection used most recently is the least likely to have been
        closed by the upstream in the meantime.

Rule 2: nothing waits here but ``connect``, and every failure of it has a code of the error table.

Rule 3: there are never more connections than allowed. Requests beyond that stand in a line of
        bounded length, and get a connection in the order in which they came.
"""

import asyncio
import errno
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import aiohappyeyeballs

from proxy.dataplane import ends, faults
from proxy.dataplane.tls import Session
from proxy.dataplane.upstream import Upstream
from proxy.errors import ProxyError

# Go's Transport closes idle connections after 90 s, most servers after 60 to 75: stay below those.
_IDLE_SECONDS = 55.0
# RFC 8305 section 5 recommends 250 ms before the next address is tried beside the first.
_HAPPY_EYEBALLS_DELAY = 0.25


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect, and how long that may take in seconds; *tls* is None for plain http."""

    name: str  # its URL, for people
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    connect_timeout_seconds: float = 10
    send_via: bool = True
    connections: int = 1024
    queue: int = 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What the latest connection found: *remote* as ``10.0.0.1:443``, *tls_version* empty for none.

    *at* and *certificate_expires_at* are Unix time.
    """

    at: float
    remote: str
    tls_version: str
    certificate_expires_at: float | None


class Waiting(Protocol):
    """A request that stands in line for a connection."""

    def connection_free(self) -> None:
        """Take up the place that has become free."""
        ...


class Pool:
    """
    The connections to one upstream. Idle ones are kept; leased ones are their exchange's.

    ``seen`` tells of the latest connection, ``last_error`` when the latest failure to make one was,
    in Unix time, and what it was.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        if destination.tls is not None:
            destination.tls.sslobject_class = Session
        self.seen: Seen | None = None
        self.last_error: tuple[float, ProxyError] | None = None
        self._open: set[Upstream] = set()
        self._idle: list[Upstream] = []
        self._connecting = 0
        self._line: dict[Waiting, None] = {}  # in the order of their coming

    @property
    def queued_count(self) -> int:
        """How many requests stand in line."""
        return len(self._line)

    @property
    def idle_count(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def busy_count(self) -> int:
        """How many connections serve a request."""
        return len(self._open) - len(self._idle)

    @property
    def is_dry(self) -> bool:
        """Tell whether there is no connection, and nobody who is about to have one."""
        return not (self._open or self._connecting or self._line)

    def lease(self, *, certain: bool) -> Upstream | None:
        """
        Return an idle connection, or None if one has to be made.

        *certain*: the request must not be sent twice, so the socket is asked whether the upstream
        has closed it; without that, the event loop's knowledge (which may be a turn old) will do.
        """
        while self._idle:
            upstream = self._idle.pop()
            if upstream.closed or (certain and upstream.has_unread_input()):
                upstream.abort()
                continue
            return upstream
        return None

    def release(self, upstream: Upstream, now: float) -> None:
        """Take back a connection whose last answer was complete *now*, on the monotonic clock."""
        stated = upstream.keep_alive_seconds
        # A second earlier than the server said, so that it does not close while we send.
        upstream.idle_until = now + (max(stated - 1, 0) if stated else _IDLE_SECONDS)
        self._idle.append(upstream)
        if self._line:
            self._serve_next()

    @property
    def has_room(self) -> bool:
        """Tell whether another connection may be made."""
        return len(self._open) + self._connecting < self.destination.connections

    def connecting(self, task: asyncio.Task[None]) -> None:
        """Count *task* as a connection, from now until it has made one or failed to."""
        self._connecting += 1
        task.add_done_callback(self._connected)

    def _connected(self, _: asyncio.Task[None]) -> None:
        self._connecting -= 1
        if self._line:
            self._serve_next()

    def stand_in_line(self, request: Waiting) -> bool:
        """Have *request* told when there is room; False if too many wait already."""
        if len(self._line) >= self.destination.queue:
            return False
        self._line[request] = None
        return True

    def leave_line(self, request: Waiting) -> None:
        """Wait no more."""
        self._line.pop(request, None)

    def _serve_next(self) -> None:
        # One for each place: whoever is served takes it before the next is looked at.
        while self._line and (self._idle or self.has_room):
            request = next(iter(self._line))
            del self._line[request]
            request.connection_free()

    def forget(self, upstream: Upstream) -> None:
        """Take note that a connection is gone, idle or not."""
        self._open.discard(upstream)
        if upstream in self._idle:
            self._idle.remove(upstream)
        if self._line:
            self._serve_next()

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        overdue = [upstream for upstream in self._idle if upstream.idle_until <= now]
        for upstream in overdue:
            self._idle.remove(upstream)
            upstream.abort()

    def close(self) -> None:
        """Close every idle connection."""
        for upstream in self._idle:
            upstream.abort()
        self._idle.clear()

    async def connect(self) -> Upstream:
        """Return a new connection, or raise the ProxyError that says why there is none."""
        try:
            return await self._connect_in_time()
        except ProxyError as error:
            self.last_error = (time.time(), error)
            raise

    async def _connect_in_time(self) -> Upstream:
        destination = self.destination
        try:
            async with asyncio.timeout(destination.connect_timeout_seconds):
                return await self._connect()
        except TimeoutError:
            raise ProxyError(
                "upstream_timeout",
                f"{destination.name} did not accept a connection within "
                f"{destination.connect_timeout_seconds:g} s.",
                hint="Check the network between here and the upstream, and upstream.url.",
                proxy_status="connection_timeout",
            ) from None
        except (OSError, ssl.CertificateError, UnicodeError) as error:
            raise _translated(error, destination) from error

    async def _connect(self) -> Upstream:
        destination = self.destination
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(
            destination.host, destination.port, type=socket.SOCK_STREAM
        )
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY, interleave=1, loop=loop
        )
        try:
            _, upstream = await loop.create_connection(
                partial(Upstream, destination.name, self.forget, destination.send_via),
                sock=sock,
                ssl=destination.tls,
                server_hostname=destination.host if destination.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        self._open.add(upstream)
        self.seen = _seen(upstream)
        return upstream


def _seen(upstream: Upstream) -> Seen:
    session = upstream.tls
    certificate = (session.getpeercert() if session else None) or {}
    expires = certificate.get("notAfter")
    return Seen(
        at=time.time(),
        remote=upstream.remote,
        tls_version=(session.version() if session else None) or "",
        certificate_expires_at=ssl.cert_time_to_seconds(str(expires)) if expires else None,
    )


def _translated(error: Exception, destination: Destination) -> ProxyError:
    """Return what a failed connection attempt means; only its kind is told, never its text."""
    name = destination.name
    # A resolver that can't open its files says that there is no such name.
    wanting = isinstance(error, socket.gaierror) and not ends.may_open(1)
    if wanting or (isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)):
        return faults.no_descriptor(name)
    if isinstance(error, ssl.SSLCertVerificationError | ssl.CertificateError):
        reason = getattr(error, "verify_message", "") or "certificate not valid"
        return ProxyError(
            "upstream_tls_failed",
            f"The certificate of {name} was not accepted: {reason}.",
            hint="If the upstream uses a private authority, name its PEM file: upstream.ca_file.",
            proxy_status="tls_certificate_error",
        )
    if isinstance(error, ssl.SSLError):
        return ProxyError(
            "upstream_tls_failed",
            f"No TLS session with {name}: {error.reason or 'handshake failed'}.",
            hint="Does the upstream speak TLS on this port? Is upstream.url right?",
        )
    if isinstance(error, socket.gaierror | UnicodeError):  # the latter for labels of over 63 bytes
        return ProxyError(
            "upstream_dns_failed",
            f"The name {destination.host} could not be resolved.",
            hint="Check upstream.url and this machine's resolver.",
        )
    if destination.tls and isinstance(error, ConnectionResetError | ConnectionAbortedError):
        return ProxyError(
            "upstream_tls_failed",
            f"{name} broke off the TLS handshake.",
            hint="Does the upstream speak TLS 1.2 or later on this port, and want no certificate"
            " of ours?",
        )
    refused = isinstance(error, ConnectionRefusedError)
    return ProxyError(
        "upstream_unreachable",
        f"{name} can't be reached at {destination.host}:{destination.port}"
        f"{' (connection refused)' if refused else ''}.",
        hint="Is it running, and does upstream.url name the right host and port?",
        proxy_status="connection_refused" if refused else "destination_ip_unroutable",
    )
