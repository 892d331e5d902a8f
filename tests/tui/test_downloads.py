"""The downloads page: the queue and its keys, the store and its keys, and what happens on the way out."""

from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from planner.core.launch.events import ProgressTold
from planner.errors import UsageError
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome
from planner.tui.data.machine import Situation
from planner.tui.marks import ASCII
from planner.tui.problem import Problem
from planner.tui.queue import DownloadState
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.downloads import DownloadsPage
from planner.tui.screens.pick import Pick
from planner.tui.widgets.download_list import DownloadList
from planner.tui.widgets.store_list import StoreList
from planner.units import GB
from tests.tui.conftest import planned, screen_text, until
from tests.tui.test_models_page import models_page
from tests.tui.world import World
from tests.tui.world_models import model_world
from tests.tui.world_store import MODELS, STORE

LARGE, SMALL, CLOSED = (model.variants[0] for model in MODELS)
FETCHED = Outcome({"artifacts": [{"bytes_transferred": 5 * GB, "verified": True}]})


@pytest.fixture
def stocked(world: World) -> World:
    """A catalog of three models."""
    world.situation = Situation(world.situation.hardware, MODELS)
    return world


async def opened(pilot: Pilot[None]) -> PlannerApp:
    """The page, with the store read."""
    app = await planned(pilot)
    app.open_page("downloads")
    await until(pilot, lambda: isinstance(app.screen, DownloadsPage) and "old.gguf" in screen_text(app), "the store")
    return app


def states(app: PlannerApp) -> list[str]:
    return [one.state.value for one in app.state.downloads]


async def test_the_store_says_what_is_here_and_how_much_room_there_is(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(160, 40)) as pilot:
        await opened(pilot)
        text = screen_text(app)
        assert "3.50 GB fetched, 2.00 GB unfinished, 45.30 GB free on the disk" in text
        assert "/home/me/.local/share/planner/models" in text
        assert "of no model in the catalog" in text
        assert "Nothing is downloaded. a adds a model" in text


async def test_a_model_is_found_by_words_and_downloaded_with_rate_and_time_left(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Pick) and "writer-8b Q8_0" in screen_text(app), "the list")
        assert "generation, acme/writer-1b, is here" in screen_text(app)
        await pilot.press(*"8b q4")
        await until(pilot, lambda: "writer-8b Q8_0" not in screen_text(app), "fewer of them")
        await pilot.press(*" writer", "enter")
        await until(pilot, lambda: len(stocked.jobs) == 1, "the start")
        (job,) = stocked.jobs
        assert job.arguments == ["fetch", "acme/writer-8b:Q4_K_M", "--json"]
        for second in range(5):
            job.tell(ProgressTold("x", "downloading", second * GB // 2, 5 * GB))
            await until(pilot, lambda: app.state.downloads[0].pace is not None, "progress")
            stocked.now_s += 1
            await pilot.pause()
        await until(pilot, lambda: "40 %, 2.00 GB of 5.00 GB, 500.0 MB/s, 6 s left" in screen_text(app), "the rate")
        assert "1 downloading" in screen_text(app)
        stocked.store = replace(STORE, begun={}, unfinished_bytes=0)
        job.finish(FETCHED)
        await until(pilot, lambda: "5.00 GB transferred, checked" in screen_text(app), "the end")
        await until(pilot, lambda: "unfinished" not in screen_text(app), "the store, read again")


async def test_downloads_come_one_after_the_other(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        app.download(MODELS[1], SMALL)
        app.download(MODELS[0], LARGE)
        await until(pilot, lambda: states(app) == ["downloading", "waiting"], "the queue")
        stocked.jobs[0].finish(FETCHED)
        await until(pilot, lambda: states(app) == ["done", "downloading"], "the next one")
        assert [job.arguments[1] for job in stocked.jobs] == ["acme/writer-8b:Q4_K_M", "acme/writer-1b:Q4_K_M"]


async def test_space_pauses_and_lets_go_on_and_the_next_one_need_not_wait(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        app.download(MODELS[1], SMALL)
        await until(pilot, lambda: states(app) == ["downloading", "waiting"], "the queue")
        app.screen.query_one(DownloadList).query_one("#downloads-list").focus()
        await pilot.press("space")
        await until(pilot, lambda: states(app) == ["paused", "downloading"], "the pause")
        assert stocked.jobs[0].interrupted.is_set()
        assert "2.00 GB of 5.00 GB" in screen_text(app), "what came is there"
        await pilot.press("space")
        await until(pilot, lambda: states(app) == ["waiting", "downloading"], "that it waits")
        stocked.jobs[1].finish(FETCHED)
        await until(pilot, lambda: states(app) == ["downloading", "done"], "its turn")
        assert stocked.jobs[2].arguments[1] == "acme/writer-8b:Q4_K_M"


async def test_a_failure_is_explained_at_the_download_and_space_tries_again(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        stocked.jobs[0].finish(Outcome({}, Problem("The Hub broke off.", "Try again.", "network")))
        await until(pilot, lambda: "! The Hub broke off." in screen_text(app), "the reason")
        assert "→ Try again." in screen_text(app)
        await pilot.press("tab", "shift+tab")
        app.screen.query_one("#downloads-list").focus()
        await pilot.press("space")
        await until(pilot, lambda: len(stocked.jobs) == 2, "another try")
        assert "The Hub broke off." not in screen_text(app)


async def test_cancelling_asks_and_removes_what_came(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        stocked.jobs[0].tell(ProgressTold("x", "downloading", 3 * GB, 5 * GB))
        await until(pilot, lambda: "60 %" in screen_text(app), "progress")
        app.screen.query_one("#downloads-list").focus()
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "3.00 GB that came so far are removed" in screen_text(app)
        await pilot.press("enter")
        assert states(app) == ["downloading"], "enter does no harm"
        await pilot.press("x", "y")
        await until(pilot, lambda: not app.state.downloads and len(stocked.jobs) == 2, "the end")
        assert stocked.jobs[0].interrupted.is_set()
        assert stocked.jobs[1].arguments == ["fetch", "--remove", "acme/writer-8b:Q4_K_M", "--json"]
        stocked.jobs[1].finish(Outcome({"removed": []}))


async def test_a_licence_is_asked_about_before_anything_comes(stocked: World) -> None:
    stocked.restricted = frozenset({"acme/closed-8b"})
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[2], CLOSED)
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "CC-BY-NC-4.0" in screen_text(app)
        await pilot.press("n")
        assert not app.state.downloads
        app.download(MODELS[2], CLOSED)
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question again")
        await pilot.press("y")
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        assert stocked.jobs[0].arguments == ["fetch", "acme/closed-8b:Q4_K_M", "--accept-licence", "--json"]


async def test_quitting_during_a_download_asks_and_the_next_run_has_it_paused(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        app.download(MODELS[1], SMALL)
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "Quit and stop 2 downloads?" in screen_text(app)
        await pilot.press("n")
        assert not stocked.jobs[0].interrupted.is_set()
        await pilot.press("q", "y")
    app.end()
    assert stocked.jobs[0].interrupted.is_set()
    assert stocked.jobs[0].settled

    again = PlannerApp(stocked.services)
    async with again.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        assert states(again) == ["paused", "paused"]
        assert len(stocked.jobs) == 1, "nothing is transferred before somebody says so"
        again.screen.query_one("#downloads-list").focus()
        await pilot.press("space")
        await until(pilot, lambda: len(stocked.jobs) == 2, "that it goes on")
        assert stocked.jobs[1].arguments[1] == "acme/writer-8b:Q4_K_M"


async def test_quitting_with_paused_downloads_asks_nothing(stocked: World) -> None:
    stocked.choices = {"downloads": [{"model": "acme/writer-8b", "quant": "Q4_K_M", "bytes": 5, "accepted": False}]}
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_model_is_hashed_again_with_progress_and_says_what_came_of_it(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.screen.query_one("#store-list").focus()
        await pilot.press("v")
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        (job,) = stocked.jobs
        assert job.arguments == ["fetch", "--verify", "acme/finder-large-v1:F16", "--json"]
        job.tell(ProgressTold("store", "checking", 3, 10))
        await until(pilot, lambda: "hashing, 30 %" in screen_text(app), "progress")
        job.finish(Outcome({"artifacts": [{"path": "/m/f.gguf", "health": "ok"}]}))
        await until(pilot, lambda: "it is as it was fetched" in screen_text(app), "the result")


async def test_damage_is_named_with_what_to_do(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("V")
        await until(pilot, lambda: bool(stocked.jobs), "the start")
        assert stocked.jobs[0].arguments == ["fetch", "--verify", "--json"]
        rows = [{"path": "/m/f.gguf", "health": "ok"}, {"path": "/m/writer-1b.gguf", "health": "damaged"}]
        stocked.store = replace(STORE, stored=STORE.stored[:1])
        stocked.jobs[0].finish(Outcome({"artifacts": rows}, Problem("planner fetch ended with exit code 4.")))
        await until(pilot, lambda: "Not as it was fetched: writer-1b.gguf." in screen_text(app), "the result")
        assert "Fetch the model again" in screen_text(app)


async def test_removing_asks_and_a_model_in_use_stays_with_the_reason(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        app.screen.query_one(StoreList).query_one("#store-list").focus()
        await pilot.press("down", "x")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "Remove writer-1b Q4_K_M?" in screen_text(app)
        assert "800 MB become free." in screen_text(app)
        await pilot.press("y")
        await until(pilot, lambda: bool(stocked.jobs), "the command")
        assert stocked.jobs[0].arguments == ["fetch", "--remove", "acme/writer-1b:Q4_K_M", "--json"]
        stocked.jobs[0].finish(Outcome({}, Problem("“default” runs it; nothing was removed.", "Stop it.", "in-use")))
        await until(pilot, lambda: "“default” runs it; nothing was removed." in screen_text(app), "the reason")


async def test_a_store_that_cannot_be_read_says_so_and_r_tries_again(stocked: World) -> None:
    stocked.store_error = UsageError("The store cannot be read.", hint="Check its permissions.")
    app = PlannerApp(stocked.services, page="downloads")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "The store cannot be read." in screen_text(app), "the reason")
        stocked.store_error = None
        await pilot.press("r")
        await until(pilot, lambda: "old.gguf" in screen_text(app), "the store")


async def test_a_command_that_cannot_be_started_is_explained_at_the_download(stocked: World) -> None:
    stocked.start_error = PermissionError(13, "Permission denied")
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        await until(pilot, lambda: "could not be started: Permission denied" in screen_text(app), "the reason")
        assert app.state.downloads[0].state is DownloadState.FAILED


async def test_escape_leaves_the_list_of_models_without_a_download(stocked: World) -> None:
    app = PlannerApp(stocked.services)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Pick), "the list")
        await pilot.press(*"nothing like that")
        await until(pilot, lambda: "Nothing has these words." in screen_text(app), "an empty list")
        assert isinstance(app.focused, Input)
        await pilot.press("enter", "escape")
        await until(pilot, lambda: isinstance(app.screen, DownloadsPage), "the page")
        assert not app.state.downloads


async def test_a_key_on_the_models_page_downloads_the_highlighted_model() -> None:
    world = model_world()
    async with models_page(world) as (app, pilot):
        await pilot.press("D")
        await until(pilot, lambda: bool(world.jobs), "the start")
        assert world.jobs[0].arguments[0] == "fetch"
        assert world.jobs[0].arguments[1] == app.state.downloads[0].reference
        await until(pilot, lambda: any("Downloads page" in note.message for note in app._notifications), "a word")


async def test_without_unicode_nothing_but_ascii_is_drawn(stocked: World) -> None:
    app = PlannerApp(stocked.services, marks=ASCII)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        app.download(MODELS[0], LARGE)
        await until(pilot, lambda: states(app) == ["downloading"], "the start")
        assert screen_text(app).isascii()
