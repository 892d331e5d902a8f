"""A text whose layout depends on its width: redrawn when that changes."""

from rich.cells import cell_len
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from planner.tui.marks import UNICODE, Marks


class Fitted(Static):
    """Subclasses say what to draw in a number of cells, and call `redraw` when their values change."""

    def __init__(self, *, id: str | None = None, marks: Marks = UNICODE) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, markup=False)
        self.marks = marks
        self._drawn_width = 0

    def draw(self, width: int) -> Content:
        """The content for a width in cells."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Draw again with the values of now."""
        width = self.content_size.width
        self._drawn_width = width  # 0 while it is hidden: it is drawn when it is shown
        if width > 0:
            put(self, self.draw(width))

    def on_resize(self, _event: Resize) -> None:
        """Lay out anew when the width changed; a change of height alone is our own doing."""
        if self.content_size.width != self._drawn_width:
            self.redraw()


def put(static: Static, content: Content) -> None:
    """Show it with as little work as it needs: none when it is there already, no new layout at the same height.

    A layout of the whole screen is most of what a key costs.
    """
    before, size = static.content, static.content_size
    rows = content.plain.split("\n")
    stays = len(rows) == size.height and all(cell_len(row) <= size.width for row in rows)
    if not (stays and isinstance(before, Content) and content.is_same(before)):
        static.update(content, layout=not stays)
