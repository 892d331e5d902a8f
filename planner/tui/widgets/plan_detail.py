"""One plan closer: memory bars, a line per model, and beside (or below) it the reasons and warnings."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content

from planner.core.pairs.recommendation import Choice, Recommendation
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.data.extras import CostRow, Extras
from planner.tui.figures import choice_name, main_rate, range_text
from planner.tui.marks import Marks
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.memory_bars import memory_bars
from planner.units import format_gb, format_gib, format_tokens

_COLUMNS = (
    Column(""),
    Column("model", minimum=14),
    Column("file", right=True),
    Column("context", right=True, leaves=1),
    Column("weights", right=True, leaves=3),
    Column("KV", right=True, leaves=3),
    Column("compute", right=True, leaves=3),
    Column("overhead", right=True, leaves=3),
    Column("memory", right=True),
    Column("tok/s (80 %)", right=True),
)
_COST_COLUMNS = (
    Column(""),
    Column("cost", minimum=16),
    Column("per hour", right=True),
    Column("per million tokens", right=True),
    Column("price seen", leaves=1),
)


class Bars(Fitted):
    """Memory by component against the budget, per device."""

    plan: Recommendation | None = None

    def draw(self, width: int) -> Content:
        """Bars and their legend."""
        thick = 2 if self.screen.has_class("-roomy") else 1
        return memory_bars(self.plan, width, self.marks, thick=thick) if self.plan is not None else Content("")


class Models(Fitted):
    """A line for each model of the plan; below, where a price is known, what an hour and a million tokens cost."""

    plan: Recommendation | None = None
    costs: Sequence[CostRow] = ()

    def draw(self, width: int) -> Content:
        """One table or two."""
        if self.plan is None:
            return Content("")
        rows = [_row(choice, self.marks) for choice in self.plan.choices]
        table = Table(_COLUMNS, rows, width, ellipsis=self.marks.ellipsis)
        parts = [table.header, *table.lines]
        if self.costs:
            costs = Table(_COST_COLUMNS, [_cost(row) for row in self.costs], width, ellipsis=self.marks.ellipsis)
            room = [] if self.screen.has_class("-short", "-tiny") else [Content("")]
            parts += [*room, costs.header, *costs.lines]
        return lines(parts)


class Words(Fitted):
    """Reasons, warnings, what would change the plan, notes, and the equivalent command."""

    plan: Recommendation | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def draw(self, width: int) -> Content:
        """A paragraph each."""
        plan, marks = self.plan, self.marks
        parts: list[Content] = []
        if plan is not None:
            parts += [hanging(marks.reason, text, width) for text in plan.reasons]
            parts += [hanging(marks.warning, text, width, "$text-warning") for text in plan.warnings]
            parts += [hanging(marks.arrow, text, width, "$text-accent") for text in self.changes]
            parts.append(hanging("$", " ".join(plan.command), width, MUTED))
        parts += [hanging(marks.note, f"note: {text}", width, MUTED) for text in self.notes]
        return lines(parts)


class PlanDetail(VerticalScroll):
    """Scrolls when there is more than room."""

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.marks = marks

    def compose(self) -> ComposeResult:
        """Figures and words, side by side on a very wide screen."""
        with Container(id="detail-halves"):
            with Container(id="figures"):
                yield Bars(marks=self.marks)
                yield Models(marks=self.marks)
            yield Words(id="words", marks=self.marks)

    def show(self, plan: Recommendation | None, notes: tuple[str, ...], extras: Extras) -> None:
        """New values; what is read is not moved while the plan stays the same."""
        bars, models, words = self.query_one(Bars), self.query_one(Models), self.query_one(Words)
        moved = plan != words.plan
        bars.plan = models.plan = words.plan = plan
        words.notes = notes
        words.changes = extras.changes.get(plan.command, ()) if plan is not None else ()
        models.costs = extras.costs.get(plan.command, ()) if plan is not None else ()
        self.query_one("#figures").display = plan is not None
        for part in (bars, models, words):
            part.redraw()
        self.border_title = "Memory and reasons" if plan is None else f"Plan {plan.rank} ({plan.label})"
        if moved:
            self.scroll_home(animate=False)


def _row(choice: Choice, marks: Marks) -> Row:
    memory = choice.estimate.memory
    size = choice.variant.file_bytes
    return (
        str(choice.model.role),
        choice_name(choice, marks.none),
        format_gb(size) if size else marks.none,
        format_tokens(choice.settings.context // choice.settings.parallel),
        format_gib(memory.weights_bytes),
        format_gib(memory.kv_cache_bytes),
        format_gib(memory.compute_bytes),
        format_gib(memory.overhead_bytes),
        format_gib(memory.total_bytes),
        range_text(main_rate(choice), "unknown"),
    )


def _cost(row: CostRow) -> Row:
    return (
        Cell(row.kind, "bold"),
        row.where,
        Cell(row.hour, "$primary"),
        Cell(row.million, "$primary"),
        Cell(row.seen, MUTED),
    )
