"""``bearer-proxy wait``: returns when a proxy that is being started is ready."""

import sys
import time

from proxy.admin import health
from proxy.admin.address import split

_PAUSE_SECONDS = 0.2
_USAGE = """\
usage: bearer-proxy wait [--address HOST:PORT] [--timeout SECONDS] [--config PATH]

Wait until a proxy is ready, 30 seconds unless told otherwise, whether it has been started yet or
not; exit 0 as soon as it is, 1 if it was not in time, 2 for wrong usage. It is looked for as
`bearer-proxy health` does.
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
        trouble = _wait(address or health.configured(given), timeout)
    except (OSError, ValueError) as error:
        trouble = str(error)
    sys.stdout.write((health.one_line(trouble) or "ok") + "\n")
    return 1 if trouble else 0


def _wait(address: tuple[str, int], timeout: float) -> str:
    """Return why it is not ready in time, empty if it is."""
    deadline = time.monotonic() + timeout
    while True:
        # At least a moment for the last question, or a late start would be called a time-out.
        left = max(0.05, deadline - time.monotonic())
        trouble = health.asked(address, "/readyz", min(2.0, left))
        if not trouble or time.monotonic() + _PAUSE_SECONDS >= deadline:
            return trouble
        time.sleep(_PAUSE_SECONDS)
