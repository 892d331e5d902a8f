"""The parts of a launch, one below the other: sign, name, time, what is said of it; a failure where it happened."""

from textual.content import Content

from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.figures import cells_of
from planner.tui.marks import Marks
from planner.tui.parts import Part, Parts, PartState, failed_part
from planner.tui.problem import Problem
from planner.tui.widgets.fitted import Fitted

_INDENT = 2
_BAR = 30
_COLUMNS = (
    Column(""),
    Column("", minimum=14),
    Column("", right=True),
    Column("", minimum=20, leaves=1),
)
STYLES = {
    PartState.WAITING: MUTED,
    PartState.UNDER_WAY: "$text-accent",
    PartState.DONE: "$text-success",
    PartState.FAILED: "$text-error",
    PartState.STOPPED: "$text-warning",
    PartState.NOT_NEEDED: MUTED,
}


def sign_of(state: PartState, marks: Marks) -> str:
    """A sign for each state; they differ in form."""
    return {
        PartState.WAITING: marks.note,
        PartState.UNDER_WAY: marks.starting,
        PartState.DONE: marks.done,
        PartState.FAILED: marks.failed,
        PartState.STOPPED: marks.stopped,
        PartState.NOT_NEEDED: marks.none,
    }[state]


class LaunchParts(Fitted):
    """Draws the parts at a time of the app's clock; `problem` stands below the part that failed."""

    parts: Parts = ()
    problem: Problem | None = None
    now_s = 0.0

    def show(self, parts: Parts, problem: Problem | None, now_s: float) -> None:
        """New values."""
        self.parts, self.problem, self.now_s = parts, problem, now_s
        self.redraw()

    def draw(self, width: int) -> Content:
        """A line for each part, and more below the one that is under way or failed."""
        table = Table(
            _COLUMNS, [self._row(part) for part in self.parts], width, ellipsis=self.marks.ellipsis, header=False
        )
        failed = failed_part(self.parts)
        drawn: list[Content] = []
        for part, line in zip(self.parts, table.lines, strict=True):
            drawn.append(line)
            if part.state is PartState.UNDER_WAY and part.pace is not None:
                drawn.append(self._bar(part, width))
            if part is failed:
                drawn += self._why(width)
        if failed is None:
            drawn += self._why(width)
        return lines(drawn)

    def _row(self, part: Part) -> Row:
        style = STYLES[part.state]
        took_s = part.took_s(self.now_s)
        muted = part.state in {PartState.WAITING, PartState.NOT_NEEDED}
        return (
            Cell(sign_of(part.state, self.marks), style),
            Cell(part.title, MUTED if muted else "bold" if part.state is PartState.UNDER_WAY else ""),
            Cell("" if took_s is None else clock(took_s), MUTED),
            Cell("not needed" if part.state is PartState.NOT_NEEDED else part.detail, MUTED),
        )

    def _bar(self, part: Part, width: int) -> Content:
        pace = part.pace
        assert pace is not None
        words = f"{pace.words}  {pace.figures}"
        if len(words) + 10 + 2 * _INDENT > width:
            words = f"{pace.words}  {pace.brief}"
        if pace.share is None:
            return Content(" " * _INDENT + words)
        room = max(10, min(_BAR, width - len(words) - _INDENT - 2))
        done = cells_of((round(pace.share * 1000),), 1000, room)[0]
        return Content.assemble(
            " " * _INDENT,
            (self.marks.weights * done, "$primary"),
            (self.marks.free * (room - done), MUTED),
            f"  {words}",
        )

    def _why(self, width: int) -> list[Content]:
        if self.problem is None:
            return []
        indent = " " * _INDENT
        style = "$text-error" if failed_part(self.parts) is not None else ""
        found = [hanging(f"{indent}{self.marks.warning}", self.problem.message, width, style)]
        if self.problem.hint:
            found.append(hanging(f"{indent}{self.marks.arrow}", self.problem.hint, width))
        return found


def clock(seconds: float) -> str:
    """`0:42`."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
