"""What keeper and worker say to each other."""

import json
import pickle
from dataclasses import dataclass, field
from typing import Any

from proxy.dataplane import Destination, Limits
from proxy.policy.rules import Rules
from proxy.policy.supply import Supply


@dataclass(frozen=True, slots=True)
class TokenNews:
    """How it stands with tokens, said when so many *refusals* of the worker's had been heard."""

    supply: Supply
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    All that a worker needs to serve, with the token to begin with.

    *cache* is another number when requests that wait are not to have the new token. *destination*
    has no TLS context; *authorities* are what to trust (PEM, None for the system's) where *secure*.
    *level* and *access* are the log's; *hidden* is what it must not show. *recent* is how many of
    the last requests the keeper wants to know.
    """

    number: int
    cache: int
    rules: Rules
    destination: Destination
    secure: bool
    authorities: str | None
    limits: Limits
    wait_seconds: float
    drain_seconds: float
    console: bool
    level: str
    access: str
    recent: int
    token: TokenNews
    hidden: tuple[str, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Drain:
    """Take no further request, and tell when nothing is in flight; after *seconds*, break off."""

    seconds: float


def packed(message: object) -> bytes:
    """Return a *message* to a worker as bytes."""
    return pickle.dumps(message)


def unpacked(content: bytes) -> object:
    """
    Return the message of the keeper.

    Pickled, because a worker is the keeper's own program and trusts it in everything. The other way
    round nothing is.
    """
    return pickle.loads(content)


def said(**facts: Any) -> bytes:
    """Return what a worker says as bytes."""
    return json.dumps(facts, separators=(",", ":")).encode()


def heard(content: bytes) -> dict[str, Any]:
    """Return what a worker said; ValueError if that is not an object of JSON."""
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
