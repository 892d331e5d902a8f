"""The first screen: the machine, the pairs it can run, the chosen one closer, and what is running."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize

from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.extras import Extras
from planner.tui.marks import Marks
from planner.tui.screens import registry
from planner.tui.screens.page import Page
from planner.tui.state import State
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.machine import Machine
from planner.tui.widgets.plan_detail import PlanDetail
from planner.tui.widgets.plan_list import PlanList
from planner.tui.widgets.server_list import ServerList
from planner.units import printable

_ROOMY_LINES = 45


class LaunchLineBar(Fitted):
    """A line about the launch while it goes on elsewhere, or about how it ended."""

    state: State | None = None

    def draw(self, width: int) -> Content:
        """One line."""
        del width
        launch = self.state.launch if self.state else None
        if launch is None:
            return Content("")
        marks = self.marks
        if launch.under_way:
            return Content.assemble((f"{marks.starting} launching", "$text-accent"), f"  {printable(launch.line)}")
        if launch.outcome is not None and launch.outcome.cancelled:
            return Content.assemble((f"{marks.stopped} launch cancelled", "$text-warning"))
        if launch.problem is not None:
            return Content.assemble(
                (f"{marks.failed} launch failed", "$text-error"), f"  {printable(launch.problem.message)}"
            )
        return Content("")


class HomeScreen(Page):
    """Draws the app's state and turns keys into wishes."""

    AUTO_FOCUS = "#plans-list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "launch", "Launch", key_display="enter", tooltip="fetch and launch the plan; enter does too"),
        Binding("t", "starter", "Starter pair", tooltip="fetch and launch the starter pair (about 0.2 GB)"),
        Binding("e", "explain", "Explain", tooltip="see how memory, speed and score of the plan are reckoned"),
        Binding("m", "model", "Model", tooltip="open the page of the plan's generator"),
        Binding("s,delete", "stop", "Stop", key_display="s", tooltip="stop a deployment; asks first"),
        Binding("l", "log", "Log", tooltip="see the launch and its log"),
        Binding("r", "refresh", "Refresh", tooltip="look at the machine again and plan anew"),
        Binding("escape", "give_up", "Give up", show=False, tooltip="give up a look or a search that goes on"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._drawn = State()

    def compose_body(self) -> ComposeResult:
        """From the machine to what runs."""
        marks = self.marks
        yield Machine(id="machine", marks=marks)
        plans = PlanList(id="plans", marks=marks)
        plans.border_title = "Pairs for this machine"
        yield plans
        yield PlanDetail(id="detail", marks=marks)
        with Vertical(id="servers-part") as part:
            part.border_title = "Running"
            yield LaunchLineBar(id="launch-line", marks=marks)
            yield ServerList(id="servers", marks=marks)

    def on_mount(self) -> None:
        """Nothing is chosen yet."""
        self.query_one(PlanDetail).show(None, (), Extras())

    def on_resize(self, event: Resize) -> None:
        """Breathe where there is room."""
        self.set_class(event.size.height >= _ROOMY_LINES, "-roomy")

    def status(self, state: State) -> str:
        """With a sign that something goes on."""
        return (
            f"{state.status} {self.marks.ellipsis} esc gives up" if state.looking or state.planning else state.status
        )

    def show_state(self, state: State) -> None:
        """Draw what changed."""
        before, self._drawn = self._drawn, state
        situation = state.situation
        hardware = situation.hardware if situation is not None else None
        self.query_one(Machine).show(hardware, state.look_problem if hardware is None else None)
        plans = self.query_one(PlanList)
        if (state.plans, state.plan_problem, state.look_problem) != (plans.plans, plans.problem, before.look_problem):
            plans.show(state.plans, state.plan_problem or state.look_problem)
        if state.extras is not before.extras:
            self._show_plan(plans.selected)
        self.query_one(ServerList).show(
            state.servers, state.stop_problem or state.servers_problem, state.stopping, known=state.servers_known
        )
        bar = self.query_one(LaunchLineBar)
        if before.launch != state.launch:
            bar.state = state
            bar.display = state.launch is not None and (state.launch.under_way or state.launch.problem is not None)
            bar.redraw()
        if bool(before.servers) != bool(state.servers) or (before.launch is None) != (state.launch is None):
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        del parameters
        state = self.planner.state
        match action:
            case "give_up":
                return state.looking or state.planning
            case "stop":
                return bool(state.servers)
            case "log":
                return state.launch is not None
            case "launch":
                return bool(state.plans)
            case "explain" | "model":
                return bool(state.plans) and action in registry.DETAILS
            case _:
                return True

    @on(PlanList.Highlighted)
    def _highlighted(self, event: PlanList.Highlighted) -> None:
        self._show_plan(event.plan)
        self.refresh_bindings()

    def _show_plan(self, plan: Recommendation | None) -> None:
        state = self.planner.state
        notes = state.situation.notes if state.situation is not None else ()
        self.query_one(PlanDetail).show(plan, notes, state.extras)

    @on(PlanList.Chosen)
    def _chosen(self, event: PlanList.Chosen) -> None:
        self.planner.launch(event.plan)

    def action_launch(self) -> None:
        """Launch the highlighted plan."""
        plan = self.query_one(PlanList).selected
        if plan is not None:
            self.planner.launch(plan)

    def action_starter(self) -> None:
        """Launch the starter pair."""
        self.planner.launch(None)

    def action_explain(self) -> None:
        """Where the numbers of the highlighted plan come from."""
        plan, situation = self.query_one(PlanList).selected, self.planner.state.situation
        if plan is not None and situation is not None:
            from planner.tui.data.explain import explain_plan

            self.planner.open_explain(partial(explain_plan, situation, plan))

    def action_model(self) -> None:
        """The page of the highlighted plan's generator, or of its embedder."""
        plan = self.query_one(PlanList).selected
        choice = plan.generation or plan.embedding if plan is not None else None
        if choice is not None:
            self.planner.open_model(choice.model.id)

    def action_stop(self) -> None:
        """Stop the highlighted deployment."""
        record = self.query_one(ServerList).selected
        if record is not None:
            self.planner.ask_to_stop(record)

    def action_log(self) -> None:
        """Show the launch."""
        self.planner.show_launch()

    def action_give_up(self) -> None:
        """Wait no longer for what is looked for."""
        self.planner.give_up_looking()

    def action_refresh(self) -> None:
        """Look and plan anew."""
        self.planner.look()
