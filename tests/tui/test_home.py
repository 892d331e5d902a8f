"""The first screen: what it shows, what its keys do, how it behaves at every size."""

import threading
from dataclasses import replace

import msgspec
import pytest
from textual.widgets import OptionList

from planner.core.launch.supervise import DeploymentState, Phase
from planner.core.machines.hardware import Hardware
from planner.core.models.model import Role
from planner.core.pairs.recommendation import Recommendation
from planner.errors import CatalogError, NoResultError
from planner.tui.app import PlannerApp
from planner.tui.data.machine import Situation, plan_pairs
from planner.tui.marks import ASCII
from planner.tui.screens import registry
from planner.tui.screens.help import Help
from planner.tui.screens.too_small import TooSmall
from planner.tui.widgets.plan_list import PlanList
from planner.units import GIB
from tests.core.shapes import BERT_LARGE, LLAMA_8B, gpu, machine, make_model
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import EXTRAS, HARDWARE, PLANS, World, plan, server


async def test_shows_machine_pairs_and_the_memory_of_the_chosen_one(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        text = screen_text(app)
        assert "Acme GPU 24" in text
        assert "18.0 GiB of 24.0 GiB free" in text
        assert "! cuda:1 Acme GPU 8 cannot be used: it is lost" in text
        assert "writer-8b-instruct-2026 Q4_K_M" in text
        for component in ("weights", "KV cache", "compute", "overhead", "free"):
            assert component in text
        assert "RAG mean task rank 20.00 %" in text
        assert "! writer-8b: licence sets conditions" in text
        assert "a note about the catalog" in text


async def test_arrow_keys_show_another_plan_closer(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        assert "Plan 1 (balanced)" in screen_text(app)
        await pilot.press("down", "down")
        text = screen_text(app)
        assert "Plan 3 (fastest, smallest)" in text
        assert "planner up acme/finder-large-v1:F16 acme/writer-1b:Q4_K_M" in text


async def test_costs_and_what_would_change_a_plan_are_shown_when_they_are_known(world: World) -> None:
    world.extras = EXTRAS
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        text = screen_text(app)
        assert "RTX 3060 at Lium, on-demand" in text
        assert "$0.42 (0.31-0.55)" in text
        assert "10 min ago" in text
        assert "writer-14b at Q6_K would fit" in text
        await pilot.press("down")
        await until(pilot, lambda: "Plan 2" in screen_text(app), "the next plan")
        assert "per million tokens" not in screen_text(app)


async def test_that_costs_cannot_be_found_out_leaves_the_plans_alone(world: World) -> None:
    world.extras_error = CatalogError("prices.json is broken.")
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        assert "writer-8b" in screen_text(app)
        assert "is broken" not in screen_text(app)
    assert app.crash is None


async def test_e_explains_the_plan_and_m_opens_its_generator(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        for key, name in (("e", "explain"), ("m", "model")):
            if name not in registry.DETAILS:
                continue
            await pilot.press(key)
            await until(pilot, lambda name=name: registry.name_of(app.screen) == name, name)  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: registry.name_of(app.screen) == "home", "home")


async def test_looking_again_keeps_the_chosen_plan(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await planned(pilot)
        await pilot.press("down")
        world.plans = (PLANS[1], PLANS[0])
        await pilot.press("r")
        await until(pilot, lambda: app.state.plans == world.plans, "the new plans")
        assert world.looks == 2
        assert app.screen.query_one(PlanList).selected == PLANS[1]


async def test_nothing_fits_is_said_in_words_with_a_way_on(world: World) -> None:
    world.plan_error = NoResultError("Nothing fits: the smallest plan takes 9 GiB.", hint="Add memory.")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        text = screen_text(app)
        assert "Nothing fits: the smallest plan takes 9 GiB." in text
        assert "Add memory." in text
        assert "starter pair" in text
        await pilot.press("enter", "u")
        assert not world.jobs


async def test_a_broken_catalog_is_said_where_the_plans_would_be_and_can_be_tried_again(world: World) -> None:
    world.look_error = CatalogError("models/bge.json is broken.", hint="Mend it.")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        assert "models/bge.json is broken." in screen_text(app)
        world.look_error = None
        await pilot.press("r")
        await until(pilot, lambda: bool(app.state.plans), "plans")
        assert "is broken" not in screen_text(app)
        assert "writer-8b" in screen_text(app)


async def test_an_unexpected_exception_in_a_worker_does_not_end_the_app(world: World) -> None:
    world.plan_error = ZeroDivisionError("division by zero")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        assert "This should not happen: ZeroDivisionError" in screen_text(app)
    assert app.crash is None


async def test_names_are_never_read_as_markup_and_control_characters_never_reach_the_screen(world: World) -> None:
    world.plans = (plan(1, "acme/[red]writer[/red]\x1b]0;owned\x07", 1.0, embedder="acme/[/]finder"),)
    world.servers = (msgspec.structs.replace(server(), gateway_url="http://[bold]x"),)
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        text = screen_text(app)
        assert "[red]writer[/red]]0;owned" in text
        assert "[/]finder" in text
        assert "http://[bold]x" in text
        assert "\x1b" not in text


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40), (300, 100)])
async def test_lines_fit_and_quit_and_help_are_named_at_every_size(world: World, size: tuple[int, int]) -> None:
    world.servers = (server(),)
    app = PlannerApp(world.services)
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        rows = screen_text(app).split("\n")
        assert rows[-1].endswith("? Help  q Quit")
        assert "enter Launch" in rows[-1]
        plans = app.screen.query_one("#plans-list", OptionList)
        assert plans.virtual_size.height == len(PLANS), "a plan takes more than its line"


async def test_too_small_says_so_swallows_keys_and_comes_back_as_it_was(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await pilot.press("down")
        for width, height in ((59, 24), (80, 14), (1, 1)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda: isinstance(app.screen, TooSmall), "the message")
            await pilot.press("enter", "t", "s")
        assert not world.jobs
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: not isinstance(app.screen, TooSmall), "the plans")
        assert "Plan 2 (best quality)" in screen_text(app)
        await pilot.press("up")
        assert "Plan 1 (balanced)" in screen_text(app)


async def test_room_that_comes_while_help_is_in_front_is_used_once_that_is_closed(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(40, 12)) as pilot:
        await planned(pilot)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: app.size == (100, 30), "the room")
        await pilot.press("escape")
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the plans")


async def test_starts_too_small_and_becomes_usable(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(40, 12)) as pilot:
        await planned(pilot)
        assert "Make me larger" in screen_text(app)
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the plans")


async def test_without_unicode_nothing_but_ascii_is_drawn(world: World) -> None:
    world.servers = (server(state=DeploymentState.FAILED, phase=Phase.FAILED),)
    app = PlannerApp(world.services, marks=ASCII)
    async with app.run_test(size=(100, 30)) as pilot:
        await planned(pilot)
        assert screen_text(app).isascii()
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        assert screen_text(app).isascii()


async def test_without_colour_the_chosen_plan_and_the_parts_of_memory_can_be_told_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await planned(pilot)
        rows = screen_text(app).split("\n")
        assert sum("▸" in row for row in rows) == 1
        bar = next(row for row in rows if row.lstrip().startswith("cuda:0") and "▓" in row)
        assert all(sign in bar for sign in "█▓▒░·")


async def test_help_names_every_key_that_does_something(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 40)) as pilot:
        await planned(pilot)
        await pilot.press("question_mark")
        text = screen_text(app)
        for key in ("enter", "t ", "s, delete", "r ", "q, ctrl+c", "tab"):
            assert key in text
        await pilot.press("escape")
        assert not isinstance(app.screen, Help)


async def test_a_machine_without_memory_figures_is_shown_as_unknown_not_as_zero(world: World) -> None:
    host = msgspec.structs.replace(HARDWARE.host, memory_total_bytes=None, memory_available_bytes=None)
    world.situation = Situation(Hardware(host=host), ())
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        assert "memory unknown" in screen_text(app)


def test_planning_uses_the_memory_that_is_free_and_names_the_command() -> None:
    models = (
        make_model("finder", BERT_LARGE, 335_000_000, role=Role.EMBEDDING, quants={"F16": 670_000_000}, context=512),
        make_model("writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000}),
    )
    idle = plan_pairs(Situation(machine(gpu(0, 24.0)), models))[0]
    assert idle.command[:4] == ("planner", "up", "maker/finder:F16", "maker/writer:Q4_K_M")
    taken = msgspec.structs.replace(gpu(0, 24.0), memory_free_bytes=2 * GIB, memory_budget_bytes=2 * GIB)
    busy = plan_pairs(Situation(machine(taken), models))[0]
    assert all(use.total_bytes <= 2 * GIB for use in busy.memory.devices if use.device == "gpu0")


@pytest.mark.parametrize("after", ["nothing", "plans"])
async def test_escape_gives_up_a_look_and_what_was_found_before_stays(world: World, after: str) -> None:
    if after == "nothing":
        world.gate.clear()
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        if after == "plans":
            await planned(pilot)
            world.gate.clear()
            await pilot.press("r")
        await until(pilot, lambda: app.state.looking, "a look")
        assert "esc gives up" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: "given up; r looks again" in screen_text(app), "that it was given up")
        assert ("The search was given up." in screen_text(app)) == (after == "nothing")
        assert ("writer-8b" in screen_text(app)) == (after == "plans")
        world.gate.set()
        await pilot.press("escape")
        await until(pilot, lambda: not app.workers, "the end of all work")
        assert app.state.given_up, "what came too late is dropped"
        await pilot.press("r")
        await planned(pilot)
        assert "writer-8b" in screen_text(app)
        assert "given up" not in screen_text(app)


async def test_escape_gives_up_the_search_for_plans(world: World) -> None:
    gate = threading.Event()

    def plan(situation: Situation) -> tuple[Recommendation, ...]:
        del situation
        assert gate.wait(60)
        return world.plans

    ended: list[str] = []
    app = PlannerApp(replace(world.services, plan=plan, give_up=lambda: ended.append("search")))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.state.planning, "a search")
        await pilot.press("escape")
        await until(pilot, lambda: "The search was given up." in screen_text(app), "that it was given up")
        assert ended == ["search"]
        assert "Acme GPU 24" in screen_text(app)
        gate.set()
        await pilot.press("r")
        await planned(pilot)
        assert app.state.plans == world.plans
