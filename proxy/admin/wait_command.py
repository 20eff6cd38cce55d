"""``bearer-proxy wait``: returns when a proxy that is being started is ready."""

import json
import sys
import time

from proxy.admin import health
from proxy.admin.address import split

_QUESTION = "/readyz"
_PAUSE_SECONDS = 0.2
_NOT_IN_TIME, _REJECTED = 1, 3
# A secret that has been mended is noticed within 5 s, and the issuer takes a moment.
_MENDED_SECONDS = 10.0
_USAGE = f"""\
usage: bearer-proxy wait [--address HOST:PORT] [--timeout SECONDS] [--config PATH]

Wait until a proxy is ready, 30 seconds unless told otherwise, whether it has been started yet or
not; exit 0 as soon as it is, 1 if it was not in time, 2 for wrong usage, 3 if the issuer rejects
its credentials. Those are given {_MENDED_SECONDS:g} seconds, in which another secret in the file is
noticed. It is looked for as `bearer-proxy health` does.
"""


def main(argv: list[str]) -> int:
    """Print one line, ``ok`` or why not; return the exit code."""
    try:
        given = health.options(argv, flags=())
        address = split(given["--address"]) if "--address" in given else None
        timeout = health.seconds(given.get("--timeout", "30"))
    except ValueError as error:
        sys.stderr.write(f"bearer-proxy wait: {error}\n{_USAGE}")
        return 2
    if "--help" in given:
        sys.stdout.write(_USAGE)
        return 0
    try:
        code, trouble = waited(address or health.configured(given), timeout)
    except (OSError, ValueError) as error:
        code, trouble = _NOT_IN_TIME, str(error)
    sys.stdout.write((health.one_line(trouble) or "ok") + "\n")
    return code


def waited(
    address: tuple[str, int], timeout: float, *, mended_seconds: float = _MENDED_SECONDS
) -> tuple[int, str]:
    """Return the exit code, and why it is not ready, empty if it is."""
    deadline = time.monotonic() + timeout
    rejected_until = deadline
    while True:
        # At least a moment for the last question, or a late start would be called a time-out.
        left = max(0.05, deadline - time.monotonic())
        trouble, rejected = _asked(address, min(2.0, left))
        if not trouble:
            return 0, ""
        now = time.monotonic()
        rejected_until = min(rejected_until, now + mended_seconds) if rejected else deadline
        if now + _PAUSE_SECONDS >= rejected_until:
            return _REJECTED if rejected else _NOT_IN_TIME, trouble
        time.sleep(_PAUSE_SECONDS)


def _asked(address: tuple[str, int], timeout: float) -> tuple[str, bool]:
    """Return what is wrong, empty if nothing is, and whether the issuer rejects the credentials."""
    try:
        status, body = health.answered(address, _QUESTION, timeout, accept="application/json")
    except ValueError as error:
        return str(error), False
    if status == "200":
        return "", False
    try:
        failing = [each for each in json.loads(body)["checks"] if not each["ok"]]
        trouble = "; ".join(map(_line, failing))
        rejected = any(each.get("code") == "credentials_rejected" for each in failing)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        trouble, rejected = "", False
    return trouble or health.unexpected(address, _QUESTION, status), rejected


def _line(check: dict[str, object]) -> str:
    more = f" ({check['text']})" if check["text"] else ""
    return f"{check['name']} failed{more}"
