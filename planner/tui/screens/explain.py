"""Where a number comes from: the arithmetic of an estimate, the source and date of a score."""

import textwrap
from collections.abc import Callable, Iterator
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen

from planner.tui.columns import MUTED, hanging, lines
from planner.tui.data.explain import Explanation, Part
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.widgets.fitted import Fitted
from planner.tui.workers import in_background
from planner.units import printable

What = str | Explanation | Callable[[], Explanation]
"""A text, an explanation, or what makes one in the background."""


class Explained(Message):
    """The explanation is there, or the reason why there is none."""

    def __init__(self, found: Explanation | Problem) -> None:
        super().__init__()
        self.found = found


class _Text(Fitted):
    """Parts under headings, in the width there is."""

    found: Explanation | Problem | None = None

    def draw(self, width: int) -> Content:
        """Everything; numbers in columns stay in their columns."""
        if self.found is None:
            return Content.styled(f"reckoning {self.marks.ellipsis}", MUTED)
        if isinstance(self.found, Problem):
            words = [hanging(self.marks.failed, self.found.message, width, "$text-error")]
            return lines([*words, hanging(self.marks.arrow, self.found.hint, width)] if self.found.hint else words)
        rows: list[Content] = []
        for part in self.found.parts:
            if rows:
                rows.append(Content(""))
            if part.heading:
                rows.append(Content.styled(printable(part.heading), "bold $primary"))
            rows += _lines(part, width)
        return lines(rows)


def _lines(part: Part, width: int) -> Iterator[Content]:
    for line in part.lines:
        text = printable(line)
        indent = " " * (len(text) - len(text.lstrip()))
        broken = textwrap.wrap(
            text.strip() if part.prose else text,
            width,
            initial_indent=indent if part.prose else "",
            subsequent_indent=indent + ("" if part.prose else "      "),
            drop_whitespace=True,
            break_on_hyphens=False,
        )
        for row in broken or [""]:
            top = not part.prose and not indent
            yield (
                Content.styled(row, "bold")
                if top
                else Content.styled(row, MUTED)
                if indent and part.prose
                else Content(row)
            )


class Explain(ModalScreen[None]):
    """Closed by escape or the key that opened it."""

    CSS_PATH = "explain.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,e,q,enter", "dismiss", "Close", key_display="esc", tooltip="back to the numbers")
    ]

    def __init__(self, what: What, *, marks: Marks) -> None:
        super().__init__()
        self._what = what
        self._marks = marks

    def compose(self) -> ComposeResult:
        """A box with a scrolling text."""
        with VerticalScroll(id="explain-box") as box:
            box.border_title = "Explain"
            box.border_subtitle = "escape closes"
            yield _Text(id="explain-text", marks=self._marks)

    def on_mount(self) -> None:
        """Show it, or have it made."""
        self.query_one("#explain-box").focus()
        what = self._what
        if isinstance(what, str):
            self._show(Explanation("", (Part("", tuple(what.splitlines()), prose=True),)))
        elif isinstance(what, Explanation):
            self._show(what)
        else:
            self.query_one(_Text).redraw()
            self._make(what)

    @work(exclusive=True, exit_on_error=False, group="explain", description="explain")
    async def _make(self, make: Callable[[], Explanation]) -> None:
        self.post_message(Explained(await in_background(make)))

    @on(Explained)
    def _made(self, message: Explained) -> None:
        self._show(message.found)

    def _show(self, found: Explanation | Problem) -> None:
        text = self.query_one(_Text)
        text.found = found
        if isinstance(found, Explanation) and found.title:
            self.query_one("#explain-box").border_title = Content(f"Explain: {printable(found.title)}")
        text.redraw()
