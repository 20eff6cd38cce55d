"""The log of a whole process, as whoever started it sees it."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

_SAY = """
import structlog
from proxy import log
log.configure({arguments})
structlog.get_logger().info("proxy.ready", port=8080)
"""


def run(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run *code* in a Python of its own and return what it wrote."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, text=True, timeout=30, check=False, **options)


def events(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines of *text*."""
    return [json.loads(line) for line in text.splitlines()]


def on_terminals(code: str, **environment: str) -> tuple[str, str]:
    """Run *code* with a terminal of its own each for standard output and standard error."""
    (out, out_end), (err, err_end) = pty.openpty(), pty.openpty()
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
    environment = {**inherited, "TERM": "xterm", **environment}
    finished = run(code, stdout=out_end, stderr=err_end, env=environment)
    for end, mark in ((out_end, b"\n"), (err_end, b"\n")):
        os.write(end, mark)  # so that reading an empty terminal returns
    shown = os.read(out, 65536).decode(), os.read(err, 65536).decode()
    for descriptor in (out, out_end, err, err_end):
        os.close(descriptor)
    assert finished.returncode == 0, shown
    return shown[0].strip(), shown[1].strip()


def test_a_log_that_nobody_watches_is_json_on_standard_output() -> None:
    """
    In a container the lines are JSON, and not on standard error, which platforms call errors.
    """
    finished = run(_SAY.format(arguments=""))
    (line,) = events(finished.stdout)
    assert (line["event"], line["port"], line["severity"]) == ("proxy.ready", 8080, "INFO")
    assert finished.stderr == ""


def test_a_log_on_a_terminal_is_for_reading_on_standard_error() -> None:
    """
    A person sees a coloured line, and standard output stays free for what commands print.
    """
    out, err = on_terminals(_SAY.format(arguments=""))
    assert out == ""
    assert "proxy.ready" in err
    assert "\x1b[" in err
    assert "{" not in err


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_refused(environment: dict[str, str]) -> None:
    """
    NO_COLOR, and a terminal that can't, get the same line unpainted.
    """
    _, err = on_terminals(_SAY.format(arguments=""), **environment)
    assert "proxy.ready" in err
    assert "\x1b" not in err


def test_json_can_be_had_on_a_terminal() -> None:
    """
    A format that was asked for is kept, wherever the lines go.
    """
    out, err = on_terminals(_SAY.format(arguments="'json'"))
    assert (events(out)[0]["event"], err) == ("proxy.ready", "")


def test_console_can_be_had_without_a_terminal() -> None:
    """
    The readable form in a file has no colours.
    """
    finished = run(_SAY.format(arguments="'console'"))
    assert finished.stdout == ""
    assert "proxy.ready" in finished.stderr
    assert "\x1b" not in finished.stderr


def test_libraries_and_warnings_speak_through_the_same_pipeline() -> None:
    """
    What aiohttp, asyncio and warnings have to say are JSON lines with the name of their logger.
    """
    finished = run(
        "import asyncio, logging, warnings\n"
        "from aiohttp.log import server_logger\n"
        "from proxy import log\n"
        "log.configure()\n"
        "log.protect('s3cr3t-value')\n"
        "server_logger.error('saw %s', 's3cr3t-value')\n"
        "warnings.warn('old', UserWarning)\n"
        "async def main():\n"
        "    asyncio.create_task(asyncio.sleep(0, 1 / 1)).add_done_callback(lambda _: 1 / 0)\n"
        "    await asyncio.sleep(0.01)\n"
        "asyncio.run(main())\n"
        "logging.getLogger('x').info('a %s b', 'too', 'many')\n"
    )
    server, warning, loop, broken = events(finished.stdout)
    assert (server["logger"], server["event"]) == ("aiohttp.server", "saw [redacted]")
    assert (warning["logger"], warning["level"]) == ("py.warnings", "warning")
    assert "UserWarning: old" in warning["event"]
    assert (loop["logger"], loop["level"]) == ("asyncio", "error")
    assert loop["exception"].endswith("ZeroDivisionError")
    assert (broken["event"], broken["error"]) == ("log.failed", "TypeError")
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("fail()", "process.failed"),
        (
            "import threading; t = threading.Thread(target=fail); t.start(); t.join()",
            "thread.failed",
        ),
        ("type('Odd', (), {'__del__': lambda self: fail()})()", "exception.ignored"),
    ],
)
def test_an_exception_that_nobody_caught_shows_no_values(code: str, event: str) -> None:
    """
    The interpreter's last words go through the log: type and lines, not the text.
    """
    finished = run(
        "from proxy import log\n"
        "log.configure()\n"
        "def fail():\n"
        "    raise ValueError('un' + 'protected')\n"
        f"{code}\n"
    )
    (line,) = events(finished.stdout)
    assert line["event"] == event
    assert line["exception"].endswith("ValueError")
    assert "unprotected" not in finished.stdout + finished.stderr


def test_the_level_holds_for_everyone_and_can_change() -> None:
    """
    Configuring again changes the level of loggers that exist already, ours and the libraries'.
    """
    finished = run(
        "import logging, structlog\n"
        "from proxy import log\n"
        "ours, theirs = structlog.get_logger(), logging.getLogger('theirs')\n"
        "for level in ('warning', 'debug'):\n"
        "    log.configure('json', level)\n"
        "    ours.debug(f'ours.{level}')\n"
        "    theirs.debug(f'theirs.{level}')\n"
    )
    assert [line["event"] for line in events(finished.stdout)] == ["ours.debug", "theirs.debug"]


def test_a_reader_that_leaves_does_not_end_the_process() -> None:
    """
    With standard output broken from the start, work goes on and the exit code is the program's.
    """
    reading, writing = os.pipe()
    os.close(reading)
    finished = run(_SAY.format(arguments="") + "\nraise SystemExit(7)", stdout=writing)
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (7, "")
