"""The screens as pictures. Look at them after `pytest tests/tui --snapshot-update`, then commit them."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App

from planner.errors import NoResultError
from planner.tui.app import PlannerApp
from planner.tui.marks import ASCII, UNICODE, Marks
from planner.tui.themes import THEMES
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import EXTRAS, World, server

Snap = Callable[[App[Any]], None]
SIZES = [(80, 24), (120, 40), (200, 60), (60, 15), (40, 12)]


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
async def test_home(world: World, snap: Snap, size: tuple[int, int]) -> None:
    world.servers, world.extras = (server(),), EXTRAS
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        snap(app)


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES[1:]])
async def test_home_in_other_colours(world: World, snap: Snap, theme: str) -> None:
    world.extras, world.choices = EXTRAS, {"theme": theme}
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await planned(pilot)
        snap(app)


@pytest.mark.parametrize("marks", [UNICODE, ASCII], ids=["unicode", "ascii"])
async def test_home_without_colour(world: World, snap: Snap, marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(world.services, marks=marks)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        snap(app)


async def test_nothing_fits(world: World, snap: Snap) -> None:
    world.plan_error = NoResultError("Nothing fits: the smallest plan takes 9 GiB.", hint="Add memory.")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        snap(app)


async def test_stop_question(world: World, snap: Snap) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("s")
        await until(pilot, lambda: "Stop “default”?" in screen_text(app), "the question")
        snap(app)


async def test_help(world: World, snap: Snap) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: "escape closes" in screen_text(app), "the help")
        snap(app)
