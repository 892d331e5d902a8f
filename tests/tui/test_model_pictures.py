"""The pages about models as pictures. Look at them after `pytest tests/tui --snapshot-update`, then commit them."""

from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App

from planner.tui.app import PlannerApp
from planner.tui.marks import ASCII, UNICODE, Marks
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world_models import model_world, services

Snap = Callable[[App[Any]], None]
SIZES = [(80, 24), (120, 40), (200, 60)]
SIZED = pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)


@SIZED
async def test_models(snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "with all memory" in screen_text(app), "the end of the looking")
        await pilot.press("down", "down", "space", "up")
        snap(app)


@pytest.mark.parametrize("marks", [UNICODE, ASCII], ids=["unicode", "ascii"])
async def test_models_without_colour(snap: Snap, marks: Marks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(services(model_world()), page="models", marks=marks)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "with all memory" in screen_text(app), "the end of the looking")
        await pilot.press("o", "slash", *"finder", "enter")
        snap(app)


async def test_models_in_light_colours_and_nothing_found(snap: Snap) -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=(80, 24)) as pilot:
        app.use_theme("planner-light")
        await planned(pilot)
        await until(pilot, lambda: "with all memory" in screen_text(app), "the end of the looking")
        await pilot.press("o", "m", "slash", *"writer", "enter")
        await until(pilot, lambda: "Press x" in screen_text(app), "nothing")
        snap(app)


@SIZED
@pytest.mark.parametrize("name", ["writer-8b", "finder-large"])
async def test_model(snap: Snap, size: tuple[int, int], name: str) -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        app.open_model(name)
        await until(pilot, lambda: "Quants on" in screen_text(app), "the page")
        await planned(pilot)
        snap(app)


@SIZED
async def test_compare(snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        app.open_compare(["finder-large", "finder-small", "finder-many"])
        await until(pilot, lambda: "MTR %" in screen_text(app), "the comparison")
        await planned(pilot)
        snap(app)


@SIZED
async def test_explain(snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "with all memory" in screen_text(app), "the end of the looking")
        await pilot.press("end", "e")
        await until(pilot, lambda: "KV cache" in screen_text(app), "the arithmetic")
        snap(app)
