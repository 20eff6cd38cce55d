"""Figures out of samples, and the two forms they are given in: JSON and a text table."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.modes import FIGURES, MODES
from bench.programs import PATH
from bench.rounds import Samples


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and, as the measure of noise, the extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Return the spread of *figures*, of which there must be one at least."""
        return cls(median(figures), min(figures), max(figures))


def spread(samples: Samples, name: str, *, figure: str) -> Spread:
    """Return *name*'s *figure* over all rounds."""
    return Spread.of([sample[figure] for sample in samples[name]])


def ratio(samples: Samples, name: str, *, to: str, figure: str) -> Spread:
    """
    Return *name*'s *figure* in units of *to*'s: the spread of the rounds' ratios.

    Two neighbours in time saw the same machine, two medians need not have.
    """
    pairs = zip(samples[name], samples[to], strict=True)
    return Spread.of([one[figure] / other[figure] for one, other in pairs])


def table(results: Mapping[str, Samples]) -> str:
    """Return a text table per mode; ratios are to the first proxy of each."""
    return "\n".join(line for mode, samples in results.items() for line in _rows(mode, samples))


def _rows(mode: str, samples: Samples) -> Iterator[str]:
    first, figure = next(iter(samples)), MODES[mode].figure
    others = [name for name in samples[first][0] if name != figure]
    yield f"{mode}: {MODES[mode].about}"
    heads = "".join(f" {FIGURES[name].name:>20}" for name in others)
    yield f"  {'':14} {FIGURES[figure].name:>24} {f'x {first}':>22}{heads}"
    for name, rounds in samples.items():
        rest = "".join(
            f" {median(sample[other] for sample in rounds):>20,.{FIGURES[other].digits}f}"
            for other in others
        )
        yield (
            f"  {name:14} {_said(spread(samples, name, figure=figure), FIGURES[figure].digits):>24}"
            f" {_said(ratio(samples, name, to=first, figure=figure), 2):>22}{rest}"
        )
    yield ""


def _said(spread: Spread, digits: int) -> str:
    low, high = f"{spread.low:.{digits}f}", f"{spread.high:.{digits}f}"
    return f"{spread.median:.{digits}f} ({low}-{high})"


def document(
    results: Mapping[str, Samples], *, seconds: int, load_before: float = 0.0
) -> dict[str, Any]:
    """
    Return everything that was measured and on what, ready for JSON.

    *load_before* is the machine's load average before: what others did on it.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
        "machine": {**machine(), "load_before": round(load_before, 2)},
        "seconds": seconds,
        "modes": {mode: _mode_document(mode, samples) for mode, samples in results.items()},
    }


def sentence(document: Mapping[str, Any]) -> str:
    """Say in a sentence when and where a ``document`` was measured."""
    machine = document["machine"]
    proxies = next(iter(document["modes"].values()))["proxies"].values()
    rounds = max(len(each["samples"]) for each in proxies)
    return (
        f"Measured on {document['at'][:10]} at commit {document['commit']}, {rounds} rounds, on"
        f" {machine['cores']} cores of {machine['cpu']} that others used as well (load average"
        f" before: {machine['load_before']}), with Python {machine['python']}."
    )


def results_in(document: Mapping[str, Any]) -> dict[str, Samples]:
    """Return the samples that a ``document`` holds."""
    return {
        mode: {name: each["samples"] for name, each in found["proxies"].items()}
        for mode, found in document["modes"].items()
    }


def _mode_document(mode: str, samples: Samples) -> dict[str, Any]:
    first, figure = next(iter(samples)), MODES[mode].figure
    return {
        "mode": asdict(MODES[mode]),
        "reference": first,
        "proxies": {
            name: {
                figure: asdict(spread(samples, name, figure=figure)),
                "ratio": asdict(ratio(samples, name, to=first, figure=figure)),
                "samples": [dict(sample) for sample in rounds],
            }
            for name, rounds in samples.items()
        },
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "the system"


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of machine and programs to judge the figures."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    models = [line.partition(":")[2].strip() for line in cpu.splitlines() if "model name" in line]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        # A distribution builds its own with a profile, which makes a fifth of our part.
        "python": platform.python_version()
        + (f" of {_distribution()}" if sys.base_prefix == "/usr" else ""),
        "nginx": _first_line("nginx", "-v"),
        "haproxy": _first_line("haproxy", "-v"),
        "envoy": _first_line("envoy", "--version").rpartition("version: ")[2],  # without its path
        "go": _first_line("go", "version"),
        "caddy": _first_line("caddy", "version"),
        "wrk": _first_line("wrk", "-v"),
    }


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": PATH}
        )
    except FileNotFoundError:
        return "-"
    return (done.stdout + done.stderr).strip().partition("\n")[0]
