"""Every model of the catalog: how it runs here, how good it is, under which licence; search, filters, order."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.widgets import Input, Static

from planner.core.fits.model_fit import Fitted
from planner.core.memory.estimate import Verdict
from planner.tui.columns import Row as Cells
from planner.tui.data.models import Row
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.model_messages import FitsFound, RowsRead
from planner.tui.screens.model_narrowing import NarrowedList
from planner.tui.screens.model_reading import ModelReading
from planner.tui.state import State
from planner.tui.widgets.filter_bar import FilterBar
from planner.tui.widgets.model_columns import (
    Drawn,
    Known,
    cells,
    columns_for,
    counted,
    model_filters,
    nothing_listed,
    titled,
)
from planner.tui.widgets.model_preview import ModelPreview
from planner.tui.widgets.row_table import RowTable

_PAINT_EVERY_S = 0.5
"""How often a list whose order depends on what was found out is made anew, and how far the looking is."""


class ModelsScreen(NarrowedList):
    """The table is there at once; how models run here is found out behind it, what is in sight first."""

    AUTO_FOCUS = "#models-table"
    CSS_PATH = "models.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "search", "Search", key_display="/", priority=True, tooltip="search names, licences, languages"
        ),
        Binding("u", "launch", "Launch", tooltip="fetch and launch the model in its best quant"),
        Binding(
            "D", "download", "Download", show=False, tooltip="fetch the model in its best quant, beside the rest"
        ),
        Binding("space", "mark", "Mark", tooltip="mark a model for comparing, or take the mark away"),
        Binding("c", "compare", "Compare", tooltip="compare the marked models, two to four of them"),
        Binding("e", "explain", "Explain", tooltip="the arithmetic of the estimate, the source of the score"),
        Binding("s", "sort", "Sort", tooltip="order by the next column; a click on its title does it too"),
        Binding("S", "reverse", "Reverse", show=False, tooltip="the other way round; what is unknown stays last"),
        Binding("o", "role", "Role", show=False, tooltip="filter by role: all, embedding, generation, reranker"),
        Binding("f", "switch('fits')", "Fits", show=False, tooltip="filter: what runs on this machine"),
        Binding("m", "switch('commercial')", "Commercial", show=False, tooltip="filter: free for commercial use"),
        Binding("l", "language", "Language", show=False, priority=True, tooltip="filter by a language"),
        Binding("i", "switch('installed')", "On disk", show=False, tooltip="filter: models with a file in the store"),
        Binding("d", "switch('runnable')", "Runnable", show=False, tooltip="filter: leave out what cannot be run"),
        Binding("x", "clear", "Clear", show=False, tooltip="take all filters and the search away"),
        Binding("escape", "leave", "Leave", show=False, tooltip="leave the search; a second time clears it"),
        Binding("r", "refresh", "Refresh", show=False, tooltip="look at machine, catalog and store again"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._reading = ModelReading(self, self._list)
        self._known: tuple[Known, ...] = ()
        self._keys = (False, False, False)

    # --- layout ----------------------------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        """Search, filters, table, the highlighted model in words."""
        with Horizontal(id="models-search-line"):
            yield Static("/", id="models-search-sign", markup=False)
            # Selecting what is there on focus would let the next letter replace those typed meanwhile.
            hint = "name, family, licence, language"
            yield Input(placeholder=hint, select_on_focus=False, compact=True, id="models-search")
            yield Static(id="models-count", markup=False)
        yield FilterBar(id="models-filters", marks=self.marks)
        yield RowTable(marks=self.marks, marked=self._is_marked, id="models-table")
        yield ModelPreview(id="models-preview", marks=self.marks)

    def on_mount(self) -> None:
        """As it was left."""
        self.recall()
        self.show_list()
        self.set_interval(_PAINT_EVERY_S, self._paint)

    @property
    def _table(self) -> RowTable:
        return self.query_one(RowTable)

    def status(self, state: State) -> str:
        """How far the looking is."""
        whole, left = len(self._list.rows), self._list.unknown
        if self._reading.problem is not None and whole:
            return f"how models run here is not known: {self._reading.problem.message}"
        if left:
            return f"looking how {whole} models run here: {whole - left} done {self.marks.ellipsis}"
        if state.looking or not whole:
            return f"{state.status} {self.marks.ellipsis}".strip()
        return "with all memory of this machine free"

    # --- what there is ---------------------------------------------------------------------------------------------

    def show_state(self, state: State) -> None:
        """Read the rows of a new situation."""
        reading = self._reading
        if state.situation is not reading.situation and state.situation is not None:
            reading.read(state.situation)
        elif state.look_problem is not None and not self._list.rows:
            reading.problem = state.look_problem
            self.show_list()

    @on(RowsRead)
    def _rows_read(self, message: RowsRead) -> None:
        if message.situation is self._reading.situation:
            self._reading.take_rows(message.found)
            self.show_list()
            self._reading.look_at_next(self._table.in_sight)

    @on(FitsFound)
    def _fits_found(self, message: FitsFound) -> None:
        if message.situation is not self._reading.situation:
            return
        if isinstance(message.found, Problem):
            self._reading.problem = message.found
            self.show_list()
            return
        self._reading.take_fits(message.found)
        shown = self._list.shown
        self._table.forget()
        if any(shown[index].model.id in message.found for index in self._table.in_sight):
            self._table.redraw()
            self._show_preview()
        if not self._list.unknown:
            self._paint()
        self._reading.look_at_next(self._table.in_sight)

    def _paint(self) -> None:
        """Show what was found out since the last time."""
        news = self._reading.news()
        if news.order:
            self.show_list()
        if news.found:
            self.redraw_status()

    # --- how it is drawn -------------------------------------------------------------------------------------------

    def show_list(self) -> None:
        """Filter and order anew; the highlight stays on its model."""
        before, listing = self.selected, self._list
        listing.show()
        self._show_columns()
        self._table.show_rows(len(listing.shown), self._cells, highlighted=listing.place_of(before))
        self._show_words()
        self._show_keys()

    def show_marks(self) -> None:
        """Then go on to the next model."""
        self._table.redraw()
        self._table.action_move(1)
        self._show_words()
        self._show_keys()

    def _show_keys(self) -> None:
        """The last line, where it changes: laying it out costs more than the table."""
        keys = (bool(self._list.shown), self._runs, len(self._list.marked) >= 2)
        if keys != self._keys:
            self._keys = keys
            self.refresh_bindings()

    def _show_columns(self) -> None:
        listing, table = self._list, self._table
        self._known = columns_for(self.size.width, listing.rows, listing.filters)
        table.keys = [item.key for item in self._known]
        columns = titled(self._known, listing.sort, descending=listing.descending)
        table.show_columns(columns, [item.natural for item in self._known])

    def _cells(self, index: int) -> Cells:
        listing = self._list
        row = listing.shown[index]
        name = row.model.id
        return cells(self._known, Drawn(row, listing.fits.get(name), name in listing.fits), self.marks)

    def _is_marked(self, index: int) -> bool:
        return self._list.shown[index].model.id in self._list.marked

    def _show_words(self) -> None:
        listing = self._list
        self.query_one("#models-count", Static).update(counted(listing), layout=False)
        self.query_one(FilterBar).show(model_filters(listing.filters))
        self._show_empty()

    def _show_empty(self) -> None:
        width = max(20, self.size.width - 6)
        self._table.show_empty(nothing_listed(self._list, self._reading.problem, self.marks, width))

    def on_resize(self, _event: Resize) -> None:
        """Other columns may fit."""
        self._show_columns()
        self._show_empty()

    # --- the highlighted model -------------------------------------------------------------------------------------

    @property
    def selected(self) -> Row | None:
        """The highlighted row."""
        index = self._table.highlighted
        shown = self._list.shown
        return shown[index] if 0 <= index < len(shown) else None

    @property
    def sort_keys(self) -> list[str]:
        """Of the columns there is room for."""
        return [item.key for item in self._known if item.key]

    @property
    def _fitted(self) -> Fitted | None:
        row = self.selected
        return None if row is None else self._list.fits.get(row.model.id)

    @property
    def _runs(self) -> bool:
        return self._fitted is not None and self._fitted.fit.verdict is not Verdict.NO_FIT

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The ids of the models as they are listed, for walking through them one by one."""
        return tuple(row.model.id for row in self._list.shown)

    @on(RowTable.Highlighted)
    def _highlighted(self) -> None:
        self._show_preview()

    def _show_preview(self) -> None:
        row = self.selected
        looked = row is not None and row.model.id in self._list.fits
        self.query_one(ModelPreview).show(row, self._fitted, looked=looked)
        self._show_keys()

    @on(RowTable.Chosen)
    def _chosen(self) -> None:
        row = self.selected
        if row is not None:
            self.planner.open_model(row.model.id)

    # --- keys ------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        del parameters
        match action:
            case "search" | "language":  # done before the next key is looked at, so no letter goes astray
                return not self.query_one(Input).has_focus
            case "mark" | "explain":
                return bool(self._list.shown)
            case "compare":
                return len(self._list.marked) >= 2
            case "launch":
                return self._runs
            case _:
                return True

    def action_compare(self) -> None:
        """The marked models side by side."""
        if len(self._list.marked) >= 2:
            self.planner.open_compare(self._list.marked)

    def action_launch(self) -> None:
        """Launch the highlighted model in its best quant here."""
        from planner.tui.data.single import single_plan

        row, fitted = self.selected, self._fitted
        if row is not None and fitted is not None and fitted.fit.verdict is not Verdict.NO_FIT:
            self.planner.launch(single_plan(row.model, fitted.fit))

    def action_download(self) -> None:
        """Fetch the highlighted model: in its best quant here, else in the one that is usually meant."""
        from planner.tui.data.single import to_fetch

        row = self.selected
        if row is None:
            return
        variant = to_fetch(row.model, self._fitted)
        if variant is not None:
            self.planner.download(row.model, variant)
            self.notify(f"{row.model.name} {variant.quant} is on the Downloads page (5).")
        else:
            self.notify(f"{row.model.name} cannot be fetched: no file of it is known.", severity="warning")

    def action_explain(self) -> None:
        """Where the numbers of the highlighted model come from."""
        row, situation = self.selected, self._reading.situation
        if row is None or situation is None:
            return
        from planner.tui.data.explain import explain_model

        self.planner.open_explain(partial(explain_model, situation, row.model, self._fitted))

    def action_refresh(self) -> None:
        """Look again."""
        self.planner.look()
