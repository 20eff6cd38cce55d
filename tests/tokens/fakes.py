"""What stands in for time, chance, the issuer and the event loop."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from proxy.policy.credential import Credential
from proxy.tokens import Exchange, Failure, Grant, IssuerConfig, Kind, SecretUnreadable
from proxy.tokens.lifetime import Lifetime

T = TypeVar("T")


class Clock:
    """Both clocks stand still until a test moves them."""

    def __init__(self, now: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._wall += seconds

    def set_wall(self, wall: float) -> None:
        """Correct the wall clock, as a person or NTP would."""
        self._wall = wall


class FixedSecret:
    """A client secret that a test may change; None: it cannot be read."""

    def __init__(self, value: str | None = "s3cret-of-acme") -> None:
        self.value = value

    def read(self) -> str:
        if self.value is None:
            raise SecretUnreadable("there is no secret")
        return self.value


def middle(low: float, high: float) -> float:
    """Return what chance would return on average."""
    return (low + high) / 2


def config(url: str, **more: object) -> IssuerConfig:
    return IssuerConfig(url=url, client_id="acme", **more)  # type: ignore[arg-type] # any of them


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what *coroutine* returns, without an event loop: it must not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("it waited")


def credential(token: str = "t0k3n", *, issued_at: float = 0.0, lives: float = 60.0) -> Credential:
    return Credential(
        token,
        issued_at=issued_at,
        usable_until=issued_at + 0.95 * lives,
        expires_at=issued_at + lives,
    )


def grant(token: str = "t0k3n", *, sent_at: float = 0.0, lives: float = 100.0) -> Grant:
    return Grant(token, Lifetime(lives, "expires_in"), sent_at)


def granted(token: str = "t0k3n", *, sent_at: float = 0.0, lives: float = 100.0) -> Exchange:
    return Exchange(grant(token, sent_at=sent_at, lives=lives), "fp", 0.1)


def failed(
    kind: Kind = Kind.UNREACHABLE,
    *,
    cause: str = "answered oddly",
    retry_after: float | None = None,
    fingerprint: str = "fp",
    called: bool = True,
    excerpt: str = "",
) -> Exchange:
    failure = Failure(kind, cause, excerpt, retry_after, called)
    return Exchange(failure, fingerprint, 0.1)


@contextmanager
def logged() -> Iterator[list[EventDict]]:
    """Collect what is logged, whatever the configuration."""
    before = structlog.get_config()
    structlog.reset_defaults()
    try:
        with capture_logs() as lines:
            yield lines
    finally:
        structlog.configure(**before)
