"""Around the pages: going from one to the next, Help, the command palette, themes, what is remembered."""

import ast
import json
from pathlib import Path

import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from planner.core.models.model import Role
from planner.errors import UsageError
from planner.tui.app import PlannerApp
from planner.tui.data.choices import keep_choices, read_choices
from planner.tui.data.machine import Situation
from planner.tui.keys import groups
from planner.tui.remembered import Remembered
from planner.tui.screens import registry
from planner.tui.screens.help import Help, KeyList
from planner.tui.screens.page import Page
from planner.tui.themes import CONTRAST, DARK, LIGHT
from tests.core.shapes import LLAMA_8B, make_model
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import HARDWARE, World


async def test_a_number_and_a_click_open_each_page_and_it_is_kept(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        first: dict[str, object] = {}
        for number, name in enumerate(registry.TITLES, 1):
            if name not in registry.offered():
                continue
            await pilot.press(str(number))
            await until(pilot, lambda name=name: app.current_mode == name, name)  # type: ignore[misc]
            first[name] = app.screen
        column = 0
        for name in registry.offered():
            await pilot.click("#tabs", offset=(column + 3, 0))
            await until(pilot, lambda name=name: app.current_mode == name, f"{name} by a click")  # type: ignore[misc]
            assert app.screen is first[name]
            column += len(registry.TITLES[name]) + 4


@pytest.mark.parametrize("name", registry.offered())
async def test_every_page_names_itself_help_and_quit_at_every_size(world: World, name: str) -> None:
    app = PlannerApp(world.services, page=name)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: bool(app.state.plans), "plans")
        assert app.current_mode == name
        for size in ((60, 15), (80, 24), (300, 100)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: app.size == size, "the size")  # type: ignore[misc]
            await pilot.pause(0.1)
            rows = screen_text(app).split("\n")
            assert rows[-1].endswith("? Help  q Quit")
            assert any(registry.TITLES[name] in row for row in rows[:2])


async def test_while_letters_are_typed_the_keys_that_still_help_and_quit_are_named(world: World) -> None:
    app = PlannerApp(world.services, page="models")
    async with app.run_test(size=(60, 15)) as pilot:
        await planned(pilot)
        assert screen_text(app).endswith("? Help  q Quit")
        await pilot.press("slash", "q", "question_mark")
        await until(pilot, lambda: app.screen.query_one(Input).value == "q?", "letters")
        assert screen_text(app).endswith("F1 Help  ^q Quit")
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help), "no help")
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not app.is_running, "the end")
    assert app.return_code == 0


def test_screens_are_asked_for_by_name_and_an_unknown_one_names_them() -> None:
    assert registry.page_and_model("home") == ("home", "")
    for text in ("hom", "home:x", "model:", ""):
        with pytest.raises(UsageError) as caught:
            registry.page_and_model(text)
        assert "home" in caught.value.hint


def test_every_binding_says_what_it_does() -> None:
    for name in (*registry.offered(), *registry.DETAILS):
        screen = registry.load_screen(name)
        shown = [b for bindings in screen._merge_bindings().key_to_bindings.values() for b in bindings if b.show]
        assert all(binding.description for binding in shown), name


async def test_help_lists_every_screen_and_a_search_narrows_it(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 100)) as pilot:
        await planned(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, Help), "the help")
        text = app.screen.query_one(KeyList).draw(80).plain
        for group in groups(PlannerApp, "home"):
            assert group.title in text
            assert all(key.keys in text for key in group.keys)
        await pilot.press("slash", *"stop")
        await until(pilot, lambda: "look at the machine again" not in screen_text(app), "fewer keys")
        assert "s, delete" in screen_text(app)
        await pilot.press(*"xyz")
        await until(pilot, lambda: "No key does “stopxyz”" in screen_text(app), "nothing found")
        await pilot.press("escape")
        await until(pilot, lambda: "look at the machine again" in screen_text(app), "all keys")
        assert isinstance(app.screen, Help)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, Help), "no help")


def test_the_help_of_a_screen_begins_with_its_own_keys() -> None:
    for name in (*registry.offered(), *registry.DETAILS):
        assert groups(PlannerApp, name)[0].page == name
    assert all(issubclass(registry.load_screen(name), Page) for name in registry.offered())


async def choose(app: PlannerApp, pilot: Pilot[None], letters: str, hit: str) -> None:
    """Type into the palette and take the first hit, which is that one."""
    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(app.screen, CommandPalette), "the palette")
    await pilot.press(*letters)

    def first() -> str:
        hits = app.screen.query_one(CommandList)
        return str(hits.get_option_at_index(0).prompt) if hits.option_count else ""

    await until(pilot, lambda: app.screen.query_one(Input).value == letters and first().startswith(hit), hit)
    app.screen.query_one(CommandList).highlighted = 0
    await pilot.press("enter")


async def test_the_palette_finds_actions_pages_and_themes(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await choose(app, pilot, "refresh", "Refresh")
        await until(pilot, lambda: world.looks == 2, "another look")
        await choose(app, pilot, "models", "Go to Models")
        await until(pilot, lambda: app.current_mode == "models", "the page")
        await choose(app, pilot, "planner-contrast", "Theme: planner-contrast")
        await until(pilot, lambda: app.theme.startswith(CONTRAST.name), "a theme")
        await until(pilot, lambda: world.choices.get("theme") == app.theme, "that it is remembered")


async def test_the_theme_of_last_time_is_there_from_the_start_unless_it_is_gone(world: World) -> None:
    assert PlannerApp(world.services).theme == DARK.name
    assert PlannerApp(world.services, few_colours=True).theme == "ansi-dark"
    world.choices = {"theme": LIGHT.name}
    assert PlannerApp(world.services, few_colours=True).theme == LIGHT.name
    for broken in ("no-such-theme", 7, None, ["x"]):
        world.choices = {"theme": broken}
        assert PlannerApp(world.services).theme == DARK.name


async def test_choices_changed_just_before_the_end_are_written(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        app.remember("models.sort", "speed")
    app.end()
    assert world.choices == {"models.sort": "speed"}


def test_a_value_of_another_kind_counts_as_not_remembered() -> None:
    kept = Remembered({"a": 1, "b": "x", "c": True})
    assert kept.get("a", 5) == 1
    assert kept.get("b", 5) == 5
    assert kept.get("c", 0) == 0
    assert kept.get("d", "none") == "none"
    kept.put("a", 1)
    before = kept.changed
    kept.put("a", None)
    assert (before, kept.changed) == (False, True)
    assert kept.taken() == {"b": "x", "c": True}
    kept.put("b", "x")
    assert kept.taken() == {"b": "x", "c": True}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": 1e999, "b": NaN'])
def test_a_broken_file_of_choices_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "state"
    keep_choices({"theme": "planner-dark"}, folder)
    (folder / "app.json").write_bytes(content)
    assert read_choices(folder) == {}
    keep_choices({"theme": "planner-light"}, folder)
    assert read_choices(folder) == {"theme": "planner-light"}
    assert [path.name for path in folder.iterdir()] == ["app.json"]
    assert json.loads((folder / "app.json").read_bytes()) == {"theme": "planner-light"}


async def test_a_state_folder_that_cannot_be_written_costs_the_choice_and_nothing_else(
    world: World,
) -> None:
    world.keep_error = PermissionError("read-only")
    app = PlannerApp(world.services)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        app.use_theme(LIGHT.name)
        await pilot.pause(0.5)
        assert app.theme == LIGHT.name
        world.keep_error = None
    app.end()
    assert app.crash is None
    assert world.choices == {"theme": LIGHT.name}, "tried again at the end"


async def test_a_models_name_in_the_palette_is_never_read_as_markup(world: World) -> None:
    model = make_model("[red]writer", LLAMA_8B, 8_030_000_000, role=Role.GENERATION, quants={"Q4_K_M": 5_000_000_000})
    world.situation = Situation(HARDWARE, (model,))
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await pilot.press("ctrl+p")
        await pilot.press(*"writer")
        await until(pilot, lambda: "[red]writer" in screen_text(app), "the model")


def test_every_worker_has_a_description_so_that_textual_does_not_print_what_it_works_on() -> None:
    import planner.tui

    missing = []
    for path in Path(planner.tui.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in getattr(node, "decorator_list", ()):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "work":
                    named = any(keyword.arg == "description" for keyword in call.keywords)
                    missing += [] if named else [f"{path.name}:{call.lineno}"]
    assert missing == [], "without one it is the repr of the arguments: half a second for 10,000 models"
