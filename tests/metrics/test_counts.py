"""What a request adds to, and what that costs."""

import json
from typing import Any

import pytest

from proxy.errors import KINDS
from proxy.metrics import Counts, Recent
from proxy.metrics.buckets import total
from tests.each import each
from tests.metrics.facts import request


def counted(*requests: tuple[object, ...]) -> Counts:
    """Return counts that were told of *requests*."""
    counts = Counts()
    counts.add(requests)
    return counts


def test_requests_are_counted_by_method_and_status() -> None:
    """
    Each method of HTTP has its own, whatever else a client makes up shares one.
    """
    counts = counted(
        request(), request(), request(status=404), request(method=b"BREW"), request(method=b"get")
    )
    assert sorted(counts.requests()) == [("GET", 200, 2), ("GET", 404, 1), ("other", 200, 2)]
    assert counts.total() == 5


def test_own_errors_and_the_upstreams_are_told_apart() -> None:
    """
    A code of ours is ours; a 500 without one is the upstream's.
    """
    counts = counted(
        request(status=503, side="token", error="token_pending", first_byte=None, sent=None),
        request(status=500),
        request(status=404),
        request(status=499, side="downstream", error="client_closed"),
    )
    assert {code: n for code, n in counts.errors.items() if n} == {
        "token_pending": 1,
        "client_closed": 1,
    }
    assert counts.upstream_failures == 1


def test_every_code_stands_at_zero_from_the_start() -> None:
    """
    The first error must be an increase, not a new series.
    """
    assert set(Counts().errors) == {*KINDS, "client_closed"}
    assert set(Counts().errors.values()) == {0}


def test_times_are_those_of_their_owners() -> None:
    """
    Overhead ends where the upstream's time begins; a refused request has neither.
    """
    counts = counted(
        request(duration=3.0, first_byte=2.0, sent=0.5),
        request(status=403, duration=0.25, first_byte=None, sent=None),
    )
    (name, waited), *others = counts.first_bytes()
    assert (name, waited[-1], total(waited), others) == ("2xx", 1.5, 1, [])
    assert (counts.overhead[-1], total(counts.overhead)) == (0.5, 1)
    assert [(name, row[-1]) for name, row in counts.durations()] == [("2xx", 3.0), ("4xx", 0.25)]


def test_a_tunnel_is_no_slow_request() -> None:
    """
    A WebSocket that was open for an hour says nothing of how fast answers are.
    """
    counts = counted(request(status=101, duration=3600.0), request())
    assert total(counts.answered()) == 1


def test_bytes_are_those_of_bodies() -> None:
    """
    Both ways, added up.
    """
    counts = counted(request(), request())
    assert (counts.request_bytes, counts.response_bytes) == (6, 3000)


def test_the_ring_keeps_the_last_ones() -> None:
    """
    Newest first, and no more than it was made for.
    """
    recent = Recent(2)
    for status in (200, 201, 202):
        recent.add([request(status=status)])
    assert [each.status for each in recent.newest_first()] == [202, 201]
    recent.forget()
    assert recent.newest_first() == []


def test_a_ring_of_none_remembers_nothing() -> None:
    """
    That is how it is switched off.
    """
    recent = Recent(0)
    recent.add([request()])
    assert recent.newest_first() == []


# Times whose sums are exact, in whatever order they are taken.
_SOME = (
    request(sent=2**-14, first_byte=2**-7, duration=2**-6),
    request(
        method=b"BREW", status=503, error="token_pending", first_byte=None, sent=None, duration=0.0
    ),
    request(status=500, sent=2**-15, first_byte=2**-8, duration=0.25),
    request(method=b"POST", status=404, sent=2**-13, first_byte=0.5, duration=3.5),
)


def _all_of(counts: Counts) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(counts.portable()))
    return found


def test_what_several_processes_counted_adds_up() -> None:
    """
    The sum is as if one had counted all of it, by way of JSON.
    """
    whole = Counts()
    for other in (counted(*_SOME), counted(), counted(*_SOME[2:])):
        whole.merge(_all_of(other))
    alone = counted(*_SOME, *_SOME[2:])
    assert _all_of(whole) == _all_of(alone)
    assert sorted(whole.requests()) == sorted(alone.requests())
    assert whole.errors == alone.errors


@each(
    "wrong",
    [
        {"requests": [["GET", 200, -1]]},
        {"requests": [["GET", 2000, 1]]},
        {"requests": [["GET", -1, 1]]},
        {"requests": [["GET", 200, 0.5]]},
        {"requests": [[7, 200, 1]]},
        {"requests": 7},
        {"durations": [[0]]},
        {"durations": []},
        {"overhead": [1, 2]},
        {"overhead": None},
        {"errors": {"made_up": 1}},
        {"errors": {"draining": True}},
        {"request_bytes": -1},
        {"response_bytes": "1"},
        {"upstream_failures": None},
    ],
)
def test_what_can_not_have_been_counted_is_refused_as_a_whole(wrong: dict[str, Any]) -> None:
    """
    It comes from a process that strangers talk to: nothing of it is counted then.
    """
    counts = counted(*_SOME)
    before = _all_of(counts)
    with pytest.raises(ValueError, match="no "):
        counts.merge(_all_of(counted(*_SOME)) | wrong)
    assert _all_of(counts) == before


@each("number", [float("nan"), float("inf"), -1.0])
def test_a_histogram_holds_numbers_that_are_some(number: float) -> None:
    """
    One that is not would stay in every sum for good.
    """
    wrong = _all_of(counted(*_SOME))
    wrong["overhead"][-1] = number
    with pytest.raises(ValueError, match="no histogram"):
        Counts().merge(wrong)


def test_the_ring_takes_what_others_remember_by_its_time() -> None:
    """
    Each in its place, however late it is told, and no more than there is room for.
    """
    recent = Recent(4)
    early, late = (
        [(at, *request(status=status)[1:]) for at, status in pairs]
        for pairs in ([(1.0, 201), (3.0, 203)], [(2.0, 202), (4.0, 204), (5.0, 205)])
    )
    recent.merge(early)
    assert [each.status for each in recent.newest_first()] == [203, 201]
    recent.merge(late)
    assert [each.status for each in recent.newest_first()] == [205, 204, 203, 202]
