"""``bearer-proxy status``: what the status page shows, in a terminal; and the page's address."""

import sys
import time

from proxy.admin import health, token, token_file
from proxy.admin.address import join, split

_ANSWER_BYTES = 4 * 1024 * 1024
_ACCEPT = {"--json": "application/json"}
_USAGE = """\
usage: bearer-proxy status [--json | --url] [--address HOST:PORT] [--timeout SECONDS]
                           [--config PATH]

Show what a running proxy does: as a table, or as JSON. --url prints the address of its status page
with the admin token in it, for whoever may read the token's file: it lets you act, so keep it to
yourself. Exit 0 if it answered, 1 if not, 2 for wrong usage.
"""


def main(argv: list[str]) -> int:
    """Print what was asked for; return the exit code."""
    try:
        given = health.options(argv, flags=("--json", "--url"))
        address = split(given["--address"]) if "--address" in given else None
        timeout = health.seconds(given.get("--timeout", "2"))
    except ValueError as error:
        sys.stderr.write(f"bearer-proxy status: {error}\n{_USAGE}")
        return 2
    if "--help" in given:
        sys.stdout.write(_USAGE)
        return 0
    try:
        address = address or health.configured(given)
        shown = _url(address, given) if "--url" in given else _status(address, given, timeout)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        sys.stderr.write(f"bearer-proxy status: {health.one_line(said or str(error))}\n")
        return 1
    sys.stdout.write(shown)
    return 0


def _status(address: tuple[str, int], given: dict[str, str], timeout: float) -> str:
    accept = next((_ACCEPT[flag] for flag in given if flag in _ACCEPT), "text/plain")
    answer = health.exchange(
        address, "/", time.monotonic() + timeout, accept=accept, most=_ANSWER_BYTES
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] != [b"200"]:
        raise ValueError(f"{join(*health.reachable(address))} is not a proxy's admin listener")
    text = body.decode("utf-8", "replace")
    # A stranger on that port must not move the cursor.
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _url(address: tuple[str, int], given: dict[str, str]) -> str:
    where = join(*health.reachable(address))
    return token.url(where, token_file.read(address, given)) + "\n"
