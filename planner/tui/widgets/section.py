"""A part of a page under a heading, laid out for its width; one without content is not there."""

from collections.abc import Callable

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

Write = Callable[[int], Content | None]
"""The content for a width in cells; None where there is nothing to say."""


class Section(Widget):
    """`heading` above a rule. `write` is called while the page is laid out, so that no frame is without its text."""

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

    def __init__(self, heading: str, *, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        if heading:
            self.border_title = heading
        self._write: Write = lambda _: None
        self._written: tuple[int, Content] = (0, Content(""))
        self.display = False

    def show(self, write: Write) -> None:
        """Another content."""
        self._write = write
        self._written = (0, Content(""))
        self.display = write(80) is not None
        self.refresh(layout=True)

    def _content(self, width: int) -> Content:
        if width > 0 and self._written[0] != width:
            self._written = (width, self._write(width) or Content(""))
        return self._written[1]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it takes in that width."""
        del container, viewport
        return self._content(width).get_height({}, max(1, width))

    def render(self) -> Content:
        """What there is to say."""
        return self._content(self.content_size.width)
