"""Restarts, giving up and stopping, as tables of events."""

import pytest

from planner.core.launch.supervise import (
    Action,
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

EMBEDDER, GENERATOR = Role.EMBEDDING, Role.GENERATION
CRASH = Exited(GENERATOR, "it crashed")


def play(*events: tuple[float, Event], state: Supervision | None = None) -> tuple[Supervision, list[Action]]:
    state = begin((EMBEDDER, GENERATOR)) if state is None else state
    done: list[Action] = []
    for now, event in events:
        state, actions = step(state, event, now)
        done += actions
    return state, done


def running() -> Supervision:
    return play((0, Began()), (1, BecameReady(EMBEDDER)), (1, BecameReady(GENERATOR)))[0]


def test_everything_is_started_and_runs_once_all_are_ready() -> None:
    state, actions = play((0, Began()))
    assert actions == [Start(EMBEDDER), Start(GENERATOR)]
    state, _ = play((1, BecameReady(EMBEDDER)), state=state)
    assert state.deployment_state is DeploymentState.STARTING
    state, _ = play((2, BecameReady(GENERATOR)), state=state)
    assert state.deployment_state is DeploymentState.RUNNING


def test_a_process_that_never_answered_is_not_tried_again_and_ends_the_others() -> None:
    state, actions = play((0, Began()), (1, BecameReady(EMBEDDER)), (2, CRASH))
    assert [action.role for action in actions if isinstance(action, Kill)] == [EMBEDDER]
    assert state.deployment_state is DeploymentState.FAILED
    assert state.process(GENERATOR).reason == "it crashed"
    state, actions = play((3, Exited(EMBEDDER, "ended")), (100, Ticked()), state=state)
    assert actions == []
    assert state.process(EMBEDDER).phase is Phase.STOPPED
    assert state.deployment_state is DeploymentState.FAILED


@pytest.mark.parametrize(("tick", "restarts"), [(10.9, 0), (11.0, 1), (50.0, 1)])
def test_a_crash_is_restarted_after_a_second(tick: float, restarts: int) -> None:
    state, actions = play((10, CRASH), (tick, Ticked()), state=running())
    assert actions == [Start(GENERATOR)] * restarts
    assert state.deployment_state is DeploymentState.DEGRADED
    assert state.process(GENERATOR).restarts == restarts


def test_delays_grow_and_start_anew_after_a_quiet_minute() -> None:
    delays = []
    state = running()
    for crash, ready in ((10, 20), (45, 50), (100, 110), (500, 510)):
        state, _ = play((crash, CRASH), state=state)
        due = state.process(GENERATOR).restart_at
        assert due is not None
        delays.append(due - crash)
        state, actions = play((due, Ticked()), (ready, BecameReady(GENERATOR)), state=state)
        assert actions == [Start(GENERATOR)]
    assert delays == [1, 2, 4, 1]


@pytest.mark.parametrize(("third", "phase"), [(69.0, Phase.FAILED), (70.0, Phase.FAILED), (70.1, Phase.RESTARTING)])
def test_three_crashes_within_sixty_seconds_are_the_end(third: float, phase: Phase) -> None:
    state, _ = play(
        (10, CRASH),
        (11, Ticked()),
        (12, BecameReady(GENERATOR)),
        (40, CRASH),
        (42, Ticked()),
        (43, BecameReady(GENERATOR)),
        (third, CRASH),
        state=running(),
    )
    assert state.process(GENERATOR).phase is phase
    # The embedder still answers.
    assert state.deployment_state is DeploymentState.DEGRADED


def test_a_crash_while_restarting_counts() -> None:
    state, _ = play((10, CRASH), (11, Ticked()), (12, CRASH), (14, Ticked()), (15, CRASH), state=running())
    assert state.process(GENERATOR).phase is Phase.FAILED


@pytest.mark.parametrize("load_s", [0.5, 25.0, 31.0, 120.0])
@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("alive_s", [0.5, 30.0, 60.0])
def test_a_crash_loop_ends_however_slowly_each_life_loads(load_s: float, answers: bool, alive_s: float) -> None:
    state, _ = play((1000, CRASH), state=running())
    now, starts = 1000.0, 0
    while (process := state.process(GENERATOR)).phase is Phase.RESTARTING and starts < 10:
        assert process.restart_at is not None
        state, actions = play((process.restart_at, Ticked()), state=state)
        starts += len(actions)
        now = process.restart_at + load_s
        if answers:
            state, _ = play((now, BecameReady(GENERATOR)), state=state)
        state, _ = play((now + alive_s, CRASH), state=state)
    assert state.process(GENERATOR).phase is Phase.FAILED
    assert starts <= 3


def test_crashes_with_a_quiet_minute_between_them_never_add_up() -> None:
    state = running()
    for crash in range(100, 1000, 100):
        state, _ = play((crash, CRASH), (crash + 4, Ticked()), (crash + 30, BecameReady(GENERATOR)), state=state)
    assert state.process(GENERATOR).phase is Phase.RUNNING


def test_what_cannot_be_helped_by_a_restart_is_not_restarted() -> None:
    state, actions = play((10, Exited(GENERATOR, "gone", permanent=True)), (99, Ticked()), state=running())
    assert state.process(GENERATOR).phase is Phase.FAILED
    assert actions == []


def test_all_given_up_is_failed() -> None:
    state = running()
    for role in (EMBEDDER, GENERATOR):
        state, _ = play((10, Exited(role, "gone", permanent=True)), state=state)
    assert state.deployment_state is DeploymentState.FAILED


def test_a_hung_process_is_killed_once_and_its_end_counts_as_a_crash_with_that_reason() -> None:
    state, actions = play((10, Unhealthy(GENERATOR, "it hung")), (20, Exited(GENERATOR, "signal 9")), state=running())
    assert actions == [Kill(GENERATOR, "it hung")]
    process = state.process(GENERATOR)
    assert (process.phase, process.reason) == (Phase.RESTARTING, "it hung")


def test_stopping_ends_what_runs_and_starts_nothing_again() -> None:
    state, _ = play((10, CRASH), state=running())
    state, actions = play((10.5, StopRequested()), (10.6, StopRequested()), (60, Ticked()), state=state)
    assert [action.role for action in actions if isinstance(action, Kill)] == [EMBEDDER]
    assert not [action for action in actions if isinstance(action, Start)]
    state, actions = play((61, Exited(EMBEDDER, "ended")), (99, Ticked()), state=state)
    assert actions == []
    assert state.deployment_state is DeploymentState.STOPPED


def test_late_and_foreign_events_change_nothing() -> None:
    state = running()
    foreign: tuple[Event, ...] = (
        BecameReady(Role.RERANKER),
        Exited(Role.RERANKER, "?"),
        Unhealthy(Role.RERANKER, "?"),
    )
    for event in foreign:
        assert step(state, event, 5) == (state, ())
    stopped, _ = play((1, StopRequested()), (2, Exited(EMBEDDER, "")), (2, Exited(GENERATOR, "")), state=state)
    late: tuple[Event, ...] = (BecameReady(GENERATOR), Unhealthy(GENERATOR, "late"), Ticked())
    for event in late:
        assert step(stopped, event, 9) == (stopped, ())


def starved(state: Supervision, at: float) -> tuple[Supervision, list[Action]]:
    return play((at, Exited(GENERATOR, "out of memory", out_of_memory=True)), state=state)


def test_a_start_that_runs_out_of_memory_is_tried_once_with_the_smaller_plan() -> None:
    state, actions = starved(play((0, Began()), state=begin((GENERATOR,), can_shrink={GENERATOR}))[0], 1)
    assert actions == [Start(GENERATOR, smaller=True)]
    assert (state.process(GENERATOR).restarts, state.deployment_state) == (1, DeploymentState.STARTING)
    again, actions = starved(state, 2)
    assert actions == []
    assert again.process(GENERATOR).reason == "out of memory"
    assert again.deployment_state is DeploymentState.FAILED
    ready, _ = play((3, BecameReady(GENERATOR)), state=state)
    assert ready.deployment_state is DeploymentState.RUNNING


def test_without_a_smaller_plan_running_out_of_memory_is_the_end_of_a_start() -> None:
    state, actions = starved(play((0, Began()), state=begin((GENERATOR,)))[0], 1)
    assert (actions, state.deployment_state) == ([], DeploymentState.FAILED)


def test_one_that_runs_out_of_memory_later_comes_back_smaller_and_stays_so() -> None:
    state, _ = play((0, Began()), (1, BecameReady(GENERATOR)), state=begin((GENERATOR,), can_shrink={GENERATOR}))
    state, actions = starved(state, 10)
    assert actions == []
    state, actions = play((11, Ticked()), (12, BecameReady(GENERATOR)), (100, CRASH), (102, Ticked()), state=state)
    assert actions == [Start(GENERATOR, smaller=True)] * 2


def test_an_end_that_is_told_twice_counts_once() -> None:
    state, _ = play((10, CRASH), (10, CRASH), (10, CRASH), state=running())
    assert state.process(GENERATOR).phase is Phase.RESTARTING
