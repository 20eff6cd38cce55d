"""What is not counted but read when somebody asks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class TokenReading(Protocol):
    """What metrics tell of the token: times are Unix time, None where there is no token."""

    @property
    def expires_at(self) -> float | None:
        """When the issuer's word for it ends."""
        ...

    @property
    def next_try_at(self) -> float:
        """When the issuer is asked next."""
        ...

    @property
    def consecutive_failures(self) -> int:
        """How often in a row it has brought no token."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """How often it was asked, by result."""
        ...


@dataclass(frozen=True, slots=True)
class Readings:
    """
    The state of the running proxy at one moment.

    *request_bytes* and *response_bytes* are those of requests in flight, which are not in the
    totals yet. *connections* are the upstream's by state, *replays* requests sent again after the
    upstream's 401, by result. *reloaded_at* is Unix time: when the configuration in force was read.
    *workers* are the processes that serve beside this one.
    """

    token: TokenReading
    in_flight: int = 0
    waiting_for_token: int = 0
    queued: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    connections: Mapping[str, int] = field(default_factory=dict)
    replays: Mapping[str, int] = field(default_factory=dict)
    reload_succeeded: bool = True
    reloaded_at: float = 0.0
    workers: int = 0
