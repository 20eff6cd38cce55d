"""A line for each request."""

import io
import json
import os
from logging import ERROR, INFO, WARNING
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import KINDS, Side
from proxy.log.access import AccessLog, Policy, describe
from proxy.log.output import Output
from proxy.log.pipeline import Pipeline
from proxy.log.secrets import Secrets
from proxy.log.sink import Sink
from tests.each import each

SECRET = 'client secret/"0123456789"'
Facts = tuple[Any, ...]

SECRETS = Secrets()
SECRETS.protect(SECRET)


def request(
    *,
    time: float = 1764000000.1239,
    method: bytes = b"GET",
    target: bytes = b"/v1/transactions",
    status: int = 200,
    side: str = Side.UPSTREAM,
    error: str = "",
) -> Facts:
    """Return what the data plane would record."""
    sizes = (0, 1532)
    return (
        time, method, target, status, side, 0.0123456, 0.012,
        *sizes, b"id-1", error, "[::1]:9", None, "",
    )  # fmt: skip


def an_output(*, console: bool = False, level: int = INFO) -> tuple[Output, io.StringIO]:
    """Return an output and the text that it will have written."""
    stream = io.StringIO()
    pipeline = Pipeline(console=console, colours=False, hide=SECRETS.hide, now=lambda: 0.0)
    return Output(console=console, level=level, pipeline=pipeline, sink=Sink(stream)), stream


def lines(
    *requests: Facts, policy: Policy = "all", level: int = INFO, console: bool = False
) -> list[str]:
    """Return the lines that *requests* become."""
    output, stream = an_output(console=console, level=level)
    log = AccessLog(policy, output, secrets=SECRETS)
    log.write(requests)
    return stream.getvalue().splitlines()


def as_structlog_says(facts: Facts) -> dict[str, Any]:
    """Return the line that a structlog logger would write, the slow way, parsed."""
    time = facts[0]
    level, event = describe(facts, hide=SECRETS.hide)
    written = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(written),
        processors=[Pipeline(console=False, colours=False, hide=SECRETS.hide, now=lambda: time)],
        wrapper_class=structlog.make_filtering_bound_logger(INFO),
    )
    getattr(logger, level)(**event)
    parsed: dict[str, Any] = json.loads(written.getvalue())
    return parsed


def near(limit: int) -> st.SearchStrategy[bytes]:
    return st.sampled_from([b"/" + b"x" * (limit + n) for n in (-2, -1, 0, 1)])


_bytes = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"GET", b"/v1/a%20b?x=1", b"?", SECRET.encode(), b"/a/" + SECRET.encode()]),
    near(2048),
)
_seconds = st.floats(0, 1e6)


_facts = st.tuples(
    # Many within a millisecond, and some far apart.
    st.floats(0, 4e9) | st.floats(1764000000, 1764000000.01),
    _bytes,
    _bytes,
    st.integers(0, 999),
    st.sampled_from(Side),
    _seconds,
    st.none() | _seconds,
    st.integers(0, 2**63),
    st.integers(0, 2**63),
    _bytes | st.just(SECRET.encode()),
    st.sampled_from(["", *KINDS]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.none() | _seconds,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(requests=st.lists(_facts, min_size=1, max_size=4))
def test_the_quick_lines_are_those_that_structlog_would_write(requests: list[Facts]) -> None:
    """
    Whatever clients send, the hand-made JSON says what the pipeline says, on one line of ASCII.
    """
    written = lines(*requests)
    assert [json.loads(line) for line in written] == [as_structlog_says(each) for each in requests]
    assert all(line.isascii() and line.isprintable() for line in written)
    assert SECRET not in "".join(written)


def test_a_line_says_what_was_asked_and_answered_and_by_whom() -> None:
    """
    The fields, their names and units are the documented ones.
    """
    (line,) = lines(request(target=b"/v1/transactions?cursor=private"))
    assert json.loads(line) == {
        "timestamp": "2025-11-24T16:00:00.123Z",
        "level": "info",
        "severity": "INFO",
        "event": "request.completed",
        "method": "GET",
        "path": "/v1/transactions?…",
        "status": 200,
        "side": "upstream",
        "duration_seconds": 0.012346,
        "first_byte_seconds": 0.012,
        "request_bytes": 0,
        "response_bytes": 1532,
        "request_id": "id-1",
        "client": "[::1]:9",
    }


@each("console", [False, True])
def test_no_query_value_is_shown(console: bool) -> None:
    """
    Of a query there is a mark that it was there, and nothing more.
    """
    (line,) = lines(request(target=b"/a?key=private&b=%3F?private"), console=console)
    assert "private" not in line
    assert "key" not in line


@each("console", [False, True])
@each("sneaky", [b"\r\n", b"\n{}", b"\x1b[2J", b"\x9b", b'"', b"\\", b"\xe2\x80\xae"])
def test_a_path_cannot_forge_a_line(sneaky: bytes, console: bool) -> None:
    """
    Quotes, controls and bytes from 0x80 on are percent-encoded, in JSON as on a terminal.
    """
    (line,) = lines(request(target=b"/a" + sneaky + b"b"), console=console)
    assert line.isprintable()
    encoded = "".join(f"%{c:02X}" if c not in b"n[2J{}" else chr(c) for c in sneaky)
    assert f"/a{encoded}b" in line


@each("console", [False, True])
def test_a_secret_in_a_path_or_request_id_is_hidden(console: bool) -> None:
    """
    A client that mistakes the path for a place to put the secret does not get it logged.
    """
    secrets = Secrets()
    secrets.protect("s3cr3t-0123456789")
    output, stream = an_output(console=console)
    log = AccessLog("all", output, secrets=secrets)
    facts = list(request(target=b"/login/s3cr3t-0123456789/x"))
    facts[9] = b"s3cr3t-0123456789"
    log.write([tuple(facts)])
    assert "s3cr3t" not in stream.getvalue()
    assert "/login/[redacted]/x" in stream.getvalue()


def test_a_long_path_is_cut() -> None:
    """
    A line stays far from the 16 KiB at which Docker would cut it, and JSON with it.
    """
    (line,) = lines(request(target=b"/" + b"\xff" * 16_000))
    assert len(line) < 3000
    assert json.loads(line)["path"].endswith("…")


@each(
    ("status", "side", "error", "event", "level"),
    [
        (200, Side.UPSTREAM, "", "request.completed", "info"),
        (404, Side.UPSTREAM, "", "request.completed", "info"),
        (500, Side.UPSTREAM, "", "request.completed", "warning"),
        (502, Side.UPSTREAM, "upstream_closed", "request.completed", "warning"),
        (503, Side.TOKEN, "token_pending", "request.completed", "warning"),
        (503, Side.PROXY, "draining", "request.completed", "warning"),
        (403, Side.DOWNSTREAM, "host_not_allowed", "request.refused", "warning"),
        (0, Side.DOWNSTREAM, "", "request.completed", "info"),
    ],
)
def test_event_and_level_tell_whose_error_it_is(
    status: int, side: Side, error: str, event: str, level: str
) -> None:
    """
    A refusal is our word about the client; a server error or one of our own is a warning.
    """
    (line,) = lines(request(status=status, side=side, error=error))
    parsed = json.loads(line)
    assert (parsed["event"], parsed["level"]) == (event, level)
    assert parsed.get("error", "") == error


_ONE_OF_EACH = (
    request(status=200),
    request(status=404),
    request(status=500),
    request(status=403, side=Side.DOWNSTREAM, error="host_not_allowed"),
    request(status=0, side=Side.DOWNSTREAM, error="request_timeout"),
)


@each(
    ("policy", "level", "written"),
    [
        ("all", INFO, [200, 404, 500, 403, 0]),
        ("errors", INFO, [404, 500, 403, 0]),
        ("off", INFO, []),
        ("all", WARNING, [500, 403, 0]),
        ("errors", WARNING, [500, 403, 0]),
        ("all", ERROR, []),
    ],
)
def test_policy_and_level_choose_the_lines(policy: Policy, level: int, written: list[int]) -> None:
    """
    ``errors`` keeps answers from 400 on and our own errors; a level hides what is below it.
    """
    kept = lines(*_ONE_OF_EACH, policy=policy, level=level)
    assert [json.loads(line)["status"] for line in kept] == written


def test_another_policy_can_be_followed_at_any_time() -> None:
    """
    A reload changes what is written from the next request on.
    """
    output, stream = an_output()
    log = AccessLog("off", output)
    log.write([request(target=b"/unseen")])
    log.follow("all")
    log.write([request(target=b"/seen")])
    assert "/seen" in stream.getvalue()
    assert "/unseen" not in stream.getvalue()


def test_requests_told_together_are_written_at_once(pipe: tuple[int, Output]) -> None:
    """
    The lines of a batch reach their reader whole, in one write.
    """
    reading, output = pipe
    AccessLog("all", output).write([request(target=b"/%d" % number) for number in range(3)])
    received = os.read(reading, 65536).decode().splitlines()
    assert [json.loads(line)["path"] for line in received] == ["/0", "/1", "/2"]
    AccessLog("errors", output).write([request()])
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
