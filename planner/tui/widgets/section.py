"""A part of a page under a heading, laid out for its width; one without content is not there."""

from collections.abc import Callable

from textual.content import Content

from planner.tui.marks import Marks
from planner.tui.widgets.fitted import Fitted

Write = Callable[[int], Content | None]
"""The content for a width in cells; None where there is nothing to say."""


class Section(Fitted):
    """`heading` above a rule; `write` is called again whenever the width changes."""

    DEFAULT_CSS = """
    Section {
        height: auto;
        padding: 0 1;
        border-top: solid $panel;
        border-title-color: $primary;
        border-title-style: bold;
        border-title-align: left;
    }
    """

    def __init__(self, heading: str, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, marks=marks)
        if heading:
            self.border_title = heading
        self._write: Write = lambda _: None
        self.display = False

    def show(self, write: Write) -> None:
        """Another content."""
        self._write = write
        self.display = self._write(80) is not None
        self._drawn_width = 0
        self.redraw()

    def draw(self, width: int) -> Content:
        """What there is to say."""
        return self._write(width) or Content("")
