"""The load generator: wrk, told what to send and to report by a script of its own."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.modes import CLIENT_FIELDS, Mode


class LoadError(Exception):
    """The load did not run as meant, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator saw in one run."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float


# A Lua string's long brackets take JSON as it is; wrk gives its own figures in microseconds.
_REPORT = """
function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
                 + summary.errors.timeout
  io.write(string.format(
    'report {"requests":%d,"duration_us":%d,"refused":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\\n',
    summary.requests, summary.duration, summary.errors.status, failed,
    latency:percentile(50), latency:percentile(99)))
end
"""

# Sixteen hexadecimal digits, so that the length is the same each time. A head's text is made once
# and only the value is replaced: the generator shares a core with the upstream.
_VARIED = """
local before, after, count
function init(args)
  wrk.headers["X-Request-Id"] = "@@@@"
  before, after = string.match(wrk.format(), "^(.*)@@@@(.*)$")
  count = 0
end
function request()
  count = count + 1
  return before .. string.format("%016x", count) .. after
end
"""


def script(mode: Mode) -> str:
    """Return the Lua program that makes wrk send *mode*'s requests and report in one line."""
    lines = [
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}"
        for name, value in CLIENT_FIELDS.items()
    ]
    lines.append(f"wrk.method = {json.dumps(mode.method)}")
    if mode.body_bytes:
        lines.append(f"wrk.body = string.rep('x', {mode.body_bytes})")
    if mode.varied:
        lines.append(_VARIED)
    return "\n".join([*lines, _REPORT])


def run(mode: Mode, *, port: int, seconds: int, directory: Path) -> Load:
    """
    Send *mode*'s requests to *port* on the loopback for *seconds* and return what came of it.

    A single answer that is not a success or a redirect raises LoadError.
    """
    path = directory / f"{mode.name}.lua"
    path.write_text(script(mode))
    command = [
        "wrk",
        "--threads=1",
        f"--connections={mode.connections}",
        f"--duration={seconds}s",
        "--timeout=10s",
        f"--script={path}",
        f"http://127.0.0.1:{port}{mode.path}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return parse(done.stdout, complaint=done.stderr)


def parse(output: str, *, complaint: str) -> Load:
    """Return what the report line in *output* says; *complaint* explains where there is none."""
    lines = [line for line in output.splitlines() if line.startswith("report ")]
    if not lines:
        raise LoadError(f"wrk gave no report: {complaint.strip() or output.strip()}")
    report = json.loads(lines[0].removeprefix("report "))
    if report["refused"] or report["failed"] or not report["requests"]:
        raise LoadError(f"wrk had requests without success: {lines[0]}")
    return Load(
        requests=report["requests"],
        seconds=report["duration_us"] / 1e6,
        p50_us=report["p50_us"],
        p99_us=report["p99_us"],
    )
