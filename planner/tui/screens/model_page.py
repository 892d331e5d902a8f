"""A model: what it is, how each quant runs here, which devices run it, how good it is, what else there is."""

from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content

from planner.core.fits.device_grid import REFERENCE_NAME
from planner.core.memory.estimate import Verdict
from planner.core.pages.model_page import HereRow, QuantRow
from planner.tui.columns import MUTED, Row, hanging, lines
from planner.tui.data.details import Details
from planner.tui.data.machine import Situation
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.model_messages import DetailsRead, RentalsRead
from planner.tui.screens.page import Detail
from planner.tui.state import State
from planner.tui.widgets import model_sections as sections
from planner.tui.widgets.model_tables import (
    ALTERNATIVE_COLUMNS,
    QUANT_COLUMNS,
    alternative_rows,
    best_quant,
    natural,
    quant_rows,
)
from planner.tui.widgets.row_table import RowTable
from planner.tui.widgets.section import Section
from planner.tui.workers import in_background
from planner.units import format_tokens, printable


class QuantTable(RowTable):
    """Enter explains a quant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Explain", show=False, tooltip="the arithmetic of the highlighted quant")
    ]


class ModelScreen(Detail):
    """Called with an id, a name or an alias."""

    AUTO_FOCUS = "#model-quants"
    CSS_PATH = "model_page.tcss"
    HELP_TITLE = "Model"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "launch", "Launch", tooltip="fetch and launch the highlighted quant"),
        Binding("D", "download", "Download", show=False, tooltip="fetch the highlighted quant, beside the rest"),
        Binding("e", "explain", "Explain", tooltip="the arithmetic of the highlighted quant, and its score"),
        Binding("n", "next", "Next", tooltip="the next model of the list as it is filtered"),
        Binding("p", "previous", "Previous", tooltip="the model before it"),
        Binding("c", "compare", "Compare", tooltip="beside its first alternatives"),
        Binding("pagedown", "turn(1)", "Page down", show=False, priority=True),
        Binding("pageup", "turn(-1)", "Page up", show=False, priority=True),
    ]

    def __init__(self, model_id: str, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._model_id = model_id
        self._situation: Situation | None = None
        self._details: Details | None = None
        self._quants: list[Row] = []
        self._alternatives: list[Row] = []

    # --- layout ----------------------------------------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        """Two columns where there is room: what runs how, and what is known."""
        marks = self.marks
        with VerticalScroll(id="model-scroll", can_focus=False):
            yield Section("", id="model-head")
            with Horizontal(id="model-columns"):
                with Vertical(id="model-runs"):
                    with Vertical(id="model-quants-part"):
                        yield QuantTable(marks=marks, id="model-quants")
                        yield Section("", id="model-quant-note")
                    yield Section("Devices", id="model-devices")
                    with Vertical(id="model-alternatives-part"):
                        yield RowTable(marks=marks, id="model-alternatives")
                    yield Section("Rentals", id="model-rentals")
                with Vertical(id="model-knows"):
                    yield Section("Facts", id="model-facts")
                    yield Section("Scores", id="model-scores")
                    yield Section("Quick start", id="model-start")
                    yield Section("Where these facts come from", id="model-sources")

    def on_mount(self) -> None:
        """Nothing is known yet."""
        self.query_one("#model-quants-part").border_title = "On this machine"
        self._say(Content.styled(f"reckoning {self.marks.ellipsis}", MUTED))
        self._arrange()

    def _section(self, name: str) -> Section:
        return self.query_one(f"#model-{name}", Section)

    def _table(self, name: str) -> RowTable:
        return self.query_one(f"#model-{name}", RowTable)

    def _say(self, content: Content) -> None:
        """Instead of the page."""
        self._section("head").show(lambda _: content)

    def status(self, state: State) -> str:
        """Where in the list it is."""
        around = self._around()
        if self._details is None or self._details.page.model.id not in around:
            return "" if self._details is None else self._details.machine
        place = around.index(self._details.page.model.id) + 1
        return f"{place} of {len(around)}  {self._details.machine}"

    # --- what there is ---------------------------------------------------------------------------------------------

    def show_state(self, state: State) -> None:
        """Reckon for a new situation."""
        if state.situation is not None and state.situation is not self._situation:
            self._situation = state.situation
            self._read(state.situation, self._model_id)
        elif state.look_problem is not None and self._details is None:
            self._show_problem(state.look_problem)

    @work(exclusive=True, exit_on_error=False, group="model-details", description="model-details")
    async def _read(self, situation: Situation, model_id: str) -> None:
        found = await in_background(partial(self.planner.services.model_details, situation, model_id))
        self.post_message(DetailsRead(model_id, found))

    @on(DetailsRead)
    def _details_read(self, message: DetailsRead) -> None:
        if message.model_id != self._model_id:
            return
        if isinstance(message.found, Problem):
            self._show_problem(message.found)
            return
        self._details = message.found
        self._show(message.found)
        variant = message.found.page.variant
        if self._situation is not None and variant is not None:
            self._read_rentals(self._situation, message.found, message.model_id)

    @work(exclusive=True, exit_on_error=False, group="model-rentals", description="model-rentals")
    async def _read_rentals(self, situation: Situation, details: Details, model_id: str) -> None:
        page = details.page
        assert page.variant is not None, "the caller sees to it"
        read = partial(self.planner.services.model_rentals, situation, page.model, page.variant)
        self.post_message(RentalsRead(model_id, await in_background(read)))

    @on(RentalsRead)
    def _rentals_read(self, message: RentalsRead) -> None:
        details, found = self._details, message.found
        if details is None or message.model_id != self._model_id or isinstance(found, Problem):
            return
        quant = "" if details.page.variant is None else f" that hold {details.page.variant.quant} whole"
        part = self._section("rentals")
        part.border_title = f"Cheapest rentals{quant}"
        part.show(lambda width: sections.rentals(details, found, width, self.marks))

    def _show_problem(self, problem: Problem) -> None:
        marks = self.marks
        self._details = None
        self._arrange()
        words = [hanging(marks.failed, problem.message, 70, "$text-error")]
        if problem.hint:
            words.append(hanging(marks.arrow, problem.hint, 70))
        self._say(lines(words))

    def _show(self, details: Details) -> None:
        page, marks = details.page, self.marks
        model = page.model
        self._section("head").show(lambda width: sections.head(model, details.installed, width, marks))
        self._section("facts").show(lambda width: sections.facts(model, width))
        self._section("devices").show(lambda width: sections.devices(page, width, marks))
        self._section("scores").show(lambda width: sections.scores(page, width, marks))
        self._section("start").show(lambda width: sections.quick_start(page, width, marks))
        self._section("sources").show(lambda width: sections.sources(model, width, marks))
        self._section("rentals").show(lambda _: None)
        self.query_one("#model-quants-part").border_title = Content(
            f"Quants on {printable(details.machine)}, context {format_tokens(page.context)}"
        )
        self._quants = quant_rows(details, marks)
        self._alternatives = alternative_rows(page.alternatives, marks)
        reference = "" if page.variant is None else f" to {page.variant.quant}, beside it on an {REFERENCE_NAME}"
        self.query_one("#model-alternatives-part").border_title = Content(f"Alternatives{printable(reference)}")
        self._table("quants").show_columns(QUANT_COLUMNS, natural(QUANT_COLUMNS, self._quants))
        self._table("quants").show_rows(len(self._quants), self._quants.__getitem__, highlighted=best_quant(details))
        self._table("alternatives").show_columns(
            ALTERNATIVE_COLUMNS, natural(ALTERNATIVE_COLUMNS, self._alternatives)
        )
        self._table("alternatives").show_rows(len(self._alternatives), self._alternatives.__getitem__)
        self._arrange()
        self.query_one("#model-scroll", VerticalScroll).scroll_home(animate=False)
        self.set_focus(self._table("quants") if self._quants else self._table("alternatives"))
        self.redraw_status()
        self.refresh_bindings()

    def _arrange(self) -> None:
        """Tables as high as their rows; what is empty is not there."""
        for name, rows in (("quants", self._quants), ("alternatives", self._alternatives)):
            self._table(name).styles.height = len(rows) + 1
            self.query_one(f"#model-{name}-part").display = bool(rows) and self._details is not None
        self.query_one("#model-columns").display = self._details is not None

    # --- the highlighted quant -------------------------------------------------------------------------------------

    @property
    def _quant(self) -> QuantRow | None:
        rows = () if self._details is None else self._details.page.quants
        index = self._table("quants").highlighted
        return rows[index] if 0 <= index < len(rows) else None

    @property
    def _here(self) -> HereRow | None:
        quant = self._quant
        return None if quant is None or self._details is None else self._details.here(quant.variant.quant)

    @on(RowTable.Highlighted, "#model-quants")
    def _highlighted(self) -> None:
        here, marks = self._here, self.marks
        note = self._section("quant-note")
        if here is None:
            note.show(lambda _: None)
        else:
            words = [here.fit.estimate.placement.reason, *here.fit.estimate.warnings]
            note.show(lambda width: lines([hanging(marks.note, text, width, MUTED) for text in words]))
        self.refresh_bindings()

    @on(RowTable.Chosen, "#model-quants")
    def _quant_chosen(self) -> None:
        self.action_explain()

    @on(RowTable.Chosen, "#model-alternatives")
    def _alternative_chosen(self, event: RowTable.Chosen) -> None:
        if self._details is not None:
            self._go_to(self._details.page.alternatives[event.index].side.model.id)

    @on(RowTable.Beyond)
    def _beyond(self, event: RowTable.Beyond) -> None:
        self.query_one("#model-scroll", VerticalScroll).scroll_relative(y=2 * event.rows, animate=False)

    # --- keys ------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        del parameters
        match action:
            case "launch":
                here = self._here
                return here is not None and here.fit.verdict is not Verdict.NO_FIT and self._fetchable
            case "explain":
                return self._details is not None
            case "next" | "previous":
                return len(self._around()) > 1
            case "compare":
                return self._details is not None and bool(self._details.page.alternatives)
            case _:
                return True

    @property
    def _fetchable(self) -> bool:
        from planner.tui.data.single import can_fetch

        quant, details = self._quant, self._details
        return quant is not None and details is not None and can_fetch(details.page.model, quant.variant)

    def action_launch(self) -> None:
        """Launch the highlighted quant."""
        from planner.tui.data.single import single_plan

        here = self._here
        if here is not None and self._details is not None:
            self.planner.launch(single_plan(self._details.page.model, here.fit))

    def action_download(self) -> None:
        """Fetch the highlighted quant."""
        quant, details = self._quant, self._details
        if quant is not None and details is not None and self._fetchable:
            self.planner.download(details.page.model, quant.variant)
            self.notify(f"{details.page.model.name} {quant.variant.quant} is on the Downloads page (5).")

    def action_explain(self) -> None:
        """Where the numbers of the highlighted quant come from."""
        from planner.tui.data.explain import explain_model, explain_variant

        details, situation, quant = self._details, self._situation, self._quant
        if details is None or situation is None:
            return
        page = details.page
        if quant is None or quant.fit is None:
            self.planner.open_explain(partial(explain_model, situation, page.model, None))
        else:
            self.planner.open_explain(partial(explain_variant, situation, page.model, quant.variant, page.context))

    def action_compare(self) -> None:
        """The model beside its first alternatives."""
        from planner.tui.data.details import COMPARED

        if self._details is not None:
            others = [item.side.model.id for item in self._details.page.alternatives]
            self.planner.open_compare([self._details.page.model.id, *others][: COMPARED[1]])

    def _around(self) -> tuple[str, ...]:
        """The models of the list as it is filtered now, if it was opened."""
        from planner.tui.screens.models import ModelsScreen

        return next((screen.neighbours for screen in self.app.screen_stack if isinstance(screen, ModelsScreen)), ())

    def action_next(self) -> None:
        """The next model of the list."""
        self._walk(1)

    def action_previous(self) -> None:
        """The one before."""
        self._walk(-1)

    def _walk(self, step: int) -> None:
        around = self._around()
        name = self._model_id if self._details is None else self._details.page.model.id
        if around:
            place = around.index(name) if name in around else -step
            self._go_to(around[(place + step) % len(around)])

    def _go_to(self, model_id: str) -> None:
        """Another model in this place."""
        if self._situation is not None:
            self._model_id = model_id
            self._read(self._situation, model_id)

    def action_turn(self, pages: int) -> None:
        """Scroll a page."""
        scroll = self.query_one("#model-scroll", VerticalScroll)
        scroll.scroll_relative(y=pages * max(1, scroll.size.height - 2), animate=False)
