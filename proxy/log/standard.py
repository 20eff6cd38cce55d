"""The standard library's ways to say something, led into the same pipeline."""

import logging
import sys
import threading
from types import TracebackType
from typing import Any

from structlog.stdlib import ProcessorFormatter

from proxy.log.pipeline import Fields, Pipeline
from proxy.log.sink import Sink


def capture(pipeline: Pipeline, sink: Sink, *, level: int) -> None:
    """
    Take over `logging`'s root, `warnings`, and every hook that prints an uncaught exception.

    The interpreter's own hooks would print an exception's text; KeyboardInterrupt keeps them.
    """
    root = logging.getLogger()
    for earlier in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(_Handler(pipeline, sink))
    root.setLevel(level)
    logging.captureWarnings(True)
    _Hooks(pipeline, sink).install()


class _Handler(logging.Handler):
    """Writes the records of libraries; like all of this log it never raises."""

    def __init__(self, pipeline: Pipeline, sink: Sink) -> None:
        super().__init__()
        self._pipeline = pipeline
        self._sink = sink
        self.setFormatter(ProcessorFormatter(processors=[_from_record, pipeline]))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # arguments that don't fit the message, a repr that raises
            unsaid = {"event": "log.failed", "logger": record.name, "error": error}
            line = self._pipeline(None, "error", unsaid)
        self._sink.write(line)


def _from_record(_: Any, __: str, event: Fields) -> Fields:
    """Keep of a record what is worth a field: the name of its logger."""
    record: logging.LogRecord = event.pop("_record")
    del event["_from_structlog"]
    return {**event, "logger": record.name}


class _Hooks:
    """The interpreter's last words about an exception that nobody caught."""

    def __init__(self, pipeline: Pipeline, sink: Sink) -> None:
        self._pipeline = pipeline
        self._sink = sink

    def install(self) -> None:
        sys.excepthook = self._uncaught
        threading.excepthook = self._uncaught_in_thread
        sys.unraisablehook = self._unraisable

    def _uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            self._say("critical", "process.failed", error)

    def _uncaught_in_thread(self, args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, SystemExit):
            self._say("error", "thread.failed", args.exc_value)

    def _unraisable(self, args: "sys.UnraisableHookArgs") -> None:
        self._say("error", "exception.ignored", args.exc_value)

    def _say(self, level: str, event: str, error: BaseException | None) -> None:
        self._sink.write(self._pipeline(None, level, {"event": event, "exc_info": error}))
