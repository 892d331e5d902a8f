"""One line of text is asked for; what is wrong with it is said below it, at once."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from planner.errors import PlannerError


class Ask(ModalScreen[str | None]):
    """`check` turns what was typed into the answer, or raises PlannerError with what is wrong. Escape gives none."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back", tooltip="leave it as it is")]

    def __init__(self, question: str, example: str, check: Callable[[str], str]) -> None:
        super().__init__()
        self._question = question
        self._example = example
        self._check = check

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with Vertical(id="ask-box"):
            yield Static(self._question, id="ask-question", markup=False)
            yield Input(placeholder=self._example, id="ask-text", compact=True)
            yield Static("enter takes it, escape goes back", id="ask-words", markup=False)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.query_one("#ask-words", Static).update("enter takes it, escape goes back")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self.dismiss(None)
            return
        try:
            answer = self._check(event.value)
        except PlannerError as error:
            self.query_one("#ask-words", Static).update(f"{error.message} {error.hint}".strip())
        else:
            self.dismiss(answer)
