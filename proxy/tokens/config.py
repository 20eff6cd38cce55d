"""What is known of one issuer before it is asked; filled from settings, or by hand in a test."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from proxy.tokens import pointer

ErrorClass = Literal["rejected", "rate_limited", "unavailable"]

# RFC 6749 section 5.2, RFC 8628 section 3.5 and the two words of Hashrails.
WELL_KNOWN_CODES: Mapping[str, ErrorClass] = MappingProxyType(
    {
        "invalid_client": "rejected",
        "unauthorized_client": "rejected",
        "INVALID_CREDENTIALS": "rejected",
        "RATE_LIMIT_EXCEEDED": "rate_limited",
        "slow_down": "rate_limited",
        "server_error": "unavailable",
        "temporarily_unavailable": "unavailable",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerConfig:
    """
    One issuer and how it likes to be asked.

    *extra* and *headers* may hold somebody's key, so they appear in no representation.
    *error_codes* gives the class of failure that a word at *error_code_pointer* stands for; it
    outranks the HTTP status. A form always carries ``grant_type=client_credentials`` unless *extra*
    says otherwise. ValueError for a pointer that is none.
    """

    url: str
    client_id: str
    request_format: Literal["json", "form"] = "json"
    client_auth: Literal["body", "basic"] = "body"
    scope: str = ""
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    access_token_pointer: str = "/access_token"
    expires_in_pointer: str = "/expires_in"
    error_code_pointer: str = "/error"
    error_codes: Mapping[str, ErrorClass] = field(default_factory=lambda: WELL_KNOWN_CODES)
    timeout_seconds: float = 10.0
    default_lifetime_seconds: float = 300.0
    retry_max_seconds: float = 300.0
    flap_seconds: float = 60.0

    def __post_init__(self) -> None:
        for each in (self.access_token_pointer, self.expires_in_pointer, self.error_code_pointer):
            pointer.parse(each)

    @property
    def identity(self) -> str:
        """All that is sent but the secret: two configurations that differ in it are two clients."""
        return json.dumps(
            [
                self.url,
                self.client_id,
                self.request_format,
                self.client_auth,
                self.scope,
                sorted(self.extra.items()),
                sorted(self.headers.items()),
            ]
        )

    @property
    def label(self) -> str:
        """The issuer's URL without user, password, query or fragment: fit for logs and errors."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
