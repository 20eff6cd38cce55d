"""From an event to a line."""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from proxy.log.pipeline import Pipeline
from proxy.log.secrets import Secrets

SECRET = "s3cr3t-0123456789"
AT = 1764000000.1239


@pytest.fixture
def secrets() -> Secrets:
    secrets = Secrets()
    secrets.protect(SECRET)
    return secrets


@pytest.fixture
def as_json(secrets: Secrets) -> Callable[..., dict[str, Any]]:
    pipeline = Pipeline(console=False, colours=False, hide=secrets.hide, now=lambda: AT)

    def render(method: str = "info", **event: object) -> dict[str, Any]:
        line = pipeline(None, method, event)
        assert line.isascii()
        assert "\n" not in line
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    return render


@pytest.fixture(params=[False, True], ids=["plain", "colours"])
def as_console(secrets: Secrets, request: pytest.FixtureRequest) -> Callable[..., str]:
    pipeline = Pipeline(console=True, colours=request.param, hide=secrets.hide, now=lambda: AT)

    def render(method: str = "info", **event: object) -> str:
        return re.sub(r"\x1b\[\d+m", "", pipeline(None, method, event))

    return render


@pytest.fixture
def both(
    as_json: Callable[..., dict[str, Any]], as_console: Callable[..., str]
) -> Callable[..., str]:
    return lambda **event: json.dumps(as_json(**event)) + as_console(**event)


def failure(secret: str = SECRET) -> Exception:
    """Return an exception with the secret in its text, in a local, and in its cause."""
    held_in_a_local = [secret]
    try:
        try:
            raise KeyError(held_in_a_local[0])
        except KeyError as error:
            raise ValueError(f"cannot use {secret}") from error
    except ValueError as error:
        return error


def test_a_json_line_has_time_level_severity_and_event(
    as_json: Callable[..., dict[str, Any]],
) -> None:
    """
    A line has what log platforms look for: ISO time in UTC cut to milliseconds, level, severity.
    """
    line = as_json("warning", event="token.refreshed", expires_in=60, status=HTTPStatus.OK)
    assert line == {
        "timestamp": "2025-11-24T16:00:00.123Z",
        "level": "warning",
        "severity": "WARNING",
        "event": "token.refreshed",
        "expires_in": 60,
        "status": 200,
    }


@pytest.mark.parametrize(
    ("method", "level", "severity"),
    [
        ("debug", "debug", "DEBUG"),
        ("exception", "error", "ERROR"),
        ("warn", "warning", "WARNING"),
        ("critical", "critical", "CRITICAL"),
        ("notice", "notice", "DEFAULT"),
    ],
)
def test_severity_is_a_word_that_google_knows(
    as_json: Callable[..., dict[str, Any]], method: str, level: str, severity: str
) -> None:
    """
    Each way to log has one level name, and a severity from Google's list.
    """
    line = as_json(method, event="x")
    assert (line["level"], line["severity"]) == (level, severity)


def test_an_event_cannot_pose_as_another_level_or_time(
    as_json: Callable[..., dict[str, Any]],
) -> None:
    """
    Fields named like ours are dropped: what the pipeline says about an event is true.
    """
    line = as_json("info", event="x", level="critical", severity="ALERT", timestamp="never")
    assert (line["level"], line["severity"]) == ("info", "INFO")
    assert line["timestamp"].startswith("2025-")


@pytest.mark.parametrize(
    "value",
    [
        f"in {SECRET} text",
        [SECRET, {"deep": (SECRET, {SECRET: SECRET})}],
        SECRET.encode(),
        ValueError(SECRET),
        type("Odd", (), {"__repr__": lambda self: SECRET})(),
    ],
    ids=["string", "nested", "bytes", "exception", "repr"],
)
def test_a_protected_value_is_in_no_line(both: Callable[..., str], value: object) -> None:
    """
    Wherever in an event a protected string stands, it does not reach the line.
    """
    shown = both(event=f"event of {SECRET}", value=value)
    assert SECRET not in shown
    assert "[redacted]" in shown


def test_a_protected_value_is_no_field_name_either(both: Callable[..., str]) -> None:
    """
    A secret that was taken for a key is hidden too.
    """
    assert SECRET not in both(event="x", **{SECRET: 1})


def test_a_traceback_shows_types_and_lines_and_no_value(both: Callable[..., str]) -> None:
    """
    Neither a local variable nor an exception's text is printed, with rich at hand as without.
    """
    assert importlib.util.find_spec("rich"), "rich must be installed for this test to mean anything"
    shown = both(event="x", exc_info=failure(secret="unprotected-value"))
    assert "unprotected-value" not in shown
    assert "raise KeyError(held_in_a_local[0])" in shown
    assert "ValueError" in shown
    assert "KeyError" in shown
    assert "in failure" in shown


def test_a_traceback_tells_causes_apart(as_json: Callable[..., dict[str, Any]]) -> None:
    """
    The cause comes first, then what it led to, as Python prints it.
    """
    lines = as_json(event="x", exc_info=failure())["exception"].split("\n")
    bare = [line for line in lines if not line.startswith("  ")]
    assert bare == [
        "Traceback (most recent call last):",
        "KeyError",
        "which caused:",
        "Traceback (most recent call last):",
        "ValueError",
    ]


def test_a_traceback_of_a_group_shows_each_member(as_json: Callable[..., dict[str, Any]]) -> None:
    """
    What failed in a task group is named, and none of the texts is.
    """
    group = ExceptionGroup(SECRET, [failure(), OSError(24, SECRET)])
    trace = as_json(event="x", exc_info=group)["exception"]
    assert "  | ValueError" in trace
    assert "  | OSError [EMFILE]" in trace
    assert SECRET not in trace


def test_a_cycle_of_causes_ends(as_json: Callable[..., dict[str, Any]]) -> None:
    """
    Exceptions that cause each other are printed once each.
    """
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    trace = as_json(event="x", exc_info=first)["exception"]
    assert (trace.count("ValueError"), trace.count("KeyError")) == (1, 1)


def test_exc_info_is_understood_in_each_spelling(as_json: Callable[..., dict[str, Any]]) -> None:
    """
    True, an exception and a triple all mean the exception; nothing there means no traceback.
    """
    error = failure()
    triple = (type(error), error, error.__traceback__)
    try:
        raise error
    except ValueError:
        current = as_json(event="x", exc_info=True)
    assert "ValueError" in current["exception"]
    assert "ValueError" in as_json(event="x", exc_info=triple)["exception"]
    assert "exception" not in as_json(event="x", exc_info=(None, None, None))
    assert "exception" not in as_json(event="x", exc_info=True)


class Unprintable:
    """Breaks whoever looks at it."""

    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


class Bottomless(dict[str, object]):
    """Breaks whoever walks it."""

    def items(self) -> Any:
        def fail() -> Iterator[None]:
            raise RuntimeError(SECRET)
            yield

        return fail()


@pytest.mark.parametrize(
    "value", [Unprintable(), Bottomless(), 10**5000], ids=["repr", "items", "huge int"]
)
def test_logging_never_raises(as_json: Callable[..., dict[str, Any]], value: object) -> None:
    """
    An event that can't be written becomes a line that says so.
    """
    line = as_json(event="x", value=value)
    assert (line["event"], line["level"]) == ("log.failed", "error")
    assert line["error"] in ("RuntimeError", "ValueError")


def test_a_structure_that_contains_itself_is_cut(as_json: Callable[..., dict[str, Any]]) -> None:
    """
    A cycle ends after a few levels.
    """
    cycle: list[object] = []
    cycle.append(cycle)
    assert as_json(event="x", value=cycle)["event"] == "x"


def test_a_float_that_json_does_not_know_is_a_string(
    as_json: Callable[..., dict[str, Any]],
) -> None:
    """
    Infinity and NaN don't make a line that parsers refuse.
    """
    line = as_json(event="x", ratio=float("nan"), wait=float("inf"))
    assert (line["ratio"], line["wait"]) == ("nan", "inf")


@pytest.mark.parametrize("sneaky", ["\n", "\r", "\x1b[2J", "\x9b2J", "\u202e", "\u2028", "\x00"])
def test_a_value_cannot_break_a_console_line(as_console: Callable[..., str], sneaky: str) -> None:
    """
    Nothing that an event holds moves the cursor, ends the line or turns the writing direction.
    """
    line = as_console(event=f"a{sneaky}b", key=f"c{sneaky}d", nested={f"e{sneaky}": [f"{sneaky}f"]})
    assert line.isprintable()


def test_a_message_for_people_follows_the_event(as_console: Callable[..., str]) -> None:
    """
    On a terminal a sentence is shown as a sentence, not as key and value.
    """
    line = as_console(event="proxy.ready", message="http://127.0.0.1:8080 → https://api", pid=7)
    assert "proxy.ready  http://127.0.0.1:8080 → https://api" in line
    assert "message" not in line
    assert line.endswith("pid=7")


def test_a_console_line_begins_with_the_time_of_day(as_console: Callable[..., str]) -> None:
    """
    The date is spared; the level is there, severity is for machines.
    """
    line = as_console("warning", event="x")
    assert line.startswith("16:00:00.123Z [warning")
    assert "WARNING" not in line
