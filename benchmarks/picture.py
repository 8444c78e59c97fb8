"""The figures as a picture: an SVG without scripts or fonts of its own, for light and dark pages."""

import math
from collections.abc import Callable, Iterable, Mapping
from html import escape

from benchmarks.measures import Figures

WIDTH = 860
_LEFT, _RIGHT = 270, 790  # where bars begin and end; names stand before, values behind
_ROW = 26
_COLOURS = ("#2f81f7", "#d4731c", "#8a63d2", "#7d8590")
_STYLE = """
.card{fill:#fff;stroke:#d1d9e0}.ink{fill:#1f2328}.muted{fill:#59636e}.grid{stroke:#d1d9e0}
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.head{font-weight:600;font-size:15px}
@media (prefers-color-scheme:dark){.card{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.muted{fill:#9198a1}
.grid{stroke:#3d444d}}
"""


def draw(
    *,
    rates: Mapping[str, float],
    latencies: Mapping[str, Mapping[int, Figures]],
    cpu: Mapping[str, Mapping[str, float]],
) -> str:
    """Deploys a second, latencies by number of callers, microseconds by part, each by contestant.

    The first contestant of each is the one that stands out; at most four are told apart in the second.
    """
    bars, below = _bars(rates, top=34)
    ranges, below = _ranges(latencies, top=below + 42)
    stacks, below = _stacks(cpu, top=below + 42)
    summary = "; ".join(f"{name} {value:,.0f}" for name, value in rates.items())
    height = below + 16
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title summary">',
        '<title id="title">What a deploy costs</title>',
        f'<desc id="summary">Deploys a second with 64 callers: {escape(summary)}.</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        *bars,
        *ranges,
        *stacks,
        "</svg>\n",
    ]
    return "\n".join(parts)


def _bars(rates: Mapping[str, float], *, top: int) -> tuple[list[str], int]:
    drawn = [_text(20, top, "Deploys a second, 64 callers (more is better)", "ink head")]
    longest = max(rates.values())
    for row, (name, value) in enumerate(rates.items()):
        y, width = top + 18 + row * _ROW, value / longest * (_RIGHT - _LEFT)
        drawn += [_name(y, name), _rect(_LEFT, y, width, _COLOURS[0] if row == 0 else _COLOURS[3])]
        drawn.append(_text(_LEFT + width + 6, y + 13, f"{value:,.0f}", "ink"))
    return drawn, top + 18 + len(rates) * _ROW


def _ranges(latencies: Mapping[str, Mapping[int, Figures]], *, top: int) -> tuple[list[str], int]:
    drawn = [_text(20, top, "Latency in ms: p50 ●, p99 bar, p99.9 ○ (less is better)", "ink head")]
    drawn += _legend(top + 22, zip(latencies, _COLOURS, strict=False))
    every = [figures for each in latencies.values() for figures in each.values()]
    low = math.floor(math.log10(min(each.p50 for each in every)))
    high = math.ceil(math.log10(max(each.p999 for each in every)))
    ceiling, floor, left = top + 44, top + 224, 70

    def y(milliseconds: float) -> float:
        return floor - (math.log10(milliseconds) - low) / max(1, high - low) * (floor - ceiling)

    for power in range(low, high + 1):
        drawn.append(_line(left, y(10**power), WIDTH - 30, y(10**power), 'class="grid"'))
        drawn.append(_text(left - 8, y(10**power) + 4, f"{10.0**power:g}", "muted", anchor="end"))
    groups = sorted({callers for each in latencies.values() for callers in each})
    for group, callers in enumerate(groups):
        centre = left + (group + 0.5) * (WIDTH - 30 - left) / len(groups)
        drawn.append(
            _text(centre, floor + 20, f"{callers} caller{'s' * (callers > 1)}", "muted", anchor="middle")
        )
        for place, (each, colour) in enumerate(zip(latencies.values(), _COLOURS, strict=False)):
            if callers in each:
                x = centre + (place - (len(latencies) - 1) / 2) * 54
                drawn += _range(x, each[callers], colour, y)
    return drawn, floor + 24


def _range(x: float, figures: Figures, colour: str, y: Callable[[float], float]) -> list[str]:
    return [
        _line(x, y(figures.p50), x, y(figures.p999) + 4, f'stroke="{colour}" stroke-width="2"'),
        _line(x - 6, y(figures.p99), x + 6, y(figures.p99), f'stroke="{colour}" stroke-width="2"'),
        _dot(x, y(figures.p999), 4, f'fill="none" stroke="{colour}" stroke-width="2"'),
        _dot(x, y(figures.p50), 5, f'fill="{colour}"'),
        _text(x + 9, y(figures.p50) + 4, _number(figures.p50), "ink"),
    ]


def _stacks(cpu: Mapping[str, Mapping[str, float]], *, top: int) -> tuple[list[str], int]:
    drawn = [_text(20, top, "CPU a deploy in µs, 64 callers (less is better)", "ink head")]
    parts = list(dict.fromkeys(part for each in cpu.values() for part in each))
    drawn += _legend(top + 22, zip(parts, _COLOURS, strict=False))
    longest = max(sum(each.values()) for each in cpu.values())
    for row, (name, each) in enumerate(cpu.items()):
        y, x = top + 40 + row * _ROW, float(_LEFT)
        drawn.append(_name(y, name))
        for part, colour in zip(parts, _COLOURS, strict=False):
            width = each.get(part, 0.0) / longest * (_RIGHT - _LEFT)
            drawn.append(_rect(x, y, width, colour))
            x += width
        drawn.append(_text(x + 6, y + 13, f"{sum(each.values()):,.0f}", "ink"))
    return drawn, top + 40 + len(cpu) * _ROW


def _legend(y: int, entries: Iterable[tuple[str, str]]) -> list[str]:
    drawn, x = [], 20
    for name, colour in entries:
        drawn.append(_dot(x + 5, y - 4, 5, f'fill="{colour}"'))
        drawn.append(_text(x + 16, y, name, "muted"))
        x += 40 + 7 * len(name)
    return drawn


def _name(y: float, name: str) -> str:
    return _text(_LEFT - 10, y + 13, name, "ink", anchor="end")


def _rect(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="18" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, drawn: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {drawn}/>'


def _dot(x: float, y: float, radius: int, drawn: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {drawn}/>'


def _number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _text(x: float, y: float, words: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
