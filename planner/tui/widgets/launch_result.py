"""What a launch came to: address, what was measured beside what was estimated, and lines for clients."""

from textual.content import Content

from planner.core.memory.estimate import Rate
from planner.core.pairs.recommendation import Recommendation
from planner.serve.client_settings import environment_lines
from planner.serve.state import DeploymentRecord, ProcessRecord
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.widgets.fitted import Fitted
from planner.units import format_gib, format_rate, printable

_COLUMNS = (
    Column("", leaves=2),
    Column("model", minimum=20),
    Column("memory", right=True),
    Column("estimated", right=True),
    Column("tok/s", right=True),
    Column("estimated", right=True),
    Column("context", right=True, leaves=1),
)


class LaunchResult(Fitted):
    """Draws a running deployment; nothing while there is none."""

    record: DeploymentRecord | None = None
    plan: Recommendation | None = None

    def show(self, record: DeploymentRecord | None, plan: Recommendation | None) -> None:
        """New values; `plan` is what it was launched from, where one was."""
        self.record, self.plan = record, plan
        self.display = record is not None
        self.redraw()

    def draw(self, width: int) -> Content:
        """Address first, then figures, then lines to paste."""
        record = self.record
        if record is None:
            return Content("")
        table = Table(
            _COLUMNS, [self._row(process) for process in record.processes], width, ellipsis=self.marks.ellipsis
        )
        parts = [
            Content.assemble((printable(record.address or "no address"), "bold"), ("  OpenAI-compatible", MUTED)),
            Content(""),
            table.header,
            *table.lines,
            *self._checks(record, width),
            *(hanging(self.marks.note, f"note: {note}", width, MUTED) for note in record.notes),
            Content(""),
            Content.styled("for clients; y copies this, with a call for each model", MUTED),
            *(hanging("$", line, width) for line in environment_lines(record)),
        ]
        return lines(parts)

    def _row(self, process: ProcessRecord) -> Row:
        none = self.marks.none
        generating = process.role == "generation"
        measured = process.tg_measured if generating else process.pp_measured
        estimated = process.tg_estimated if generating else process.pp_estimated
        rate = self._range(process.role)
        shown = none if estimated is None else format_rate(estimated)
        return (
            str(process.role),
            f"{process.model.rsplit('/', 1)[-1]} {process.variant}",
            Cell(_gib(process.memory_measured_bytes, none), "bold"),
            _gib(process.memory_estimated_bytes, none),
            Cell(none if measured is None else format_rate(measured), _style(measured, rate)),
            shown if rate is None else f"{format_rate(rate.low)} to {format_rate(rate.high)}",
            none if process.context is None else str(process.context),
        )

    def _range(self, role: str) -> Rate | None:
        """The plan's range of a role's speed."""
        choices = self.plan.choices if self.plan is not None else ()
        choice = next((c for c in choices if c.model.role.value == role), None)
        if choice is None:
            return None
        found = choice.estimate.throughput
        return found.tg if role == "generation" else found.embed

    def _checks(self, record: DeploymentRecord, width: int) -> list[Content]:
        bad = [check for check in record.verification if not check.ok]
        return [hanging(self.marks.failed, f"{check.name}: {check.detail}", width, "$text-error") for check in bad]


def _style(measured: float | None, rate: Rate | None) -> str:
    """A speed outside of what was expected stands out."""
    outside = measured is not None and rate is not None and not rate.low <= measured <= rate.high
    return "bold $text-warning" if outside else "bold"


def _gib(size_bytes: int | None, none: str) -> str:
    return none if size_bytes is None else format_gib(size_bytes)
