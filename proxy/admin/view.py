"""
What the status page, ``/api/status`` and ``bearer-proxy status`` show: plain values of one moment.

The composition root fills it in; nothing here is computed from anything else. Times named ``at`` or
``…_at`` are Unix time, others are seconds. There is no secret, no token, no field, no body and no
query value in it.
"""

from dataclasses import dataclass
from enum import StrEnum

from proxy.metrics import Tick


class Level(StrEnum):
    """How things stand: works, works but look, wait a moment, does not work."""

    OK = "ok"
    WARN = "warn"
    WAIT = "wait"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The page in a sentence; *next_try_at* is given where waiting for it makes sense."""

    level: Level
    sentence: str
    next_try_at: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One past exchange with the issuer; *cause* continues "the issuer …"."""

    at: float
    result: str
    cause: str
    excerpt: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TokenCard:
    """The token's life; None where there is none. *fingerprint* is of its SHA-256."""

    state: str
    usable: bool
    fetching: bool
    issued_at: float | None
    expires_at: float | None
    lifetime_seconds: float | None
    lifetime_source: str | None
    clock_skew_seconds: float | None
    fingerprint: str | None
    next_try_at: float
    consecutive_failures: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class TrafficCard:
    """What is on its way, and the last quarter of an hour."""

    in_flight: int
    waiting_for_token: int
    queued: int
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class ListedRequest:
    """
    A request that is over; *path* as a URI would carry it, ``?…`` for any query.

    *said* is the sentence of an answer of our own, what to do next included.
    """

    at: float
    method: str
    path: str
    status: int
    side: str
    error: str
    seconds: float
    upstream_seconds: float | None
    request_bytes: int
    response_bytes: int
    id: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamTrouble:
    """The latest failure to connect; *proxy_status* is RFC 9209's word for it."""

    at: float
    code: str
    detail: str
    proxy_status: str


@dataclass(frozen=True, slots=True)
class UpstreamCard:
    """Where requests go; *remote* is empty until the first connection."""

    url: str
    remote: str
    tls_version: str
    certificate_expires_at: float | None
    idle: int
    busy: int
    trouble: UpstreamTrouble | None


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the configuration as it may be shown, and where its value is from."""

    key: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ConfigurationCard:
    """What is in force; *reload_problem* is why the latest reading was not taken."""

    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]
    loaded_at: float
    reload_problem: str


@dataclass(frozen=True, slots=True)
class ProcessCard:
    """What runs; *workers* are the ids of the processes that serve, none if this one does."""

    version: str
    python: str
    started_at: float
    memory_bytes: int
    workers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """All of it. *requests* is None where none are remembered, newest first otherwise."""

    taken_at: float
    verdict: Verdict
    listen: tuple[str, ...]
    client_id: str
    draining: bool
    token: TokenCard
    traffic: TrafficCard
    requests: tuple[ListedRequest, ...] | None
    upstream: UpstreamCard
    configuration: ConfigurationCard
    process: ProcessCard
