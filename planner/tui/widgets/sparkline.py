"""A row of numbers as a row of bars, one cell each."""

from collections.abc import Sequence

from planner.tui.marks import ASCII, Marks

_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.-=+*%#"


def sparkline(values: Sequence[float], width: int, marks: Marks, *, most: float | None = None) -> str:
    """The last `width` values, each against the greatest of them (or `most`); the lowest bar is for nothing at all.

    Shorter than `width` where there are fewer values; the newest is at the right.
    """
    shown = [max(0.0, value) for value in values[-width:]] if width > 0 else []
    bars = _ASCII_BARS if marks == ASCII else _BARS
    top = max([*shown, most or 0.0], default=0.0)
    if top <= 0:
        return bars[0] * len(shown)
    # Anything above nothing is seen to be.
    steps = [0 if value <= 0 else max(1, round(value / top * (len(bars) - 1))) for value in shown]
    return "".join(bars[step] for step in steps)
