"""Every key, and what the signs mean."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from planner.tui.columns import MUTED
from planner.tui.figures import COMPONENTS
from planner.tui.marks import Marks
from planner.tui.widgets.memory_bars import STYLES

KEYS: Sequence[tuple[str, str]] = (
    ("up, down", "look at another plan"),
    ("enter, u", "fetch and launch the plan"),
    ("t", "fetch and launch the starter pair (about 0.2 GB)"),
    ("l", "see the launch and its log"),
    ("c", "there: cancel it; what was downloaded is kept"),
    ("s, delete", "stop a deployment; asks first"),
    ("r", "look at the machine again and plan anew"),
    ("tab", "go to the next part of the screen"),
    ("escape", "back"),
    ("ctrl+p", "commands and themes"),
    ("?", "this help"),
    ("q, ctrl+c", "quit; what is running keeps running"),
)


class Help(ModalScreen[None]):
    """Closed by escape, q or the key that opened it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter", "dismiss", "Close")]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__()
        self._marks = marks

    def compose(self) -> ComposeResult:
        """A box with a scrolling text."""
        with VerticalScroll(id="help-box") as box:
            box.border_title = "Help"
            box.border_subtitle = "escape closes"
            yield Static(self._text(), markup=False)

    def _text(self) -> Content:
        marks = self._marks
        width = max(len(key) for key, _ in KEYS)
        keys = [Content.assemble((key.ljust(width), "bold"), "  ", what) for key, what in KEYS]
        signs = (marks.weights, marks.kv_cache, marks.compute, marks.overhead)
        meanings = (
            "the model's file in memory",
            "what the model remembers of the context",
            "working space of one step",
            "the process around it",
        )
        parts = [
            Content.assemble((sign * 2, style), f"  {name.ljust(9)} {what}")
            for sign, style, name, what in zip(signs, STYLES, COMPONENTS, meanings, strict=True)
        ]
        free = Content.assemble((marks.free * 2, MUTED), f"  {'free'.ljust(9)} what stays free of the budget")
        words = Content(
            "Estimates are for the memory that is free now, less 5 % for comfort. Speeds are ranges that "
            "hold the truth 8 times out of 10. KV cache and compute are llama.cpp's words."
        )
        return Content("\n").join([*keys, Content(""), *parts, free, Content(""), words])
