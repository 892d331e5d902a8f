"""One of many is chosen: what is typed narrows the list, enter takes the highlighted line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from planner.tui.columns import MUTED, Cell, Column, Table
from planner.tui.marks import Marks

_SHOWN = 200
"""More lines than anyone reads; typing narrows them."""
_COLUMNS = (Column("", minimum=20), Column("", minimum=10, leaves=1), Column("", right=True))


@dataclass(frozen=True)
class Line:
    """A line: what choosing it answers, its name, a word about it, a figure."""

    answer: str
    name: str
    about: str = ""
    figure: str = ""

    @property
    def text(self) -> str:
        """What a search looks into."""
        return f"{self.name} {self.about}".casefold()


def narrowed(choices: Sequence[Line], typed: str) -> tuple[Line, ...]:
    """The lines with every word that was typed; those whose name begins with it come first."""
    words = typed.casefold().split()
    found = [choice for choice in choices if all(word in choice.text for word in words)]
    if not words:
        return tuple(found)
    whole = " ".join(words)
    return tuple(sorted(found, key=lambda choice: (not choice.name.casefold().startswith(whole), len(choice.name))))


class Pick(ModalScreen[str | None]):
    """`free` offers what was typed as an answer too, with these words. Escape answers None."""

    CSS_PATH = "pick.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Back", tooltip="choose nothing"),
        Binding("up", "move('cursor_up')", show=False),
        Binding("down", "move('cursor_down')", show=False),
        Binding("pageup", "move('page_up')", show=False),
        Binding("pagedown", "move('page_down')", show=False),
    ]

    def __init__(self, title: str, choices: Sequence[Line], *, free: str = "", typed: str = "", marks: Marks) -> None:
        super().__init__()
        self._title = title
        self._choices = tuple(choices)
        self._free = free
        self._typed = typed
        self._marks = marks
        self._found: tuple[Line, ...] = ()

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Vertical(id="pick-box") as box:
            box.border_title = self._title
            box.border_subtitle = "enter takes it, escape goes back"
            yield Input(value=self._typed, placeholder="type to search", id="pick-text", compact=True)
            yield OptionList(id="pick-list", compact=True, markup=False)
            yield Static(id="pick-empty", markup=False)

    def on_mount(self) -> None:
        """All lines."""
        self.query_one(Input).focus()
        self.call_after_refresh(self._narrow, self._typed)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        found = narrowed(self._choices, typed)
        plain = " ".join(typed.split())
        exact = any(choice.name.casefold() == plain.casefold() for choice in found)
        if self._free and plain and not exact:
            found = (*found, Line(plain, f"{self._free} “{plain}”"))
        self._found = found[:_SHOWN]
        options, empty = self.query_one(OptionList), self.query_one("#pick-empty", Static)
        rows = [(choice.name, Cell(choice.about, MUTED), choice.figure) for choice in self._found]
        table = Table(_COLUMNS, rows, max(20, options.size.width - 4), ellipsis=self._marks.ellipsis, header=False)
        options.clear_options()
        options.add_options([Option(line) for line in table.lines])
        options.highlighted = 0 if self._found else None
        options.display = bool(self._found)
        more = len(found) - len(self._found)
        empty.update("Nothing has these words." if not self._found else f"and {more} more" if more > 0 else "")
        empty.display = not self._found or more > 0

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._answer(self.query_one(OptionList).highlighted)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._answer(event.option_index)

    def _answer(self, index: int | None) -> None:
        if index is not None and index < len(self._found):
            self.dismiss(self._found[index].answer)

    def action_move(self, way: str) -> None:
        """Through the list, while the text keeps the focus."""
        getattr(self.query_one(OptionList), f"action_{way}")()
