"""
Lines over the last quarter of an hour, drawn as SVG.

The drawing has a label that says in words what it shows: the newest and the highest value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

from proxy.metrics import Tick

WIDTH, HEIGHT = 300.0, 80.0
_SPAN_SECONDS = 900.0
# A gap in time, such as a machine asleep, is not to be bridged by a line.
_GAP_SECONDS = 12.0
_FLOOR_SECONDS = 1e-5


@dataclass(frozen=True, slots=True)
class Line:
    """One curve; *style* is a class of the style sheet, *value* None where there is nothing."""

    name: str
    style: str
    value: Callable[[Tick], float | None]


def chart(
    title: str, ticks: Sequence[Tick], lines: Sequence[Line], *, now: float, spoken: str, log: bool
) -> str:
    """Return an SVG figure of *lines*; with *log* the scale is logarithmic, for durations."""
    found = [each for line in lines for t in ticks if (each := line.value(t)) is not None]
    place = _logarithmic(found) if log else _linear(found)
    drawn = "".join(
        f'<path class="{line.style}" d="{_path(line, ticks, now, place)}"/>' for line in lines
    )
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" '
        f'aria-label="{escape(f"{title}: {spoken}")}">'
        f'<path class="grid" d="M0 {HEIGHT - 0.5}H{WIDTH:.0f}M100 0V{HEIGHT:.0f}M200 0V'
        f'{HEIGHT:.0f}"/>{drawn}</svg>'
    )


def highest(ticks: Sequence[Tick], line: Line) -> float:
    """Return the highest value of *line*, 0 if there is none."""
    return max((value for tick in ticks if (value := line.value(tick)) is not None), default=0.0)


def _linear(found: Sequence[float]) -> Callable[[float], float]:
    top = max(found, default=0.0) or 1.0
    return lambda value: HEIGHT - 2 - value / top * (HEIGHT - 6)


def _logarithmic(found: Sequence[float]) -> Callable[[float], float]:
    low = log10(max(min(found, default=1e-3), _FLOOR_SECONDS)) - 0.1
    high = max(log10(max([*found, _FLOOR_SECONDS])), low + 0.5)
    return lambda value: (
        HEIGHT - 2 - (log10(max(value, _FLOOR_SECONDS)) - low) / (high - low) * (HEIGHT - 6)
    )


def _path(line: Line, ticks: Sequence[Tick], now: float, place: Callable[[float], float]) -> str:
    steps, before = [], None
    for tick in ticks:
        value, age = line.value(tick), now - tick.at
        if value is None or not 0 <= age <= _SPAN_SECONDS:
            before = None
            continue
        joined = before is not None and tick.at - before <= _GAP_SECONDS
        x = (1 - age / _SPAN_SECONDS) * WIDTH
        # A point without neighbours is a dot, where a mere move would draw nothing.
        steps.append(f"L{x:.1f} {place(value):.1f}" if joined else f"M{x:.1f} {place(value):.1f}h0")
        before = tick.at
    return "".join(steps)
