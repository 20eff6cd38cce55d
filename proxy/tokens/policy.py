"""
The failure policy: what each kind of failure is called, means and does.

This table is the only place that says so. A reaction is one of two:

back off    ask again by ourselves: after the issuer's Retry-After if it gave one, else after a
            random wait below a ceiling that doubles from 1 s to 60 s; never more than ten failed
            attempts in ten minutes.

latch       do not ask again until the credential changes, which is looked for every 5 s. Only a
            slow probe (5 min, doubling to 1 h) finds out whether the issuer has changed its mind.
            A client that retries a wrong secret for ever is how accounts get locked
            (cloudfoundry/cf-java-client #1026).

A usable token is served meanwhile, whatever the reaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from proxy.tokens.outcome import Kind


class Reaction(Enum):
    """What follows a failure."""

    BACK_OFF = "back off"
    LATCH = "latch"


@dataclass(frozen=True, slots=True)
class Policy:
    """
    A row: the error *code* of requests that go without a token, the *result* under which metrics
    count it, the reaction, and a *hint* to whoever can do something about it.
    """

    code: str
    result: str
    reaction: Reaction
    hint: str


POLICY: Mapping[Kind, Policy] = MappingProxyType(
    {
        Kind.UNREADABLE: Policy(
            "secret_unreadable",
            "no_secret",
            Reaction.LATCH,
            "Put it where token.client_secret_file says, for this user to read. It is looked for "
            "every 5 seconds, and the issuer asked as soon as it is there.",
        ),
        Kind.REJECTED: Policy(
            "credentials_rejected",
            "rejected",
            Reaction.LATCH,
            "Check token.client_id and the client secret. A changed secret file is noticed within "
            "5 seconds, any other change on SIGHUP.",
        ),
        Kind.RATE_LIMITED: Policy(
            "issuer_rate_limited",
            "rate_limited",
            Reaction.BACK_OFF,
            "Wait. Processes that use the same client can share one token: token.cache_file.",
        ),
        Kind.UNREACHABLE: Policy(
            "issuer_unreachable",
            "unreachable",
            Reaction.BACK_OFF,
            "Check token.url, name resolution and the network between this host and the issuer.",
        ),
        Kind.TIMEOUT: Policy(
            "issuer_unreachable",
            "timeout",
            Reaction.BACK_OFF,
            "The issuer is slow, or a firewall drops packets; token.timeout_seconds is the limit.",
        ),
        Kind.UNAVAILABLE: Policy(
            "issuer_unreachable",
            "unreachable",
            Reaction.BACK_OFF,
            "The trouble is the issuer's own; it is asked again without a restart.",
        ),
        Kind.BAD_RESPONSE: Policy(
            "issuer_bad_response",
            "bad_response",
            Reaction.BACK_OFF,
            "Check token.url, token.access_token_pointer and token.expires_in_pointer against the "
            "issuer's documentation.",
        ),
    }
)

RESULTS = ("ok", *dict.fromkeys(policy.result for policy in POLICY.values()))
