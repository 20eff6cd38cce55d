"""The composed proxy and a collector: what arrives there, and what does not when it is unwell."""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from proxy.app import StartError
from proxy.app.serving import Running, serving
from proxy.demo import DemoAPI
from proxy.log import configure, protect
from proxy.policy.trace import Trace
from proxy.settings.load import load
from proxy.tracing import collector as exporting
from tests.tracing.collector import Collector, Received, nobody

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
SECRET, TOKEN, KEY = "canary+s3cret/with=marks", "c4n4ry-t0ken-", "canary-collector-key"
# Spans leave quickly, so that no test waits for them.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
_SERVER, _CLIENT = 2, 3


@dataclass(slots=True)
class Traced:
    """A proxy that traces, the API behind it, and its log."""

    running: Running
    api: DemoAPI
    client: aiohttp.ClientSession
    log: Path

    async def get(self, path: str = "/echo", **options: Any) -> tuple[int, Any]:
        """Ask through the proxy; return status and JSON."""
        url = f"http://{self.running.addresses[0]}{path}"
        async with self.client.get(url, **options) as answer:
            return answer.status, json.loads(await answer.read() or b"null")

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """Return the log's lines of those *events*."""
        self.running.journal.flush()
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["event"] in events]

    def lines_of_libraries(self) -> list[dict[str, Any]]:
        """Return the log's lines that libraries wrote."""
        return [line for line in map(json.loads, self.log.open()) if "logger" in line]

    async def told(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """Wait until the log has so many lines of that *event*."""
        for _ in range(1000):
            if len(self.lines(event)) >= times:
                break
            await asyncio.sleep(0.01)
        return self.lines(event)


Start = Callable[..., Any]


@pytest.fixture
async def start(
    closed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Start]:
    """Run a proxy with these standard variables that sends its spans to a URL."""
    before, level = structlog.get_config(), logging.getLogger().level

    @asynccontextmanager
    async def begin(url: str | None, /, **variables: str) -> AsyncIterator[Traced]:
        for name in [each for each in os.environ if each.startswith("OTEL_")]:
            monkeypatch.delenv(name)
        for name, value in {**SOON, **variables}.items():
            monkeypatch.setenv(name, value)
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(
                DemoAPI(client_secret=SECRET, token_format="opaque", token_prefix=TOKEN)
            )
            environment = {
                **api.environment(),
                "BEARER_PROXY_LISTEN_ADDRESS": "127.0.0.1:0",
                "BEARER_PROXY_ADMIN_ADDRESS": "off",
                "BEARER_PROXY_TRACING_ENABLED": "true",
                "BEARER_PROXY_LOG_LEVEL": "debug",
                **({"BEARER_PROXY_TRACING_ENDPOINT": url} if url else {}),
            }
            log = tmp_path / "log"
            output = configure("json", "debug", stream=stack.enter_context(log.open("w")))
            client = await stack.enter_async_context(aiohttp.ClientSession())
            running = await stack.enter_async_context(serving(load({}, environment), output))
            async with asyncio.timeout(10):
                await running.ready()
            yield Traced(running, api, client, log)

    yield begin
    structlog.configure(**before)
    logging.getLogger().setLevel(level)


def spans_of(kind: int, collector: Collector, name: str) -> list[Received]:
    return [each for each in collector.spans if (each.kind, each.name) == (kind, name)]


async def test_a_request_and_the_token_for_it_arrive(start: Start) -> None:
    """
    Two spans in the trace that came in, one in a trace of its own, all of them the proxy's.
    """
    with Collector() as collector:
        async with start(collector.url, OTEL_RESOURCE_ATTRIBUTES="region=eu%20west") as traced:
            status, answer = await traced.get("/echo?key=value", headers=PARENT)
            assert status == 200
        spans = {(each.kind, each.name): each for each in collector.until(3)}
        assert len(collector.spans) == 3
    server, sent = spans[_SERVER, "GET"], spans[_CLIENT, "GET"]
    assert (server.trace_id, server.parent_id, server.state) == (TRACE, SPAN, "vendor=1")
    assert (sent.trace_id, sent.parent_id) == (TRACE, server.span_id)
    assert server.started <= sent.started <= sent.ended <= server.ended
    assert abs(server.ended / 1e9 - time.time()) < 60
    assert server.attributes["url.path"] == "/echo"
    assert sent.attributes["url.full"] == f"{traced.api.url}/echo?REDACTED"
    assert sent.attributes["http.response.status_code"] == 200
    fields = {name.lower(): value for name, value in answer["fields"]}
    assert fields["traceparent"] == f"00-{TRACE}-{sent.span_id}-01"
    assert fields["tracestate"] == "vendor=1"
    token = spans[_CLIENT, "POST token"]
    assert token.trace_id != TRACE
    assert (token.parent_id, token.failed) == ("", False)
    assert token.attributes == {
        "http.request.method": "POST",
        "url.full": traced.api.issue_url(),
        "server.address": "127.0.0.1",
        "server.port": int(traced.api.origin.rpartition(":")[2]),
        "http.response.status_code": 200,
        "bearer_proxy.token.result": "ok",
    }
    for span in spans.values():
        assert span.resource["service.name"] == "bearer-proxy"
        assert span.resource["service.version"]
        assert span.resource["region"] == "eu west"
    assert collector.paths == ["/v1/traces"] * len(collector.paths)


async def test_lines_of_the_log_say_where_to_look(start: Start) -> None:
    """
    Each request's line has the ids of its server span, whether it was forwarded or refused.
    """
    with Collector() as collector:
        async with start(collector.url) as traced:
            await traced.get("/echo")
            await traced.get("/../x", headers=PARENT)
            await traced.get("/echo", headers={"Host": "evil.example"} | PARENT)
        lines = traced.lines("request.completed", "request.refused")
        servers = {each.span_id: each for each in collector.spans if each.kind == _SERVER}
    assert len(lines) == len(servers) == 3
    for line in lines:
        span = servers[line["span_id"]]
        assert line["trace_id"] == span.trace_id
        assert line["path"] == span.attributes["url.path"]
        assert line["status"] == span.attributes["http.response.status_code"]
    assert [line["trace_id"] == TRACE for line in lines] == [False, True, True]


async def test_a_token_that_is_refused_is_a_failed_span(start: Start) -> None:
    """
    One for each attempt, with its result for error.type and the cause in words of ours.
    """
    with Collector() as collector:
        async with start(collector.url) as traced:
            traced.api.fault("reject")
            traced.running.tokens.refresh_now()
            await asyncio.to_thread(collector.until, 2)
        first, second = spans_of(_CLIENT, collector, "POST token")
    assert (first.failed, second.failed) == (False, True)
    assert second.attributes["error.type"] == "rejected"
    assert second.attributes["http.response.status_code"] == 401
    assert second.attributes["bearer_proxy.token.result"] == "rejected"
    assert second.reason.startswith("answered 401")
    assert first.trace_id != second.trace_id


async def test_nothing_secret_is_sent_or_logged(start: Start) -> None:
    """
    Neither secret, token, nor values of queries, fields and bodies; the collector's own key goes to
    the collector alone, and an answer of its that repeats it goes nowhere.
    """
    with Collector() as collector:
        collector.status = 400
        variables = {"OTEL_EXPORTER_OTLP_HEADERS": f"x-key={KEY},broken {KEY}"}
        async with start(collector.url, **variables) as traced:
            await traced.get("/echo?q=canary-query", headers={"X-Field": "canary-field"})
            credential = traced.running.tokens.cache.current()
            assert credential is not None
            assert credential.token.startswith(TOKEN)
            await traced.get(f"/echo/{credential.token}/{KEY}")
            for fault in ("reject", "malformed", "down"):
                traced.api.fault(fault)
                traced.running.tokens.refresh_now()
                await traced.get("/echo?canary-query")
            await traced.told("tracing.export_failed")
        assert all(fields["x-key"] == KEY for fields in collector.fields)
        sent, said = b"".join(collector.bodies), traced.log.read_bytes()
    assert b"REDACTED" in sent
    for marked in (SECRET, TOKEN, KEY, "canary"):
        assert marked.encode() not in sent
        assert marked.encode() not in said


async def test_a_path_is_shown_as_long_as_nothing_in_it_is_secret(start: Start) -> None:
    """
    What was shown before a string became a secret is not remembered beyond that.
    """
    later = "canary-of-later"
    with Collector() as collector:
        async with start(collector.url) as traced:
            await traced.get(f"/echo/{later}")
            await asyncio.to_thread(collector.until, 3)
            protect(later)
            await traced.get(f"/echo/{later}")
        paths = [each.attributes["url.path"] for each in collector.spans if each.kind == _SERVER]
    assert paths == [f"/echo/{later}", "/echo/[redacted]"]


async def test_a_variable_that_can_not_be_used_is_told_without_its_value(start: Start) -> None:
    """
    Once, at start; the default holds.
    """
    variables = {
        "OTEL_EXPORTER_OTLP_COMPRESSION": "canary-brotli",
        "OTEL_RESOURCE_ATTRIBUTES": "canary-without-value",
        "OTEL_EXPORTER_OTLP_HEADERS": "broken canary",
    }
    with Collector() as collector:
        async with start(collector.url, **variables) as traced:
            assert (await traced.get())[0] == 200
        assert collector.until(3)
    said = [line["message"] for line in traced.lines("tracing.variable_ignored")]
    assert len(said) == 3
    assert {"Unsupported compression type: …"} < set(said)
    assert "canary" not in traced.log.read_text()


async def test_a_collector_that_fails_is_told_once_and_again_when_it_is_well(start: Start) -> None:
    """
    However many exports fail; requests are served all the while.
    """
    with Collector() as collector:
        collector.status = 500
        async with start(collector.url) as traced:
            for times in range(1, 4):
                assert (await traced.get())[0] == 200
                await asyncio.to_thread(collector.until_asked, times)
            (line,) = await traced.told("tracing.export_failed")
            assert line["cause"] == "it answered 500"
            assert line["endpoint"] == f"{collector.url}/v1/traces"
            collector.status = 200
            assert (await traced.get())[0] == 200
            await traced.told("tracing.export_recovered")
            collector.status = 500
            assert (await traced.get())[0] == 200
            await traced.told("tracing.export_failed", 2)
        assert not traced.lines_of_libraries()


async def test_a_defect_of_ours_costs_spans_and_not_a_request(start: Start) -> None:
    """
    It is told once, with where it happened; the next requests are served and traced.
    """
    with Collector() as collector:
        async with start(collector.url) as traced:
            nothing: Any = None
            place = Trace(b"1" * 32, b"2" * 16, True, None, nothing, nothing, 0.0)
            record = traced.running.journal.record
            for _ in range(3):
                record(0.0, b"GET", b"/", 200, "", 0.0, 0.0, 0, 0, b"", "", "", 0.0, "", place)
                traced.running.journal.flush()
            assert (await traced.get())[0] == 200
            (line,) = await traced.told("tracing.failed")
            assert "spans.py" in line["exception"]
            assert (await traced.get())[0] == 200


async def test_a_collector_that_is_not_there_is_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither by a request nor by the stop.
    """
    monkeypatch.setattr(exporting, "STOP_SECONDS", 30.0)
    with nobody() as url:
        async with start(url) as traced:
            assert (await traced.get())[0] == 200
            (line,) = await traced.told("tracing.export_failed")
            assert line["cause"] == "it can't be reached"
            assert (await traced.get())[0] == 200
            begun = time.monotonic()
        assert time.monotonic() - begun < exporting.STOP_SECONDS
        assert not traced.lines_of_libraries()


async def test_a_collector_that_hangs_costs_spans_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What waits is bounded, what is lost is told once, and the stop does not wait for an answer.
    """
    monkeypatch.setattr(exporting, "STOP_SECONDS", 0.2)
    bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4"}
    with Collector() as collector:
        collector.open.clear()
        async with start(collector.url, **bounds) as traced:
            assert (await traced.get())[0] == 200
            await asyncio.to_thread(collector.until_asked, 1)
            for _ in range(40):
                assert (await traced.get())[0] == 200
            (line,) = await traced.told("tracing.spans_lost")
            assert line["spans"] > 0
        assert not collector.open.is_set()
        assert len(traced.lines("tracing.spans_lost")) == 1
        assert len(traced.lines("tracing.cut_off")) == 1
        assert len(collector.spans) < 20


async def test_a_collector_that_is_busy_is_asked_again(start: Start) -> None:
    """
    The very spans are sent once more, when it says so.
    """
    with Collector() as collector:
        collector.once = [503]
        async with start(collector.url) as traced:
            await asyncio.to_thread(collector.until_asked, 2)
            await traced.told("tracing.export_recovered")
        first, second, *_ = collector.bodies
        assert first == second


async def test_spans_go_straight_to_the_collector(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever proxy the environment names: it may be this one, and each export would make a span.
    """
    with Collector() as collector, nobody() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with start(collector.url) as traced:
            await traced.get()
        assert len(collector.spans) == 3


async def test_the_standard_variables_say_where_and_who(start: Start) -> None:
    """
    Without a configured endpoint that of the environment holds; so do its name and compression.
    """
    with Collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/otlp/",
            "OTEL_SERVICE_NAME": "mine",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        }
        async with start(None, **variables) as traced:
            await traced.get()
        assert {span.resource["service.name"] for span in collector.until(3)} == {"mine"}
        assert set(collector.paths) == {"/otlp/v1/traces"}
        assert {fields["content-encoding"] for fields in collector.fields} == {"gzip"}


async def test_what_is_not_sampled_is_not_sent(start: Start) -> None:
    """
    The upstream is told not to record either, and the log still says which trace it was.
    """
    with Collector() as collector:
        async with start(collector.url, OTEL_TRACES_SAMPLER="always_off") as traced:
            _, answer = await traced.get(headers=PARENT)
            (line,) = traced.lines("request.completed")
        assert not collector.bodies
    fields = {name.lower(): value for name, value in answer["fields"]}
    assert fields["traceparent"].startswith(f"00-{TRACE}-")
    assert fields["traceparent"].endswith("-00")
    assert line["trace_id"] == TRACE


@pytest.mark.parametrize("variables", [{"OTEL_SDK_DISABLED": "True"}])
async def test_the_environment_may_switch_it_off(start: Start, variables: dict[str, str]) -> None:
    """
    The standard's switch outranks the configuration: nothing is sent, and fields pass untouched.
    """
    with Collector() as collector:
        async with start(collector.url, **variables) as traced:
            _, answer = await traced.get(headers=PARENT)
        assert not collector.bodies
    assert ["traceparent", PARENT["traceparent"]] in answer["fields"]


@pytest.mark.parametrize(
    ("url", "variables", "problem"),
    [
        (None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "set tracing.endpoint"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "not a URL of http or https"),
        ("http://127.0.0.1:1", {"OTEL_TRACES_SAMPLER": "jaeger"}, "OTEL_TRACES_SAMPLER is none of"),
        ("http://127.0.0.1:1", {"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, "OTEL_BSP_"),
        ("http://127.0.0.1:1", {"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, "OTEL_BSP_"),
    ],
)
async def test_what_can_not_work_is_said_at_start(
    start: Start, url: str | None, variables: dict[str, str], problem: str
) -> None:
    """
    A variable that can't be used keeps the proxy from starting, with what to do.
    """
    with pytest.raises(StartError, match="cannot trace") as raised:
        async with start(url, **variables):
            pass
    assert problem in str(raised.value)
