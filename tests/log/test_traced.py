"""The access log of requests that stand in traces."""

import io
import json
from logging import INFO
from typing import Any

import pytest

from proxy.log.access import Policy
from proxy.log.output import Output
from proxy.log.pipeline import Pipeline
from proxy.log.sink import Sink
from proxy.log.traced import TracedAccessLog
from proxy.policy.admission import Admission
from proxy.policy.reading import read
from proxy.policy.rules import Rules
from proxy.policy.target import Base
from proxy.policy.trace import Trace
from proxy.policy.verdict import ask

BASE = Base(scheme=b"http", authority=b"127.0.0.1:1")
RULES = Rules(base=BASE, admission=Admission())
ASKED = ask(b"GET", b"/x", read(b"Host: a\r\n", minor=1, rules=RULES, local=""), RULES)
PLACE = Trace(b"a" * 32, b"b" * 16, True, None, ASKED.meaning, BASE, 0.0)


def facts(status: int, error: str = "", *place: Trace) -> tuple[Any, ...]:
    """Return a request as it is told; bytes that are none have no place."""
    sizes = (0, 5)
    return (
        1764000000.0, b"GET", b"/x?y", status, "upstream", 0.5, 0.25,
        *sizes, b"id-1", error, "127.0.0.1:9", None, "", *place,
    )  # fmt: skip


REQUESTS = [facts(200, "", PLACE), facts(400, "bad_request"), facts(404, "", PLACE)]


def written(policy: Policy, *, console: bool) -> list[str]:
    """Return the lines that REQUESTS become."""
    stream = io.StringIO()
    pipeline = Pipeline(console=console, colours=False, hide=str, now=lambda: 0.0)
    output = Output(console=console, level=INFO, pipeline=pipeline, sink=Sink(stream))
    TracedAccessLog(policy, output).write(REQUESTS)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(("policy", "statuses"), [("all", [200, 400, 404]), ("errors", [400, 404])])
def test_each_line_has_the_ids_of_its_own_request(policy: Policy, statuses: list[int]) -> None:
    """
    Whichever lines are wanted; what stands in no trace has no ids.
    """
    lines = [json.loads(line) for line in written(policy, console=False)]
    assert [line["status"] for line in lines] == statuses
    for line in lines:
        ids = (line.get("trace_id"), line.get("span_id"))
        assert ids == ((None, None) if line["status"] == 400 else ("a" * 32, "b" * 16))


def test_the_console_has_them_too() -> None:
    """
    The slow way says the same.
    """
    first, second, _ = written("all", console=True)
    assert f"span_id={'b' * 16}" in first
    assert f"trace_id={'a' * 32}" in first
    assert "trace_id" not in second
