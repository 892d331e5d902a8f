"""Every key of every screen, searchable, and what the signs mean."""

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from planner.tui.columns import MUTED, hanging, lines
from planner.tui.figures import COMPONENTS
from planner.tui.keys import Group
from planner.tui.marks import Marks
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.memory_bars import STYLES

_MEANINGS = (
    "the model's file in memory",
    "what the model remembers of the context",
    "working space of one step",
    "the process around it",
)
_WORDS = (
    "Estimates are for the memory that is free now, less 5 % for comfort. Speeds are ranges that hold the truth "
    "8 times out of 10. KV cache and compute are llama.cpp's words."
)
_KEY_CELLS = 16
"""Of the column of keys; a longer name pushes its words to the right."""


class KeyList(Fitted):
    """Groups of keys, less those that a search leaves out."""

    groups: Sequence[Group] = ()
    wanted = ""

    def draw(self, width: int) -> Content:
        """Key, what it does."""
        words = self.wanted.casefold().split()
        key_cells = max((len(key.keys) for group in self.groups for key in group.keys), default=0)
        key_cells = min(key_cells, _KEY_CELLS)
        parts: list[Content] = []
        for group in self.groups:
            kept = [
                key
                for key in group.keys
                if all(word in f"{group.title} {key.keys} {key.what}".casefold() for word in words)
            ]
            if not kept:
                continue
            parts += [Content(""), Content.styled(group.title, "bold $primary")]
            parts += [_line(key.keys, key.what, key_cells, width) for key in kept]
        if not words:
            parts += [Content(""), Content.styled("Memory bars", "bold $primary"), *self._signs(key_cells)]
            parts += [Content(""), hanging(" ", _WORDS, width)]
        if not parts:
            parts = [Content(""), Content.styled(f"No key does “{self.wanted.strip()}”. Escape shows all.", MUTED)]
        return lines(parts[1:])

    def _signs(self, key_cells: int) -> list[Content]:
        marks = self.marks
        signs = (marks.weights, marks.kv_cache, marks.compute, marks.overhead, marks.free)
        names = (*COMPONENTS, "free")
        meanings = (*_MEANINGS, "what stays free of the budget")
        return [
            Content.assemble((sign * 2, style), f" {name}".ljust(key_cells - 1), f" {what}")
            for sign, style, name, what in zip(signs, (*STYLES, MUTED), names, meanings, strict=True)
        ]


def _line(keys: str, what: str, key_cells: int, width: int) -> Content:
    body = textwrap.wrap(what, max(10, width - key_cells - 2)) or [""]
    return Content.assemble((keys.ljust(key_cells), "bold"), "  ", ("\n" + " " * (key_cells + 2)).join(body))


class Help(ModalScreen[None]):
    """`groups` of keys, the most useful first. A search narrows them; escape undoes it, then closes."""

    CSS_PATH = "help.tcss"
    AUTO_FOCUS = "#help-list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Close"),
        Binding("q,question_mark,enter", "dismiss", "Close"),
        Binding("slash", "search", "Search"),
        Binding("ctrl+c", "app.quit", show=False, priority=True),
    ]

    def __init__(self, groups: Sequence[Group], *, marks: Marks) -> None:
        super().__init__()
        self._groups = groups
        self._marks = marks

    def compose(self) -> ComposeResult:
        """A search above a scrolling list."""
        with Vertical(id="help-box") as box:
            box.border_title = "Help"
            box.border_subtitle = "/ searches, escape closes"
            yield Input(placeholder="/ to search the keys", id="help-search", compact=True)
            with VerticalScroll(id="help-list"):
                keys = KeyList(id="help-keys", marks=self._marks)
                keys.groups = self._groups
                yield keys

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        keys = self.query_one(KeyList)
        keys.wanted = event.value
        keys.redraw()
        self.query_one("#help-list").scroll_home(animate=False)

    @on(Input.Submitted)
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#help-list").focus()

    def action_search(self) -> None:
        """Type to narrow."""
        self.query_one(Input).focus()

    def action_back(self) -> None:
        """First the search, then the help."""
        search = self.query_one(Input)
        if search.has_focus or search.value:
            search.value = ""
            self.query_one("#help-list").focus()
        else:
            self.dismiss()
