"""Draw estimated against measured speed of the scored rows as docs/speed.svg.

Run: python benchmarks/plot_speed.py
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.throughput_accuracy import Answer, answers
from benchmarks.throughput_rows import core_rows
from planner.catalog.loader import load

_PANEL, _MARGIN, _GAP = 420, 60, 70
_COLOURS = {
    "nvidia cuda": "#4c9f38",
    "nvidia vulkan": "#9fcf8f",
    "apple metal": "#7a7a7a",
    "amd rocm": "#d1495b",
    "amd vulkan": "#edae49",
    "amd shared rocm": "#8d3b72",
    "amd shared vulkan": "#c38d9e",
    "intel vulkan": "#0071c5",
}


class Panel:
    """One quantity: both axes logarithmic and the same, so that the diagonal is a right estimate."""

    def __init__(self, title: str, found: Sequence[Answer], left: float) -> None:
        self.title, self.found, self.left = title, found, left
        rates = [rate for answer in found for rate in (answer.mid, answer.row.rate)]
        self.low = 10.0 ** math.floor(math.log10(min(rates)))
        self.high = 10.0 ** math.ceil(math.log10(max(rates)))

    def x(self, rate: float) -> float:
        """Place of a rate across, in pixels."""
        return self.left + _PANEL * math.log(rate / self.low) / math.log(self.high / self.low)

    def y(self, rate: float) -> float:
        """Place of a rate down, in pixels."""
        return _MARGIN + _PANEL - (self.x(rate) - self.left)

    def lines(self) -> list[str]:
        """Frame, decades, the diagonal with factors of 1.25 around it, and a dot for each row."""
        right, bottom = self.left + _PANEL, _MARGIN + _PANEL
        drawn = [
            f'<rect x="{self.left}" y="{_MARGIN}" width="{_PANEL}" height="{_PANEL}" class="frame"/>',
            f'<text x="{self.left + _PANEL / 2}" y="{_MARGIN - 14}" class="title">{escape(self.title)}</text>',
            f'<text x="{self.left + _PANEL / 2}" y="{bottom + 38}">measured, tok/s</text>',
            f'<text transform="translate({self.left - 40} {_MARGIN + _PANEL / 2}) rotate(-90)">'
            "estimated, tok/s</text>",
        ]
        decade = self.low
        while decade <= self.high * 1.001:
            at_x, at_y = self.x(decade), self.y(decade)
            drawn += [
                f'<path d="M{at_x:.1f} {_MARGIN}V{bottom}M{self.left} {at_y:.1f}H{right}" class="grid"/>',
                f'<text x="{at_x:.1f}" y="{bottom + 18}">{decade:g}</text>',
                f'<text x="{self.left - 6}" y="{at_y + 4:.1f}" class="end">{decade:g}</text>',
            ]
            decade *= 10
        for factor, kind in ((1.0, "right"), (1.25, "near"), (0.8, "near")):
            first, last = max(self.low, self.low / factor), min(self.high, self.high / factor)
            drawn.append(
                f'<path d="M{self.x(first):.1f} {self.y(first * factor):.1f}'
                f'L{self.x(last):.1f} {self.y(last * factor):.1f}" class="{kind}"/>'
            )
        for answer in self.found:
            place = f'cx="{self.x(answer.row.rate):.1f}" cy="{self.y(answer.mid):.1f}"'
            colour, moe = _COLOURS[answer.row.backend], answer.row.arch.is_moe
            paint = f'fill="none" stroke="{colour}" stroke-width="1.3"' if moe else f'fill="{colour}"'
            text = escape(f"{answer.row.name}: {answer.row.model.id} {answer.row.variant.quant}")
            drawn.append(f'<circle {place} r="3.2" {paint} opacity="0.75"><title>{text}</title></circle>')
        return drawn


def picture() -> str:
    """The whole drawing."""
    shipped = load().speed
    left, panels = float(_MARGIN + 10), []
    for title, metric in (("Generation", "tg"), ("Prompt processing", "pp")):
        chosen = core_rows("tg" if metric == "tg" else "pp")
        panels.append(Panel(f"{title}: {len(chosen)} rows", answers(chosen, lambda _: shipped), left))
        left += _PANEL + _GAP
    width, height = left, _MARGIN + _PANEL + 90
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="sans-serif" '
        'font-size="12" text-anchor="middle">',
        "<style>.frame{fill:none;stroke:#888}.grid{stroke:#ddd;fill:none}.right{stroke:#333}"
        ".near{stroke:#333;stroke-dasharray:3 4}.title{font-size:15px;font-weight:bold}.end{text-anchor:end}</style>",
        f'<rect width="{width:.0f}" height="{height}" fill="white"/>',
        *(line for panel in panels for line in panel.lines()),
    ]
    for index, (name, colour) in enumerate(_COLOURS.items()):
        x, y = _MARGIN + 20 + index * 112, height - 22
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 8}" y="{y}" text-anchor="start">{name}</text>')
    parts.append(
        f'<text x="{width / 2:.0f}" y="{height - 4}">rings: mixtures of experts; dashed: a factor of 1.25</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the picture."""
    path = Path(__file__).resolve().parents[1] / "docs" / "speed.svg"
    path.write_text(picture(), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
