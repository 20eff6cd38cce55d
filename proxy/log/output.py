"""Sending everything that is logged in this process the same way."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLevelNamesMapping, getLogger
from typing import Literal, TextIO

import structlog

from proxy.log import standard
from proxy.log.pipeline import Pipeline
from proxy.log.secrets import SECRETS
from proxy.log.sink import Sink

Format = Literal["auto", "console", "json"]


@dataclass(slots=True)
class Output:
    """What `configure` decided; *level* is `logging`'s number, changed by ``follow`` alone."""

    console: bool
    level: int
    pipeline: Pipeline
    sink: Sink

    def follow(self, level: str) -> None:
        """Write events of *level* and above from now on, ours and the libraries'."""
        self.level = getLevelNamesMapping()[level.upper()]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(self.level))
        getLogger().setLevel(self.level)


def configure(
    format: Format = "auto",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    sink: Sink | None = None,
    now: Callable[[], float] = time.time,
) -> Output:
    """
    Route structlog, `logging`, `warnings` and uncaught exceptions to one place; return that place.

    ``auto`` is ``console`` where standard output (or *stream*) is a terminal, else ``json``. Lines
    go to *stream*, or else to standard error (console) or standard output (JSON: log platforms take
    whatever stands on standard error for an error). Or they go to *sink*, and nowhere else. Calling
    it again replaces the earlier choice.
    """
    console = _wants_console(format, sys.stdout if stream is None else stream)
    if stream is None:
        stream = sys.stderr if console else sys.stdout
    output = Output(
        console=console,
        level=getLevelNamesMapping()[level.upper()],
        pipeline=Pipeline(
            console=console, colours=_wants_colours(stream), hide=SECRETS.hide, now=now
        ),
        sink=Sink(stream) if sink is None else sink,
    )
    structlog.configure(
        processors=[output.pipeline],
        wrapper_class=structlog.make_filtering_bound_logger(output.level),
        logger_factory=lambda *_: _Written(output.sink),
        # Loggers are asked for at import; the level may change later.
        cache_logger_on_first_use=False,
    )
    standard.capture(output.pipeline, output.sink, level=output.level)
    return output


def _wants_console(format: Format, stream: TextIO | None) -> bool:
    return format == "console" or (format == "auto" and _is_terminal(stream))


def _wants_colours(stream: TextIO | None) -> bool:
    """Tell whether to paint; https://no-color.org: set and not empty means no."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return _is_terminal(stream) and not plain


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


class _Written:
    """What structlog calls a logger: takes the finished line, whatever its level."""

    def __init__(self, sink: Sink) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = sink.write
