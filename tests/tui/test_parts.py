"""The parts of a launch: what each event does to them, and what their end makes of them."""

from planner.core.launch.events import Event, NoteTold, ProgressTold, Step, StepState, StepTold
from planner.tui.child import Outcome
from planner.tui.parts import Part, Parts, PartState, ended, failed_part, first_parts, told
from planner.tui.problem import Problem

ROLES = ("embedding", "generation")


def after(*events: Event) -> Parts:
    """The parts after events, a second apart."""
    parts = first_parts(ROLES, ("finder F16, 0.6 GB", "writer Q4_K_M, 5.0 GB"))
    for second, event in enumerate(events):
        parts = told(parts, event, float(second))
    return parts


def begun(step: Step, role: str = "") -> StepTold:
    return StepTold(step, StepState.BEGUN, role)


def done(step: Step, role: str = "", detail: str = "") -> StepTold:
    return StepTold(step, StepState.DONE, role, detail)


def part(parts: Parts, title: str) -> Part:
    return next(part for part in parts if part.title == title)


def test_a_launch_of_a_pair_has_eight_parts_in_order() -> None:
    assert [part.title for part in first_parts(ROLES)] == [
        "plan",
        "engine",
        "download embedder",
        "download generator",
        "start",
        "load embedder",
        "load generator",
        "verify",
    ]


def test_a_part_has_its_time_and_what_is_said_of_it() -> None:
    parts = after(begun(Step.PLAN), done(Step.PLAN), begun(Step.ENGINE), done(Step.ENGINE, detail="embedded"))
    assert [(p.state, p.took_s(99)) for p in parts[:2]] == [(PartState.DONE, 1), (PartState.DONE, 1)]
    assert part(parts, "engine").detail == "embedded"
    assert part(parts, "download embedder").detail == "finder F16, 0.6 GB"
    assert part(parts, "start").took_s(99) is None


def test_bytes_belong_to_the_part_that_is_under_way() -> None:
    parts = after(
        begun(Step.ENGINE),
        done(Step.ENGINE),
        begun(Step.FETCH, "generation"),
        ProgressTold("w", "downloading", 5, 10),
    )
    pace = part(parts, "download generator").pace
    assert pace is not None
    assert pace.share == 0.5
    assert part(parts, "engine").pace is None
    assert told(parts, NoteTold("hello"), 9.0) == parts


def test_a_second_try_of_the_engine_begins_that_part_anew() -> None:
    parts = after(begun(Step.ENGINE), done(Step.ENGINE), begun(Step.ENGINE))
    assert (part(parts, "engine").state, part(parts, "engine").took_s(5.0)) == (PartState.UNDER_WAY, 3.0)


def test_a_failure_is_where_it_happened() -> None:
    parts = after(begun(Step.PLAN), done(Step.PLAN), begun(Step.ENGINE))
    failed = ended(parts, Outcome({}, Problem("No engine.")), 9.0)
    assert failed_part(failed) == part(failed, "engine")
    assert part(failed, "engine").took_s(99) == 7.0
    assert part(failed, "verify").state is PartState.WAITING


def test_of_two_that_load_the_one_that_crashed_failed_and_the_other_was_stopped() -> None:
    parts = after(
        begun(Step.LOAD, "embedding"),
        begun(Step.LOAD, "generation"),
        StepTold(Step.LOAD, StepState.FAILED, "generation", "out of memory"),
    )
    failed = ended(parts, Outcome({}, Problem("It crashed.")), 9.0)
    assert failed_part(failed) == part(failed, "load generator")
    assert part(failed, "load embedder").state is PartState.STOPPED


def test_a_command_that_never_began_failed_at_the_first_part() -> None:
    failed = ended(first_parts(ROLES), Outcome({}, Problem("It could not be started.")), 9.0)
    assert failed_part(failed) == part(failed, "plan")


def test_what_was_cancelled_was_stopped_not_failed() -> None:
    stopped = ended(after(begun(Step.FETCH, "embedding")), Outcome({}, Problem("Cancelled."), cancelled=True), 9.0)
    assert failed_part(stopped) is None
    assert part(stopped, "download embedder").state is PartState.STOPPED


def test_a_pair_that_ran_already_needed_none_of_the_rest() -> None:
    parts = ended(after(begun(Step.PLAN), done(Step.PLAN)), Outcome({"deployment": {}}), 9.0)
    assert {p.state for p in parts} == {PartState.DONE, PartState.NOT_NEEDED}
