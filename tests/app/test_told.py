"""What a worker reports is read as from a stranger."""

import json
from typing import Any

import pytest

from proxy.app.told import Told, read
from proxy.metrics import Finished
from tests.each import each
from tests.metrics.facts import request


def report(**more: Any) -> dict[str, Any]:
    """Return what a worker may say, and *more*, by way of JSON."""
    facts = [each.decode() if isinstance(each, bytes) else each for each in request()]
    said: dict[str, Any] = {
        "counts": None,
        "recent": [facts],
        "connections": 3,
        "in_flight": 1,
        "waiting_for_token": 0,
        "request_bytes": 5,
        "response_bytes": 7,
        "queued": 0,
        "idle": 2,
        "busy": 1,
        "replays": {"ok": 1, "refused": 0, "failed": 0},
        "seen": [1_764_000_000.5, "10.0.0.1:443", "TLSv1.3", None],
        "trouble": [1_764_000_000.5, "upstream_timeout", "It took long.", "Wait."],
    }
    found: dict[str, Any] = json.loads(json.dumps(said | more))
    return found


def one(place: int, value: Any) -> dict[str, Any]:
    """Return a report of a request that has *value* at its *place*."""
    facts = report()["recent"][0]
    facts[place] = value
    return report(recent=[facts])


def test_a_report_comes_as_it_was_meant() -> None:
    """
    A request is what it was in the worker.
    """
    told = read(report())
    assert told.requests == [Finished(*request())]
    assert told.numbers["connections"] == 3
    assert told.seen is not None
    assert told.seen.remote == "10.0.0.1:443"
    assert told.trouble is not None
    assert told.trouble[1].code == "upstream_timeout"
    nothing: Told = read(report(seen=None, trouble=None, recent=[]))
    assert (nothing.seen, nothing.trouble, nothing.requests) == (None, None, [])


@each(
    "wrong",
    [
        {},
        report(connections=-1),
        report(idle=True),
        report(busy=1.5),
        report(queued=10**400),
        report(replays={}),
        report(replays=[1, 2, 3]),
        report(recent=None),
        report(recent=[[1]]),
        report(seen=["yesterday", "", "", None]),
        report(seen=[1.0]),
        report(trouble=[1.0, "made_up", "", ""]),
        report(trouble=[1.0, ["draining"], "", ""]),
        one(0, "1"),
        one(0, 1e300),
        one(0, float("nan")),
        one(0, 10**400),
        one(1, 7),
        one(2, "€"),
        one(2, "\ud800"),
        one(3, 1000),
        one(4, None),
        one(5, -0.1),
        one(6, float("inf")),
        one(7, "9"),
        one(10, "\udfff"),
        one(13, {}),
    ],
)
def test_what_cannot_be_meant_is_refused_as_a_whole(wrong: dict[str, Any]) -> None:
    """
    Numbers that no machine has, times of another age, texts that can't be sent on, and whatever is
    of another kind than it has to be.
    """
    with pytest.raises(ValueError, match=r"no |encode|unpack"):
        read(wrong)
