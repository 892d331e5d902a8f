"""Two to four models side by side; what differs stands out."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from planner.core.memory.estimate import Verdict
from planner.core.pages.difference import Side
from planner.tui.columns import MUTED, hanging, lines
from planner.tui.data.details import Compared
from planner.tui.data.machine import Situation
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.model_messages import ModelsCompared
from planner.tui.screens.page import Detail
from planner.tui.state import State
from planner.tui.widgets.comparison import comparison, words
from planner.tui.widgets.section import Section
from planner.tui.workers import in_background
from planner.units import format_tokens


class CompareScreen(Detail):
    """Called with ids. One column is chosen: keys act on its model."""

    AUTO_FOCUS = "#compare-scroll"
    CSS_PATH = "compare.tcss"
    HELP_TITLE = "Compare"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose_left", "Choose", key_display="←→", priority=True, tooltip="the model to the left"),
        Binding("right", "choose_right", "Choose", show=False, priority=True, tooltip="the model to the right"),
        Binding("enter", "open", "Open", tooltip="the page of the chosen model"),
        Binding("u", "launch", "Launch", tooltip="fetch and launch the chosen model"),
        Binding("e", "explain", "Explain", tooltip="the arithmetic of the chosen model, the source of its score"),
        Binding("d", "differences", "Differences", tooltip="only what differs, or everything"),
    ]

    def __init__(self, model_ids: Sequence[str], *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._model_ids = tuple(model_ids)
        self._situation: Situation | None = None
        self._found: Compared | None = None
        self._chosen = 0
        self._all_facts = True

    def compose_body(self) -> ComposeResult:
        """The table, then what it comes to."""
        with VerticalScroll(id="compare-scroll", can_focus=True):
            yield Section("", id="compare-table")
            yield Section("What it comes to", id="compare-words")

    def on_mount(self) -> None:
        """As it was left, and nothing is known yet."""
        self._all_facts = self.planner.remembered.get("compare.all", default=True)
        self._say(Content.styled(f"comparing {self.marks.ellipsis}", MUTED))

    def _say(self, content: Content) -> None:
        self.query_one("#compare-table", Section).show(lambda _: content)
        self.query_one("#compare-words", Section).show(lambda _: None)

    def status(self, state: State) -> str:
        """Where they are compared."""
        del state
        found = self._found
        if found is None:
            return ""
        quant = "" if found.found.quant is None else f"{found.found.quant}, "
        return f"{quant}context {format_tokens(found.found.context)}, {found.machine}"

    # --- what there is ---------------------------------------------------------------------------------------------

    def show_state(self, state: State) -> None:
        """Compare in a new situation."""
        if state.situation is not None and state.situation is not self._situation:
            self._situation = state.situation
            self._compare(state.situation)
        elif state.look_problem is not None and self._found is None:
            self._show_problem(state.look_problem)

    @work(exclusive=True, exit_on_error=False, group="compare", description="compare")
    async def _compare(self, situation: Situation) -> None:
        found = await in_background(partial(self.planner.services.compare_models, situation, self._model_ids))
        self.post_message(ModelsCompared(situation, found))

    @on(ModelsCompared)
    def _compared(self, message: ModelsCompared) -> None:
        if message.situation is not self._situation:
            return
        if isinstance(message.found, Problem):
            self._show_problem(message.found)
            return
        self._found = message.found
        self._show()
        self.redraw_status()

    def _show_problem(self, problem: Problem) -> None:
        self._found = None
        rows = [hanging(self.marks.failed, problem.message, 70, "$text-error")]
        if problem.hint:
            rows.append(hanging(self.marks.arrow, problem.hint, 70))
        self._say(lines(rows))

    def _show(self) -> None:
        found, marks = self._found, self.marks
        if found is None:
            return
        self.query_one("#compare-table", Section).show(
            lambda width: comparison(found.found, width, marks, chosen=self._chosen, all_facts=self._all_facts)
        )
        self.query_one("#compare-words", Section).show(lambda width: words(found, width, marks))
        self.refresh_bindings()

    # --- keys ------------------------------------------------------------------------------------------------------

    @property
    def _side(self) -> Side | None:
        return None if self._found is None else self._found.found.sides[self._chosen]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        del parameters
        side = self._side
        match action:
            case "choose_left" | "choose_right" | "open" | "explain" | "differences":
                return side is not None
            case "launch":
                runs = side is not None and side.fit is not None and side.fit.verdict is not Verdict.NO_FIT
                return runs and side is not None and side.model.deployable
            case _:
                return True

    def action_choose_left(self) -> None:
        """The model to the left."""
        self._choose(-1)

    def action_choose_right(self) -> None:
        """The model to the right."""
        self._choose(1)

    def _choose(self, step: int) -> None:
        if self._found is not None:
            self._chosen = (self._chosen + step) % len(self._found.found.sides)
            self._show()

    def action_open(self) -> None:
        """The page of the chosen model."""
        if self._side is not None:
            self.planner.open_model(self._side.model.id)

    def action_launch(self) -> None:
        """Launch the chosen model."""
        from planner.tui.data.single import single_plan

        side = self._side
        if side is not None and side.fit is not None:
            self.planner.launch(single_plan(side.model, side.fit))

    def action_explain(self) -> None:
        """Where the numbers of the chosen model come from."""
        from planner.tui.data.explain import explain_model, explain_variant

        side, situation = self._side, self._situation
        if side is None or situation is None:
            return
        if side.fit is None:
            self.planner.open_explain(partial(explain_model, situation, side.model, None))
        else:
            fit = side.fit
            self.planner.open_explain(partial(explain_variant, situation, side.model, fit.variant, fit.context))

    def action_differences(self) -> None:
        """Only what differs, or everything."""
        self._all_facts = not self._all_facts
        self.planner.remember("compare.all", self._all_facts)
        self._show()
