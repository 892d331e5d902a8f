"""Any order of events: a world of processes obeys the actions, and hypothesis decides what happens to it.

The world keeps the promises of the real one: a process that was started ends at most once, and one that was told to
end does end. Everything else (when, why, how often, what else is said meanwhile) is anybody's choice.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.launch.supervise import (
    BecameReady,
    Began,
    DeploymentState,
    Event,
    Exited,
    Kill,
    Phase,
    Start,
    StopRequested,
    Supervision,
    Ticked,
    Unhealthy,
    begin,
    step,
)
from planner.core.models.model import Role

ROLES = tuple(Role)
ENDED = (Phase.FAILED, Phase.STOPPED)


@dataclass
class World:
    """Processes that live, those that answer, and those that were told to end."""

    state: Supervision
    now: float = 0.0
    alive: set[Role] = field(default_factory=set)
    ready: set[Role] = field(default_factory=set)
    told_to_end: set[Role] = field(default_factory=set)
    starts: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    smaller: dict[Role, bool] = field(default_factory=lambda: dict.fromkeys(ROLES, False))

    def tell(self, event: Event) -> None:
        if isinstance(event, Exited) and event.role in self.alive:
            for group in (self.alive, self.ready, self.told_to_end):
                group.discard(event.role)
        self.state, actions = step(self.state, event, self.now)
        for action in actions:
            match action:
                case Start(role, smaller):
                    assert role not in self.alive, "two engines for one model"
                    assert not self.state.stopping, "a start after the stop"
                    assert smaller or not self.smaller[role], "back to the plan that did not fit"
                    self.smaller[role] = smaller
                    self.alive.add(role)
                    self.starts[role] += 1
                case Kill(role):
                    assert role in self.alive, "an order to end what is not there"
                    assert role not in self.told_to_end, "told twice"
                    self.told_to_end.add(role)
        for process in self.state.processes:
            lives = process.role in self.alive
            known = process.phase in (Phase.STARTING, Phase.RUNNING)
            # What was given up on in a start is ended by the same order that ends the others, so it is never unknown.
            assert lives == known, f"a process nobody knows of, or one that is not there: {process}"
            assert process.phase is not Phase.FAILED or process.reason, "failed without a reason"

    def happen(self, what: str, role: Role, after_s: float) -> None:
        self.now += after_s
        match what:
            case "ready" if role in self.alive and role not in self.ready:
                self.ready.add(role)
                self.tell(BecameReady(role))
            case "crash" | "permanent" | "memory" if role in self.alive:
                self.tell(
                    Exited(role, f"it ended: {what}", permanent=what == "permanent", out_of_memory=what == "memory")
                )
            case "late exit" if role not in self.alive:
                self.tell(Exited(role, "said twice"))
            case "late ready" if role not in self.alive:
                self.tell(BecameReady(role))
            case "hung":
                self.tell(Unhealthy(role, "it hung"))
            case "stop":
                self.tell(StopRequested())
            case _:
                self.tell(Ticked())

    def settle(self, *, well: bool) -> None:
        """Let time pass until nothing is left to happen: what is told to end ends, what loads comes up or not."""
        for _ in range(200):
            self.now += 5.0
            self.tell(Ticked())
            for role in tuple(self.told_to_end):
                self.tell(Exited(role, "ended as told"))
            for role in tuple(self.alive - self.ready - self.told_to_end):
                if well:
                    self.ready.add(role)
                    self.tell(BecameReady(role))
                else:
                    self.tell(Exited(role, "it does not come up"))
            if all(p.phase in (*ENDED, Phase.RUNNING) for p in self.state.processes) and not self.told_to_end:
                return
        raise AssertionError("it never comes to rest")


happenings = st.tuples(
    st.sampled_from(
        ["ready", "ready", "crash", "permanent", "memory", "late exit", "late ready", "hung", "stop", "tick", "tick"]
    ),
    st.sampled_from(ROLES),
    st.sampled_from([0.0, 0.01, 0.5, 1.0, 2.0, 4.0, 30.0, 61.0, 86_400.0]),
)


@given(
    roles=st.lists(st.sampled_from(ROLES), min_size=1, max_size=3, unique=True),
    shrinkable=st.sets(st.sampled_from(ROLES)),
    history=st.lists(happenings, max_size=60),
    well=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_whatever_happens_no_engine_is_doubled_or_forgotten_and_it_ends_in_running_or_failed_with_a_reason(
    roles: list[Role], shrinkable: set[Role], history: list[tuple[str, Role, float]], *, well: bool
) -> None:
    world = World(begin(tuple(roles), can_shrink=shrinkable))
    world.tell(Began())
    for what, role, after_s in history:
        world.happen(what, role, after_s)
    world.settle(well=well)
    assert {p.role for p in world.state.processes if p.phase is Phase.RUNNING} == world.alive
    assert world.state.deployment_state in (
        DeploymentState.RUNNING,
        DeploymentState.DEGRADED,
        DeploymentState.FAILED,
        DeploymentState.STOPPED,
    )
    if world.state.deployment_state in (DeploymentState.FAILED, DeploymentState.STOPPED):
        assert not world.alive
    if world.state.deployment_state is DeploymentState.FAILED:
        assert [p.reason for p in world.state.processes if p.phase is Phase.FAILED]


@given(
    history=st.lists(happenings.filter(lambda happening: happening[0] != "stop"), max_size=60), shrinks=st.booleans()
)
@settings(max_examples=200, deadline=None)
def test_an_engine_that_only_ever_crashes_is_started_a_handful_of_times(
    history: list[tuple[str, Role, float]], *, shrinks: bool
) -> None:
    world = World(begin((Role.GENERATION,), can_shrink=ROLES if shrinks else ()))
    world.tell(Began())
    for _, _, after_s in history:
        world.happen("memory", Role.GENERATION, after_s)
        world.happen("tick", Role.GENERATION, 4.0)
    assert world.starts[Role.GENERATION] <= 2
    assert not history or world.state.deployment_state is DeploymentState.FAILED or (shrinks and len(history) == 1)


@given(history=st.lists(happenings, max_size=40))
@settings(max_examples=200, deadline=None)
def test_after_a_stop_everything_ends_and_nothing_starts(history: list[tuple[str, Role, float]]) -> None:
    world = World(begin(ROLES))
    world.tell(Began())
    for what, role, after_s in history:
        world.happen(what, role, after_s)
    world.tell(StopRequested())
    before = dict(world.starts)
    for what, role, after_s in history:
        world.happen(what, role, after_s)
    world.settle(well=True)
    assert world.starts == before
    assert not world.alive
    assert {p.phase for p in world.state.processes} <= set(ENDED)
