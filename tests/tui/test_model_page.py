"""The page of a model, a comparison, and the overlay that explains a number."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from textual.containers import VerticalScroll
from textual.pilot import Pilot

from planner.catalog.prices import load_snapshot
from planner.core.costs.cheapest import Rentals
from planner.core.models.model import Model, Variant
from planner.errors import UsageError
from planner.tui.app import PlannerApp
from planner.tui.data.details import compared, details_of, rentals_of
from planner.tui.data.explain import Explanation, Part, explain_plan
from planner.tui.data.machine import Situation
from planner.tui.marks import ASCII
from planner.tui.screens.compare import CompareScreen
from planner.tui.screens.explain import Explain
from planner.tui.screens.model_page import ModelScreen
from planner.tui.screens.models import ModelsScreen
from planner.tui.services import Services
from planner.tui.widgets.row_table import RowTable
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import World, plan
from tests.tui.world_models import CATALOG, HERE, model_world, services


@asynccontextmanager
async def opened(
    model_id: str,
    world: World | None = None,
    *,
    size: tuple[int, int] = (120, 60),
    given: Services | None = None,
    **options: object,
) -> AsyncIterator[tuple[PlannerApp, Pilot[None]]]:
    """A model's page on top of the list."""
    app = PlannerApp(given or services(world or model_world()), page="models", **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        app.open_model(model_id)
        await until(pilot, lambda: isinstance(app.screen, ModelScreen), "the page")
        await planned(pilot)
        yield app, pilot


def line_of(app: PlannerApp, text: str) -> str:
    return next(line for line in screen_text(app).split("\n") if text in line)


async def test_the_page_says_what_a_generator_is_and_how_each_quant_runs_here() -> None:
    async with opened("acme/writer-8b") as (app, _):
        text = screen_text(app)
        for part in (
            "A generation model of 8.03B parameters",
            "Quants on Acme GPU 12 (12.0 GiB), context 8k",
            "grouped-query attention (GQA): 32 heads",
            "Apache-2.0: commercial use is allowed",
            "Thinks before it answers unless told not to.",
            "people rate it 1320",
            "planner launch writer-8b:Q4_K_M --detach",
            "12 of 12",
        ):
            assert part in text, part
        assert "▲ offload" in line_of(app, "F16 ")
        assert "✓ fits" in line_of(app, "Q8_0 ")
        assert line_of(app, "Q8_0 ").startswith("▸"), "the best quant here is highlighted"


async def test_an_embedder_is_told_with_pooling_prompts_vector_and_rank() -> None:
    async with opened("finder-large") as (app, _):
        text = screen_text(app)
        for part in (
            "1,024 numbers; may be cut to 512, 256 (Matryoshka)",
            "--pooling cls",
            'before a query: "Represent this sentence for searching: "',
            "results_2026-08-20",
            "6.92",
            "mteb/results at commit abc",
            "built on it",
        ):
            assert part in text, part


async def test_a_model_that_cannot_be_run_has_a_page_with_the_reason() -> None:
    async with opened("rival/closed-embedder") as (app, pilot):
        text = screen_text(app)
        assert "Cannot be run: Closed weights, API only" in text
        assert "u Launch" not in text
        await pilot.press("u")
        await pilot.press("e")
        await until(pilot, lambda: "12.50 % in pool" in screen_text(app), "its score")


async def test_n_and_p_walk_through_the_list_as_it_is_filtered() -> None:
    async with opened("finder-large") as (app, pilot):
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the list")
        await pilot.press("slash", *"finder", "enter", "enter")
        await until(pilot, lambda: "1 of 4" in screen_text(app), "the first")
        await pilot.press("n")
        await until(pilot, lambda: "acme/finder-many" in screen_text(app), "the second")
        await pilot.press("p", "p")
        await until(pilot, lambda: "4 of 4" in screen_text(app), "round to the last")
        assert "acme/finder-wide" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "4 of 12" in screen_text(app), "the filtered list")


async def test_u_launches_the_highlighted_quant() -> None:
    world = model_world()
    async with opened("acme/writer-8b", world) as (_, pilot):
        await pilot.press("end", "u")
        await until(pilot, lambda: bool(world.jobs), "the launch")
        assert world.jobs[0].arguments[:2] == ["launch", "acme/writer-8b:Q4_K_M"]


async def test_e_and_enter_explain_the_highlighted_quant() -> None:
    async with opened("acme/writer-8b") as (app, pilot):
        for key in ("e", "enter"):
            await pilot.press("home", key)
            await until(pilot, lambda: "writer-8b F16, context 8,192" in screen_text(app), "the arithmetic")
            assert "KV cache" in screen_text(app)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, ModelScreen), "the page")


async def test_enter_on_an_alternative_goes_to_its_page() -> None:
    async with opened("finder-large") as (app, pilot):
        await pilot.press("tab")
        focused = app.focused
        assert isinstance(focused, RowTable)
        assert focused.id == "model-alternatives"
        await pilot.press("enter")
        await until(pilot, lambda: "acme/finder-small" in screen_text(app).split("\n")[2], "the alternative")


async def test_arrow_keys_go_on_below_the_table_and_page_keys_scroll() -> None:
    async with opened("acme/writer-8b", size=(80, 24)) as (app, pilot):
        scroll = app.screen.query_one("#model-scroll", VerticalScroll)
        await pilot.press("end", "down", "down", "down")
        assert scroll.scroll_offset.y > 0
        await pilot.press("up")
        assert line_of(app, "Q8_0 ").startswith("▸"), "the table is in sight when its highlight moves"
        await pilot.press("pagedown")
        below = scroll.scroll_offset.y
        assert below > 0
        await pilot.press("pageup")
        assert scroll.scroll_offset.y < below


async def test_rentals_are_shown_once_they_are_known() -> None:
    snapshot = load_snapshot()
    assert snapshot is not None

    def rentals(_situation: Situation, _model: Model, _variant: Variant) -> Rentals | None:
        raise ZeroDivisionError("division by zero")

    broken = replace(services(model_world()), model_rentals=rentals)
    async with opened("acme/writer-8b", given=broken) as (app, _):
        assert "rentals" not in screen_text(app).casefold(), "what fails is left out, the page stays"
        assert "Quick start" in screen_text(app)


async def test_an_unknown_model_is_said_with_the_nearest_names() -> None:
    async with opened("acme/writer-9b") as (app, pilot):
        text = screen_text(app)
        assert "writer-9b" in text
        assert "writer-8b" in text
        await pilot.press("u", "e", "c", "pagedown", "escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the list")


async def test_c_compares_a_model_with_its_alternatives() -> None:
    async with opened("finder-large") as (app, pilot):
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen), "the comparison")
        await until(pilot, lambda: "MTR %" in screen_text(app), "the table")
        assert "✓ 6.92" in line_of(app, "MTR %")


@asynccontextmanager
async def comparing(*names: str, size: tuple[int, int] = (120, 60)) -> AsyncIterator[tuple[PlannerApp, Pilot[None]]]:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        app.open_compare(names)
        await until(pilot, lambda: isinstance(app.screen, CompareScreen), "the comparison")
        await planned(pilot)
        yield app, pilot


async def test_models_stand_side_by_side_and_the_better_value_has_a_sign() -> None:
    async with comparing("writer-8b", "writer-16b-a3b", "writer-405b") as (app, _):
        text = screen_text(app)
        assert "Q4_K_M, context 8k, Acme GPU 12" in text
        assert "✓ 4.92 GB" in line_of(app, " file ")
        assert "does not fit" in line_of(app, " speed ")
        assert "Compared with writer-16b-a3b Q4_K_M, writer-8b Q4_K_M needs" in text


async def test_d_leaves_only_what_differs_and_is_remembered() -> None:
    async with comparing("writer-8b", "writer-16b-a3b") as (app, pilot):
        assert " role " in screen_text(app)
        await pilot.press("d")
        assert " role " not in screen_text(app)
        assert "more in which all are alike" in screen_text(app)
        assert app.remembered.get("compare.all", default=True) is False
        await pilot.press("d")
        assert " role " in screen_text(app)


async def test_keys_act_on_the_chosen_column() -> None:
    async with comparing("writer-8b", "finder-small") as (app, pilot):
        assert "▸ writer-8b" in screen_text(app)
        await pilot.press("right")
        assert "▸ finder-small" in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: "finder-small Q8_0, context 512" in screen_text(app), "the arithmetic")
        await pilot.press("escape", "left", "left", "enter")
        await until(pilot, lambda: "acme/finder-small" in screen_text(app).split("\n")[2], "its page")


async def test_a_chosen_model_is_launched() -> None:
    world = model_world()
    app = PlannerApp(services(world), page="models")
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        app.open_compare(["writer-8b", "writer-405b"])
        await planned(pilot)
        await pilot.press("right", "u")
        assert not world.jobs, "what does not fit is not launched"
        await pilot.press("left", "u")
        await until(pilot, lambda: bool(world.jobs), "the launch")
        assert world.jobs[0].arguments[:2] == ["launch", "acme/writer-8b:Q4_K_M"]


async def test_what_cannot_be_compared_is_said() -> None:
    async with comparing("writer-8b") as (app, pilot):
        assert "2 to 4 models can be compared here, not 1." in screen_text(app)
        await pilot.press("right", "e", "u", "d", "enter", "escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen), "the list")


async def test_a_text_or_an_explanation_can_be_shown_and_a_failure_is_no_crash() -> None:
    app = PlannerApp(services(model_world()), page="models")
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        app.open_explain("one\ntwo")
        await until(pilot, lambda: "two" in screen_text(app), "the text")
        await pilot.press("escape")
        app.open_explain(Explanation("a number", (Part("memory", ("weights 1 GiB",)),)))
        await until(pilot, lambda: "Explain: a number" in screen_text(app), "the explanation")
        await pilot.press("escape")

        def broken() -> Explanation:
            raise UsageError("There is no such number.", hint="Choose another.")

        app.open_explain(broken)
        await until(pilot, lambda: "There is no such number." in screen_text(app), "the reason")
        assert "Choose another." in screen_text(app)
        await pilot.press("q")
        assert app.is_running, "q closes the overlay, not the app"
        await until(pilot, lambda: not isinstance(app.screen, Explain), "the list")


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 60)])
async def test_pages_are_ascii_where_they_must_be_and_survive_any_size(size: tuple[int, int]) -> None:
    async with opened("acme/writer-8b", size=size, marks=ASCII) as (app, pilot):
        assert screen_text(app).isascii()
        assert screen_text(app).split("\n")[-1].endswith("? Help  q Quit")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Explain), "the overlay")
        await planned(pilot)
        assert screen_text(app).isascii()
        await pilot.press("escape")
        app.open_compare(["writer-8b", "finder-small", "judge", "writer-405b"])
        await planned(pilot)
        assert screen_text(app).isascii()
        await pilot.resize_terminal(1, 1)
        await pilot.resize_terminal(*size)
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the comparison again")


def test_details_and_comparison_are_of_all_the_memory_of_the_machine() -> None:
    situation = Situation(HERE, CATALOG)
    details = details_of(situation, "writer-8b")
    assert details.machine == "Acme GPU 12 (12.0 GiB)"
    assert details.here("Q4_K_M") is not None
    assert details.here("Q2_K") is None
    found = compared(situation, ["writer-8b", "acme/writer-8b", "finder-small"])
    assert [side.model.name for side in found.found.sides] == ["writer-8b", "finder-small"]
    assert rentals_of(situation, CATALOG[4], CATALOG[4].variants[0]) is None, "no device table, no rentals"


def test_a_plan_is_explained_model_by_model() -> None:
    found = explain_plan(Situation(HERE, CATALOG), plan(1, "acme/writer-8b", 5.0))
    assert found.title == "Plan 1 (alternative)"
    assert [part.heading for part in found.parts] == [
        "finder-large-v1 F16: quality",
        "writer-8b Q4_K_M: quality",
    ], "the fixed pairs have no architecture: nothing can be said of their memory"
