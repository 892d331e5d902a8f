"""Which models are listed, and in which order: what the keys of search, filters, order and marks do."""

from dataclasses import replace

from textual import on
from textual.widgets import Input

from planner.tui.data.listing import Listing
from planner.tui.data.models import Filters, Row
from planner.tui.marks import Marks
from planner.tui.screens.page import Page
from planner.tui.widgets.row_table import RowTable


class NarrowedList(Page):
    """A page with a list of models, an input `#models-search` and a table; subclasses name the keys and draw."""

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._list = Listing()

    @property
    def selected(self) -> Row | None:
        """The highlighted row."""
        raise NotImplementedError

    @property
    def sort_keys(self) -> list[str]:
        """The orders that a key goes through: those of the columns that are shown."""
        raise NotImplementedError

    def show_list(self) -> None:
        """Draw the list anew: other rows, or another order."""
        raise NotImplementedError

    def show_marks(self) -> None:
        """Draw the marks anew."""
        raise NotImplementedError

    def recall(self) -> None:
        """As it was left."""
        remembered, listing = self.planner.remembered, self._list
        listing.filters = Filters.of(remembered.get("models.filters", {}))
        listing.sort_by(remembered.get("models.sort", ""))
        listing.reverse = remembered.get("models.reverse", default=False)

    # --- search ----------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Type into the search."""
        self.set_focus(self.query_one(Input))

    @on(Input.Changed, "#models-search")
    def _searched(self, event: Input.Changed) -> None:
        self._filter(replace(self._list.filters, search=event.value))

    @on(Input.Submitted, "#models-search")
    def _search_done(self) -> None:
        self.set_focus(self.query_one(RowTable))

    def action_leave(self) -> None:
        """From the search to the table; from there clear the search."""
        if self.query_one(Input).has_focus:
            self.set_focus(self.query_one(RowTable))
        else:
            self.query_one(Input).value = ""

    # --- filters ---------------------------------------------------------------------------------------------------

    def _filter(self, filters: Filters) -> None:
        if filters == self._list.filters:
            return
        self._list.filters = filters
        self.planner.remember("models.filters", filters.kept)
        self.show_list()

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

    # --- order and marks -------------------------------------------------------------------------------------------

    def action_sort(self) -> None:
        """By the next column that is shown."""
        self._sort_by(self._list.next_sort(self.sort_keys))

    def action_reverse(self) -> None:
        """The other way round."""
        self._sort_by(self._list.sort)

    @on(RowTable.Heading)
    def _heading(self, event: RowTable.Heading) -> None:
        self._sort_by(event.key)

    def _sort_by(self, key: str) -> None:
        listing = self._list
        listing.sort_by(key)
        self.planner.remember("models.sort", listing.sort)
        self.planner.remember("models.reverse", listing.reverse)
        self.show_list()

    def action_mark(self) -> None:
        """Mark for comparing; the oldest mark goes when there are too many."""
        row = self.selected
        if row is not None:
            self._list.mark(row.model.id)
            self.show_marks()


def _code_of(text: str) -> str:
    from planner.core.models.languages import parse_language

    return parse_language(text)
