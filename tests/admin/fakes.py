"""What the admin room's tests put in the place of a running proxy, and how they ask."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.admin.vitals import Check
from proxy.metrics import Readings


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
