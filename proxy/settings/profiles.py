"""
Issuers that need no description: each profile is a set of defaults, as data.

Whatever a profile says, the key of the same name in file, environment or flag outranks it. A third
issuer is `oauth2` with the keys that differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DEFAULT: Final = "hashrails"


@dataclass(frozen=True, slots=True)
class Profile:
    """
    Defaults for the keys of ``[upstream]`` and ``[token]``.

    *upstream_url* None: the user names it. *token_path* is appended to whatever ``upstream.url``
    is in force; None: the user names ``token.url``.
    """

    upstream_url: str | None
    token_path: str | None
    token: Mapping[str, object]


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "hashrails": Profile(
            upstream_url="https://api.railsfromthecrypt.com/v1",
            token_path="/auth/token/issue",
            token={
                "request_format": "json",
                "client_auth": "body",
                "access_token_pointer": "/data/access_token",
                "expires_in_pointer": "/data/expires_in",
                # Its documentation names the codes and leaves open where they stand in the answer.
                "error_code_pointer": "/code",
                "error_codes": MappingProxyType(
                    {"INVALID_CREDENTIALS": "rejected", "RATE_LIMIT_EXCEEDED": "rate_limited"}
                ),
            },
        ),
        # RFC 6749: section 2.3.1 for basic, 4.4 for the form, 5.1 and 5.2 for the answers.
        "oauth2": Profile(
            upstream_url=None,
            token_path=None,
            token={
                "request_format": "form",
                "client_auth": "basic",
                "access_token_pointer": "/access_token",
                "expires_in_pointer": "/expires_in",
                "error_code_pointer": "/error",
                "error_codes": MappingProxyType(
                    {
                        "invalid_client": "rejected",
                        "unauthorized_client": "rejected",
                        "slow_down": "rate_limited",
                        "server_error": "unavailable",
                        "temporarily_unavailable": "unavailable",
                    }
                ),
            },
        ),
    }
)


def defaults(name: object, upstream_url: object) -> dict[str, dict[str, object]]:
    """
    Return the tables that profile *name* fills in, given the ``upstream.url`` that was configured.

    An unknown name gives the default profile's: the name itself is reported elsewhere, and a dozen
    missing keys would only bury that.
    """
    profile = PROFILES.get(name if isinstance(name, str) else DEFAULT, PROFILES[DEFAULT])
    upstream: dict[str, object] = {}
    token = dict(profile.token)
    if profile.upstream_url is not None:
        upstream["url"] = profile.upstream_url
    base = upstream_url if isinstance(upstream_url, str) else profile.upstream_url
    if base is not None and profile.token_path is not None:
        token["url"] = base.removesuffix("/") + profile.token_path
    return {"upstream": upstream, "token": token}
