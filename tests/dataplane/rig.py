"""The real data plane on a loopback port, between a raw client and a scripted upstream."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from proxy.dataplane import Address, Destination, Limits, Listener, Plane, Pool, Route
from proxy.errors import ProxyError
from proxy.policy.access import EVERYTHING, Access
from proxy.policy.admission import Admission
from proxy.policy.callers import ANYONE, Callers
from proxy.policy.credential import Credential
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from tests.dataplane.wire import Awaited, Script, Wire

TOKEN = "token-1"
AUTHORIZATION = b"Authorization: Bearer token-1\r\n"
# A second or so: far more than anything takes that is not left over.
_TURNS = 100_000
_SETTLED = 3_000


def credential(token: str) -> Credential:
    """Return a credential of that *token*; its times are nobody's business here."""
    return Credential(token=token, issued_at=0, usable_until=1, expires_at=2)


class FakeCredentials(Awaited):
    """
    Tokens that come and go as the test says; ``reasons`` overrides why there is none.

    ``coming``: a fetch is under way. ``renewable``: a refused token will be replaced.
    ``refusals`` are those that the data plane has reported.
    """

    def __init__(self) -> None:
        super().__init__()
        self._current: Credential | None = credential(TOKEN)
        self.coming = True
        self.renewable = True
        self.reason = ProxyError("token_pending", "The first token is on its way.", retry_after=2)
        self.refusals: list[Credential] = []
        self.listeners: list[Callable[[], None]] = []

    # The protocol.

    def current(self) -> Credential | None:
        """Return the one that the test gave."""
        return self._current

    def shortage(self) -> ProxyError:
        """Return the test's reason."""
        return self.reason

    def worth_waiting(self, seconds: float) -> bool:
        """Tell what the test says."""
        return self.coming and seconds > 0

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Have *call* run by ``give`` and ``take_away``."""
        self.listeners.append(call)
        self.change()
        return lambda: self.listeners.remove(call)

    def refused(self, credential: Credential) -> bool:
        """Drop the credential if it is the current one."""
        self.refusals.append(credential)
        if self.renewable and credential == self._current:
            self._current = None
        return self.renewable

    # The test's.

    def give(self, token: str) -> None:
        """Have a new token."""
        self._current = credential(token)
        self._tell()

    def take_away(self, *, coming: bool) -> None:
        """Have none any more; *coming*: the next is being fetched."""
        self._current, self.coming = None, coming
        self._tell()

    def _tell(self) -> None:
        for call in tuple(self.listeners):
            call()

    async def parked(self, requests: int = 1) -> None:
        """Wait until that many requests wait for a token."""
        await self.until(lambda: len(self.listeners) >= requests)


class Record(NamedTuple):
    """What the journal was told of one request."""

    time: float
    method: bytes
    target: bytes
    status: int
    side: str
    duration: float
    first_byte: float | None
    request_bytes: int
    response_bytes: int
    request_id: bytes
    error: str
    client: str
    sent: float | None
    detail: str


class FakeJournal(Awaited):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def record(
        self,
        time: float,
        method: bytes,
        target: bytes,
        status: int,
        side: str,
        duration: float,
        first_byte: float | None,
        request_bytes: int,
        response_bytes: int,
        request_id: bytes,
        error: str,
        client: str,
        sent: float | None,
        detail: str,
        *_: object,
    ) -> None:
        """Keep it."""
        self.records.append(
            Record(
                time,
                method,
                target,
                status,
                side,
                duration,
                first_byte,
                request_bytes,
                response_bytes,
                request_id,
                error,
                client,
                sent,
                detail,
            )
        )
        self.change()

    async def told(self, requests: int = 1) -> list[Record]:
        """Wait until that many requests are over and return their records."""
        await self.until(lambda: len(self.records) >= requests)
        return self.records


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a test wants to be different."""

    path: bytes = b""
    scheme: bytes = b"http"
    blocked: frozenset[bytes] = frozenset()
    host: str = "127.0.0.1"
    admission: Admission = field(default_factory=Admission)
    access: Access = EVERYTHING
    callers: Callers = ANYONE
    head_fields: int = 100
    target_bytes: int = 16384
    body_bytes: int = 0
    send_via: bool = True
    refuse_inbound: bool = False
    mask_token: bool = False
    limits: Limits = field(default_factory=Limits)
    replay_max_bytes: int = 65536
    wait_seconds: float = 30
    connections: int = 64
    queue: int = 64
    connect_timeout_seconds: float = 5


class Rig:
    """A client's, the proxy's and the upstream's side of one test."""

    def __init__(self) -> None:
        self.upstream = Script()
        self.credentials = FakeCredentials()
        self.journal = FakeJournal()
        self.clients: list[Wire] = []
        self.plane: Plane
        self.listener: Listener
        self.port = 0

    async def start(
        self, setup: Setup, destination: Callable[[int], Destination] | None = None
    ) -> None:
        """Start both servers; *destination* makes another one of the upstream's port."""
        await self.upstream.start()
        rules = Rules(
            base=Base(
                scheme=setup.scheme,
                authority=self.authority,
                path=setup.path,
                blocked=setup.blocked,
            ),
            admission=setup.admission,
            access=setup.access,
            callers=setup.callers,
            head_fields=setup.head_fields,
            target_bytes=setup.target_bytes,
            body_bytes=setup.body_bytes,
            send_via=setup.send_via,
            refuse_inbound=setup.refuse_inbound,
            mask_token=setup.mask_token,
        )
        self.plane = Plane(
            Route(
                rules=rules,
                credentials=self.credentials,
                pool=Pool(
                    destination(self.upstream.port)
                    if destination
                    else self._destination(setup, rules.base)
                ),
                wait_seconds=setup.wait_seconds,
            ),
            limits=replace(setup.limits, replay_max_bytes=setup.replay_max_bytes),
            journal=self.journal,
        )
        self.listener = Listener(self.plane)
        await self.listener.start([Address(host="127.0.0.1", port=0)])
        self.port = self.listener.bound[0].port

    def _destination(self, setup: Setup, base: Base) -> Destination:
        return Destination(
            name=base.url,
            host=setup.host,
            port=self.upstream.port,
            connect_timeout_seconds=setup.connect_timeout_seconds,
            send_via=setup.send_via,
            connections=setup.connections,
            queue=setup.queue,
        )

    @property
    def authority(self) -> bytes:
        """The upstream's, as Host has to name it."""
        return b"127.0.0.1:%d" % self.upstream.port

    @property
    def pool(self) -> Pool:
        """The upstream connections."""
        return self.plane.route.pool

    async def client(self) -> Wire:
        """Connect one more client."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(Wire, "127.0.0.1", self.port)
        self.clients.append(wire)
        return wire

    async def ask(self, request: bytes) -> tuple[Wire, Wire]:
        """Send *request* by a new client; return it and the upstream's connection, still unread."""
        client = await self.client()
        client.send(request)
        return client, await self.upstream.accept()

    async def told(self, request: bytes, answer: bytes = b"") -> bytes:
        """Return the head that the upstream is sent for *request*; it gives *answer*, or a 204."""
        client, upstream = await self.ask(request)
        head = await upstream.head()
        upstream.send(answer or NO_CONTENT)
        await client.head()
        return head

    async def heard(self, answer: bytes, request: bytes = b"") -> bytes:
        """Return all that the client hears when the upstream says *answer* and closes."""
        client, upstream = await self.ask(request or get(b"/", b"Connection: close"))
        await upstream.head()
        upstream.send(answer)
        upstream.half_close()
        return await client.rest()

    async def refused(self, request: bytes) -> bytes:
        """Return the proxy's own answer to *request*, of which the upstream must not hear."""
        client = await self.client()
        client.send(request)
        answer = await own_answer(client)
        assert not self.upstream.connections
        assert not self.pool.busy_count + self.pool.idle_count
        return answer

    async def stop(self) -> None:
        """End the clients, see that nothing is left of them, and stop both servers."""
        for wire in self.clients:
            if not wire.lost:
                wire.reset()
        try:
            await self.turns(lambda: not self.plane.connections, "client connections left over")
            await self.turns(
                lambda: not self.pool.busy_count, "busy upstream connections left over"
            )
            await self.turns(lambda: not self.pool.queued_count, "requests left in line")
            assert not self.credentials.listeners
        finally:
            self.listener.stop()
            self.plane.close()
            self.upstream.stop()
            for connection in tuple(self.plane.connections):
                connection.abort()

    async def settle(self) -> None:
        """Give everybody more turns than it takes to move what a test moves."""
        for _ in range(_SETTLED):
            await asyncio.sleep(0)

    async def turns(self, so: Callable[[], bool], otherwise: str) -> None:
        """See *so* come about in as many turns of the loop as it takes; say *otherwise* if not."""
        for _ in range(_TURNS):
            if so():
                return
            await asyncio.sleep(0)
        raise AssertionError(otherwise)


NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def request(method: bytes, target: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Return a request of HTTP/1.1 with a Host, these *fields*, and a *body* as it is."""
    lines = [b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    """Return a GET for *target*."""
    return request(b"GET", target, *fields)


def post(body: bytes, *fields: bytes) -> bytes:
    """Return a POST of *body* with its length."""
    return request(b"POST", b"/", *fields, b"Content-Length: %d" % len(body), body=body)


def ok(body: bytes, *fields: bytes) -> bytes:
    """Return a 200 with *body* and its length."""
    lines = [b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def lines_of(head: bytes) -> list[bytes]:
    """Return the lines of a head, start line first, without the empty one."""
    return head.removesuffix(b"\r\n\r\n").split(b"\r\n")


def values(head: bytes, name: bytes) -> list[bytes]:
    """Return the values of every field *name*, in whatever case."""
    pairs = [line.partition(b":") for line in lines_of(head.partition(b"\r\n\r\n")[0])[1:]]
    return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]


async def own_answer(client: Wire) -> bytes:
    """Take a whole answer with a Content-Length."""
    head = await client.head()
    return head + await client.take(int(values(head, b"Content-Length")[0]))
