"""Figures out of samples, and the two forms they are given in: JSON and a text table."""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.modes import MODES
from bench.rounds import Sample, Samples


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


def cost(samples: Sequence[Sample]) -> Spread:
    """Return the CPU microseconds per request over all rounds."""
    return Spread.of([sample.cpu_us_per_request for sample in samples])


def ratio(samples: Samples, name: str, *, to: str) -> Spread:
    """
    Return *name*'s cost in units of *to*'s: the spread of the rounds' ratios.

    Two neighbours in time saw the same machine, two medians need not have.
    """
    pairs = zip(samples[name], samples[to], strict=True)
    return Spread.of([one.cpu_us_per_request / other.cpu_us_per_request for one, other in pairs])


def table(results: Mapping[str, Samples]) -> str:
    """Return a text table per mode; ratios are to the first proxy of each."""
    return "\n".join(line for mode, samples in results.items() for line in _rows(mode, samples))


def _rows(mode: str, samples: Samples) -> Iterator[str]:
    first = next(iter(samples))
    yield f"{mode}: {MODES[mode].about}"
    yield (
        f"  {'':14} {'CPU µs/request':>24} {f'x {first}':>22} {'busy':>6} "
        f"{'requests/s':>11} {'p50 µs':>8} {'p99 µs':>8}"
    )
    for name, rounds in samples.items():
        busy = median(sample.cpu_seconds / sample.seconds for sample in rounds)
        rate = median(sample.requests / sample.seconds for sample in rounds)
        yield (
            f"  {name:14} {_spread(cost(rounds), 1):>24} "
            f"{_spread(ratio(samples, name, to=first), 2):>22} {busy:>6.0%} {rate:>11,.0f} "
            f"{median(sample.p50_us for sample in rounds):>8,.0f} "
            f"{median(sample.p99_us for sample in rounds):>8,.0f}"
        )
    yield ""


def _spread(spread: Spread, digits: int) -> str:
    low, high = f"{spread.low:.{digits}f}", f"{spread.high:.{digits}f}"
    return f"{spread.median:.{digits}f} ({low}-{high})"


def document(results: Mapping[str, Samples], *, seconds: int) -> dict[str, Any]:
    """Return everything that was measured and on what, ready for JSON."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "seconds": seconds,
        "modes": {mode: _mode_document(mode, samples) for mode, samples in results.items()},
    }


def _mode_document(mode: str, samples: Samples) -> dict[str, Any]:
    first = next(iter(samples))
    return {
        "mode": asdict(MODES[mode]),
        "reference": first,
        "proxies": {
            name: {
                "cpu_us_per_request": asdict(cost(rounds)),
                "ratio": asdict(ratio(samples, name, to=first)),
                "samples": [asdict(sample) for sample in rounds],
            }
            for name, rounds in samples.items()
        },
    }


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of machine and programs to judge the figures."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    models = [line.partition(":")[2].strip() for line in cpu.splitlines() if "model name" in line]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": _first_line("nginx", "-v"),
        "wrk": _first_line("wrk", "-v"),
    }


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).partition("\n")[0]
