"""What goes wrong with the issuer, told in one sentence by answer, log and status page."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from proxy import app
from proxy.admin import sections
from proxy.demo import DemoAPI
from proxy.log import Output
from proxy.log.pipeline import Pipeline
from proxy.log.sink import Sink
from proxy.settings import Loaded, load

FAULTS = {
    "down": "issuer_unreachable",
    "reject": "credentials_rejected",
    "rate-limit": "issuer_rate_limited",
    "malformed": "issuer_bad_response",
}


@dataclass(frozen=True)
class Told:
    """The body of an answer, the log's line on it, and the page: rows of requests, and verdict."""

    body: dict[str, Any]
    line: dict[str, Any]
    rows: str
    verdict: str


Ask = Callable[[], Awaitable[Told]]


def configured(api: DemoAPI, secret: Path, *, gone: bool) -> Loaded:
    """Return what points a proxy at *api*; *gone*: the file that it had the secret from is."""
    environment = {
        **api.environment(),
        "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
        "BEARER_PROXY_ADMIN_ADDRESS": "off",
        "BEARER_PROXY_TOKEN_WAIT_SECONDS": "0",
        "BEARER_PROXY_TOKEN_CLIENT_SECRET_FILE": str(secret),
    }
    secret.write_text(environment.pop("BEARER_PROXY_TOKEN_CLIENT_SECRET"))
    secret.chmod(0o600)
    loaded = load({}, environment)
    if gone:
        secret.unlink()
    return loaded


@asynccontextmanager
async def proxy_before(
    api: DemoAPI, secret: Path, *, gone: bool = False, waits: bool = True
) -> AsyncIterator[Ask]:
    """Run a proxy before *api*, and give what asks it; it *waits* for the issuer's first answer."""
    loaded = configured(api, secret, gone=gone)
    stream = io.StringIO()
    pipeline = Pipeline(console=False, colours=False, hide=str, now=lambda: 0.0)
    output = Output(console=False, level=20, pipeline=pipeline, sink=Sink(stream))
    async with app.serving(loaded, output) as running:

        async def ask() -> Told:
            host, _, port = running.addresses[0].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /transactions HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = await reader.read()
            writer.close()
            running.journal.flush()
            view = running.console.view()
            return Told(
                json.loads(answer.partition(b"\r\n\r\n")[2]),
                json.loads(stream.getvalue().splitlines()[-1]),
                unescape(sections.requests(view)),
                view.verdict.sentence,
            )

        answered = asyncio.Event()

        def look() -> None:
            if running.tokens.snapshot().cause:
                answered.set()

        running.tokens.on_change(look)
        if waits:
            await answered.wait()
        yield ask


def assert_one_sentence(told: Told, code: str) -> str:
    """See that *told* is about *code*, in the same words everywhere; return them."""
    assert told.body["code"] == told.line["error"] == code
    sentence = f"{told.body['detail']} {told.body['hint']}"
    assert told.line["detail"] == sentence
    assert f"<small>{sentence}</small>" in told.rows
    return sentence


@pytest.mark.parametrize(("fault", "code"), FAULTS.items())
async def test_answer_log_and_page_say_the_same_of_the_issuer(
    fault: str, code: str, tmp_path: Path
) -> None:
    """
    What it does, when it is asked again, which way the request took, and what to do; the page's
    verdict has the issuer's part of it.
    """
    async with DemoAPI() as api:
        api.fault(fault)
        async with proxy_before(api, tmp_path / "secret") as ask:
            told = await ask()
            sentence = assert_one_sentence(told, code)
            issuer = api.issue_url()
            cause = re.match(rf"No usable token: the issuer {issuer} (.+?)\. It is", sentence)
            assert cause, sentence
            assert f"Not ready: the issuer {cause[1]}" in told.verdict
            assert re.search(r"The request came in at 127\.0\.0\.1:\d+\. ", sentence)


async def test_before_the_first_answer_it_is_said_that_one_is_awaited(tmp_path: Path) -> None:
    """
    Pending is no failure, and has its sentence as well.
    """
    async with (
        DemoAPI(issuing_seconds=10) as api,
        proxy_before(api, tmp_path / "secret", waits=False) as ask,
    ):
        assert "try again" in assert_one_sentence(await ask(), "token_pending")


async def test_a_secret_that_is_gone_is_told_as_that(tmp_path: Path) -> None:
    """
    Its file is named, nobody is said to have rejected it, and nobody was asked. Put back, it is
    used within a beat.
    """
    secret = tmp_path / "secret"
    async with DemoAPI() as api:
        async with proxy_before(api, secret, gone=True) as ask:
            told = await ask()
            sentence = assert_one_sentence(told, "secret_unreadable")
            assert f"cannot read {secret}: no such file or directory" in sentence
            assert f"cannot read {secret}" in told.verdict
            assert told.body["retry_after"] <= 5
        assert api.stats().issued == api.stats().rejected == 0
