"""From a look at the machine to plans and what is worth knowing about them; what is shown stays until then."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.extras import Extras
from planner.tui.data.machine import Situation
from planner.tui.messages import Looked, MoreFound, Planned
from planner.tui.problem import Problem
from planner.tui.workers import in_background, newest

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

LOOK_DEADLINE_S = 20.0
PLAN_DEADLINE_S = 60.0
GIVEN_UP = Problem("The search was given up.", "Press r to look at the machine and plan again.", "given-up")


class Planning:
    """Part of the app; its methods run in the app's loop."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app

    def look(self) -> None:
        """Look at the machine, then plan; a look under way is dropped."""
        self._app.state = replace(self._app.state, looking=True, given_up=False)
        newest(self._app, self._look, group="look")

    async def _look(self) -> None:
        self._app.post_message(Looked(await in_background(self._app.services.look, deadline_s=LOOK_DEADLINE_S)))

    def looked(self, found: Situation | Problem) -> None:
        """Plan for what was found."""
        state = self._app.state
        if not state.looking:
            return
        if isinstance(found, Problem):
            self._app.state = replace(state, looking=False, look_problem=found)
            return
        self._app.state = replace(state, looking=False, planning=True, look_problem=None, situation=found)
        newest(self._app, partial(self._plan, found), group="plan")

    async def _plan(self, situation: Situation) -> None:
        found = await in_background(partial(self._app.services.plan, situation), deadline_s=PLAN_DEADLINE_S)
        self._app.post_message(Planned(found))

    def planned(self, found: Sequence[Recommendation] | Problem) -> None:
        """Show the plans, and find out more about them."""
        if not self._app.state.planning:
            return
        plans, problem = ((), found) if isinstance(found, Problem) else (tuple(found), None)
        self._app.state = replace(self._app.state, planning=False, plans=plans, plan_problem=problem)
        situation = self._app.state.situation
        if plans and situation is not None:
            newest(self._app, partial(self._more, situation, plans), group="more")

    async def _more(self, situation: Situation, plans: tuple[Recommendation, ...]) -> None:
        find = partial(self._app.services.more, situation, plans)
        self._app.post_message(MoreFound(plans, await in_background(find, deadline_s=PLAN_DEADLINE_S)))

    def give_up(self) -> None:
        """Wait no longer; what was found before stays, and what is still found is dropped."""
        state = self._app.state
        if not (state.looking or state.planning):
            return
        for group in ("look", "plan"):
            self._app.workers.cancel_group(self._app, group)
        self._app.services.give_up()
        self._app.state = replace(
            state,
            looking=False,
            planning=False,
            given_up=True,
            look_problem=GIVEN_UP if state.situation is None else state.look_problem,
            plan_problem=state.plan_problem if state.plans else GIVEN_UP,
        )

    def more_found(self, plans: tuple[Recommendation, ...], found: Extras | Problem) -> None:
        """What is not about the plans of now is too late; that nothing more is known is no problem."""
        if plans is self._app.state.plans and not isinstance(found, Problem):
            self._app.state = replace(self._app.state, extras=found)
