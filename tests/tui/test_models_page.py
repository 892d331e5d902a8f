"""The list of models: search, filters, order, marks, and what its keys lead to."""

import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from planner.core.fits.model_fit import Fitted
from planner.core.models.model import Model
from planner.errors import CatalogError
from planner.tui.app import PlannerApp
from planner.tui.data.machine import Situation
from planner.tui.data.models import fits_of
from planner.tui.marks import ASCII, UNICODE
from planner.tui.screens.ask import Ask
from planner.tui.screens.explain import Explain
from planner.tui.screens.models import ModelsScreen
from planner.tui.services import Services
from planner.tui.widgets.row_table import RowTable
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import World
from tests.tui.world_models import CATALOG, HERE, model_world, services


@asynccontextmanager
async def models_page(
    world: World | None = None, *, size: tuple[int, int] = (120, 40), given: Services | None = None, **options: object
) -> AsyncIterator[tuple[PlannerApp, Pilot[None]]]:
    """The page once all models were looked at."""
    seams = given or services(world or model_world())
    app = PlannerApp(seams, page="models", **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the page")
        await planned(pilot)
        yield app, pilot


def shown(app: PlannerApp) -> tuple[str, ...]:
    assert isinstance(app.screen, ModelsScreen)
    return tuple(name.rsplit("/", 1)[-1] for name in app.screen.neighbours)


def line_of(app: PlannerApp, name: str) -> str:
    return next(line for line in screen_text(app).split("\n") if name in line)


async def test_every_model_is_there_with_verdict_speed_context_quality_and_licence() -> None:
    async with models_page(size=(200, 40)) as (app, _):
        assert len(shown(app)) == len(CATALOG)
        writer = line_of(app, "writer-8b")
        for part in ("✓ fits", "128k→", "A ", "Apache-2.0", "Q8_0", "GiB"):
            assert part in writer
        assert "✗ too big" in line_of(app, "writer-405b")
        assert f"{UNICODE.none} closed" in line_of(app, "closed-embedder")
        assert f"{UNICODE.none} no file" in line_of(app, "unsized")
        assert "6.92" in line_of(app, "finder-large")
        assert "CC-BY-NC-4.0 no" in line_of(app, "finder-many")


async def test_the_table_is_there_before_it_is_known_how_models_run() -> None:
    gate = threading.Event()

    def slow(situation: Situation, models: Sequence[Model]) -> dict[str, Fitted | None]:
        assert gate.wait(60)
        return fits_of(situation, models)

    app = PlannerApp(replace(services(model_world()), fit_models=slow), page="models")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the table")
        assert "…" in line_of(app, "writer-8b")
        await pilot.press("slash", *"finder")
        await until(pilot, lambda: len(shown(app)) == 4, "the search")
        gate.set()
        await until(pilot, lambda: "fits" in line_of(app, "finder-large"), "a verdict")


async def test_a_row_that_was_seen_before_it_was_looked_at_says_what_is_known_when_it_comes_back() -> None:
    gate = threading.Event()
    first: list[str] = []

    def slow(situation: Situation, models: Sequence[Model]) -> dict[str, Fitted | None]:
        if not first:
            first.extend(model.id for model in models)
            return fits_of(situation, models)
        assert gate.wait(60)
        return fits_of(situation, models)

    many = tuple(msgspec.structs.replace(CATALOG[0], id=f"acme/model-{number:02}") for number in range(60))
    world = model_world()
    world.situation = Situation(HERE, many)
    app = PlannerApp(replace(services(world), fit_models=slow), page="models")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: bool(first) and "fits" in screen_text(app), "the first ones")
        await pilot.press("end")
        assert "…" in line_of(app, "model-59")
        await pilot.press("home")
        gate.set()
        await planned(pilot)
        await pilot.press("end")
        assert "fits" in line_of(app, "model-59")


async def test_search_filters_with_each_letter_and_escape_clears_it() -> None:
    async with models_page() as (app, pilot):
        await pilot.press("slash", *"german finder")
        assert shown(app) == ("finder-small",)
        assert "1 of 12" in screen_text(app)
        await pilot.press("enter")
        assert isinstance(app.focused, RowTable)
        assert shown(app) == ("finder-small",), "enter keeps the search"
        await pilot.press("escape")
        assert len(shown(app)) == 12


async def test_keys_are_letters_while_a_search_is_typed() -> None:
    async with models_page() as (app, pilot):
        await pilot.press("slash", *"qf")
        assert app.is_running
        assert app.screen.query_one(Input).value == "qf"
        assert "No model matches “qf”." in screen_text(app)
        assert "Press x to see all 12" in screen_text(app)
        await pilot.press("escape", "x")
        assert len(shown(app)) == 12


async def test_letters_typed_faster_than_the_app_draws_go_into_the_search() -> None:
    async with models_page() as (app, pilot):
        driver = app._driver
        assert driver is not None
        for key, letter in (("slash", "/"), *zip("small", "small", strict=True)):
            event = Key(key, letter)
            event.set_sender(app)
            driver.send_message(event)
        await until(pilot, lambda: app.screen.query_one(Input).value == "small", "the search")
        assert shown(app) == ("finder-small",)
        assert app.remembered.get("models.sort", "name") == "name", "no letter was taken for a key"
        await pilot.press(*"l/")
        assert app.screen.query_one(Input).value == "smalll/", "in the search they are letters"


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ("ooo", ("judge",)),
        ("of", ("finder-large", "finder-many", "finder-small", "finder-wide")),
        ("om", ("finder-large", "finder-small", "finder-wide")),
        ("od", ("finder-large", "finder-many", "finder-small", "finder-wide")),
        ("i", ()),
    ],
)
async def test_filter_keys(keys: str, names: tuple[str, ...]) -> None:
    async with models_page() as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        assert shown(app) == names
        await pilot.press("x")
        assert len(shown(app)) == 12


async def test_a_language_is_asked_for_and_a_wrong_one_is_said_at_once() -> None:
    async with models_page() as (app, pilot):
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.screen, Ask), "the question")
        await pilot.press(*"klingon", "enter")
        await until(pilot, lambda: "There is no language “klingon”." in screen_text(app), "the error")
        for _ in range(7):
            await pilot.press("backspace")
        await pilot.press(*"German", "enter")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the list")
        assert shown(app) == ("finder-many", "finder-small", "writer-8b")
        assert "✓ German" in screen_text(app)
        await pilot.press("l")
        assert len(shown(app)) == 12
        await pilot.press("l", "escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the list again")
        assert len(shown(app)) == 12


async def test_order_by_key_and_by_clicking_a_heading_and_the_highlight_stays_on_its_model() -> None:
    async with models_page(size=(200, 40)) as (app, pilot):
        screen = app.screen
        assert isinstance(screen, ModelsScreen)
        await pilot.press("down", "down")
        before = screen.selected
        await pilot.press("s")
        assert "by role ↑" in screen_text(app)
        assert screen.selected is before
        await pilot.press("S")
        assert "by role ↓" in screen_text(app)
        table = screen.query_one(RowTable)
        heading = screen_text(app).split("\n")[table.region.y]
        await pilot.click(RowTable, offset=(heading.index("MTR %") + 1, 0))
        assert shown(app)[0] == "finder-large"
        assert "by MTR ↑" in screen_text(app)
        assert screen.selected is before


async def test_filters_and_order_are_remembered_and_the_search_is_not() -> None:
    world = model_world()
    async with models_page(world) as (app, pilot):
        await pilot.press("o", "f", "s", "slash", *"large")
        await until(pilot, lambda: "models.sort" in world.choices, "what is kept")
    assert world.choices["models.filters"] == {"role": "embedding", "fits": True}
    async with models_page(world) as (app, _):
        assert shown(app) == ("finder-large", "finder-small", "finder-many", "finder-wide")
        assert "by parameters ↑" in screen_text(app)


async def test_marks_lead_to_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    async with models_page() as (app, pilot):
        asked: list[Sequence[str]] = []
        monkeypatch.setattr(app, "open_compare", asked.append)
        await pilot.press("space", "c")
        assert asked == [], "one model alone is not compared"
        await pilot.press("space", "c")
        assert asked == [["acme/twin", "rival/closed-embedder"]]
        assert "2 marked" in screen_text(app)
        await pilot.press("home", "space")
        assert "1 marked" in screen_text(app)


async def test_enter_and_a_double_click_open_the_page_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    async with models_page() as (app, pilot):
        opened: list[str] = []
        monkeypatch.setattr(app, "open_model", opened.append)
        await pilot.press("down", "enter")
        await pilot.double_click(RowTable, offset=(6, 4))
        assert opened == ["rival/closed-embedder", "acme/finder-many"]


async def test_u_launches_the_best_quant_and_is_not_offered_for_what_does_not_run() -> None:
    world = model_world()
    async with models_page(world) as (app, pilot):
        await pilot.press("slash", *"405b", "enter")
        assert "u Launch" not in screen_text(app)
        await pilot.press("u")
        assert not world.jobs
        await pilot.press("escape", "slash", *"writer-8b", "enter", "u")
        await until(pilot, lambda: bool(world.jobs), "the launch")
        assert world.jobs[0].arguments[:2] == ["launch", "acme/writer-8b:Q8_0"]


async def test_e_explains_memory_speed_and_quality() -> None:
    async with models_page() as (app, pilot):
        await pilot.press("slash", *"writer-8b", "enter", "e")
        await until(pilot, lambda: "KV cache" in screen_text(app), "the arithmetic")
        assert type(app.screen) is Explain
        text = screen_text(app)
        assert "writer-8b Q8_0, context 8,192" in text
        assert "32 full layers · 8192 cells · 8 heads" in text
        await pilot.press("end")
        await until(pilot, lambda: "Together:" in screen_text(app), "the end of it")
        assert "date 2025-12-11; source lmarena at commit abc" in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: "12 models" in screen_text(app) or "1 of 12" in screen_text(app), "the list")


async def test_a_broken_catalog_is_said_where_the_list_would_be_and_can_be_tried_again() -> None:
    world = model_world()
    world.look_error = CatalogError("models/bge.json is broken.", hint="Mend it.")
    app = PlannerApp(services(world), page="models")
    async with app.run_test(size=(100, 30)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "models/bge.json is broken." in screen_text(app), "the problem")
        assert "Press r to try again" in screen_text(app)
        world.look_error = None
        await pilot.press("r")
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the list")


async def test_what_cannot_be_found_out_is_no_crash() -> None:
    def broken(_situation: Situation, _models: Sequence[Model]) -> dict[str, Fitted | None]:
        raise ZeroDivisionError("division by zero")

    async with models_page(given=replace(services(model_world()), fit_models=broken)) as (app, pilot):
        assert len(shown(app)) == 12
        await pilot.press("f")
        assert "ZeroDivisionError" in screen_text(app)


async def test_a_new_look_reads_the_rows_anew_and_keeps_place_and_marks() -> None:
    world = model_world()
    async with models_page(world) as (app, pilot):
        await pilot.press("down", "space")
        world.situation = Situation(HERE, CATALOG[:-1])
        await pilot.press("r")
        await until(pilot, lambda: len(shown(app)) == 11, "the new list")
        assert "1 marked" in screen_text(app)


async def test_names_are_never_read_as_markup_and_escape_sequences_never_reach_the_screen() -> None:
    world = model_world()
    evil = msgspec.structs.replace(CATALOG[0], id="acme/[red]x\x1b]0;owned\x07", family="[/]")
    world.situation = Situation(HERE, (evil,))
    async with models_page(world) as (app, pilot):
        assert "[red]x]0;owned" in screen_text(app)
        assert "\x1b" not in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: "Together:" in screen_text(app) or "overhead" in screen_text(app), "the overlay")
        assert "\x1b" not in screen_text(app)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40), (200, 60)])
async def test_it_fits_every_size_and_is_ascii_where_it_must_be(size: tuple[int, int]) -> None:
    async with models_page(size=size, marks=ASCII) as (app, pilot):
        text = screen_text(app)
        assert text.isascii()
        assert text.split("\n")[-1].endswith("? Help  q Quit")
        assert "finder-large" in text
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(*size)
        await until(pilot, lambda: "finder-large" in screen_text(app), "the list again")
