"""How an issuer is asked, to the byte."""

import base64
import json
from urllib.parse import parse_qs

import pytest

from proxy.tokens.config import IssuerConfig
from proxy.tokens.request import build
from tests.each import each
from tests.tokens.fakes import config

URL = "https://issuer.test/token"
SECRET = "pä:ss&w=r+d"


def fields_and_body(**more: object) -> tuple[dict[str, str], bytes]:
    return build(config(URL, **more), SECRET)


def test_json_in_the_body_is_what_hashrails_takes() -> None:
    """
    client_id and client_secret, and nothing that was not asked for.
    """
    fields, body = fields_and_body()
    assert json.loads(body) == {"client_id": "acme", "client_secret": SECRET}
    assert fields["Content-Type"] == "application/json"
    assert fields["Accept"] == "application/json"
    assert fields["Accept-Encoding"] == "identity"
    assert fields["User-Agent"].startswith("bearer-proxy/")
    assert "Authorization" not in fields


def test_a_form_is_what_rfc_6749_has() -> None:
    """
    Section 4.4.2, with the credentials in the body where Basic is not taken.
    """
    fields, body = fields_and_body(request_format="form", scope="a b")
    assert fields["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "client_id": ["acme"],
        "client_secret": [SECRET],
    }


def test_basic_encodes_both_halves_first() -> None:
    """
    RFC 6749 section 2.3.1: a colon in the id, or an umlaut in the secret, breaks nothing.
    """
    asked = IssuerConfig(url=URL, client_id="a:b", request_format="form", client_auth="basic")
    fields, body = build(asked, SECRET)
    scheme, _, encoded = fields["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == b"a%3Ab:p%C3%A4%3Ass%26w%3Dr%2Bd"
    assert parse_qs(body.decode()) == {"grant_type": ["client_credentials"]}


def test_further_parameters_and_fields_are_sent() -> None:
    """
    An audience, a tenant's key: what a third issuer wants besides.
    """
    fields, body = fields_and_body(
        extra={"audience": "https://api.test", "grant_type": "x"}, headers={"X-Tenant": "7"}
    )
    assert fields["X-Tenant"] == "7"
    assert json.loads(body)["audience"] == "https://api.test"
    assert json.loads(body)["grant_type"] == "x"


def test_configured_fields_outrank_ours_whatever_their_case() -> None:
    """
    One of a name is sent, and it is the user's.
    """
    fields, _ = fields_and_body(headers={"user-agent": "mine", "ACCEPT": "*/*"})
    assert {name for name in fields if name.lower() in ("user-agent", "accept")} == {
        "user-agent",
        "ACCEPT",
    }


def test_the_credentials_outrank_everything() -> None:
    """
    What is configured besides can't replace whom we claim to be.
    """
    _, body = fields_and_body(extra={"client_id": "other", "client_secret": "other"})
    assert json.loads(body) == {"client_id": "acme", "client_secret": SECRET}
    fields, _ = fields_and_body(client_auth="basic", headers={"authorization": "Bearer x"})
    assert [value for name, value in fields.items() if name.lower() == "authorization"] == [
        fields["Authorization"]
    ]
    assert fields["Authorization"].startswith("Basic ")


def test_a_config_shows_no_key_and_refuses_what_is_no_pointer() -> None:
    """
    extra and headers may hold somebody's key; a pointer is checked before anyone is asked.
    """
    made = config(URL, extra={"key": "k3y-of-extra"}, headers={"X": "k3y-of-header"})
    assert "k3y" not in repr(made)
    with pytest.raises(ValueError, match="starts with a slash"):
        config(URL, access_token_pointer="access_token")


@each("url", ["https://u:p@i.test:8443/t?key=1#f", "https://i.test:8443/t"])
def test_a_label_is_fit_to_be_shown(url: str) -> None:
    """
    Neither user nor password, nor what may be a key in the query.
    """
    assert config(url).label == "https://i.test:8443/t"
