"""Doctor: everything that planner depends on, what is wrong with it, and a report that can be handed on."""

import os
from collections.abc import Mapping
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.message import Message

from planner.tui.child import Outcome
from planner.tui.columns import MUTED, hanging, lines
from planner.tui.data.doctor import COMMAND, Report, Section, report_of, report_text
from planner.tui.marks import UNICODE, Marks
from planner.tui.problem import Problem
from planner.tui.screens.page import Page
from planner.tui.state import State
from planner.tui.widgets.fitted import Fitted
from planner.tui.workers import in_background

_LABEL = 22
_COPIED = "The report was copied. If nothing arrives: planner doctor > report.txt."


class Examined(Message):
    """The child has looked at everything, or not."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Verdict(Fitted):
    """What is wrong, before everything else."""

    report: Report | None = None
    problem: Problem | None = None
    examining = False

    def draw(self, width: int) -> Content:
        """Problems with what to do, or that there are none."""
        marks = self.marks
        parts: list[Content] = []
        if self.examining:
            parts.append(Content.styled(f"{marks.starting} looking at everything {marks.ellipsis}", "$text-accent"))
        if self.problem is not None:
            parts.append(hanging(marks.failed, f"Nothing found out: {self.problem.message}", width, "$text-error"))
            if self.problem.hint:
                parts.append(hanging(marks.arrow, self.problem.hint, width))
        if self.report is None:
            return lines(parts)
        if not self.report.troubles:
            parts.append(Content.styled(f"{marks.done} No problems found.", "bold $text-success"))
        for trouble in self.report.troubles:
            parts.append(hanging(marks.failed, f"{trouble.section}: {trouble.message}", width, "$text-error"))
            if trouble.hint:
                parts.append(hanging(f"  {marks.arrow}", trouble.hint, width))
        return lines(parts)


class Sections(Fitted):
    """Some sections, one below the other."""

    report: Report | None = None
    sections: tuple[Section, ...] = ()

    def draw(self, width: int) -> Content:
        """A heading with its state, a line per value."""
        parts: list[Content] = []
        for section in self.sections:
            bad = bool(self.report and self.report.troubles_of(section.name))
            sign, style = (self.marks.failed, "$text-error") if bad else (self.marks.done, "$text-success")
            if parts:
                parts.append(Content(""))
            parts.append(Content.assemble((sign, style), " ", (section.name, "bold $primary")))
            label_cells = min(_LABEL, max(10, width // 3))
            for label, words in section.rows:
                parts.append(hanging(f"  {label:{label_cells}}", words, width))
            if not section.rows:
                parts.append(Content.styled("  none", MUTED))
        return lines(parts)


class DoctorPage(Page):
    """Looks once when it is opened, and again when asked."""

    CSS_PATH = "doctor.tcss"
    AUTO_FOCUS = "#doctor-scroll"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy report", tooltip="copy the whole report; private things are replaced in it"),
        Binding("r", "examine", "Look again", tooltip="look at everything again"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._report: Report | None = None
        self._examining = False
        self._said = ""

    def compose_body(self) -> ComposeResult:
        """The verdict, then the sections, in two columns where it is wide."""
        with VerticalScroll(id="doctor-scroll", can_focus=True) as scroll:
            scroll.border_title = "Doctor"
            yield Verdict(id="doctor-verdict", marks=self.marks)
            with Container(id="doctor-halves"):
                yield Sections(id="doctor-first", marks=self.marks)
                yield Sections(id="doctor-second", marks=self.marks)

    def on_mount(self) -> None:
        """Look."""
        self.action_examine()

    def status(self, state: State) -> str:
        """How it stands."""
        del state
        if self._examining or self._report is None:
            return "looking"
        count = len(self._report.troubles)
        return "no problems" if not count else "1 problem" if count == 1 else f"{count} problems"

    def action_examine(self) -> None:
        """Look at everything; what is shown stays until there is something newer."""
        if not self._examining:
            self._examining = True
            self._draw(None)
            self._examine()

    @work(exclusive=True, exit_on_error=False, group="doctor", description="doctor")
    async def _examine(self) -> None:
        def run() -> Outcome:
            return self.planner.services.start(COMMAND, _silent).wait()

        found = await in_background(run)
        self.post_message(Examined(Outcome({}, found) if isinstance(found, Problem) else found))

    @on(Examined)
    def _examined(self, message: Examined) -> None:
        self._examining = False
        problem = message.outcome.problem
        if problem is None:
            self._report = report_of(message.outcome.answer, self._terminal(), os.environ)
        self._draw(problem)
        self.refresh_bindings()

    def _terminal(self) -> Mapping[str, str]:
        """What this app knows of its terminal."""
        app = self.planner
        return {
            "size": f"{app.size.width}x{app.size.height}",
            "colours": app.console.color_system or "none",
            "unicode": "yes" if app.marks == UNICODE else "no",
            "theme": app.theme,
        }

    def _draw(self, problem: Problem | None) -> None:
        verdict, first, second = self.query_one(Verdict), *self.query(Sections)
        verdict.report, verdict.problem, verdict.examining = self._report, problem, self._examining
        sections = self._report.sections if self._report is not None else ()
        middle = _middle(sections)
        for part, some in ((first, sections[:middle]), (second, sections[middle:])):
            part.report, part.sections = self._report, some
            part.redraw()
        verdict.redraw()
        self.redraw_status()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a report that is there can be copied."""
        del parameters
        return action != "copy" or self._report is not None

    def action_copy(self) -> None:
        """For a bug report."""
        if self._report is not None:
            self.app.copy_to_clipboard(report_text(self._report))
            self.notify(_COPIED)


def _middle(sections: tuple[Section, ...]) -> int:
    """Where two columns of about the same length part."""
    heights = [len(section.rows) + 2 for section in sections]
    half = sum(heights) / 2
    return min(range(len(heights) + 1), key=lambda at: abs(sum(heights[:at]) - half), default=0)


def _silent(_text: str, _transient: bool) -> None:
    """Nobody listens."""
