"""Aligned columns that fit a width: names are shortened first, then whole columns are left out."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from textual.content import Content, Span

from planner.units import printable

GAP = 2
_LEAST = 8
MUTED = "$foreground 60%"
"""The style of what is read second."""


@dataclass(frozen=True)
class Column:
    """A column and what gives way where room is short.

    `minimum` > 0: may be shortened to that many cells. `leaves` > 0: may be left out, the highest number first;
    columns of one number go together. `middle`: a text that is too long loses its middle.
    """

    title: str
    right: bool = False
    minimum: int = 0
    leaves: int = 0
    middle: bool = False


@dataclass(frozen=True)
class Cell:
    """Text (untrusted: it is never read as markup) and a style."""

    text: str
    style: str = ""


Row = Sequence[Cell | str]


class Layout:
    """Columns in `width` cells, for rows whose cells are at most `natural` wide. `header` is ready to be shown."""

    def __init__(self, columns: Sequence[Column], natural: Sequence[int], width: int, *, ellipsis: str = "…") -> None:
        kept = _kept(columns, natural, width)
        widths = _fitted(columns, natural, kept, width)
        self.shape = tuple((i, columns[i], widths[i]) for i in kept)
        """Of each column that is shown: its position, itself, its width."""
        self._ellipsis = ellipsis
        self.header = self.line([Cell(c.title, MUTED) for c in columns])

    def line(self, row: Row) -> Content:
        """A row, with a cell for every column, those that are left out included."""
        text: list[str] = []
        spans: list[Span] = []
        end = 0
        for index, column, width in self.shape:
            cell = _cell(row[index])
            shown = (shorten_middle if column.middle else shorten)(cell.text, width, self._ellipsis)
            pad = " " * (width - cell_len(shown))
            before = (" " * GAP if text else "") + (pad if column.right else "")
            start = end + len(before)
            if cell.style:
                spans.append(Span(start, start + len(shown), cell.style))
            text += (before, shown, "" if column.right else pad)
            end = start + len(shown) + (0 if column.right else len(pad))
        return Content("".join(text), spans)


class Table:
    """Rows laid out in `width` cells. `header` and `lines` are ready to be shown."""

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Row], width: int, *, ellipsis: str = "…", header: bool = True
    ) -> None:
        cells = [[_cell(cell) for cell in row] for row in rows]
        natural = [
            max([cell_len(c.title) if header else 0, *(cell_len(row[i].text) for row in cells)])
            for i, c in enumerate(columns)
        ]
        layout = Layout(columns, natural, width, ellipsis=ellipsis)
        self.header = layout.header
        self.lines = [layout.line(row) for row in cells]


def _cell(cell: Cell | str) -> Cell:
    text, style = (cell, "") if isinstance(cell, str) else (cell.text, cell.style)
    if text.isprintable() and "  " not in text and text == text.strip():
        return cell if isinstance(cell, Cell) else Cell(text, style)
    return Cell(" ".join(printable(text).split()), style)


def _kept(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    kept = list(range(len(columns)))
    while True:
        least = sum(min(natural[i], columns[i].minimum or natural[i]) for i in kept) + GAP * (len(kept) - 1)
        worst = max((columns[i].leaves for i in kept), default=0)
        if least <= width or worst == 0:
            return kept
        kept = [i for i in kept if columns[i].leaves != worst]


def _fitted(columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int], width: int) -> dict[int, int]:
    """Take cells from the widest column that may give some, until all fit; below its minimum only at the last."""
    widths = {i: natural[i] for i in kept}
    excess = sum(widths.values()) + GAP * (len(kept) - 1) - width
    for lowest in (width, _LEAST):
        while excess > 0:
            giving = [i for i in kept if columns[i].minimum and widths[i] > min(columns[i].minimum, lowest)]
            if not giving:
                break
            widths[max(giving, key=lambda i: widths[i])] -= 1
            excess -= 1
    return widths


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most `width` cells; what is cut is the middle, because names differ at both ends."""
    if cell_len(text) <= width:
        return text
    if width < 4:
        return set_cell_size(text, max(width, 0))
    head, _, tail = text.rpartition(" ")
    tail = f" {tail}" if head and cell_len(tail) + 6 <= width else ""
    return set_cell_size(text, width - 1 - cell_len(tail)).rstrip() + ellipsis + tail


def shorten_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most `width` cells; names of models differ at both ends, so both are kept."""
    if cell_len(text) <= width or width < 8:
        return shorten(text, width, ellipsis)
    tail = width // 2 - 1
    end = text[-tail:]
    while cell_len(end) > tail:
        end = end[1:]
    return set_cell_size(text, width - 1 - cell_len(end)) + ellipsis + end


def hanging(mark: str, text: str, width: int, style: str = "") -> Content:
    """A paragraph of untrusted text behind a mark, its further lines indented."""
    indent = " " * (cell_len(mark) + 1)
    lines = textwrap.wrap(
        " ".join(printable(text).split()), max(10, width - len(indent)), break_on_hyphens=False
    ) or [""]
    body = ("\n" + indent).join(lines)
    return Content.assemble((mark, style or MUTED), " ", (body, style))


def lines(parts: Sequence[Content]) -> Content:
    """Contents one below the other."""
    return Content("\n").join(parts)
