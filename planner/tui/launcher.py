"""The launch: asks about licences, runs the command, folds what it tells into the app's state. One at a time."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from planner.core.launch.events import Event
from planner.core.models.model import Commercial, Role
from planner.core.pairs.recommendation import Recommendation
from planner.tui.child import Job, Outcome
from planner.tui.figures import plan_name
from planner.tui.messages import LaunchEnded, LaunchLine, LaunchTold, LicencesRead
from planner.tui.parts import Parts, ended, first_parts, told
from planner.tui.problem import Problem
from planner.tui.state import Launch
from planner.tui.workers import in_background
from planner.units import format_gb

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

QUIT_GRACE_S = 0.6
"""How long a cancelled launch is waited for at the end; the rest of its tidying it does alone."""
_MAX_LOG_LINES = 5000
_STARTER_ROLES = (Role.EMBEDDING.value, Role.GENERATION.value)
_NOT_ACCEPTED = Problem(
    "The licence was not accepted, so nothing was fetched.",
    "Choose another pair. Models for any use: licence “commercial” on the What-if page, or with planner recommend.",
    "licence-unaccepted",
)


class Launcher:
    """Part of the app; its methods run in the app's loop unless they say otherwise."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app
        self._job: Job | None = None
        self._plan: Recommendation | None = None
        self._lines: list[str] = []
        self._dropped = 0

    @property
    def _launch(self) -> Launch | None:
        return self._app.state.launch

    def _change(self, launch: Launch) -> None:
        self._app.state = replace(self._app.state, launch=launch)

    def start(self, plan: Recommendation | None) -> None:
        """Fetch and launch a plan, or the starter pair; the one under way goes on instead."""
        if self._launch is not None and self._launch.under_way:
            return
        self._plan, self._lines, self._dropped = plan, [], 0
        title = plan_name(plan) if plan is not None else "the starter pair"
        self._change(Launch(title, self._app.services.clock(), parts=_parts_of(plan), plan=plan))
        restricted = _restricted(plan)
        if restricted:
            self._app.run_worker(self._read_licences(plan), exit_on_error=False, group="licences")
        else:
            self._begin(())

    def again(self) -> None:
        """The same once more."""
        self.start(self._plan)

    async def _read_licences(self, plan: Recommendation | None) -> None:
        wanted = tuple((c.model, c.variant) for c in plan.choices) if plan is not None else ()
        found = await in_background(partial(self._app.services.unaccepted, wanted))
        self._app.post_message(LicencesRead(found))

    def licences_read(self, found: tuple[str, ...] | Problem) -> None:
        """Ask where there is something to accept; without an answer the command itself refuses and says so."""
        if self._launch is None or not self._launch.under_way or self._job is not None:
            return
        if isinstance(found, Problem) or not found:
            self._begin(())
            return
        self._change(replace(self._launch, line="waiting for an answer about a licence"))
        asked_s = self._launch.started_s

        def answered(yes: bool | None) -> None:
            launch = self._launch
            if launch is None or not launch.under_way or launch.started_s != asked_s:
                return
            if yes:
                self._begin(("--accept-licence",))
            else:
                self.ended(Outcome({}, _NOT_ACCEPTED))

        self._app.ask_about_licences(found, answered)

    def _begin(self, options: Sequence[str]) -> None:
        arguments = [*self._plan.command[1:]] if self._plan is not None else ["up", "--starter"]
        try:
            self._job = self._app.services.start(
                [*arguments, *options, "--detach", "--json"], self._says, self._tells
            )
        except OSError as error:
            problem = Problem(f"planner could not be started: {error.strerror or error}.", reference="no-child")
            self.ended(Outcome({}, problem))
        else:
            self._app.run_worker(self._wait_for(self._job), exit_on_error=False, group="launch")

    async def _wait_for(self, job: Job) -> None:
        found = await in_background(job.wait)
        self._app.post_message(LaunchEnded(Outcome({}, found) if isinstance(found, Problem) else found))

    def _says(self, text: str, transient: bool) -> None:
        """Called from the launch's own thread."""
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
            self._app.post_message(LaunchLine(text, transient=transient))

    def _tells(self, event: Event) -> None:
        """Called from the launch's own thread."""
        with contextlib.suppress(RuntimeError):
            self._app.post_message(LaunchTold(event))

    def said(self, text: str, *, transient: bool) -> None:
        """A line for the log; a transient one is progress and no part of it."""
        if self._launch is None:
            return
        if not transient:
            self._lines.append(text)
        if len(self._lines) > _MAX_LOG_LINES:
            del self._lines[: _MAX_LOG_LINES // 2]
            self._dropped += _MAX_LOG_LINES // 2
        self._change(replace(self._launch, line=text, lines_seen=self._dropped + len(self._lines)))

    def told(self, event: Event) -> None:
        """Something moved on."""
        if self._launch is not None:
            parts = told(self._launch.parts, event, self._app.services.clock())
            self._change(replace(self._launch, parts=parts))

    def ended(self, outcome: Outcome) -> None:
        """It is over, one way or another."""
        self._job = None
        launch = self._launch
        if launch is not None:
            now_s = self._app.services.clock()
            parts = ended(launch.parts, outcome, now_s)
            self._change(replace(launch, outcome=outcome, ended_s=now_s, parts=parts))

    def lines(self, after: int) -> list[str]:
        """The lines of the log after the first `after`."""
        return self._lines[max(0, after - self._dropped) :]

    def cancel(self) -> None:
        """Ask it to end; how it does is shown."""
        launch = self._launch
        if launch is None or not launch.under_way:
            return
        if self._job is None:
            self.ended(Outcome({}, Problem("Cancelled.", "Nothing was begun.", "cancelled"), cancelled=True))
            return
        self._job.interrupt()
        self._change(replace(launch, cancelling=True))

    def close(self) -> None:
        """After the app: what is still under way is told to end."""
        if self._job is not None:
            self._job.interrupt()
            self._job.settle(QUIT_GRACE_S)


def _restricted(plan: Recommendation | None) -> bool:
    choices = plan.choices if plan is not None else ()
    return any(choice.model.licence.commercial is Commercial.NO for choice in choices)


def _parts_of(plan: Recommendation | None) -> Parts:
    if plan is None:
        return first_parts(_STARTER_ROLES)
    sizes = [choice.variant.file_bytes for choice in plan.choices]
    names = [f"{choice.model.name} {choice.variant.quant}" for choice in plan.choices]
    details = [
        name if size is None else f"{name}, {format_gb(size)}" for name, size in zip(names, sizes, strict=True)
    ]
    return first_parts([choice.model.role.value for choice in plan.choices], details)
