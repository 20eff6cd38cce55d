"""What ``bearer-proxy reload`` and ``quit`` share: asking a running proxy to act."""

import json
import sys
import time

from proxy.admin import health, token_file
from proxy.admin.address import join, split

_ANSWER_BYTES = 64 * 1024


def main(action: str, usage: str, argv: list[str], *, timeout: str) -> int:
    """Have *action* taken and print what came of it; return the exit code."""
    try:
        given = health.options(argv, flags=())
        address = split(given["--address"]) if "--address" in given else None
        seconds = health.seconds(given.get("--timeout", timeout))
    except ValueError as error:
        sys.stderr.write(f"bearer-proxy {action}: {error}\n{usage}")
        return 2
    if "--help" in given:
        sys.stdout.write(usage)
        return 0
    try:
        done = _done(action, address or health.configured(given), given, seconds)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        sys.stderr.write(f"bearer-proxy {action}: {health.one_line(said or str(error))}\n")
        return 1
    sys.stdout.write(health.one_line(done) + "\n")
    return 0


def _done(action: str, address: tuple[str, int], given: dict[str, str], seconds: float) -> str:
    """Return what the proxy did; ValueError says why it did not."""
    answer = health.exchange(
        address,
        f"/-/{action}",
        time.monotonic() + seconds,
        method="POST",
        fields=f"Authorization: Bearer {token_file.read(address, given)}\r\nContent-Length: 0\r\n",
        accept="application/json",
        most=_ANSWER_BYTES,
    )
    where = join(*health.reachable(address))
    _, _, body = answer.partition(b"\r\n\r\n")
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or not {"done", "detail"} & set(said):
        raise ValueError(f"{where} is not a proxy's admin listener")
    if "done" not in said:
        raise ValueError(f"{said['detail']} {said.get('hint', '')}".strip())
    return str(said["done"])
