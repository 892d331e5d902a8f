"""Every model of the catalog: how it runs here, how good it is, under which licence; search, filters, order."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Static

from planner.core.fits.model_fit import Fitted
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Model
from planner.tui.columns import MUTED
from planner.tui.columns import Row as Cells
from planner.tui.data.listing import Listing
from planner.tui.data.machine import Situation
from planner.tui.data.models import Filters, Row, sort_title
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.model_messages import FitsFound, RowsRead
from planner.tui.screens.page import Page
from planner.tui.state import State
from planner.tui.widgets.filter_bar import FilterBar
from planner.tui.widgets.model_columns import Drawn, Known, cells, columns_for, model_filters, nothing_listed, titled
from planner.tui.widgets.model_preview import ModelPreview
from planner.tui.widgets.row_table import RowTable
from planner.tui.workers import in_background

_BATCH = 24
"""Models looked at in one go: about 0.1 s, so that what comes into sight is next."""
_PAINT_EVERY_S = 0.5
"""How often a list whose order depends on what was found out is made anew, and how far the looking is."""


class ModelsScreen(Page):
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
        self._situation: Situation | None = None
        self._list = Listing()
        self._problem: Problem | None = None
        self._known: tuple[Known, ...] = ()
        self._learnt = self._stale = False
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
        remembered, listing = self.planner.remembered, self._list
        listing.filters = Filters.of(remembered.get("models.filters", {}))
        listing.sort_by(remembered.get("models.sort", ""))
        listing.reverse = remembered.get("models.reverse", default=False)
        self._show()
        self.set_interval(_PAINT_EVERY_S, self._paint)

    @property
    def _table(self) -> RowTable:
        return self.query_one(RowTable)

    def status(self, state: State) -> str:
        """How far the looking is."""
        whole, left = len(self._list.rows), self._list.unknown
        if self._problem is not None and whole:
            return f"how models run here is not known: {self._problem.message}"
        if left:
            return f"looking how {whole} models run here: {whole - left} done {self.marks.ellipsis}"
        if state.looking or not whole:
            return f"{state.status} {self.marks.ellipsis}".strip()
        return "with all memory of this machine free"

    # --- what there is ---------------------------------------------------------------------------------------------

    def show_state(self, state: State) -> None:
        """Read the rows of a new situation."""
        if state.situation is not self._situation and state.situation is not None:
            self._situation = state.situation
            self._read(state.situation)
        elif state.look_problem is not None and not self._list.rows:
            self._problem = state.look_problem
            self._show()

    @work(exclusive=True, exit_on_error=False, group="model-rows", description="model-rows")
    async def _read(self, situation: Situation) -> None:
        found = await in_background(partial(self.planner.services.model_rows, situation))
        self.post_message(RowsRead(situation, found))

    @on(RowsRead)
    def _rows_read(self, message: RowsRead) -> None:
        if message.situation is not self._situation:
            return
        if isinstance(message.found, Problem):
            self._problem = message.found
        else:
            self._problem = None
            self._list.replace_rows(message.found)
        self._show()
        self._look_at_next()

    def _look_at_next(self) -> None:
        batch = self._list.next_batch(self._table.in_sight, _BATCH)
        if batch and self._situation is not None and self._problem is None:
            self._look_at(self._situation, batch)

    @work(exclusive=True, exit_on_error=False, group="model-fits", description="model-fits")
    async def _look_at(self, situation: Situation, models: Sequence[Model]) -> None:
        found = await in_background(partial(self.planner.services.fit_models, situation, models))
        self.post_message(FitsFound(situation, found))

    @on(FitsFound)
    def _fits_found(self, message: FitsFound) -> None:
        if message.situation is not self._situation:
            return
        if isinstance(message.found, Problem):
            self._problem = message.found
            self._show()
            return
        self._stale = self._list.learn(message.found) or self._stale
        self._learnt = True
        shown = self._list.shown
        self._table.forget()
        if any(shown[index].model.id in message.found for index in self._table.in_sight):
            self._table.redraw()
            self._show_preview()
        if not self._list.unknown:
            self._paint()
        self._look_at_next()

    def _paint(self) -> None:
        """Show what was found out since the last time."""
        if not self._learnt:
            return
        if self._stale:
            self._show()
        self._learnt = self._stale = False
        self.redraw_status()

    # --- which are shown, in which order ---------------------------------------------------------------------------

    def _show(self) -> None:
        """Filter and order anew; the highlight stays on its model."""
        before, listing = self.selected, self._list
        listing.show()
        self._show_columns()
        self._table.show_rows(len(listing.shown), self._cells, highlighted=listing.place_of(before))
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
        shown, whole = len(listing.shown), len(listing.rows)
        order = f"  by {sort_title(listing.sort)} {'↓' if listing.descending else '↑'}"
        self.query_one("#models-count", Static).update(
            Content.assemble(
                (f"{len(listing.marked)} marked  " if listing.marked else "", "$text-accent"),
                (f"{shown} of {whole}" if listing.filters.any else f"{whole} models", "bold"),
                (order, MUTED),
            ),
            layout=False,
        )
        self.query_one(FilterBar).show(model_filters(listing.filters))
        self._show_empty()

    def _show_empty(self) -> None:
        width = max(20, self.size.width - 6)
        self._table.show_empty(nothing_listed(self._list, self._problem, self.marks, width))

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

    @on(RowTable.Heading)
    def _heading(self, event: RowTable.Heading) -> None:
        self._sort_by(event.key)

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

    def action_search(self) -> None:
        """Type into the search."""
        self.set_focus(self.query_one(Input))

    @on(Input.Changed, "#models-search")
    def _searched(self, event: Input.Changed) -> None:
        self._filter(replace(self._list.filters, search=event.value))

    @on(Input.Submitted, "#models-search")
    def _search_done(self) -> None:
        self.set_focus(self._table)

    def action_leave(self) -> None:
        """From the search to the table; from there clear the search."""
        if self.query_one(Input).has_focus:
            self.set_focus(self._table)
        else:
            self.query_one(Input).value = ""

    def _filter(self, filters: Filters) -> None:
        if filters == self._list.filters:
            return
        self._list.filters = filters
        self.planner.remember("models.filters", filters.kept)
        self._show()

    def action_role(self) -> None:
        """The next role."""
        self._filter(self._list.filters.next_role())

    def action_switch(self, name: str) -> None:
        """A filter on or off."""
        self._filter(self._list.filters.switched(name))

    def action_clear(self) -> None:
        """No filter at all."""
        self.query_one(Input).value = ""
        self._filter(Filters())

    def action_language(self) -> None:
        """Ask for a language; a second time takes it away."""
        from planner.tui.screens.ask import Ask

        if self._list.filters.language is not None:
            self._filter(replace(self._list.filters, language=None))
            return
        ask = Ask("Which language must the model know?", "German, de, multilingual", _code_of)
        self.app.push_screen(ask, self._language_given)

    def _language_given(self, code: str | None) -> None:
        if code is not None:
            self._filter(replace(self._list.filters, language=code))

    def action_sort(self) -> None:
        """By the next column that is shown."""
        self._sort_by(self._list.next_sort([item.key for item in self._known if item.key]))

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort_by(self._list.sort)

    def _sort_by(self, key: str) -> None:
        listing = self._list
        listing.sort_by(key)
        self.planner.remember("models.sort", listing.sort)
        self.planner.remember("models.reverse", listing.reverse)
        self._show()

    def action_mark(self) -> None:
        """Mark for comparing; the oldest mark goes when there are too many."""
        row = self.selected
        if row is None:
            return
        self._list.mark(row.model.id)
        self._table.redraw()
        self._table.action_move(1)
        self._show_words()
        self._show_keys()

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
        from planner.core.fits.model_list import usual_variant
        from planner.core.models.variants import is_fetchable

        row, fitted = self.selected, self._fitted
        if row is None:
            return
        variant = fitted.fit.variant if fitted is not None else usual_variant(row.model)
        if variant is not None and row.model.deployable and is_fetchable(row.model, variant):
            self.planner.download(row.model, variant)
            self.notify(f"{row.model.name} {variant.quant} is on the Downloads page (5).")
        else:
            self.notify(f"{row.model.name} cannot be fetched: no file of it is known.", severity="warning")

    def action_explain(self) -> None:
        """Where the numbers of the highlighted model come from."""
        row, situation = self.selected, self._situation
        if row is None or situation is None:
            return
        from planner.tui.data.explain import explain_model

        self.planner.open_explain(partial(explain_model, situation, row.model, self._fitted))

    def action_refresh(self) -> None:
        """Look again."""
        self.planner.look()


def _code_of(text: str) -> str:
    from planner.core.models.languages import parse_language

    return parse_language(text)
