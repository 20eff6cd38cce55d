"""The figures as a picture: a panel for each mode, a bar for each proxy, a line for its noise."""

from collections.abc import Iterator, Mapping
from html import escape

from bench.modes import FIGURES, MODES
from bench.report import Spread, spread
from bench.rounds import Samples

_WIDTH, _NAME, _BAR, _ROW, _HEAD = 760, 110, 470, 20, 46
_OURS = "bearer-proxy"
_NOISE_SHOWN = 1.3  # of the longest bar
# Colours that are told apart on white and on black, by those as well who see no red or green.
_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; } .about, .figure { fill: #57606a; }
  .bar { fill: #9aa4af; } .ours { fill: #0a69da; } .noise { stroke: #1f2328; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .about, .figure { fill: #9198a1; }
    .bar { fill: #59636e; } .ours { fill: #4493f8; } .noise { stroke: #e6edf3; }
  }
"""


def svg(results: Mapping[str, Samples]) -> str:
    """Return the picture of *results*; less is better in all of it."""
    panels, top = [], 0
    for mode, samples in results.items():
        panels += list(_panel(mode, samples, top))
        top += _HEAD + _ROW * len(samples)
    what = "What each proxy costs, by kind of load; less is better"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 10}" '
            f'width="{_WIDTH}" role="img" aria-label="{what}">',
            f"<title>{what}</title>",
            f"<style>{_STYLE}</style>",
            *panels,
            "</svg>",
            "",
        ]
    )


def _panel(mode: str, samples: Samples, top: int) -> Iterator[str]:
    figure = FIGURES[MODES[mode].figure]
    found = {name: spread(samples, name, figure=MODES[mode].figure) for name in samples}
    # One round that went wrong does not make all the others' bars unreadable.
    widest = _NOISE_SHOWN * max(each.median for each in found.values()) or 1.0
    yield (
        f'<text x="0" y="{top + 24}"><tspan class="title">{escape(mode)}</tspan> '
        f'<tspan class="about">{escape(MODES[mode].about)} — {escape(figure.name)}</tspan></text>'
    )
    for row, (name, each) in enumerate(found.items()):
        yield from _bar(name, each, widest, top + _HEAD - 12 + _ROW * row, figure.digits)


def _bar(name: str, found: Spread, widest: float, y: int, digits: int) -> Iterator[str]:
    def across(figure: float) -> float:
        return round(_NAME + _BAR * min(max(figure / widest, 0.0), 1.0), 1)

    kind = "bar ours" if name == _OURS else "bar"
    middle = y + _ROW // 2 - 2
    yield f'<text x="{_NAME - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect class="{kind}" x="{_NAME}" y="{y}" height="{_ROW - 5}" '
        f'width="{across(found.median) - _NAME:.1f}"/>'
    )
    yield (
        f'<line class="noise" x1="{across(found.low)}" x2="{across(found.high)}" '
        f'y1="{middle}" y2="{middle}"/>'
    )
    yield (
        f'<text class="figure" x="{_NAME + _BAR + 10}" y="{y + 12}">'
        f"{found.median:.{digits}f} ({found.low:.{digits}f}-{found.high:.{digits}f})</text>"
    )
