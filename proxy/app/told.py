"""
What a worker reports, read as from a stranger: it may have been taken over by one.

Rule 1: what comes out can be counted, sorted, formatted and sent on without a further look: numbers
        are such as there may be, times are of this age, texts can be encoded.

Rule 2: a report is taken as a whole or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.dataplane.pool import Seen
from proxy.errors import KINDS, ProxyError
from proxy.metrics import Finished

NUMBERS = (
    "connections", "in_flight", "waiting_for_token", "request_bytes", "response_bytes",
    "queued", "idle", "busy",
)  # fmt: skip
_REPLAYS = ("ok", "refused", "failed")
_MOST = 2**53  # JSON's whole numbers (RFC 8259 section 6)
_LAST_SECOND = 2.0**33  # in the year 2242
_STATUSES = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """
    A report: what happened since the last one, and how it stands.

    *counts* is for ``Counts.merge``, which looks for itself. *seen* and *trouble* are of the pool.
    """

    counts: Mapping[str, Any] | None
    requests: list[Finished]
    numbers: Mapping[str, int]
    replays: Mapping[str, int]
    seen: Seen | None
    trouble: tuple[float, ProxyError] | None


def read(report: Mapping[str, Any]) -> Told:
    """Return what *report* says; ValueError if it can't be meant."""
    try:
        seen, trouble = report["seen"], report["trouble"]
        return Told(
            counts=report["counts"],
            requests=[_request(each) for each in report["recent"]],
            numbers={name: natural(report[name]) for name in NUMBERS},
            replays={name: natural(report["replays"][name]) for name in _REPLAYS},
            seen=None if seen is None else _seen(*seen),
            trouble=None if trouble is None else _trouble(*trouble),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no report") from error


def natural(number: object) -> int:
    """Return *number* if it counts something; ValueError otherwise."""
    if type(number) is not int or not 0 <= number < _MOST:
        raise ValueError("no number")
    return number


def _seen(at: object, remote: object, tls_version: object, expires_at: object) -> Seen:
    expires = None if expires_at is None else _seconds(expires_at)
    return Seen(_seconds(at), _text(remote), _text(tls_version), expires)


def _trouble(at: object, code: object, detail: object, hint: object) -> tuple[float, ProxyError]:
    if _text(code) not in KINDS:
        raise ValueError("no error of ours")
    return _seconds(at), ProxyError(_text(code), _text(detail), hint=_text(hint))


def _request(told: Sequence[object]) -> Finished:
    """Return a request that is over, as every journal is told it."""
    (
        at, method, target, status, side, duration, first_byte, request_bytes,
        response_bytes, request_id, error, client, sent, detail,
    ) = told  # fmt: skip
    return Finished(
        at=_seconds(at),
        method=_bytes(method),
        target=_bytes(target),
        status=_status(status),
        side=_text(side),
        duration=_seconds(duration),
        first_byte=None if first_byte is None else _seconds(first_byte),
        request_bytes=natural(request_bytes),
        response_bytes=natural(response_bytes),
        request_id=_bytes(request_id),
        error=_text(error),
        client=_text(client),
        sent=None if sent is None else _seconds(sent),
        detail=_text(detail),
    )


def _status(number: object) -> int:
    status = natural(number)
    if status >= _STATUSES:
        raise ValueError("no status")
    return status


def _seconds(number: object) -> float:
    if type(number) not in (int, float) or not 0 <= number < _LAST_SECOND:  # type: ignore[operator]
        raise ValueError("no time")
    return float(number)  # type: ignore[arg-type]


def _text(text: object) -> str:
    if type(text) is not str:
        raise ValueError("no text")
    text.encode()  # a lone surrogate could not be sent on
    return text


def _bytes(text: object) -> bytes:
    """Return the bytes that travel as characters of the same numbers."""
    return _text(text).encode("latin-1")
