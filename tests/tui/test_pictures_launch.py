"""Pictures of a launch: under way, failed, running, and the question about a licence."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from planner.core.launch.events import ProgressTold, Step, StepState, StepTold
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome
from planner.tui.marks import ASCII
from planner.tui.problem import Problem
from planner.units import GB
from tests.tui.conftest import planned, screen_text, until
from tests.tui.test_launch import restricted_pair, running
from tests.tui.world import FakeJob, World

Snap = Callable[[App[Any]], None]
SIZES = [(60, 15), (80, 24), (120, 40), (200, 60)]
sizes = pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)


async def begin(pilot: Pilot[None], world: World) -> FakeJob:
    """A launch that downloads its second model."""
    app = await planned(pilot)
    await pilot.press("enter")
    (job,) = world.jobs
    for text in (
        "embedding: finder-large-v1 F16, context 512, 1.2 GiB of memory, 2000 to 9000 tok/s",
        "generation: writer-8b-instruct-2026 Q4_K_M, context 8192, 6.5 GiB of memory, 24 to 48 tok/s",
        "engine: llamafile 0.10.3, because it could be downloaded",
    ):
        job.say(text, False)
    done = "0.60 GB, 0.60 GB transferred, checked"
    for step, role, seconds, detail in (
        (Step.PLAN, "", 1, ""),
        (Step.ENGINE, "", 12, "llamafile 0.10.3, because it could be downloaded"),
        (Step.FETCH, "embedding", 9, done),
    ):
        await tell(pilot, world, job, StepTold(step, StepState.BEGUN, role), seconds)
        await tell(pilot, world, job, StepTold(step, StepState.DONE, role, detail), 0)
    await tell(pilot, world, job, StepTold(Step.FETCH, StepState.BEGUN, "generation"), 0)
    for quarter in range(4, 9):
        # Time stands still after the last one: whether the screen's own tick comes before the picture is chance.
        await tell(pilot, world, job, ProgressTold("w", "downloading", quarter * GB // 4, 5 * GB), 2 * (quarter < 8))
    await until(pilot, lambda: "40 %" in screen_text(app) and "125.0 MB/s" in screen_text(app), "progress")
    return job


async def tell(pilot: Pilot[None], world: World, job: FakeJob, event: StepTold | ProgressTold, seconds: int) -> None:
    """An event that is dealt with before time goes on."""
    app = pilot.app
    assert isinstance(app, PlannerApp)
    before = app.state.launch
    job.tell(event)
    await until(pilot, lambda: app.state.launch is not before, "the event")
    world.now_s += seconds


@sizes
async def test_under_way(world: World, snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        await begin(pilot, world)
        snap(app)


@sizes
async def test_failed(world: World, snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        job = await begin(pilot, world)
        problem = Problem(
            "The disk is full: writing writer-8b-Q4_K_M.gguf stopped after 2.00 GB, which are kept.",
            "Free some space and try again; it goes on where it stopped.",
            "no-space",
        )
        job.finish(Outcome({}, problem))
        await until(pilot, lambda: "Free some space" in screen_text(app), "the reason")
        snap(app)


@sizes
async def test_running(world: World, snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        job = await begin(pilot, world)
        job.finish(running())
        await until(pilot, lambda: "8484" in screen_text(app), "the address")
        snap(app)


async def test_failed_without_unicode_and_colour(world: World, snap: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(world.services, marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        job = await begin(pilot, world)
        job.finish(Outcome({}, Problem("The disk is full.", "Free some space.", "no-space")))
        await until(pilot, lambda: "Free some space" in screen_text(app), "the reason")
        assert screen_text(app).isascii()
        snap(app)


@pytest.mark.parametrize("size", SIZES[1:3], ids="{0[0]}x{0[1]}".format)
async def test_licence_question(world: World, snap: Snap, size: tuple[int, int]) -> None:
    restricted_pair(world)
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "Do you accept" in screen_text(app), "the question")
        snap(app)
