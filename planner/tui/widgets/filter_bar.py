"""The filters of a list in a line: each with its key; those that are on stand out, a click does what the key does."""

from collections.abc import Sequence
from typing import NamedTuple

from textual.content import Content, Span
from textual.style import Style

from planner.tui.columns import GAP, MUTED, lines
from planner.tui.widgets.fitted import Fitted


class Filter(NamedTuple):
    """A filter: its key, the action of the screen behind it, what it says long and short, whether it is on."""

    key: str
    action: str
    text: str
    short: str
    on: bool


class FilterBar(Fitted):
    """In as many lines as it takes, with short words where that saves lines."""

    filters: Sequence[Filter] = ()

    def on_mount(self) -> None:
        """The colours say what is on; those of links would hide it."""
        self.auto_links = False

    def show(self, filters: Sequence[Filter]) -> None:
        """Other values."""
        if tuple(filters) != self.filters:
            self.filters = tuple(filters)
            self.redraw()

    def draw(self, width: int) -> Content:
        """Chips, broken between them."""
        long = [self._chip(item, item.text) for item in self.filters]
        short = [self._chip(item, item.short) for item in self.filters]
        return lines(_rows(long if len(_rows(long, width)) <= len(_rows(short, width)) else short, width))

    def _chip(self, item: Filter, text: str) -> Content:
        sign = f"{self.marks.done} " if item.on else ""
        whole = f"{item.key} {sign}{text}"
        click = Span(0, len(whole), Style.from_meta({"@click": f"screen.{item.action}"}))
        key = Span(0, len(item.key), "bold $primary")
        rest = Span(len(item.key), len(whole), "bold $text-success" if item.on else MUTED)
        return Content(whole, [key, rest, click])


def _rows(chips: Sequence[Content], width: int) -> list[Content]:
    rows: list[list[Content]] = [[]]
    used = 0
    for chip in chips:
        size = chip.cell_length
        if rows[-1] and used + GAP + size > width:
            rows.append([])
            used = 0
        used += size + (GAP if rows[-1] else 0)
        rows[-1].append(chip)
    return [Content(" " * GAP).join(row) for row in rows]
