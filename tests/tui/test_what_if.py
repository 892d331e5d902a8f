"""The what-if page: fields, ranking anew, what it gains and loses, and how it can be undone."""

from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from planner.errors import CatalogError
from planner.tui.app import PlannerApp
from planner.tui.marks import ASCII
from planner.tui.newest import Newest
from planner.tui.problem import Problem
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.launch import LaunchScreen
from planner.tui.screens.pick import Line, Pick, narrowed
from planner.tui.screens.what_if import WhatIfPage
from planner.tui.widgets.question_form import QuestionForm
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import World


async def opened(pilot: Pilot[None]) -> PlannerApp:
    """The page with the answer for the machine as it is."""
    app = await planned(pilot)
    app.open_page("what-if")
    await until(pilot, lambda: isinstance(app.screen, WhatIfPage) and "71.2" in screen_text(app), "the page")
    return app


def form(app: PlannerApp) -> QuestionForm:
    return app.screen.query_one(QuestionForm)


async def test_the_machine_as_it_is_gains_and_loses_nothing(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        text = screen_text(app)
        assert "Acme GPU 24" in text
        assert "±0" in text
        assert "$ planner recommend --total" in text
        assert "r Reset" not in text


async def test_the_arrow_keys_change_the_machine_and_the_pairs_are_ranked_anew_against_this_machines_best(
    world: World,
) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the difference")
        text = screen_text(app)
        assert world.questions[-1].vram == "8"
        assert "MTR 20.95 → 8.88 %" in text
        assert "28 % of the speed" in text
        assert "writer-32b-instruct-2026 Q4_K_M" in text
        assert "$ planner hardware --save machine.json" in text
        assert "$ planner recommend --hardware machine.json --vram 8" in text
        await pilot.press("r")
        await until(pilot, lambda: "±0" in screen_text(app), "everything as it was")
        assert world.questions[-1].changed == ()


async def test_the_newest_change_wins_and_those_between_are_never_asked(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        world.what_if_gate.clear()
        asked = len(world.questions)
        await pilot.press("down", "right")
        await until(pilot, lambda: len(world.questions) == asked + 1, "the first question")
        await pilot.press("right", "right", "right", "right", "right", "right")
        assert "ranking" in screen_text(app)
        world.what_if_gate.set()
        await until(
            pilot, lambda: world.questions[-1].vram == "20" and "+13.4" in screen_text(app), "the last answer"
        )
        assert [question.vram for question in world.questions[asked:]] == ["4", "20"]
        assert "Nothing fits" not in screen_text(app), "the answer to the first question was dropped"


async def test_a_value_can_be_typed_and_what_cannot_be_is_said_at_once(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.focused, Input), "the line to type into")
        await pilot.press("1", "2")
        await until(pilot, lambda: "context: “12” is not a number of tokens" in screen_text(app), "the reason")
        asked = len(world.questions)
        await pilot.press("0", "0", "0", "enter")
        await until(pilot, lambda: len(world.questions) > asked, "the question")
        assert world.questions[-1].context == "12000"
        assert "is not a number" not in screen_text(app)
        assert isinstance(app.focused, QuestionForm)
        assert "12000 tokens" in screen_text(app)


async def test_escape_while_typing_leaves_the_field_as_it_was(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "enter")
        await until(pilot, lambda: isinstance(app.focused, Input), "the line to type into")
        await pilot.press("9", "9", "escape")
        await until(pilot, lambda: isinstance(app.focused, QuestionForm), "the form")
        assert form(app).question.vram == "4"


async def test_a_gpu_is_found_by_words_and_two_of_one_are_typed(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Pick) and "RTX 3090" in screen_text(app), "the list")
        await pilot.press(*"4090")
        await until(pilot, lambda: "936 GB/s" not in screen_text(app), "fewer of them")
        assert "24 GiB, 1010 GB/s" in screen_text(app)
        await pilot.press("down", "up", "enter")
        await until(pilot, lambda: world.questions[-1].gpu == "GeForce RTX 4090", "the question")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Pick), "the list from the field")
        app.screen.query_one(Input).value = "2x GeForce RTX 3090"
        await until(pilot, lambda: "as typed: “2x GeForce RTX 3090”" in screen_text(app), "what was typed")
        await pilot.press("enter")
        await until(pilot, lambda: world.questions[-1].gpu == "2x GeForce RTX 3090", "the question")


async def test_a_gpu_that_nobody_knows_is_said_at_its_field(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Pick), "the list")
        await pilot.press(*"warp", "enter")
        await until(pilot, lambda: "GPU: No device named “warp” is known." in screen_text(app), "the reason")
        assert "✗ GPU" in screen_text(app) or "▸ GPU" in screen_text(app)
        await pilot.press("backspace")
        await until(pilot, lambda: "No device named" not in screen_text(app), "nothing wrong")


async def test_nothing_fits_is_an_answer_with_a_way_on(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right")
        await until(pilot, lambda: "Nothing fits: the smallest plan takes 9 GiB." in screen_text(app), "the reason")
        assert "This machine's best is" in screen_text(app)


async def test_another_pair_of_the_list_is_compared_too(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the difference")
        await pilot.press("tab")
        await until(pilot, lambda: isinstance(app.focused, OptionList), "the list")
        await pilot.press("down")
        await until(pilot, lambda: "+9.1" in screen_text(app), "the second pair's")


async def test_a_pair_for_this_machine_can_be_launched_and_one_for_another_cannot(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the difference")
        assert "u Launch" not in screen_text(app)
        await pilot.press("u")
        assert not world.jobs
        await pilot.press("r")
        await until(pilot, lambda: "u Launch" in screen_text(app), "the key")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
        assert world.jobs[0].arguments[:2] == ["up", "acme/finder-large-v1:F16"]


async def test_a_pair_for_another_machine_cannot_be_launched_while_this_one_is_ranked_anew(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the pairs of another machine")
        world.what_if_gate.clear()
        await pilot.press("r")
        await until(pilot, lambda: "esc gives up" in screen_text(app), "a ranking")
        await pilot.press("u")
        await pilot.press("escape")
        await until(pilot, lambda: "given up" in screen_text(app), "that it was given up")
        await pilot.press("u")
        assert "u Launch" not in screen_text(app)
        assert not world.jobs
        world.what_if_gate.set()


async def test_scores_weighed_alike_are_compared_until_those_weighed_otherwise_are_there(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        world.what_if_gate.clear()
        await pilot.press(*["down"] * 7, "right", "tab")
        await until(pilot, lambda: "esc gives up" in screen_text(app), "a ranking")
        await pilot.press("down")
        assert world.questions[-1].prefer == "quality"
        assert "weighs otherwise" not in screen_text(app)
        world.what_if_gate.set()
        await until(pilot, lambda: "weighs otherwise" in screen_text(app), "the answer")


async def test_the_command_is_copied(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("y")
        assert app.clipboard == "planner recommend --total\n"


async def test_a_click_steps_a_value_and_chooses_a_field(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        rows = screen_text(app).split("\n")
        y = next(index for index, row in enumerate(rows) if "slots" in row)
        await pilot.click(offset=(rows[y].index("slots"), y))
        await until(pilot, lambda: "▸ slots" in screen_text(app), "the field")
        x = screen_text(app).split("\n")[y].index(">")
        await pilot.click(offset=(x, y))
        await until(pilot, lambda: world.questions[-1].parallel == "2", "the question")


async def test_the_question_is_there_again_next_time(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the difference")
    app.end()
    again = PlannerApp(world.services, page="what-if")
    async with again.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "+13.4" in screen_text(again), "the same question")


async def test_going_elsewhere_and_back_asks_nothing_again(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        asked = len(world.questions)
        await pilot.press("1", "3")
        await until(pilot, lambda: isinstance(app.screen, WhatIfPage), "the page")
        assert "71.2" in screen_text(app)
        assert len(world.questions) == asked


async def test_quitting_while_it_ranks_asks_nothing_and_waits_for_nothing(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        world.what_if_gate.clear()
        await pilot.press("down", "right")
        await until(pilot, lambda: len(world.questions) == 2, "the question")
        await pilot.press("q")
        assert not isinstance(app.screen, Confirm)
    assert app.return_code == 0
    world.what_if_gate.set()


async def test_without_a_machine_the_page_says_why(world: World) -> None:
    world.look_error = CatalogError("models/bge.json is broken.", hint="Mend it.")
    app = PlannerApp(world.services, page="what-if")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "models/bge.json is broken." in screen_text(app), "the reason")


async def test_without_unicode_nothing_but_ascii_is_drawn(world: World) -> None:
    app = PlannerApp(world.services, marks=ASCII)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("down", "right", "right", "right")
        await until(pilot, lambda: "+13.4" in screen_text(app), "the difference")
        assert screen_text(app).isascii()


def test_words_may_stand_in_any_order_and_a_name_that_begins_with_them_comes_first() -> None:
    choices = (Line("a", "RTX 4090 Mobile"), Line("b", "GeForce 4090 RTX"), Line("c", "RTX 4090"), Line("d", "Arc"))
    assert [line.answer for line in narrowed(choices, "rtx 4090")] == ["c", "a", "b"]
    assert [line.answer for line in narrowed(choices, "")] == ["a", "b", "c", "d"]
    assert narrowed(choices, "voodoo") == ()


async def test_a_failing_newest_question_is_a_problem_and_the_next_one_is_asked() -> None:
    newest: Newest[int] = Newest()

    def broken() -> int:
        raise ZeroDivisionError("no")

    assert isinstance(await newest.run(broken), Problem)
    assert await newest.run(lambda: 3) == 3


async def test_escape_gives_up_a_ranking_and_the_next_change_asks_anew(world: World) -> None:
    app = PlannerApp(world.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        before = screen_text(app)
        world.what_if_gate.clear()
        await pilot.press("down", "right")
        await until(pilot, lambda: "esc gives up" in screen_text(app), "a ranking")
        await pilot.press("escape")
        await until(pilot, lambda: "given up" in screen_text(app), "that it was given up")
        assert "71.2" in before
        assert "71.2" in screen_text(app)
        asked = len(world.questions)
        world.what_if_gate.set()
        await pilot.press("right")
        await until(pilot, lambda: len(world.questions) > asked and "given up" not in screen_text(app), "an answer")
