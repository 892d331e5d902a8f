"""A list of things, each drawn for the width there is; when it changes, the highlight stays on the same thing."""

from collections.abc import Sequence

from textual.containers import Vertical
from textual.events import Resize
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from planner.tui.marks import Marks

FRAME = 3
"""Cells a line of the list cannot use: its padding and a scrollbar."""


class FittedList(Vertical):
    """Subclasses compose an option list and draw its options in `draw`."""

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.marks = marks
        self._drawn_width = 0

    def draw(self, width: int) -> None:
        """Lay everything out in lines of `width` cells."""
        raise NotImplementedError

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _refill(self, names: Sequence[object], before: object, *, otherwise: int = 0) -> None:
        """Make an option for each name; `before` stays highlighted, else the place `otherwise`, as far as it goes."""
        options = self._list
        options.clear_options()
        options.add_options([Option("") for _ in names])
        place = names.index(before) if before in names else min(otherwise, len(names) - 1)
        options.highlighted = place if names else None

    def redraw(self) -> None:
        """Lay out for the width of now."""
        width = self.content_size.width - FRAME
        if width > 0:
            self._drawn_width = width
            self.draw(width)

    def on_resize(self, _event: Resize) -> None:
        """Lay out anew when the width changed."""
        if self.content_size.width - FRAME != self._drawn_width:
            self.redraw()
