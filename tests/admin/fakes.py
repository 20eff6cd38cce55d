"""What the admin room's tests put in the place of a running proxy, and how they ask."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from proxy.admin.console import Refusal
from proxy.admin.view import (
    Attempt,
    ConfigurationCard,
    Level,
    ListedRequest,
    ProcessCard,
    Setting,
    TokenCard,
    TrafficCard,
    UpstreamCard,
    Verdict,
    View,
)
from proxy.admin.vitals import Check
from proxy.metrics import Readings, Tick

TOKEN = "4dm1n-t0k3n"


class Patient:
    """Vitals that are what a test says; well, until it says otherwise."""

    def __init__(self) -> None:
        self.living = [Check("loop", ok=True)]
        self.token = Check("token", ok=True, text="expires in 54m")
        self.accepting = Check("accepting", ok=True)
        self.first_token = Check("first token", ok=True)

    def live(self) -> list[Check]:
        """Answer the first question."""
        return self.living

    def ready(self) -> list[Check]:
        """Answer the second."""
        return [self.token, self.accepting]

    def started(self) -> list[Check]:
        """Answer the third."""
        return [self.first_token]


@dataclass(frozen=True)
class Answer:
    """An answer as it came over the wire; field names in lower case, joined values."""

    status: int
    fields: dict[str, str]
    body: str


async def ask(
    address: str, path: str, *fields: str, method: str = "GET", host: str | None = None
) -> Answer:
    """Send one request with exactly these *fields* after Host (left out if empty)."""
    first = f"Host: {address if host is None else host}\r\n" if host != "" else ""
    lines = "".join(f"{line}\r\n" for line in (*fields, "Connection: close"))
    request = f"{method} {path} HTTP/1.1\r\n{first}{lines}\r\n"
    return parsed(await spoken(address, request.encode()))


async def spoken(address: str, request: bytes) -> bytes:
    """Return all that comes back for the bytes of *request*."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def parsed(received: bytes) -> Answer:
    """Return the one answer in *received*."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    return Answer(int(first.split(" ")[1]), fields, body.decode())


@dataclass(frozen=True)
class Token:
    """A token as metrics are told of it."""

    expires_at: float | None = 1_800_000_000.0
    next_try_at: float = 1_799_999_000.0
    consecutive_failures: int = 0
    counts: Mapping[str, int] = field(default_factory=lambda: {"ok": 2, "rejected": 0})


def readings() -> Readings:
    """Return what an idle proxy reads of itself."""
    return Readings(
        Token(),
        connections={"idle": 1, "busy": 0},
        replays={"ok": 0, "refused": 0, "failed": 0},
        reloaded_at=1_799_000_000.0,
    )


A_REQUEST = ListedRequest(
    at=1_799_998_990.0,
    method="POST",
    path="/v1/transactions?…",
    status=201,
    side="upstream",
    error="",
    seconds=0.0123,
    upstream_seconds=0.0119,
    request_bytes=40,
    response_bytes=2048,
    id="id-1",
)
A_TICK = Tick(
    at=1_799_998_995.0,
    seconds=5.0,
    requests=40,
    errors={"downstream": 0, "token": 0, "upstream": 1, "proxy": 0},
    total=(0.012, 0.02, 0.05),
    overhead=(0.00003, 0.00004, 0.0001),
)
A_VIEW = View(
    taken_at=1_799_999_000.0,
    verdict=Verdict(Level.OK, "Ready. Requests to http://127.0.0.1:8080 reach https://api.test."),
    listen=("127.0.0.1:8080",),
    client_id="acme",
    draining=False,
    token=TokenCard(
        state="ready",
        usable=True,
        fetching=False,
        issued_at=1_799_998_400.0,
        expires_at=1_800_002_000.0,
        lifetime_seconds=3600.0,
        lifetime_source="expires_in",
        clock_skew_seconds=0.4,
        fingerprint="0a1b2c3d",
        next_try_at=1_800_001_400.0,
        consecutive_failures=0,
        attempts=(Attempt(1_799_998_400.0, "ok", "", "", 0.12),),
    ),
    traffic=TrafficCard(in_flight=1, waiting_for_token=0, queued=0, ticks=(A_TICK,)),
    requests=(A_REQUEST,),
    upstream=UpstreamCard(
        url="https://api.test/v1",
        remote="192.0.2.7:443",
        tls_version="TLSv1.3",
        certificate_expires_at=1_799_999_000.0 + 47 * 86_400,
        idle=2,
        busy=1,
        trouble=None,
    ),
    configuration=ConfigurationCard(
        settings=(Setting("listen.address", "127.0.0.1:8080", "default"),),
        warnings=(),
        loaded_at=1_799_990_000.0,
        reload_problem="",
    ),
    process=ProcessCard("1.2.3", "3.11.7", 1_799_990_000.0, 40 * 1024 * 1024),
)


class Desk:
    """A console that shows what a test says, and notes what it was asked to do."""

    def __init__(self) -> None:
        self.shown = A_VIEW
        self.done: list[str] = []
        self.refusal = ""
        self.watchers: list[Callable[[], None]] = []
        self.unwatched = asyncio.Event()

    def prepare(self) -> None:
        """Nothing is needed."""

    def view(self) -> View:
        """Return what the test says."""
        return self.shown

    def on_change(self, call: Callable[[], None]) -> Callable[[], None]:
        """Remember whom to tell."""
        self.watchers.append(call)

        def cancel() -> None:
            self.watchers.remove(call)
            self.unwatched.set()

        return cancel

    def show(self, shown: View) -> None:
        """Show something else from now on, and tell whoever watches."""
        self.shown = shown
        for call in self.watchers:
            call()

    def refresh(self) -> str:
        """Note it."""
        return self._noted("refresh")

    def drain(self) -> str:
        """Note it."""
        return self._noted("drain")

    def quit(self) -> str:
        """Note it."""
        return self._noted("quit")

    async def reload(self) -> str:
        """Note it."""
        return self._noted("reload")

    def _noted(self, action: str) -> str:
        if self.refusal:
            raise Refusal(self.refusal)
        self.done.append(action)
        return f"{action} done"
