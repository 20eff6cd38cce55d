"""The issuer checks what it is given, in both dialects, and counts."""

import asyncio
import base64
import json
import time
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pytest

from proxy.demo import DemoAPI
from tests.demo.conftest import Clock


async def ask(api: DemoAPI, client: aiohttp.ClientSession, **said: Any) -> tuple[int, Any]:
    """Ask for a token in Hashrails' dialect; *said* replaces what is right."""
    right = {"client_id": api.client_id, "client_secret": api.client_secret}
    async with client.post(api.issue_url(), json=right | said) as response:
        return response.status, await response.json()


async def ask_by_form(
    api: DemoAPI, client: aiohttp.ClientSession, *, basic: str = "", **form: str
) -> tuple[int, Any]:
    """Ask for a token in RFC 6749's dialect."""
    fields = (
        {"Authorization": f"Basic {base64.b64encode(basic.encode()).decode()}"} if basic else {}
    )
    form = {"grant_type": "client_credentials"} | form
    async with client.post(api.issue_url("oauth2"), data=form, headers=fields) as response:
        assert response.headers.get("Cache-Control") == "no-store" or response.status != 200
        return response.status, await response.json()


def claims(token: str) -> dict[str, Any]:
    """Return what a JWT says."""
    body = token.split(".")[1]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return said


async def test_the_right_credentials_get_a_token_that_the_api_accepts(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    The answer is Hashrails' envelope, and the token in it opens the API.
    """
    status, answer = await ask(api, client)
    assert (status, answer["success"]) == (200, True)
    assert (answer["data"]["expires_in"], answer["data"]["token_type"]) == (60, "Bearer")
    fields = {"Authorization": f"Bearer {answer['data']['access_token']}"}
    async with client.get(f"{api.url}/transactions", headers=fields) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "said",
    [{"client_id": "other"}, {"client_secret": "wrong"}, {"client_secret": ""}, {"client_id": "é"}],
)
async def test_wrong_credentials_are_rejected(
    api: DemoAPI, client: aiohttp.ClientSession, said: dict[str, str]
) -> None:
    """
    A wrong id or secret gets 401 INVALID_CREDENTIALS, is counted, and costs no token.
    """
    status, answer = await ask(api, client, **said)
    assert (status, answer["success"], answer["code"]) == (401, False, "INVALID_CREDENTIALS")
    assert "data" not in answer
    stats = api.stats()
    assert (stats.issuer_requests, stats.rejected, stats.issued) == (1, 1, 0)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"client_id": 1, "client_secret": 2}', b'"\xff"']
)
async def test_a_request_that_is_none_is_not_called_wrong_credentials(
    api: DemoAPI, client: aiohttp.ClientSession, body: bytes
) -> None:
    """
    A body that names no credentials is 400, in the envelope.
    """
    fields = {"Content-Type": "application/json"}
    async with client.post(api.issue_url(), data=body, headers=fields) as response:
        assert response.status == 400
        assert (await response.json())["code"] == "VALIDATION_ERROR"
    assert api.stats().rejected == 0


async def test_the_issuer_speaks_rfc_6749_with_credentials_in_the_body(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    client_id and client_secret in the form get section 5.1's answer.
    """
    status, answer = await ask_by_form(
        api, client, client_id=api.client_id, client_secret=api.client_secret
    )
    assert status == 200
    assert (set(answer), answer["token_type"]) == (
        {"access_token", "expires_in", "token_type"},
        "Bearer",
    )


async def test_the_issuer_speaks_rfc_6749_with_basic(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    Basic holds both halves form-encoded (section 2.3.1): a colon in a secret is no separator.
    """
    encoded = f"{quote_plus(api.client_id)}:{quote_plus(api.client_secret)}"
    status, _ = await ask_by_form(api, client, basic=encoded)
    assert status == 200
    status, answer = await ask_by_form(api, client, basic=f"{api.client_id}:wrong")
    assert (status, answer["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("basic", "form", "error"),
    [
        ("", {}, "invalid_request"),
        ("", {"grant_type": "password"}, "unsupported_grant_type"),
        ("acme:x", {"client_secret": "x"}, "invalid_request"),
    ],
)
async def test_a_form_that_breaks_rfc_6749_is_refused_in_its_words(
    api: DemoAPI, client: aiohttp.ClientSession, basic: str, form: dict[str, str], error: str
) -> None:
    """
    No credentials, another grant, or credentials in two ways: section 5.2's errors.
    """
    status, answer = await ask_by_form(api, client, basic=basic, **form)
    assert (status, answer["error"]) == (400, error)


async def test_json_is_not_a_form(api: DemoAPI, client: aiohttp.ClientSession) -> None:
    """
    /oauth/token takes no JSON, whatever it says.
    """
    async with client.post(api.issue_url("oauth2"), json={}) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


async def test_a_token_lives_as_long_as_it_says(
    api: DemoAPI, client: aiohttp.ClientSession, clock: Clock
) -> None:
    """
    The API accepts a token until expires_in is over, and not a moment longer.
    """
    _, answer = await ask(api, client)
    fields = {"Authorization": f"Bearer {answer['data']['access_token']}"}
    for passed, expected in ((59.9, 200), (0.1, 401)):
        clock.now += passed
        async with client.get(f"{api.url}/echo", headers=fields) as response:
            assert response.status == expected


async def test_a_jwt_never_expires_before_expires_in_says(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    exp is whole seconds, rounded up; iat is now.
    """
    before = time.time()
    _, answer = await ask(api, client)
    said = claims(answer["data"]["access_token"])
    assert before + 60 <= said["exp"] <= time.time() + 61
    assert said["iat"] <= time.time() < said["iat"] + 5
    assert said["sub"] == "acme"


async def test_opaque_tokens_say_nothing(client: aiohttp.ClientSession) -> None:
    """
    token_format="opaque" gives tokens without claims, which the API accepts as well.
    """
    async with DemoAPI(token_format="opaque") as api:
        token = api.issue()
        assert "." not in token
        fields = {"Authorization": f"Bearer {token}"}
        async with client.get(f"{api.url}/echo", headers=fields) as response:
            assert response.status == 200


async def test_issuances_in_flight_at_once_are_counted(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    Three at once are seen as three, one after the other as one.
    """
    await ask(api, client)
    await ask(api, client)
    assert api.stats().max_in_flight == 1
    await asyncio.gather(*(ask(api, client) for _ in range(3)))
    stats = api.stats()
    assert (stats.issued, stats.max_in_flight, stats.in_flight) == (5, 3, 0)


async def test_a_client_that_hangs_up_is_no_longer_in_flight(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    An attempt that was given up does not look like two at once when the next one comes.
    """
    api.fault("slow", delay=30, count=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(api, client)
    await ask(api, client)
    stats = api.stats()
    assert (stats.issuer_requests, stats.max_in_flight) == (2, 1)


async def test_no_representation_shows_the_secret_or_a_token(api: DemoAPI) -> None:
    """
    repr of the API and all it holds names neither.
    """
    token = api.issue()
    shown = repr(api) + repr(api.stats()) + "".join(map(repr, vars(api).values()))
    shown = shown.replace(repr(api.client_secret), "", 1)  # the attribute made to be read
    assert api.client_secret not in shown
    assert token not in shown
