"""
How an issuer is asked: the head fields and the body of one request.

Reference: RFC 6749 sections 2.3.1 (client authentication) and 4.4.2 (client credentials).
"""

import base64
import json
from urllib.parse import quote_plus, urlencode

from proxy import __version__
from proxy.tokens.config import IssuerConfig


def build(config: IssuerConfig, secret: str) -> tuple[dict[str, str], bytes]:
    """
    Return header fields and body that ask *config*'s issuer for a token.

    What the user configured as fields or further parameters outranks ours; the client's id and
    secret outrank both.
    """
    fields = {
        "Accept": "application/json",
        # The answer is capped at a few KiB: what is not compressed cannot be a bomb.
        "Accept-Encoding": "identity",
        "User-Agent": f"bearer-proxy/{__version__}",
    }
    parameters: dict[str, str] = {}
    if config.request_format == "form":
        parameters["grant_type"] = "client_credentials"
    if config.scope:
        parameters["scope"] = config.scope
    parameters |= config.extra
    if config.client_auth == "body":
        parameters |= {"client_id": config.client_id, "client_secret": secret}
    if config.request_format == "form":
        fields["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(parameters).encode("ascii")
    else:
        fields["Content-Type"] = "application/json"
        body = json.dumps(parameters).encode("ascii")
    fields = _overridden(fields, dict(config.headers))
    if config.client_auth == "basic":
        fields = _overridden(fields, {"Authorization": _basic(config.client_id, secret)})
    return fields, body


def _overridden(fields: dict[str, str], by: dict[str, str]) -> dict[str, str]:
    names = {name.lower() for name in by}
    return {name: value for name, value in fields.items() if name.lower() not in names} | by


def _basic(client_id: str, secret: str) -> str:
    """Both are form-encoded before they are joined: RFC 6749 section 2.3.1, often forgotten."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode("ascii")).decode("ascii")
