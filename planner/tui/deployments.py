"""The deployments there are, read again and again, and ended after a yes."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from planner.tui.child import Outcome
from planner.tui.messages import ServersRead, StopEnded
from planner.tui.problem import Problem
from planner.tui.screens.confirm import Confirm
from planner.tui.workers import beside, in_background

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord
    from planner.tui.app import PlannerApp

READ_EVERY_S = 2.0
READ_DEADLINE_S = 20.0


class Deployments:
    """Part of the app; its methods run in the app's loop."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app
        self._reading = False
        self._changed = False

    def follow(self) -> None:
        """Read what runs, unless that is being done: a slow disk must be able to answer."""
        if not self._reading:
            self._reading = True
            beside(self._app, self._read, group="servers")

    def read(self) -> None:
        """Read what runs after something has changed: anew where a reading has begun before that."""
        self._changed = self._reading
        self.follow()

    async def _read(self) -> None:
        found = await in_background(self._app.services.servers, deadline_s=READ_DEADLINE_S)
        self._app.post_message(ServersRead(found))

    def found(self, found: "tuple[DeploymentRecord, ...] | Problem") -> None:
        """Where they cannot be read, those of before stay."""
        self._reading = False
        if self._changed:
            self.read()
            return
        if isinstance(found, Problem):
            self._app.state = replace(self._app.state, servers_problem=found, servers_known=True)
        else:
            self._app.state = replace(self._app.state, servers=found, servers_problem=None, servers_known=True)

    def ask_to_stop(self, record: "DeploymentRecord") -> None:
        """Stop a deployment, after a yes."""
        if record.name in self._app.state.stopping:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._stop(record.name)

        self._app.push_screen(_question(record), answered)

    def _stop(self, name: str) -> None:
        state = self._app.state
        self._app.state = replace(state, stopping=state.stopping | {name}, stop_problem=None)
        beside(self._app, partial(self._wait_for, name), group="stop")

    async def _wait_for(self, name: str) -> None:
        def run() -> Outcome:
            return self._app.services.start(["stop", name, "--json"], _silent).wait()

        found = await in_background(run)
        self._app.post_message(StopEnded(name, Outcome({}, found) if isinstance(found, Problem) else found))

    def stopped(self, name: str, outcome: Outcome) -> None:
        """It is over, one way or the other; the list is read anew."""
        state, problem = self._app.state, outcome.problem
        if problem is not None:
            problem = replace(problem, message=f"“{name}” was not stopped: {problem.message}")
        self._app.state = replace(state, stopping=state.stopping - {name}, stop_problem=problem)
        self.read()


def _question(record: "DeploymentRecord") -> Confirm:
    if record.state in ("failed", "stopped"):
        words = "Nothing of it runs any more. It leaves the list; its logs stay until it is started again."
        return Confirm(f"Forget “{record.name}”?", words, yes="Forget it", no="Keep it")
    models = " and ".join(process.model.rsplit("/", 1)[-1] for process in record.processes)
    address = f" Programs that use {record.gateway_url} will lose it." if record.gateway_url else ""
    return Confirm(
        f"Stop “{record.name}”?", f"{models or 'Its engines'} will end.{address}", yes="Stop it", no="Leave it"
    )


def _silent(_text: str, _transient: bool) -> None:
    """Progress is not shown; problems are in the answer."""
