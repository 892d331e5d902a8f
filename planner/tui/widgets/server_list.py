"""The running deployments: state, address, models, measured beside estimated."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static

from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.widgets.fitted_list import FittedList
from planner.units import format_gib, format_rate, printable

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord, ProcessRecord

_COLUMNS = (
    Column(""),
    Column(""),
    Column("model", minimum=14),
    Column("state"),
    Column("memory (est.)", right=True),
    Column("tok/s (est.)", right=True),
)
_STYLES = {
    "running": "$text-success",
    "starting": "$text-accent",
    "restarting": "$text-accent",
    "stopping": "$text-accent",
    "degraded": "$text-warning",
    "failed": "$text-error",
}


class ServerList(FittedList):
    """Shows deployments, the problem why they cannot be read, or that there are none."""

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(marks=marks, id=id)
        self.records: tuple[DeploymentRecord, ...] = ()
        self.problem: Problem | None = None
        self.stopping: frozenset[str] = frozenset()
        self.known = False

    def compose(self) -> ComposeResult:
        """A list, and a text above it for problems and for when there is nothing."""
        yield Static(id="servers-text", markup=False)
        yield OptionList(id="servers-list", compact=True, markup=False)

    @property
    def selected(self) -> "DeploymentRecord | None":
        """The highlighted deployment; the only one there is."""
        index = self._list.highlighted
        if index is not None and index < len(self.records):
            return self.records[index]
        return self.records[0] if self.records else None

    def show(
        self,
        records: "Sequence[DeploymentRecord]",
        problem: Problem | None,
        stopping: frozenset[str] = frozenset(),
        *,
        known: bool = True,
    ) -> None:
        """New values; the highlight stays on the same deployment. `known`: whether they have been read at all."""
        shown = (self.records, self.problem, self.stopping, self.known)
        if (tuple(records), problem, stopping, known) == shown and self._drawn_width:
            return
        self.known = known
        before = self.selected.name if self.selected else ""
        names = [record.name for record in records]
        same = names == [record.name for record in self.records]
        self.records, self.problem, self.stopping = tuple(records), problem, stopping
        if not same:
            self._refill(names, before)
        self.redraw()

    def draw(self, width: int) -> None:
        """Each in its lines, under what all have in common."""
        options, text = self._list, self.query_one("#servers-text", Static)
        options.display = bool(self.records)
        rows = [self._process(process, record) for record in self.records for process in record.processes]
        table = Table(_COLUMNS, rows, width, ellipsis=self.marks.ellipsis)
        offset = 0
        for index, record in enumerate(self.records):
            count = len(record.processes)
            body = [self._head(record), *self._error(record, width), *table.lines[offset : offset + count]]
            options.replace_option_prompt_at_index(index, lines(body))
            offset += count
        text.update(self._text(width, table.header))

    def _text(self, width: int, header: Content) -> Content:
        found: list[Content] = []
        if self.problem is not None:
            found.append(hanging(self.marks.failed, self.problem.message, width, "$text-error"))
            if self.problem.hint:
                found.append(hanging(self.marks.arrow, self.problem.hint, width))
        if self.records:
            found.append(header)
        elif not self.known:
            found.append(Content.styled(self.marks.ellipsis, MUTED))
        elif self.problem is None:
            found.append(Content.styled("Nothing runs. Enter launches a plan, t the starter pair.", MUTED))
        return lines(found)

    def _state(self, record: "DeploymentRecord") -> str:
        return "stopping" if record.name in self.stopping else str(record.state)

    def _head(self, record: "DeploymentRecord") -> Content:
        state = self._state(record)
        style = _STYLES.get(state, "")
        url = f"  {record.address}" if record.address else ""
        return Content.assemble(
            (f"{self._sign(state)} ", style),
            (printable(record.name), "bold"),
            "  ",
            (state, style),
            printable(url),
        )

    def _error(self, record: "DeploymentRecord", width: int) -> list[Content]:
        if record.error is None:
            return []
        return [
            hanging(f"  {self.marks.failed}", f"{record.error.message} {record.error.hint}", width, "$text-error")
        ]

    def _process(self, process: "ProcessRecord", record: "DeploymentRecord") -> Row:
        generating = process.role == "generation"
        measured = process.tg_measured if generating else process.pp_measured
        estimated = process.tg_estimated if generating else process.pp_estimated
        state = "stopping" if record.name in self.stopping else str(process.state)
        return (
            "",
            str(process.role),
            f"{process.model.rsplit('/', 1)[-1]} {process.variant}",
            Cell(state, _STYLES.get(state, "")),
            self._beside(process.memory_measured_bytes, process.memory_estimated_bytes, _gib),
            self._beside(measured, estimated, format_rate),
        )

    def _beside(self, measured: float | None, estimated: float | None, show: Callable[[float], str]) -> str:
        first, second = (self.marks.none if value is None else show(value) for value in (measured, estimated))
        return f"{first} ({second})"

    def _sign(self, state: str) -> str:
        marks = self.marks
        return {
            "running": marks.running,
            "degraded": marks.degraded,
            "failed": marks.failed,
            "stopped": marks.stopped,
        }.get(state, marks.starting)

    @on(OptionList.OptionHighlighted)
    @on(OptionList.OptionSelected)
    def _keep(self, event: OptionList.OptionMessage) -> None:
        event.stop()


def _gib(size_bytes: float) -> str:
    return format_gib(round(size_bytes))
