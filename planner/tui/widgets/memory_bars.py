"""The memory of a plan by component: a stacked bar per device, and a legend with the sums."""

from textual.content import Content

from planner.core.pairs.recommendation import Recommendation
from planner.tui.columns import GAP, MUTED, lines
from planner.tui.figures import COMPONENTS, DeviceBar, cells_of, device_bars
from planner.tui.marks import Marks
from planner.units import format_gib

STYLES = ("$primary", "$success", "$warning", "$accent")
"""A colour per component; its sign differs as well."""


def memory_bars(recommendation: Recommendation, width: int, marks: Marks, *, thick: int = 1) -> Content:
    """Bars in `width` cells, each `thick` lines high."""
    bars = device_bars(recommendation)
    names = max((len(bar.device) for bar in bars), default=0)
    texts = [_text(bar) for bar in bars]
    widest = max(map(len, texts), default=0)
    room = max(8, width - names - widest - 2 * GAP)
    rows = [
        Content.assemble(
            ((bar.device if line == 0 else "").ljust(names), "bold"),
            " " * GAP,
            _bar(bar, room, marks),
            " " * GAP,
            text.rjust(widest) if line == 0 else "",
        )
        for bar, text in zip(bars, texts, strict=True)
        for line in range(thick)
    ]
    return lines([*rows, *_legend(bars, width, marks)])


def _bar(bar: DeviceBar, width: int, marks: Marks) -> Content:
    cells = cells_of(bar.parts_bytes, bar.budget_bytes or bar.total_bytes, width)
    signs = _signs(marks)
    parts = [
        Content.styled(sign * count, style) for sign, style, count in zip(signs, STYLES, cells, strict=True) if count
    ]
    return Content("").join([*parts, Content.styled(marks.free * (width - sum(cells)), MUTED)])


def _text(bar: DeviceBar) -> str:
    if bar.budget_bytes is None or bar.free_bytes is None:
        return f"{format_gib(bar.total_bytes)}, budget unknown"
    free = format_gib(bar.free_bytes)
    return f"{format_gib(bar.total_bytes)} of {format_gib(bar.budget_bytes)}, {free:>8} free"


def _legend(bars: tuple[DeviceBar, ...], width: int, marks: Marks) -> list[Content]:
    """What the signs mean, with sums over the devices; broken between entries."""
    sums = [sum(bar.parts_bytes[i] for bar in bars) for i in range(len(COMPONENTS))]
    entries = [
        (sign, style, f" {name} {format_gib(size)}")
        for sign, style, name, size in zip(_signs(marks), STYLES, COMPONENTS, sums, strict=True)
    ]
    rows: list[list[tuple[str, str, str]]] = [[]]
    used = 0
    for entry in [*entries, (marks.free, MUTED, " free")]:
        size = len(entry[0]) + len(entry[2]) + GAP
        if rows[-1] and used + size - GAP > width:
            if entry[0] == marks.free:
                break  # the figures beside the bars say it already
            rows.append([])
            used = 0
        rows[-1].append(entry)
        used += size
    return [
        Content(" " * GAP).join([Content.assemble((sign, style), text) for sign, style, text in row]) for row in rows
    ]


def _signs(marks: Marks) -> tuple[str, str, str, str]:
    return (marks.weights, marks.kv_cache, marks.compute, marks.overhead)
