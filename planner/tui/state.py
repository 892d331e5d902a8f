"""What the app knows, as one frozen value. Only the app replaces it; screens watch it and draw what changed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from planner.core.pairs.recommendation import Recommendation
from planner.tui.child import Outcome
from planner.tui.data.extras import Extras
from planner.tui.data.machine import Situation
from planner.tui.parts import Parts
from planner.tui.problem import Problem
from planner.tui.queue import Queue

if TYPE_CHECKING:  # the room behind it is large, and needed only once something runs
    from planner.serve.state import DeploymentRecord


@dataclass(frozen=True)
class Launch:
    """A launch under way or ended. `line` is its latest progress; times in seconds of the app's clock.

    `parts` are what it consists of, each with its own state; `plan` is None for the starter pair.
    """

    title: str
    started_s: float
    line: str = ""
    lines_seen: int = 0
    cancelling: bool = False
    ended_s: float | None = None
    outcome: Outcome | None = None
    parts: Parts = ()
    plan: Recommendation | None = None

    @property
    def under_way(self) -> bool:
        """Whether it is still running."""
        return self.outcome is None

    @property
    def problem(self) -> Problem | None:
        """Why it failed, if it did."""
        return self.outcome.problem if self.outcome is not None else None

    @property
    def deployment(self) -> "DeploymentRecord | None":
        """What it started, if its answer can be read."""
        from planner.serve.state import DeploymentRecord

        if self.outcome is None or self.outcome.problem is not None:
            return None
        try:
            return msgspec.convert(self.outcome.answer.get("deployment"), DeploymentRecord)
        except msgspec.ValidationError:
            return None


@dataclass(frozen=True)
class State:
    """None: not known yet."""

    situation: Situation | None = None
    look_problem: Problem | None = None
    looking: bool = False
    plans: tuple[Recommendation, ...] = ()
    plan_problem: Problem | None = None
    planning: bool = False
    given_up: bool = False
    extras: Extras = field(default_factory=Extras)
    servers: "tuple[DeploymentRecord, ...]" = ()
    servers_known: bool = False
    servers_problem: Problem | None = None
    stopping: frozenset[str] = field(default_factory=frozenset)
    stop_problem: Problem | None = None
    launch: Launch | None = None
    downloads: Queue = ()
    store_version: int = 0

    @property
    def status(self) -> str:
        """One line: what is going on."""
        if self.looking:
            return "looking at this machine"
        if self.planning:
            return "planning"
        if self.given_up:
            return "given up; r looks again"
        if self.look_problem or self.plan_problem:
            return "no plan"
        count = len(self.plans)
        return f"{count} {'pair' if count == 1 else 'pairs'} for the memory that is free now" if count else ""
