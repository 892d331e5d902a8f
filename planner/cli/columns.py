"""Tables that fit a terminal: long texts give way to short ones, then columns are left out, then texts are cut.

A line never wraps. Without a terminal there is no width to keep to.
"""

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from planner.units import printable

GAP = 2
_PROSE = 100
"""The longest line of running text, in cells."""


class Column(NamedTuple):
    """A column and what gives way where room is short.

    `minimum` > 0: texts may be cut to that many cells. `leaves` > 0: may be left out, the highest number first.
    """

    title: str
    right: bool = False
    minimum: int = 0
    leaves: int = 0
    short_title: str = ""


Cell = str | tuple[str, str]
"""A text, or a long form and a short one."""


def terminal_width() -> int | None:
    """Cells of a line: COLUMNS where it is set, else the terminal's; None where stdout is not a terminal."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def cells(text: str) -> int:
    """How many cells of a terminal a text takes: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def lay_out(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int | None) -> list[str]:
    """Headings and rows as lines of at most `width` cells."""
    titles: list[Cell] = [(column.title, column.short_title or column.title) for column in columns]
    forms = [[_forms(cell) for cell in row] for row in (titles, *rows)]
    natural = [[max(cells(row[i][form]) for row in forms) for form in (0, 1)] for i in range(len(columns))]
    least = [min(natural[i][1], columns[i].minimum or natural[i][1]) for i in range(len(columns))]
    kept = _kept(columns, least, width)
    form = dict.fromkeys(kept, 1)
    widths = {i: natural[i][1] for i in kept}
    for i in kept:  # the long form again, where it fits after all
        if width is None or _total(widths) - widths[i] + natural[i][0] <= width:
            form[i], widths[i] = 0, natural[i][0]
    if width is not None:
        _cut(columns, widths, least, width)
    lines = []
    for row in forms:
        parts = []
        for i in kept:
            text = shorten(row[i][form[i]], widths[i])
            pad = " " * (widths[i] - cells(text))
            parts.append(pad + text if columns[i].right else text + pad)
        lines.append((" " * GAP).join(parts).rstrip())
    return lines


def _forms(cell: Cell) -> tuple[str, str]:
    long, short = (cell, cell) if isinstance(cell, str) else cell
    return " ".join(printable(long).split()), " ".join(printable(short).split())


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * (len(widths) - 1)


def _kept(columns: Sequence[Column], least: Sequence[int], width: int | None) -> list[int]:
    kept = list(range(len(columns)))
    while width is not None and sum(least[i] for i in kept) + GAP * (len(kept) - 1) > width:
        worst = max((columns[i].leaves for i in kept), default=0)
        if not worst:
            break
        kept = [i for i in kept if columns[i].leaves != worst]
    return kept


def _cut(columns: Sequence[Column], widths: dict[int, int], least: Sequence[int], width: int) -> None:
    """Take cells from the widest column that may give some; where that is not enough, from the widest of all."""
    while (excess := _total(widths) - width) > 0:
        giving = [i for i in widths if columns[i].minimum and widths[i] > least[i]]
        giving = giving or [i for i in widths if widths[i] > 1]
        if not giving:
            return
        widest = max(giving, key=lambda i: widths[i])
        widths[widest] -= min(excess, max(1, widths[widest] - least[widest]))


def shorten(text: str, width: int) -> str:
    """The text in at most `width` cells; a last word of three letters or less is kept, for it qualifies the rest."""
    if cells(text) <= width:
        return text
    head, _, last = text.rpartition(" ")
    tail = f" {last}" if head and cells(last) <= 3 and width >= 12 else ""
    while text and cells(text) + cells(tail) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…" + tail if width else ""


def wrapped(text: str, width: int | None, *, first: str = "", indent: str = "") -> list[str]:
    """Running text in lines, the first behind `first`, the others behind `indent`."""
    return textwrap.wrap(
        " ".join(printable(text).split()),
        min(width or _PROSE, _PROSE),
        initial_indent=first,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def note_lines(text: str, width: int | None) -> list[str]:
    """A paragraph, two cells in, further lines four."""
    return wrapped(text, width, first="  ", indent="    ")
