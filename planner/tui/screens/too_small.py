"""Shown while the terminal is too small to draw anything useful; what was there stays behind it."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widgets import Static

LEAST = Size(60, 15)
"""Columns and rows the app needs."""


def too_small(size: Size) -> bool:
    """Whether a terminal of that size is."""
    return size.width < LEAST.width or size.height < LEAST.height


class TooSmall(ModalScreen[None]):
    """Says which size is needed. Keys other than quit do nothing: nobody would see what they did."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,ctrl+c,ctrl+q", "app.quit", "Quit")]

    def on_screen_resume(self) -> None:
        """There may be room by now: it may have come while something else was in front."""
        if not too_small(self.app.size):
            self.dismiss()

    def compose(self) -> ComposeResult:
        """A few words in the middle."""
        yield Static(
            f"Make me larger:\n{LEAST.width} x {LEAST.height} or more.\nq quits.", id="too-small-text", markup=False
        )
