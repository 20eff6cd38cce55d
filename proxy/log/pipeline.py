"""An event on its way to being a line: the same way for ours and for the libraries'."""

import json
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from structlog.dev import ConsoleRenderer, plain_traceback

from proxy.log.plain import Hide, Plain, plain, stack, type_name

Fields = MutableMapping[str, Any]

_LEVELS = {"exception": "error", "warn": "warning", "fatal": "critical", "msg": "info"}
_SEVERITIES = frozenset(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
_OWN = frozenset(("timestamp", "level", "severity", "event"))


class Pipeline:
    """
    A structlog processor that is the whole chain: an event dict in, a finished line out.

    It never raises. *console* asks for a line to read instead of JSON, *colours* paints it;
    *now* is Unix time, asked once for each event.
    """

    def __init__(
        self, *, console: bool, colours: bool, hide: Hide, now: Callable[[], float]
    ) -> None:
        self._hide = hide
        self._now = now
        self._write = _Console(colours=colours) if console else _json

    def __call__(self, logger: Any, method: str, event: Fields) -> str:
        """Return the line for *event*, logged by *method* (``info``, ``exception``, …)."""
        return self.line(_LEVELS.get(method, method), event, at=self._now())

    def line(self, level: str, event: Fields, *, at: float) -> str:
        """Return the line for *event*, which happened *at* that Unix time."""
        try:
            return self._line(level, dict(event), at)
        except Exception as error:
            return self._line("error", {"event": "log.failed", "error": type_name(error)}, at)

    def _line(self, level: str, event: dict[str, Any], at: float) -> str:
        error = _error(event.pop("exc_info", None))
        event.pop("stack_info", None)
        severity = level.upper()
        fields: dict[str, Plain] = {
            "timestamp": stamp(at),
            "level": level,
            "severity": severity if severity in _SEVERITIES else "DEFAULT",
            "event": plain(event.pop("event", ""), self._hide),
        }
        for key, value in event.items():
            if key not in _OWN:
                fields[self._hide(key)] = plain(value, self._hide)
        trace = self._hide(stack(error)) if error is not None else ""
        return self._write(fields, trace)


def _error(exc_info: object) -> BaseException | None:
    """Return the exception that ``exc_info`` means, in any of the spellings logging allows."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if isinstance(exc_info[1], BaseException) else None
    return sys.exception() if exc_info else None


def stamp(at: float) -> str:
    """Return Unix time *at* as ISO 8601 in UTC, cut to milliseconds."""
    second, thousandth = divmod(int(at * 1000), 1000)
    return f"{stamp_second(second)}.{thousandth:03d}Z"


def stamp_second(second: int) -> str:
    """Return the part of `stamp` that is the same for a whole *second*."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _json(fields: dict[str, Plain], trace: str) -> str:
    # ASCII: whatever a client sent, a line stays one line in every encoding and viewer.
    if trace:
        fields["exception"] = trace
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


class _Console:
    """structlog's pretty line, made safe for a terminal."""

    def __init__(self, *, colours: bool) -> None:
        # Named, because the default prints every local variable as soon as rich is installed.
        self._render = ConsoleRenderer(
            colors=colours, exception_formatter=plain_traceback, sort_keys=False
        )

    def __call__(self, fields: dict[str, Plain], trace: str) -> str:
        """Return the line; a ``message`` is a sentence for people and follows the event bare."""
        line = {key: _printable(value) for key, value in fields.items() if key != "severity"}
        line["timestamp"] = str(line["timestamp"])[11:]
        if "message" in line:
            line["event"] = f"{line['event']}  {line.pop('message')}"
        if trace:
            line["exception"] = "\n".join(map(_visible, trace.split("\n")))
        return self._render(None, "", line)


def _printable(value: Plain) -> Plain:
    if isinstance(value, str):
        return _visible(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_visible(key): _printable(item) for key, item in value.items()}
    return value


def _visible(text: str) -> str:
    """Escape what would move the cursor, break the line or turn the writing direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
