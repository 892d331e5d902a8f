"""Prices: what is for rent, what the tokens of a pair cost there, and whether this machine does it cheaper."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Input, Static

from planner.core.costs.priced import Priced
from planner.core.pairs.recommendation import Recommendation
from planner.tui.columns import MUTED, hanging
from planner.tui.data import offer_filter
from planner.tui.data.offer_filter import Choice, Found
from planner.tui.data.price_words import provider_lines, sources
from planner.tui.data.prices import Inputs, Listing, Reckoning
from planner.tui.figures import plan_name
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.offer import OfferScreen
from planner.tui.screens.page import Page
from planner.tui.screens.price_inputs import PriceInputs
from planner.tui.state import State
from planner.tui.widgets.filter_line import FilterLine
from planner.tui.widgets.offer_filters import filter_items, no_offers
from planner.tui.widgets.offer_table import WIDE, OfferTable
from planner.tui.widgets.row_table import RowTable
from planner.tui.widgets.where_block import ProviderLines, WhereBlock
from planner.tui.workers import in_background

ASK_DEADLINE_S = 30.0
"""The providers have a deadline of their own, of seconds; this one is for disks that hang."""
RECKON_DEADLINE_S = 30.0
_SEARCH = "GPU, provider, region"


class MarketRead(Message):
    """Cache and snapshot were read, or the providers were asked."""

    def __init__(self, found: Listing | Problem, *, asked: bool) -> None:
        super().__init__()
        self.found = found
        self.asked = asked


class Reckoned(Message):
    """Costs for the pair."""

    def __init__(self, found: tuple[Reckoning, OfferTable] | Problem) -> None:
        super().__init__()
        self.found = found


class PricesPage(Page):
    """Shows what is known at once, asks the providers meanwhile, and says how each of them did."""

    CSS_PATH = "prices.tcss"
    AUTO_FOCUS = "#prices-table"
    HELP_KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up, down", "another offer"),
        ("enter", "everything that is known of the offer"),
        ("V, T, O, M, S, P", "the previous value of the same in small letters"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", tooltip="search GPU, provider, region, notes"),
        Binding("s", "step('order', 1)", "Sort", tooltip="sort by the next measure"),
        Binding("p", "pair(1)", "Pair", tooltip="reckon with the next pair"),
        Binding("i", "inputs", "Costs", tooltip="price of a kWh, watts, price of the device, share of the time"),
        Binding("r", "refresh_prices", "Refresh", tooltip="ask the providers again"),
        Binding("e", "explain", "Explain", tooltip="where the price per million tokens comes from"),
        Binding("v", "step('vram', 1)", "Memory", show=False, tooltip="least memory of one GPU"),
        Binding("t", "step('tier', 1)", "Tier", show=False, tooltip="one tier: on-demand, spot and others"),
        Binding("o", "step('provider', 1)", "Provider", show=False, tooltip="one provider"),
        Binding("m", "step('price', 1)", "Price", show=False, tooltip="most that a GPU may cost an hour"),
        Binding("h", "switch('holds')", "Holds", show=False, tooltip="only what holds the pair whole, or all"),
        Binding("a", "switch('every')", "All", show=False, tooltip="every offer, or the best of each kind"),
        Binding("x", "clear", "Clear", show=False, tooltip="clear the filters"),
        Binding("V", "step('vram', -1)", "", show=False),
        Binding("T", "step('tier', -1)", "", show=False),
        Binding("O", "step('provider', -1)", "", show=False),
        Binding("M", "step('price', -1)", "", show=False),
        Binding("S", "step('order', -1)", "", show=False),
        Binding("P", "pair(-1)", "", show=False),
        Binding("escape", "leave_search", "", show=False),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._listing: Listing | None = None
        self._reckoning: Reckoning | None = None
        self._choice = Choice()
        self._inputs = Inputs()
        self._found: Found | None = None
        self._offers: OfferTable | None = None
        self._plans: tuple[Recommendation, ...] = ()
        self._pair = 0
        self._at_home: tuple[str, ...] = ()
        self._asking = False
        self._problem: Problem | None = None

    def compose_body(self) -> ComposeResult:
        """The offers, and beside or below them where to run and how the providers did."""
        with Container(id="prices-halves"):
            with Vertical(id="prices-offers") as offers:
                offers.border_title = "Offers"
                with Horizontal(id="prices-search-line"):
                    yield Static("/", id="prices-slash")
                    yield Input(id="prices-search", compact=True, placeholder=_SEARCH, select_on_focus=False)
                yield FilterLine(id="prices-filters", marks=self.marks)
                yield RowTable(id="prices-table", marks=self.marks)
                yield Static(id="prices-empty", markup=False)
            with VerticalScroll(id="prices-side", can_focus=True) as side:
                side.border_title = "Where should this run?"
                yield WhereBlock(id="prices-where", marks=self.marks)
                yield Static("Providers", id="prices-providers-title")
                yield ProviderLines(id="prices-providers", marks=self.marks)

    def on_mount(self) -> None:
        """Show what is there, then ask."""
        self._choice = Choice.read(self.planner.remembered.get("prices.filters", {}))
        self._inputs = Inputs.read(self.planner.remembered.get("prices.inputs", {}))
        self._redraw()
        self._read(ask=False)

    def status(self, state: State) -> str:
        """How many offers there are and how old the newest is."""
        if self._asking:
            return f"asking for prices {self.marks.ellipsis}"
        if self._listing is None:
            return state.status
        failed = sum(line.failed for line in provider_lines(self._listing))
        newest = (self._listing.market.as_of or "")[:10]
        words = f"{len(self._listing.market.offers)} offers, newest of {newest}" if newest else "no offers"
        return words if not failed else f"{words}; {failed} {'source' if failed == 1 else 'sources'} did not answer"

    def show_state(self, state: State) -> None:
        """Other pairs or another machine: reckon anew."""
        before = self._plan
        if state.plans is self._plans:
            return
        commands = [plan.command for plan in state.plans]
        self._plans = state.plans
        self._pair = commands.index(before.command) if before is not None and before.command in commands else 0
        if self._plan != before:
            self._reckon()
        self.on_screen_resume()

    def on_screen_resume(self) -> None:
        """Reckon with the pair that was looked at on Home since."""
        at_home = self.planner.highlighted_plan
        commands = [plan.command for plan in self._plans]
        if at_home is None or at_home.command == self._at_home or at_home.command not in commands:
            return
        self._at_home = at_home.command
        if commands.index(self._at_home) != self._pair:
            self._pair = commands.index(self._at_home)
            self._reckon()

    @property
    def _plan(self) -> Recommendation | None:
        return self._plans[self._pair] if self._pair < len(self._plans) else None

    # --- work beside the page ------------------------------------------------------------------------------------

    @work(exclusive=True, exit_on_error=False, group="market", description="market")
    async def _read(self, *, ask: bool, refresh: bool = False) -> None:
        read = partial(self.planner.services.market, ask=ask, refresh=refresh)
        self.post_message(MarketRead(await in_background(read, deadline_s=ASK_DEADLINE_S), asked=ask))

    @on(MarketRead)
    def _market_read(self, message: MarketRead) -> None:
        found, first = message.found, self._listing is None
        self._asking = False
        if isinstance(found, Problem):
            self._problem = found
            self._redraw()
            return
        self._listing, self._problem = found, None
        if first and not message.asked and not found.offline:
            self._ask(refresh=False)
        self._reckon()

    def _ask(self, *, refresh: bool) -> None:
        self._asking = True
        self._read(ask=True, refresh=refresh)

    def _reckon(self) -> None:
        if self._listing is not None:
            self._reckon_with(self._listing, self._plan, self._inputs, ranges=self._ranges)
        self._redraw()

    @property
    def _ranges(self) -> bool:
        """Whether there is room for costs with their intervals."""
        return self.query_one(RowTable).size.width >= WIDE

    @work(exclusive=True, exit_on_error=False, group="reckon", description="reckon")
    async def _reckon_with(
        self, listing: Listing, plan: Recommendation | None, inputs: Inputs, *, ranges: bool
    ) -> None:
        situation = self.planner.state.situation

        def reckon() -> tuple[Reckoning, OfferTable]:
            found = self.planner.services.reckon(listing, plan, situation, inputs)
            table = OfferTable(found.rows, listing, paired=found.load is not None, ranges=ranges, marks=self.marks)
            table.prepare(found.rows)
            return found, table

        self.post_message(Reckoned(await in_background(reckon, deadline_s=RECKON_DEADLINE_S)))

    @on(Reckoned)
    def _reckoned(self, message: Reckoned) -> None:
        if isinstance(message.found, Problem):
            self._problem = message.found
        else:
            self._reckoning, self._offers = message.found
        self._redraw()

    # --- what is shown -------------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        listing, reckoning = self._listing, self._reckoning
        where, providers = self.query_one(WhereBlock), self.query_one(ProviderLines)
        where.listing, where.reckoning = listing, reckoning
        where.waiting = "" if listing is None else "reckoning"
        providers.listing, providers.asking = listing, sources() if self._asking else ()
        providers.problem = f"{self._problem.message} {self._problem.hint}".strip() if self._problem else ""
        where.redraw()
        providers.redraw()
        self._show_offers()
        self.redraw_status()

    def _show_offers(self) -> None:
        listing, reckoning = self._listing, self._reckoning
        self.query_one(FilterLine).show(filter_items(self._choice, self._pair, len(self._plans)))
        table, empty = self.query_one(RowTable), self.query_one("#prices-empty", Static)
        before = self._pointed if table.highlighted else None  # the best stays the best
        if listing is None or reckoning is None or self._offers is None:
            table.display = False
            empty.update(hanging(" ", f"reading prices {self.marks.ellipsis}", 60, MUTED))
            return
        self._found = found = offer_filter.find(reckoning, listing, self._choice)
        drawn = self._offers.draw(found.rows, table.size.width)
        table.display, empty.display = bool(found.rows), not found.rows
        offers = [row.offer for row, _ in found.rows]
        at = offers.index(before.offer) if before is not None and before.offer in offers else 0
        table.show_columns(drawn.columns, drawn.natural)
        table.keys = drawn.keys
        table.show_rows(len(found.rows), drawn.rows.__getitem__, highlighted=at)
        self.query_one("#prices-offers").border_title = self._title(found)
        if not found.rows:
            empty.update(no_offers(found, self._choice, self.query_one("#prices-offers").size.width - 4, self.marks))

    @property
    def _pointed(self) -> Priced | None:
        table = self.query_one(RowTable)
        rows = self._found.rows if self._found is not None else ()
        return rows[table.highlighted][0] if table.highlighted < len(rows) else None

    def _title(self, found: Found) -> str:
        pair = f", for {plan_name(self._plan)}" if self._plan is not None else ""
        shown = f"{len(found.rows)} kinds" if not self._choice.every else str(len(found.rows))
        return f"Offers: {shown} of {found.known}{pair}"

    # --- keys ----------------------------------------------------------------------------------------------------

    def _choose(self, choice: Choice) -> None:
        self._choice = choice
        self.planner.remember("prices.filters", choice.kept())
        self._show_offers()

    def action_step(self, name: str, by: int) -> None:
        """The next value of a filter, or the next order."""
        values: Sequence[str] = {
            "vram": offer_filter.VRAM_STEPS,
            "tier": offer_filter.TIER_STEPS,
            "price": offer_filter.PRICE_STEPS,
            "order": tuple(offer_filter.ORDERS),
            "provider": offer_filter.providers_of(self._listing) if self._listing is not None else ("",),
        }[name]
        self._choose(self._choice.having(name, offer_filter.step(values, getattr(self._choice, name), by)))

    def action_switch(self, name: str) -> None:
        """Yes or no."""
        self._choose(self._choice.having(name, not getattr(self._choice, name)))

    def action_clear(self) -> None:
        """No filters; the order stays."""
        self.query_one(Input).value = ""
        self._choose(Choice(order=self._choice.order))

    def action_pair(self, by: int) -> None:
        """Reckon with another pair of Home."""
        if len(self._plans) > 1:
            self._pair = (self._pair + by) % len(self._plans)
            self._reckon()

    def action_inputs(self) -> None:
        """Ask what costs are reckoned with."""

        def answered(inputs: Inputs | None) -> None:
            if inputs is not None:
                self._inputs = inputs
                self.planner.remember("prices.inputs", inputs.kept())
                self._reckon()

        own = self._reckoning.own if self._reckoning is not None else None
        self.app.push_screen(PriceInputs(self._inputs, own), answered)

    def action_explain(self) -> None:
        """Where the price of the tokens comes from."""
        row = self._pointed
        if row is not None and self._listing is not None and self._reckoning is not None:
            from planner.tui.data.price_explain import explain_offer  # the estimator's own words, only when asked for

            situation = self.planner.state.situation
            self.planner.open_explain(partial(explain_offer, row, self._listing, self._reckoning, situation))

    def action_refresh_prices(self) -> None:
        """Ask the providers, however fresh the prices are."""
        if self._asking:
            return
        if self._listing is not None and self._listing.offline:
            self.notify("Offline mode is on: nobody is asked. Unset PLANNER_OFFLINE to ask.", severity="warning")
            return
        self._ask(refresh=True)
        self._redraw()

    def action_search(self) -> None:
        """Type what is looked for."""
        self.query_one(Input).focus()

    def action_leave_search(self) -> None:
        """Back to the table; from there the search is undone."""
        search = self.query_one(Input)
        if not search.has_focus:
            search.value = ""
        self.query_one(RowTable).focus()

    @on(Input.Changed, "#prices-search")
    def _searched(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._choice.search:
            self._choice = self._choice.having("search", event.value)
            self._show_offers()

    @on(Input.Submitted, "#prices-search")
    def _search_done(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one(RowTable).focus()

    @on(RowTable.Heading)
    def _sorted_by(self, event: RowTable.Heading) -> None:
        event.stop()
        if event.key:
            self._choose(self._choice.having("order", event.key))

    @on(RowTable.Chosen)
    def _chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        row = self._pointed
        if row is not None and self._listing is not None:
            self.app.push_screen(OfferScreen(row, self._listing, marks=self.marks))

    def on_resize(self) -> None:
        """Other columns have room."""
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        if self._offers is not None and self._offers.ranges != self._ranges:
            self._reckon()
        self._show_offers()
