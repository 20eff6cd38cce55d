"""Every fault, as a client of the issuer or of the API sees it."""

import asyncio
import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import pytest

from proxy.demo import DemoAPI
from proxy.demo.faults import FaultError
from tests.demo.conftest import Clock


class Answer(NamedTuple):
    """What came back."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Asker:
    """Asks the issuer, in either dialect, and the API with a valid token."""

    def __init__(self, api: DemoAPI, client: aiohttp.ClientSession) -> None:
        self._api = api
        self._client = client

    async def issuer(self, profile: str = "hashrails") -> Answer:
        """Ask for a token with the right credentials."""
        pair = {"client_id": self._api.client_id, "client_secret": self._api.client_secret}
        if profile == "hashrails":
            return await self._sent("POST", self._api.issue_url(), json=pair)
        form = {"grant_type": "client_credentials", **pair}
        return await self._sent("POST", self._api.issue_url("oauth2"), data=form)

    async def api(self, token: str | None = None) -> Answer:
        """Ask for the transactions."""
        fields = {"Authorization": f"Bearer {token or self._api.issue()}"}
        return await self._sent("GET", f"{self._api.url}/transactions", headers=fields)

    async def side(self, what: str) -> Answer:
        """Ask whichever *what* names."""
        return await (self.api() if what == "api" else self.issuer())

    async def _sent(self, method: str, url: str, **more: Any) -> Answer:
        async with self._client.request(method, url, allow_redirects=False, **more) as response:
            return Answer(response.status, response.headers.copy(), await response.read())


@pytest.fixture
def ask(api: DemoAPI, client: aiohttp.ClientSession) -> Asker:
    """Ask the API of this test."""
    return Asker(api, client)


async def test_revoke_refuses_every_token_issued_so_far(api: DemoAPI, ask: Asker) -> None:
    """
    revoke: the tokens so far get 401, a new one 200.
    """
    old = (await ask.issuer()).said["data"]["access_token"]
    assert (await ask.api(old)).status == 200
    assert api.fault("revoke") == "revoke: 1 valid tokens are refused from now on"
    assert (await ask.api(old)).status == 401
    new = (await ask.issuer()).said["data"]["access_token"]
    assert (await ask.api(new)).status == 200


async def test_recover_does_not_bring_revoked_tokens_back(api: DemoAPI, ask: Asker) -> None:
    """
    recover ends faults; what was revoked stays so.
    """
    old = api.issue()
    api.fault("revoke")
    api.fault("recover")
    assert (await ask.api(old)).status == 401


async def test_reject_says_invalid_credentials_to_the_right_ones(api: DemoAPI, ask: Asker) -> None:
    """
    reject: 401 in each dialect's words, counted as rejected.
    """
    api.fault("reject")
    answer, form = await ask.issuer(), await ask.issuer("oauth2")
    assert (answer.status, answer.said["code"]) == (401, "INVALID_CREDENTIALS")
    assert (form.status, form.said["error"]) == (401, "invalid_client")
    assert form.fields["WWW-Authenticate"].startswith("Basic")
    assert (api.stats().rejected, api.stats().issued) == (2, 0)


@pytest.mark.parametrize("what", ["issuer", "api"])
async def test_rate_limit_says_when_to_come_back(api: DemoAPI, ask: Asker, what: str) -> None:
    """
    rate-limit: 429 RATE_LIMIT_EXCEEDED with Retry-After in seconds.
    """
    api.fault("rate-limit", what=what, retry_after=7)
    answer = await ask.side(what)
    assert (answer.status, answer.said["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert answer.fields["Retry-After"] == "7"


async def test_rate_limit_can_write_retry_after_in_other_ways(api: DemoAPI, ask: Asker) -> None:
    """
    form=date is an HTTP date that far off; form=none leaves it out.
    """
    api.fault("rate-limit", retry_after=100, form="date")
    at = parsedate_to_datetime((await ask.issuer()).fields["Retry-After"]).timestamp()
    assert 98 <= at - time.time() <= 100
    api.fault("rate-limit", form="none")
    assert "Retry-After" not in (await ask.issuer()).fields


@pytest.mark.parametrize("what", ["issuer", "api"])
async def test_down_drops_the_connection(
    api: DemoAPI, ask: Asker, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    down: no byte of an answer, on that side alone, and nothing in the log.
    """
    api.fault("down", what=what)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ask.side(what)
    assert (await ask.side("api" if what == "issuer" else "issuer")).status == 200
    assert caplog.records == []


async def test_down_can_answer_with_a_status(api: DemoAPI, ask: Asker) -> None:
    """
    status=503 is an answer, in each dialect's words.
    """
    api.fault("down", what="both", status=503)
    assert [(await ask.side(what)).status for what in ("issuer", "api")] == [503, 503]
    assert (await ask.issuer("oauth2")).said["error"] == "temporarily_unavailable"


@pytest.mark.parametrize("what", ["issuer", "api"])
async def test_slow_delays_the_answer(api: DemoAPI, ask: Asker, what: str) -> None:
    """
    slow: the honest answer, delay seconds late.
    """
    api.fault("slow", what=what, delay=0.2)
    began = asyncio.get_running_loop().time()
    assert (await ask.side(what)).status == 200
    assert asyncio.get_running_loop().time() - began >= 0.2


@pytest.mark.parametrize("what", ["issuer", "api"])
@pytest.mark.parametrize("how", ["garbage", "empty", "html"])
async def test_malformed_is_200_and_no_json(api: DemoAPI, ask: Asker, what: str, how: str) -> None:
    """
    malformed: a whole answer with status 200 that no client can read.
    """
    api.fault("malformed", what=what, how=how)
    answer = await ask.side(what)
    assert answer.status == 200
    assert (answer.body == b"") == (how == "empty")
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        json.loads(answer.body)


@pytest.mark.parametrize("profile", ["hashrails", "oauth2"])
async def test_malformed_can_be_json_without_a_token(
    api: DemoAPI, ask: Asker, profile: str
) -> None:
    """
    how=no-token lacks the token in both dialects; how=failed says success false with status 200.
    """
    api.fault("malformed", how="no-token")
    answer = await ask.issuer(profile)
    assert (answer.status, "access_token" in answer.body.decode()) == (200, False)
    assert answer.said["expires_in"] == answer.said["data"]["expires_in"] == 60
    api.fault("malformed", how="failed")
    failed = await ask.issuer(profile)
    assert failed.status == 200
    assert failed.said.get("error") == "server_error" or failed.said["success"] is False


@pytest.mark.parametrize("what", ["issuer", "api"])
async def test_truncate_ends_in_the_middle_of_the_body(
    api: DemoAPI, ask: Asker, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    truncate: fewer bytes than Content-Length says, so that nobody can take it for whole.
    """
    api.fault("truncate", what=what)
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask.side(what)
    assert caplog.records == []


@pytest.mark.parametrize("what", ["issuer", "api"])
@pytest.mark.parametrize("status", [302, 307])
async def test_redirect_leads_elsewhere(api: DemoAPI, ask: Asker, what: str, status: int) -> None:
    """
    redirect: a Location outside the base; status and destination can be chosen.
    """
    api.fault("redirect", what=what, status=status)
    answer = await ask.side(what)
    assert (answer.status, answer.fields["Location"]) == (status, f"{api.origin}/elsewhere")
    api.fault("redirect", what=what, to="https://example.com/x")
    assert (await ask.side(what)).fields["Location"] == "https://example.com/x"


async def test_who_follows_a_redirection_is_counted(
    api: DemoAPI, client: aiohttp.ClientSession
) -> None:
    """
    A client that carries credentials elsewhere is found out.
    """
    api.fault("redirect", status=307)
    assert api.stats().redirects_followed == 0
    async with client.post(api.issue_url(), json={}) as response:
        assert response.status == 200
    assert api.stats().redirects_followed == 1


async def test_lie_issues_tokens_that_die_early(api: DemoAPI, ask: Asker, clock: Clock) -> None:
    """
    lie: expires_in says 60, the API refuses the token after the seconds it really lives.
    """
    honest = (await ask.issuer()).said["data"]["access_token"]
    api.fault("lie", lives=2)
    data = (await ask.issuer()).said["data"]
    assert data["expires_in"] == 60
    assert (await ask.api(data["access_token"])).status == 200
    clock.now += 2
    assert (await ask.api(data["access_token"])).status == 401
    assert (await ask.api(honest)).status == 200


async def test_lie_can_refuse_fresh_tokens_at_once(api: DemoAPI, ask: Asker) -> None:
    """
    lives=0: no token of the issuer's opens the API.
    """
    api.fault("lie", lives=0)
    assert (await ask.api((await ask.issuer()).said["data"]["access_token"])).status == 401


@pytest.mark.parametrize(
    ("claims", "expected"),
    [("3600", 3600), ("0", 0), ("-1", -1), ("1.5", 1.5), ("1e12", 10**12), ("none", None)],
)
async def test_lie_can_claim_any_lifetime(
    api: DemoAPI, ask: Asker, claims: str, expected: float | None
) -> None:
    """
    claims: what expires_in says, sane or not; none leaves it out.
    """
    api.fault("lie", claims=claims)
    for answer in (await ask.issuer("oauth2"), await ask.issuer()):
        said = answer.said.get("data", answer.said)
        assert said["access_token"].count(".") == 2
        assert said.get("expires_in") == expected


async def test_a_fault_ends_after_its_seconds(api: DemoAPI, ask: Asker, clock: Clock) -> None:
    """
    seconds=N: honest again once they are over.
    """
    assert api.fault("reject", seconds=10).endswith("for 10 seconds")
    clock.now += 9
    assert (await ask.issuer()).status == 401
    assert api.stats().faults == [{"fault": "reject", "seconds_left": 1.0}]
    clock.now += 1
    assert (await ask.issuer()).status == 200
    assert api.stats().faults == []


async def test_a_fault_ends_after_its_count(api: DemoAPI, ask: Asker) -> None:
    """
    count=N: that many answers, on either side together, and honest again.
    """
    assert api.fault("rate-limit", what="both", count=2).endswith("for 2 answers")
    statuses = [(await ask.side(what)).status for what in ("api", "issuer", "api", "issuer")]
    assert statuses == [429, 429, 200, 200]


async def test_recover_ends_every_fault(api: DemoAPI, ask: Asker) -> None:
    """
    recover: both sides are honest again.
    """
    for name in ("reject", "rate-limit", "down", "malformed", "truncate", "redirect", "lie"):
        api.fault(name)
    assert len(api.stats().faults) == 7
    assert api.fault("recover") == "recover: every fault has ended"
    assert [(await ask.side(what)).status for what in ("issuer", "api")] == [200, 200]
    assert api.stats().faults == []


async def test_a_fault_asked_for_again_begins_anew(api: DemoAPI, ask: Asker) -> None:
    """
    The latest settings hold; nothing of the earlier ones is left.
    """
    api.fault("rate-limit", retry_after=100, count=1)
    api.fault("rate-limit")
    answers = [await ask.issuer() for _ in range(3)]
    assert {answer.fields["Retry-After"] for answer in answers} == {"5"}


def test_an_unknown_fault_is_an_error_for_the_caller(api: DemoAPI) -> None:
    """
    A slip in a test fails that test.
    """
    with pytest.raises(FaultError, match="no fault is called 'rate_limit'"):
        api.fault("rate_limit")
