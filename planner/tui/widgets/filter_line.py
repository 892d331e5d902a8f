"""The filters as they stand, each with the key that changes it; a click does the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content, Span
from textual.style import Style

from planner.tui.columns import MUTED, lines
from planner.tui.widgets.fitted import Fitted
from planner.units import printable

_GAP = 2


@dataclass(frozen=True)
class Item:
    """`key` for people, what it is about, what it says now (`set_`: other than usual), the action of a click."""

    key: str
    about: str
    says: str
    action: str
    is_set: bool = False


class FilterLine(Fitted):
    """As many lines as it takes."""

    items: Sequence[Item] = ()

    def on_mount(self) -> None:
        """A click is a convenience here, not a link: the colours say which part is the key."""
        self.auto_links = False

    def show(self, items: Sequence[Item]) -> None:
        """New values."""
        if list(items) != list(self.items):
            self.items = items
            self.redraw()

    def draw(self, width: int) -> Content:
        """The items, broken between them."""
        rows: list[list[Content]] = [[]]
        used = 0
        for item in self.items:
            part = _part(item)
            cells = cell_len(part.plain)
            if rows[-1] and used + _GAP + cells > width:
                rows.append([])
                used = 0
            used += cells + (_GAP if rows[-1] else 0)
            rows[-1].append(part)
        return lines([Content(" " * _GAP).join(row) for row in rows])


def _part(item: Item) -> Content:
    about = f" {item.about} " if item.about else " "
    found = Content.assemble(
        (item.key, "bold $primary"), (about, MUTED), (printable(item.says), "bold" if item.is_set else "")
    )
    click = Style.from_meta({"@click": f"screen.{item.action}"})
    return Content(found.plain, [*found.spans, Span(0, len(found.plain), click)])
