"""Requests when tokens are revoked, run out or can't be had: the installed command."""

import asyncio
import http.client
import json
import time
from contextlib import closing
from pathlib import Path

import aiohttp

from proxy.demo.threaded import ThreadedDemoAPI
from tests.e2e.process import PATIENCE_SECONDS, ProxyProcess

_RATE = 200
_SECONDS = 2.5


async def test_a_revocation_under_load_costs_one_issuance_and_no_request(
    environment: dict[str, str], api: ThreadedDemoAPI, tmp_path: Path
) -> None:
    """
    At 200 requests a second, half of them with a body: every one is replayed, by one new token.
    """
    with ProxyProcess(environment, tmp_path) as process:
        process.wait_for("proxy.ready")
        url = f"http://{process.address}/echo"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def one(number: int) -> int:
                body = b"x" * 2048 if number % 2 else None
                async with session.request("PUT" if body else "GET", url, data=body) as answer:
                    await answer.read()
                    return answer.status

            asking = []
            begun = time.monotonic()
            for number in range(int(_RATE * _SECONDS)):
                if number == _RATE:
                    api.fault("revoke")
                asking.append(asyncio.create_task(one(number)))
                await asyncio.sleep(max(0.0, begun + number / _RATE - time.monotonic()))
            statuses = await asyncio.gather(*asking)
    assert set(statuses) == {200}
    assert api.stats().issued == 2
    assert api.stats().max_in_flight == 1
    assert api.stats().api_401s > 0


def ask(port: int) -> tuple[int, dict[str, object]]:
    """Return status and, of an error, what the body says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    with closing(connection):
        connection.request("GET", "/transactions")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status == 503:
            assert answer.headers["Retry-After"] == str(body["retry_after"])
        return answer.status, body


def test_an_outage_longer_than_the_token_s_life_ends_by_itself(tmp_path: Path) -> None:
    """
    503 with a falling Retry-After while there is no token, and 200 again without a restart.
    """
    with ThreadedDemoAPI(token_seconds=2) as api:
        environment = {**api.environment(), "BEARER_PROXY_TOKEN_WAIT_SECONDS": "0"}
        with ProxyProcess(environment, tmp_path) as process:
            process.wait_for("proxy.ready")
            port = int(process.address.rpartition(":")[2])
            assert ask(port)[0] == 200
            api.fault("rate-limit", what="issuer", retry_after=4)
            process.wait_for("token.refresh_failed", code="issuer_rate_limited")
            announced: list[int] = []
            end = time.monotonic() + PATIENCE_SECONDS
            while len(set(announced)) < 3 and time.monotonic() < end:
                status, said = ask(port)
                if status == 503:
                    assert said["code"] == "issuer_rate_limited"
                    announced.append(int(str(said["retry_after"])))
                time.sleep(0.1)
            falling = announced[: announced.index(min(announced)) + 1]
            assert len(set(falling)) >= 3
            assert falling == sorted(falling, reverse=True)
            api.fault("recover")
            process.wait_for("token.recovered")
            assert ask(port)[0] == 200
