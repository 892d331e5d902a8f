"""What was fetched: model, quant, size, when, and whether its hash was checked; what goes on with it right now."""

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.data.store import Stored, StoreView
from planner.tui.figures import cells_of
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.widgets.fitted_list import FittedList
from planner.units import format_gb

_BAR = 20
_ROOMY = 100
_COLUMNS = (
    Column(""),
    Column("model", minimum=18),
    Column("quant"),
    Column("size", right=True),
    Column("fetched", leaves=2),
    Column("state", minimum=18),
)


class StoreList(FittedList):
    """Shows a store; `busy` and `told` say by reference what goes on with a model, and what came of it.

    What is told of no reference is about the whole store.
    """

    class Chosen(Message):
        """A model's page is wanted."""

        def __init__(self, stored: Stored) -> None:
            super().__init__()
            self.stored = stored

    class Highlighted(Message):
        """Another one is looked at."""

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(marks=marks, id=id)
        self.view: StoreView | None = None
        self.problem: Problem | None = None
        self.busy: Mapping[str, str] = {}
        self.told: Mapping[str, Problem | str] = {}

    def compose(self) -> ComposeResult:
        """The room on the disk, a header, the list, and a text for when it is empty."""
        yield Static(id="store-room", markup=False)
        yield Static(id="store-header", markup=False)
        yield OptionList(id="store-list", compact=True, markup=False)
        yield Static(id="store-empty", markup=False)

    @property
    def _stored(self) -> tuple[Stored, ...]:
        return self.view.stored if self.view is not None else ()

    @property
    def selected(self) -> Stored | None:
        """The highlighted one."""
        index = self._list.highlighted
        return self._stored[index] if index is not None and index < len(self._stored) else None

    def show(
        self,
        view: StoreView | None,
        problem: Problem | None,
        busy: Mapping[str, str],
        told: Mapping[str, Problem | str],
    ) -> None:
        """New values; the highlight stays on the same model."""
        before = self.selected.reference if self.selected else ""
        place = self._list.highlighted or 0
        same = [one.reference for one in self._stored] == [one.reference for one in view.stored] if view else False
        self.view, self.problem, self.busy, self.told = view, problem, dict(busy), dict(told)
        if not same:
            self._refill([one.reference for one in self._stored], before, otherwise=place)
        self.redraw()

    def draw(self, width: int) -> None:
        """Each in its lines, under what all have in common."""
        table = Table(_COLUMNS, [self._row(one) for one in self._stored], width, ellipsis=self.marks.ellipsis)
        options = self._list
        for index, (one, line) in enumerate(zip(self._stored, table.lines, strict=True)):
            options.replace_option_prompt_at_index(index, lines([line, *self._what_came(one.reference, width)]))
        header, empty = self.query_one("#store-header", Static), self.query_one("#store-empty", Static)
        header.update(table.header)
        header.display = options.display = bool(self._stored)
        empty.display = not self._stored
        empty.update(self._empty(width))
        self.query_one("#store-room", Static).update(lines([self._room(width), *self._what_came("", width)]))

    def _row(self, one: Stored) -> Row:
        busy = self.busy.get(one.reference)
        if busy is not None:
            sign, style, words = self.marks.starting, "$text-accent", busy
        elif one.missing:
            sign, style, words = self.marks.failed, "$text-error", "not as it was fetched; v looks closer"
        elif one.verified:
            sign, style, words = self.marks.done, "$text-success", "hash checked"
        else:
            sign, style, words = self.marks.warning, "$text-warning", "no hash to check"
        if not one.quant:
            words = "of no model in the catalog"
        return (
            Cell(sign, style),
            one.name,
            one.quant,
            format_gb(one.bytes),
            Cell(one.fetched_on, MUTED),
            Cell(words, style if busy is not None or one.missing else MUTED),
        )

    def _what_came(self, reference: str, width: int) -> list[Content]:
        told = self.told.get(reference)
        if told is None:
            return []
        if isinstance(told, str):
            return [hanging(f"  {self.marks.done}", told, width, "$text-success")]
        found = [hanging("  !", told.message, width, "$text-error")]
        return [*found, hanging(f"  {self.marks.arrow}", told.hint, width)] if told.hint else found

    def _room(self, width: int) -> Content:
        view = self.view
        if view is None:
            return Content("")
        taken = view.bytes + view.unfinished_bytes
        cells = _BAR if width >= _ROOMY else _BAR // 2
        done = cells_of((taken,), taken + view.free_bytes, cells)[0]
        bar = self.marks.weights * done + self.marks.free * (cells - done)
        parts = [f"{format_gb(view.bytes)} fetched"]
        if view.unfinished_bytes:
            parts.append(f"{format_gb(view.unfinished_bytes)} unfinished")
        parts.append(f"{format_gb(view.free_bytes)} free" + " on the disk" * (width >= _ROOMY))
        words = ", ".join(parts)
        folder = f"  {view.folder}" if len(words) + len(view.folder) + cells + 6 <= width else ""
        return Content.assemble((bar, "$primary"), f"  {words}", (folder, MUTED))

    def _empty(self, width: int) -> Content:
        if self.problem is not None:
            found = [hanging(self.marks.failed, self.problem.message, width, "$text-error")]
            return lines([*found, hanging(self.marks.arrow, self.problem.hint, width)])
        if self.view is None:
            return Content.styled(f"reading the store {self.marks.ellipsis}", MUTED)
        return Content.styled("Nothing has been fetched yet. a adds a model.", MUTED)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(self.Highlighted())

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._stored):
            self.post_message(self.Chosen(self._stored[event.option_index]))
