"""The first line: whose app this is, and what is going on."""

from rich.cells import cell_len
from textual.content import Content

from planner import __version__
from planner.tui.columns import MUTED, shorten
from planner.tui.widgets.fitted import Fitted


class TitleBar(Fitted):
    """Name at the left, status at the right."""

    status = ""

    def show(self, status: str) -> None:
        """A new status."""
        if status != self.status:
            self.status = status
            self.redraw()

    def draw(self, width: int) -> Content:
        """One line."""
        name = "planner"
        version = f" {__version__}"
        status = shorten(self.status, max(0, width - len(name) - len(version) - 2), self.marks.ellipsis)
        gap = " " * max(1, width - len(name) - len(version) - cell_len(status))
        return Content.assemble((name, "bold $primary"), (version, MUTED), gap, status)
