"""/_demo: the table, the counts, and whom it refuses."""

import aiohttp
import pytest

from proxy.demo import DemoAPI, faults


async def test_the_table_is_printed_as_text(api: DemoAPI, client: aiohttp.ClientSession) -> None:
    """
    GET /_demo is the documentation, and needs no token.
    """
    async with client.get(api.control_url) as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        text = await response.text()
    assert all(f"\n{name} " in text for name in faults.KINDS)


def test_the_documentation_holds_the_table() -> None:
    """
    The rows in the module's documentation are those that the code obeys.
    """
    assert faults.__doc__ is not None
    documented = [line.rstrip() for line in faults.__doc__.splitlines()]
    for row in faults.table().splitlines():
        assert row.rstrip() in documented


def test_the_documentation_explains_every_choice() -> None:
    """
    The words of each choice are written in the module's documentation, the default first.
    """
    assert faults.__doc__ is not None
    choices = {p.name: p for kind in faults.KINDS.values() for p in kind.parameters if p.choice}
    assert set(choices) == {"what", "form", "how"}
    for name, parameter in choices.items():
        words = parameter.must_be.removeprefix("one of ").split(", ")
        assert f"\n{name:<8}{' | '.join(words)}" in faults.__doc__
        assert words[0] == parameter.default


async def test_the_counts_are_json(api: DemoAPI, client: aiohttp.ClientSession) -> None:
    """
    GET /_demo/stats has the same as stats(), active faults included.
    """
    async with client.get(f"{api.url}/echo") as response:
        assert response.status == 401
    async with client.post(f"{api.control_url}/slow?delay=0.5&count=3") as response:
        assert await response.text() == (
            "slow: the answer begins delay seconds late, for 3 answers\n"
        )
    async with client.get(f"{api.control_url}/stats") as response:
        assert await response.json() == {
            "issuer_requests": 0,
            "issued": 0,
            "rejected": 0,
            "in_flight": 0,
            "max_in_flight": 0,
            "api_requests": 1,
            "api_401s": 1,
            "redirects_followed": 0,
            "faults": [{"fault": "slow", "what": "issuer", "delay": "0.5", "count_left": 3}],
        }


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("explode", "no fault is called 'explode'; there are: revoke, reject,"),
        ("down?waht=api", "down takes no parameter 'waht'; it takes: what, status, seconds, count"),
        ("down?what=moon", "down: what must be one of issuer, api, both"),
        ("down?status=200", "down: status must be a whole number from 400 to 599"),
        ("slow?delay=nan", "slow: delay must be a number from 0 to 86400"),
        ("slow?seconds=-1", "slow: seconds must be a number from 0 to 86400"),
        ("slow?count=0", "slow: count must be a whole number from 1 to 1000000"),
        ("redirect?to=%0d%0aSet-Cookie:x", "redirect: to must be printable ASCII"),
        ("lie?claims=inf", "lie: claims must be a number that JSON can say, or none"),
        ("revoke?seconds=1", "revoke takes no parameter 'seconds'; it takes: none"),
    ],
)
async def test_a_slip_is_told_and_breaks_nothing(
    api: DemoAPI, client: aiohttp.ClientSession, asked: str, told: str
) -> None:
    """
    An unknown fault, parameter or setting is 400 with what there is instead.
    """
    async with client.post(f"{api.control_url}/{asked}") as response:
        assert response.status == 400
        assert (await response.text()).startswith(told)
    assert api.stats().faults == []


@pytest.mark.parametrize(
    "fields",
    [
        {"Host": "attacker.example"},
        {"Host": "attacker.example:80"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/revoke"), ("GET", "/stats"), ("GET", "")])
async def test_a_web_page_cannot_break_anything(
    api: DemoAPI,
    client: aiohttp.ClientSession,
    fields: dict[str, str],
    method: str,
    path: str,
) -> None:
    """
    Another site's page, a rebound name and an opaque origin are 403, and nothing is done.
    """
    token = api.issue()
    async with client.request(method, f"{api.control_url}{path}", headers=fields) as response:
        assert response.status in (400, 403)
    async with client.get(
        f"{api.url}/echo", headers={"Authorization": f"Bearer {token}"}
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "@OWN@"},
        {"Host": "localhost:1234"},
        {"Host": "[::1]:1234"},
    ],
)
async def test_a_person_at_this_machine_can(
    api: DemoAPI, client: aiohttp.ClientSession, fields: dict[str, str]
) -> None:
    """
    curl, the address bar and a page of the API's own origin are let in.
    """
    fields = {name: value.replace("@OWN@", api.origin) for name, value in fields.items()}
    async with client.post(f"{api.control_url}/revoke", headers=fields) as response:
        assert response.status == 200
