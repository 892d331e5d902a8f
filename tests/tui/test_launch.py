"""From a key to a running pair: progress, result, failure, cancelling, stopping, quitting."""

import threading
from dataclasses import replace
from typing import Any

import msgspec
from textual.widgets import RichLog

from planner.core.launch.events import ProgressTold, Step, StepState, StepTold
from planner.core.launch.supervise import DeploymentState, Phase
from planner.core.models.model import Commercial, Licence
from planner.errors import BadDataError
from planner.serve.state import DeploymentRecord
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome
from planner.tui.messages import StopEnded
from planner.tui.problem import Problem
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.home import HomeScreen
from planner.tui.screens.launch import LaunchScreen
from planner.units import GB
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import World, server


def running(name: str = "default") -> Outcome:
    """What `planner up --json` answers when all is well."""
    body: dict[str, Any] = {"deployment": msgspec.to_builtins(server(name))}
    return Outcome(body)


def log_text(app: PlannerApp) -> list[str]:
    """The log as it was written."""
    return [strip.text.rstrip() for strip in app.screen.query_one(RichLog).lines]


async def test_enter_launches_the_chosen_pair_and_shows_progress_then_the_address(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
        (job,) = world.jobs
        assert job.arguments == [
            "up",
            "acme/finder-large-v1:F16",
            "acme/writer-14b-instruct-2026-with-a-very-long-name-indeed:Q4_K_M",
            *("--context", "8192", "--detach", "--json"),
        ]
        job.say("engine: embedded, because it is installed", False)
        job.tell(StepTold(Step.FETCH, StepState.BEGUN, "generation"))
        for gigabytes in (1, 4):
            job.tell(ProgressTold("writer-14b", "downloading", gigabytes * GB, 10 * GB))
        await until(pilot, lambda: "40 %, 4.00 GB of 10.00 GB" in screen_text(app), "progress")
        world.now_s += 42
        await until(pilot, lambda: "0:42" in screen_text(app), "the clock")
        assert "█" in screen_text(app)
        assert log_text(app) == ["engine: embedded, because it is installed"], "progress is not part of the log"
        world.servers = (server(),)
        job.finish(running())
        await until(pilot, lambda: "http://127.0.0.1:8484/v1" in screen_text(app), "the address")
        text = screen_text(app)
        assert "$(cat /state/default/gateway.key)" in text
        figures = next(row for row in text.split("\n") if "writer-1b F16" in row)
        assert figures.split("F16")[1].split() == ["295", "MiB", "300", "MiB", "106", "13", "to", "27", "\N{EN DASH}"]
        await pilot.press("escape")
        await until(pilot, lambda: "● default  running" in screen_text(app), "the server")
        assert "51 MiB (52 MiB)" in screen_text(app)
        assert "106 (147)" in screen_text(app)


async def test_one_key_launches_the_starter_pair_before_there_is_any_plan(world: World) -> None:
    world.gate.clear()
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: bool(world.jobs), "the start")
        assert world.jobs[0].arguments == ["up", "--starter", "--detach", "--json"]
        world.gate.set()


async def test_a_failing_launch_is_explained_where_it_happened_and_may_be_tried_again(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("u")
        world.jobs[0].finish(Outcome({}, Problem("The disk is full: [9 GB] are missing.", "Free some.", "no-space")))
        await until(pilot, lambda: "The disk is full: [9 GB] are missing." in screen_text(app), "the reason")
        assert "Free some." in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, HomeScreen), "the way back")
        assert "launch failed  The disk is full" in screen_text(app)
        await pilot.press("u")
        await until(pilot, lambda: len(world.jobs) == 2, "a second try")
        assert "The disk is full" not in screen_text(app)


async def test_a_command_that_cannot_be_started_is_explained(world: World) -> None:
    world.start_error = PermissionError(13, "Permission denied")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "could not be started: Permission denied" in screen_text(app), "the reason")


async def test_a_second_launch_shows_the_first(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
        await pilot.press("escape", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the same launch")
        assert len(world.jobs) == 1
        assert "writer-8b" in screen_text(app)


async def test_leaving_the_launch_does_not_lose_its_log(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        (job,) = world.jobs
        job.say("one", False)
        await pilot.press("escape")
        job.say("two", False)
        await until(pilot, lambda: "launching  two" in screen_text(app), "progress on the first screen")
        await pilot.press("l")
        await until(pilot, lambda: log_text(app) == ["one", "two"], "the whole log")
        job.say("three", False)
        await until(pilot, lambda: log_text(app) == ["one", "two", "three"], "what came later, once")


async def test_a_flood_of_lines_is_cut_from_the_front_and_none_is_shown_twice(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        for number in range(5600):
            world.jobs[0].say(f"line {number}", False)
        await until(pilot, lambda: log_text(app)[-1:] == ["line 5599"], "the last line")
        shown = log_text(app)
        assert len(shown) <= 5000
        assert len(set(shown)) == len(shown)


async def test_cancelling_interrupts_the_command_and_says_what_is_kept(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "c Cancel launch" in screen_text(app), "the key")
        await pilot.press("c")
        await until(pilot, lambda: "cancelled" in screen_text(app), "the end")
        assert world.jobs[0].interrupted.is_set()
        assert "What was downloaded is kept." in screen_text(app)
        assert "c Cancel launch" not in screen_text(app)


async def test_stopping_asks_first_and_no_is_the_default(world: World) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "s Stop" in screen_text(app), "the key")
        for harmless in ("enter", "escape", "n"):
            await pilot.press("s")
            await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
            assert "writer-1b" in screen_text(app)
            await pilot.press(harmless)
            await until(pilot, lambda: not isinstance(app.screen, Confirm), "the answer")
        assert not world.jobs
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: "stopping" in screen_text(app), "that it is being stopped")
        assert world.jobs[0].arguments == ["stop", "default", "--json"]
        world.servers = ()
        world.jobs[0].finish(Outcome({"deployments": []}))
        await until(pilot, lambda: "Nothing runs." in screen_text(app), "nothing left")


async def test_a_stop_that_fails_is_explained(world: World) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("s", "y")
        await until(pilot, lambda: bool(world.jobs), "the command")
        world.jobs[0].finish(Outcome({}, Problem("Another planner is stopping it.", "Wait.", "deployment-busy")))
        await until(pilot, lambda: "“default” was not stopped: Another planner" in screen_text(app), "the reason")
        assert "● default  running" in screen_text(app)


async def test_a_slow_reading_is_waited_for_and_made_once_more_after_a_change(world: World) -> None:
    gate, readings = threading.Event(), 0

    def servers() -> tuple[DeploymentRecord, ...]:
        nonlocal readings
        readings += 1
        found = (server(f"reading-{readings}"),)
        assert gate.wait(60)
        return found

    app = PlannerApp(replace(world.services, servers=servers))
    async with app.run_test(size=(100, 40)) as pilot:
        await until(pilot, lambda: readings == 1, "the first reading")
        for _ in range(3):
            app.post_message(StopEnded("other", Outcome({})))
            await pilot.pause()
        assert readings == 1
        gate.set()
        await until(pilot, lambda: "reading-2" in screen_text(app), "what was read after the change")


async def test_the_chosen_deployment_is_the_one_that_is_stopped(world: World) -> None:
    world.servers = (server("one"), server("two"))
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 40)) as pilot:
        await planned(pilot)
        await pilot.press("tab", "tab", "down", "s")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "Stop “two”?" in screen_text(app)


async def test_a_failed_deployment_says_why_and_unreadable_ones_do_not_hide_the_rest(world: World) -> None:
    failed = server("broken", DeploymentState.FAILED, Phase.FAILED)
    world.servers = (server(), failed)
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 40)) as pilot:
        await planned(pilot)
        assert "✗ broken  failed" in screen_text(app)
        world.servers_error = BadDataError("state.json cannot be read.", hint="Look at it.")
        await until(pilot, lambda: "state.json cannot be read." in screen_text(app), "the reason")
        assert "● default  running" in screen_text(app)
        assert "writer-8b" in screen_text(app)


async def test_quitting_does_not_wait_for_work_that_hangs(world: World) -> None:
    world.gate.clear()
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: world.looks == 1, "the probe to hang")
        assert "looking at this machine" in screen_text(app)
        await pilot.press("q")
    assert not world.gate.is_set(), "the app has ended, and the probe still hangs"
    assert app.return_code == 0
    world.gate.set()


async def test_quitting_during_a_launch_asks_and_then_ends_it(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("n")
        assert isinstance(app.screen, LaunchScreen)
        assert not world.jobs[0].interrupted.is_set()
        await pilot.press("ctrl+c")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
    app.end()
    assert world.jobs[0].interrupted.is_set()
    assert world.jobs[0].settled


async def test_quitting_beside_another_question_asks_its_own(world: World) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
        await pilot.press("1", "escape", "s")
        await until(pilot, lambda: "Stop “default”?" in screen_text(app), "the question of another thing")
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "Quit and cancel the launch?" in screen_text(app), "the question")
        assert app.is_running
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running, "the end")


async def test_quitting_leaves_running_servers_alone(world: World) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("q")
    app.end()
    assert not world.jobs


def restricted_pair(world: World) -> str:
    """The first plan's generator may not be used commercially, and nobody has accepted that yet."""
    first, *others = world.plans
    assert first.generation is not None
    model = msgspec.structs.replace(first.generation.model, licence=Licence("CC-BY-NC-4.0", Commercial.NO))
    generation = msgspec.structs.replace(first.generation, model=model)
    world.plans = (msgspec.structs.replace(first, generation=generation), *others)
    world.restricted = frozenset({model.id})
    return model.id


async def test_a_licence_is_asked_about_in_the_app_before_anything_is_fetched(world: World) -> None:
    model = restricted_pair(world)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert model in screen_text(app)
        assert "CC-BY-NC-4.0" in screen_text(app)
        assert not world.jobs
        await pilot.press("y")
        await until(pilot, lambda: bool(world.jobs), "the start")
        assert world.jobs[0].arguments[-3:] == ["--accept-licence", "--detach", "--json"]


async def test_a_licence_that_is_not_accepted_ends_the_launch_with_a_way_on(world: World) -> None:
    restricted_pair(world)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("escape")
        await until(pilot, lambda: "The licence was not accepted" in screen_text(app), "the end")
        assert not world.jobs
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question once more")


async def test_a_licence_accepted_before_is_not_asked_about(world: World) -> None:
    restricted_pair(world)
    world.restricted = frozenset()
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(world.jobs), "the start")
        assert "--accept-licence" not in world.jobs[0].arguments


async def test_cancelling_while_the_licence_is_asked_about_begins_nothing(world: World) -> None:
    restricted_pair(world)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        app.cancel_launch()
        await pilot.press("y")
        await until(pilot, lambda: "Nothing was begun." in screen_text(app), "the end")
        assert not world.jobs


async def test_every_part_is_shown_with_its_state_and_time_and_a_failure_stands_where_it_happened(
    world: World,
) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 40)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        (job,) = world.jobs
        assert "finder-large-v1 F16, 600 MB" in screen_text(app)
        job.tell(StepTold(Step.PLAN, StepState.BEGUN))
        await until(pilot, lambda: "◐  plan" in screen_text(app), "that it is planned")
        world.now_s += 3
        job.tell(StepTold(Step.PLAN, StepState.DONE))
        await until(pilot, lambda: "✓  plan" in screen_text(app), "the plan")
        job.tell(StepTold(Step.LOAD, StepState.BEGUN, "generation"))
        job.tell(StepTold(Step.LOAD, StepState.FAILED, "generation", "exit code 1"))
        job.finish(Outcome({}, Problem("It ran out of memory.", "Choose a smaller quant.", "engine-oom")))
        await until(pilot, lambda: "✗ failed" in screen_text(app), "the end")
        rows = [row.strip() for row in screen_text(app).split("\n")]
        place = next(index for index, row in enumerate(rows) if row.startswith("✗  load generator"))
        assert rows[place + 1 : place + 3] == ["! It ran out of memory.", "→ Choose a smaller quant."]
        assert next(row for row in rows if row.startswith("✓  plan")).split() == ["✓", "plan", "0:03"]
        assert any(row.startswith("·  verify") for row in rows)
        await pilot.press("r")
        await until(pilot, lambda: len(world.jobs) == 2, "a second try")
        assert "ran out of memory" not in screen_text(app)


async def test_the_settings_for_clients_are_copied_without_the_key(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        world.jobs[0].finish(running())
        await until(pilot, lambda: "y Copy settings" in screen_text(app), "the key")
        await pilot.press("y")
        assert "export OPENAI_BASE_URL=http://127.0.0.1:8484/v1" in app.clipboard
        assert "/v1/chat/completions" in app.clipboard


async def test_the_log_makes_room_for_the_result_and_comes_back_by_a_key(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        world.jobs[0].say("engine: embedded", False)
        await until(pilot, lambda: "engine: embedded" in screen_text(app), "the log")
        world.jobs[0].finish(running())
        await until(pilot, lambda: "8484" in screen_text(app) and "─Log" not in screen_text(app), "the result alone")
        await pilot.press("l")
        await until(pilot, lambda: "engine: embedded" in screen_text(app), "the log again")
