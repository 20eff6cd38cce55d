"""The figures that the product wants to reach, and whether a run did."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from bench.modes import MODES
from bench.report import ratio
from bench.rounds import Samples

_PRODUCT = "bearer-proxy"
Results = Mapping[str, Samples]


@dataclass(frozen=True, slots=True)
class Target:
    """
    *what* is to be *at_most*; *mode* and *peer* say what it is compared with, if anything.

    *whose* figure it is: the product's as it is by default, unless another one is named.
    """

    what: str
    at_most: float
    mode: str
    peer: str = ""
    figure: str = ""  # the mode's, unless named
    whose: str = _PRODUCT

    @property
    def is_ratio(self) -> bool:
        """Tell whether it is a multiple of *peer*'s."""
        return bool(self.peer)

    def reached(self, results: Results) -> float | None:
        """Return what *results* say; None where that was not measured."""
        samples = results.get(self.mode, {})
        if self.whose not in samples or (self.peer and self.peer not in samples):
            return None
        figure = self.figure or MODES[self.mode].figure
        if self.mode == "access-log":
            pairs = zip(samples[_PRODUCT], samples["unlogged"], strict=True)
            return median(one[figure] - other[figure] for one, other in pairs)
        if self.peer:
            return ratio(samples, self.whose, to=self.peer, figure=figure).median
        return median(sample[figure] for sample in samples[_PRODUCT])


TARGETS = (
    Target("small GET, CPU", 1.25, "small-get", "nginx"),
    Target("small GET, CPU", 0.35, "small-get", "envoy"),
    Target("varied heads, CPU", 1.6, "varied-heads", "nginx"),
    Target("varied heads, CPU", 0.45, "varied-heads", "envoy"),
    Target("https upstream, CPU", 1.5, "https-upstream", "nginx"),
    Target("https upstream, CPU", 0.5, "https-upstream", "envoy"),
    Target("access log into a file adds, CPU µs/request", 6, "access-log"),
    Target("one connection, p50", 0.8, "one-connection", "go"),
    Target("256 MiB down, CPU", 1.2, "down", "envoy"),
    Target("256 MiB down, CPU", 0.8, "down", "nginx"),
    Target("256 MiB up, CPU", 1.2, "up", "envoy"),
    Target("256 MiB up, CPU", 0.8, "up", "nginx"),
    Target("two workers, CPU", 1.05, "two-workers", _PRODUCT, whose="two-workers"),
    Target("memory at start (PSS)", 0.9, "idle", "envoy", "start_mib"),
    Target("an idle connection, KiB (PSS)", 4, "idle"),
    Target("start to first 200, time", 2.0, "start", "aiohttp"),
    Target("p99 of seconds with a token refresh, beside those without", 1.2, "refresh"),
)


def markdown(results: Results) -> str:
    """Return the table of targets, and of what *results* say."""
    rows = ["| what | at most | measured | reached |", "|---|---|---|---|"]
    for target in TARGETS:
        reached = target.reached(results)
        unit = f" x {target.peer}" if target.is_ratio else ""
        found, verdict = "not measured", ""
        if reached is not None:
            found = f"{reached:.{3 if target.at_most < 1 else 2}f}{unit}"
            verdict = "yes" if reached <= target.at_most else "**no**"
        rows.append(f"| {target.what} | {target.at_most:g}{unit} | {found} | {verdict} |")
    return "\n".join([*rows, ""])
