"""
Which traces are recorded, by the standard's OTEL_TRACES_SAMPLER.

It is decided from the trace's id, before anything is sent, so that everyone who sees the trace
decides alike; the SDK's own samplers would want a span for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from proxy.policy.trace import Parent
from proxy.tracing.environment import Unusable

_PARENT = "parentbased_"
_RATIOS: Mapping[str, float | None] = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
LOWER_HALF = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """The share *ratio* of traces; *parent_based*: one that comes in sampled, or not, stays so."""

    ratio: float = 1.0
    parent_based: bool = True

    def keeps(self, trace_id: bytes, parent: Parent | None) -> bool:
        """Tell whether the trace of this id is recorded, given where it comes from."""
        if parent is not None and self.parent_based:
            return parent.sampled
        return int(trace_id, 16) & LOWER_HALF < self.bound

    @property
    def bound(self) -> int:
        """What the lower half of the id of a trace that is recorded stays below."""
        return round(self.ratio * (LOWER_HALF + 1))


def sampling(environ: Mapping[str, str]) -> Sampling:
    """Return what *environ* asks for; Unusable if that is not one of the standard's six."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    kind = name.removeprefix(_PARENT)
    if kind not in _RATIOS:
        known = ", ".join([*_RATIOS, *(_PARENT + each for each in _RATIOS)])
        raise Unusable(f"OTEL_TRACES_SAMPLER is none of {known}")
    ratio = _RATIOS[kind]
    if ratio is None:
        ratio = _ratio(environ.get("OTEL_TRACES_SAMPLER_ARG") or "1")
    return Sampling(ratio, parent_based=name.startswith(_PARENT))


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = math.nan
    if not 0 <= ratio <= 1:
        raise Unusable("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1")
    return ratio
