"""The recommended pairs, one per line; the highlighted one is looked at closer, the chosen one is launched."""

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from planner.core.pairs.recommendation import Recommendation
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.figures import choice_name, main_rate, range_text
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.widgets.fitted import put
from planner.tui.widgets.fitted_list import FittedList
from planner.units import format_gib, format_tokens

_COLUMNS = (
    Column(""),
    Column("", right=True),
    Column("embedding", minimum=20),
    Column("generation", minimum=20),
    Column("context", right=True, leaves=2),
    Column("tok/s", right=True),
    Column("memory", right=True),
    Column("score", right=True, leaves=1),
    Column("best for", leaves=3),
)


class PlanList(FittedList):
    """Shows recommendations, the problem why there are none, or that they are being made."""

    class Highlighted(Message):
        """Another plan is looked at; None when there is none."""

        def __init__(self, plan: Recommendation | None) -> None:
            super().__init__()
            self.plan = plan

    class Chosen(Message):
        """A plan shall be launched."""

        def __init__(self, plan: Recommendation) -> None:
            super().__init__()
            self.plan = plan

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(marks=marks, id=id)
        self.plans: tuple[Recommendation, ...] = ()
        self.problem: Problem | None = None

    def compose(self) -> ComposeResult:
        """A header, the list, and a text for when there is no list."""
        yield Static(id="plans-header", markup=False)
        yield OptionList(id="plans-list", compact=True, markup=False)
        yield Static(id="plans-empty", markup=False)

    @property
    def selected(self) -> Recommendation | None:
        """The highlighted plan."""
        index = self._list.highlighted
        return self.plans[index] if index is not None and index < len(self.plans) else None

    def show(self, plans: Sequence[Recommendation], problem: Problem | None) -> None:
        """New values; the highlight stays on the same models if they are still there."""
        before = self.selected.command if self.selected else ()
        self.plans, self.problem = tuple(plans), problem
        self._refill([plan.command for plan in self.plans], before)
        self.redraw()
        if not self.plans:
            self.post_message(self.Highlighted(None))

    def draw(self, width: int) -> None:
        """Each in its lines, under what all have in common."""
        options = self._list
        table = Table(
            _COLUMNS, [self._row(i, plan) for i, plan in enumerate(self.plans)], width, ellipsis=self.marks.ellipsis
        )
        for index, line in enumerate(table.lines):
            shown = options.get_option_at_index(index).prompt
            if not isinstance(shown, Content) or not line.is_same(shown):
                options.replace_option_prompt_at_index(index, line)
        header, empty = self.query_one("#plans-header", Static), self.query_one("#plans-empty", Static)
        put(header, table.header)
        header.display = options.display = bool(self.plans)
        empty.display = not self.plans
        if self.plans and self.screen.focused is None:
            options.focus()
        put(empty, self._empty(width))

    def _row(self, index: int, plan: Recommendation) -> Row:
        unknown = self.marks.none
        generation = plan.generation
        settings = generation.settings if generation else None
        return (
            self.marks.pointer if index == self._list.highlighted else "",
            str(plan.rank),
            choice_name(plan.embedding, unknown),
            choice_name(generation, unknown),
            format_tokens(settings.context // settings.parallel) if settings else unknown,
            range_text(main_rate(generation or plan.embedding), unknown),
            format_gib(plan.memory.total_bytes),
            f"{plan.score:.1f}",
            Cell(plan.label, MUTED),
        )

    def _empty(self, width: int) -> Content:
        if self.problem is None:
            return Content.styled(f"planning {self.marks.ellipsis}", MUTED)
        found = [hanging(self.marks.failed, self.problem.message, width, "$text-error")]
        if self.problem.hint:
            found.append(hanging(self.marks.arrow, self.problem.hint, width))
        found.append(
            hanging(self.marks.arrow, "Press t for the starter pair: two small models, about 0.2 GB.", width)
        )
        return lines(found)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.redraw()
        self.post_message(self.Highlighted(self.selected))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self.plans):
            self.post_message(self.Chosen(self.plans[event.option_index]))
