"""Getting tokens, keeping them fresh, knowing why there is none; ``Tokens`` is all of it."""

from proxy.tokens.cache import TokenCache
from proxy.tokens.clock import Clock, SystemClock
from proxy.tokens.config import ErrorClass, IssuerConfig
from proxy.tokens.keeper import NoToken, Tokens
from proxy.tokens.outcome import Exchange, Failure, Grant, Kind, Secret, SecretUnreadable
from proxy.tokens.policy import POLICY, RESULTS
from proxy.tokens.seal import Unavailable as CacheUnavailable
from proxy.tokens.snapshot import Outcome, Snapshot, State

__all__ = [
    "POLICY",
    "RESULTS",
    "CacheUnavailable",
    "Clock",
    "ErrorClass",
    "Exchange",
    "Failure",
    "Grant",
    "IssuerConfig",
    "Kind",
    "NoToken",
    "Outcome",
    "Secret",
    "SecretUnreadable",
    "Snapshot",
    "State",
    "SystemClock",
    "TokenCache",
    "Tokens",
]
