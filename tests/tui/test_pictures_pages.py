"""Pictures of the what-if page and of downloads."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot

from planner.core.launch.events import ProgressTold
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome
from planner.tui.marks import ASCII
from planner.tui.problem import Problem
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.pick import Pick
from planner.units import GB
from tests.tui.conftest import screen_text, until
from tests.tui.test_downloads import opened as downloads_opened
from tests.tui.test_downloads import stocked
from tests.tui.test_what_if import opened as what_if_opened
from tests.tui.world import World
from tests.tui.world_store import MODELS

__all__ = ["stocked"]

Snap = Callable[[App[Any]], None]
SIZES = [(60, 15), (80, 24), (120, 40), (200, 60)]
sizes = pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)


async def larger(pilot: Pilot[None]) -> PlannerApp:
    """What if the card had other memory."""
    app = await what_if_opened(pilot)
    await pilot.press("down", "right", "right", "right")
    await until(pilot, lambda: "+13.4" in screen_text(app) and "this machine, changed" in screen_text(app), "it")
    return app


@sizes
async def test_what_if(world: World, snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        if size == SIZES[0]:
            app.open_page("what-if")
            await until(pilot, lambda: "+0" in screen_text(app) or "±0" in screen_text(app), "the page")
        else:
            await larger(pilot)
        snap(app)


async def test_what_if_in_light_colours(world: World, snap: Snap) -> None:
    world.choices = {"theme": "planner-light"}
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await larger(pilot)
        snap(app)


async def test_what_if_without_unicode_and_colour(world: World, snap: Snap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(world.services, marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await larger(pilot)
        snap(app)


async def test_what_if_cannot_be(world: World, snap: Snap) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await what_if_opened(pilot)
        await pilot.press("down", "down", "down", "down", "enter", "1", "2")
        await until(pilot, lambda: "is not a number of tokens" in screen_text(app), "the reason")
        app.screen.query_one("#what-if-text").cursor_blink = False  # type: ignore[attr-defined]
        snap(app)


async def test_gpu_list(world: World, snap: Snap) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await what_if_opened(pilot)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Pick) and "RTX 4090 Mobile" in screen_text(app), "the list")
        app.screen.query_one("#pick-text").cursor_blink = False  # type: ignore[attr-defined]
        snap(app)


async def busy(pilot: Pilot[None], world: World) -> PlannerApp:
    """One downloads, one failed, one waits, one is paused."""
    app = await downloads_opened(pilot)
    large, small = MODELS[0], MODELS[1]
    app.download(small, small.variants[0])
    await until(pilot, lambda: len(world.jobs) == 1, "the first")
    problem = Problem("The Hub broke off the download of writer-1b-Q4_K_M.gguf.", "Let it go on: space.", "network")
    world.jobs[0].finish(Outcome({}, problem))
    await until(pilot, lambda: "Let it go on" in screen_text(app), "the failure")
    app.download(large, large.variants[0])
    app.download(large, large.variants[1])
    await until(pilot, lambda: len(world.jobs) == 2, "the second")
    for quarter in range(4, 9):
        before = app.state.downloads
        world.jobs[1].tell(ProgressTold("w", "downloading", quarter * GB // 4, 5 * GB))
        await until(pilot, lambda before=before: app.state.downloads is not before, "progress")  # type: ignore[misc]
        world.now_s += 2
    await until(pilot, lambda: "125.0 MB/s" in screen_text(app), "the rate")
    return app


@sizes
async def test_downloads(stocked: World, snap: Snap, size: tuple[int, int]) -> None:  # the fixture
    app = PlannerApp(stocked.services)
    async with app.run_test(size=size) as pilot:
        await busy(pilot, stocked)
        snap(app)


async def test_downloads_without_unicode_and_colour(
    stocked: World,  # the fixture
    snap: Snap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(stocked.services, marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await busy(pilot, stocked)
        snap(app)


async def test_quit_question(stocked: World, snap: Snap) -> None:  # the fixture
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await busy(pilot, stocked)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        snap(app)
