"""Servers: figures beside estimates, what they do now, their logs, and every key."""

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import RichLog

from planner.core.launch.supervise import DeploymentState
from planner.core.models.model import Role
from planner.errors import UsageError
from planner.serve.gateway.metrics import Metrics
from planner.serve.gateway.turns import Turns
from planner.serve.state import DeploymentRecord
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome
from planner.tui.data.activity import KEPT, Activity, Counters, counters_in, read_counters, with_reading
from planner.tui.data.server_logs import LogFollower
from planner.tui.marks import ASCII, UNICODE
from planner.tui.problem import Problem
from planner.tui.screens.client_settings import ClientSettings
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.servers import ServersPage
from planner.tui.widgets.server_rows import for_words
from planner.tui.widgets.sparkline import sparkline
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import World
from tests.tui.world_servers import NOW_S, STARTED, Servers, busy, counters, crashed

Snap = Callable[[App[Any]], None]


@pytest.fixture
def servers() -> Servers:
    """Counters and logs, as each test may change them."""
    return Servers()


def make_app(world: World, servers: Servers, **options: Any) -> PlannerApp:
    """The app at its servers."""
    return PlannerApp(servers.with_(world.services), page="servers", **options)


async def shown(pilot: Pilot[None]) -> PlannerApp:
    """The app once servers, counters and log are there."""
    app = await planned(pilot)
    await until(pilot, lambda: "running" in screen_text(app) and "Log: all" in screen_text(app), "the servers")
    log = page_of(app).query_one(RichLog)
    with contextlib.suppress(AssertionError):  # some tests have nothing to follow
        await until(pilot, lambda: bool(log.lines), "the log")
    await planned(pilot)
    return app


def page_of(app: PlannerApp) -> ServersPage:
    """The page, wherever it lies."""
    return next(screen for screen in app.screen_stack if isinstance(screen, ServersPage))


# --- pure ----------------------------------------------------------------------------------------------------------


def test_the_gateways_own_text_is_understood() -> None:
    metrics, turns = Metrics(), Turns(max_requests=9, max_held_bytes=9, patience_s=9)
    turns.inside[Role.GENERATION], turns.inside[Role.EMBEDDING] = 3, 1
    turns.refused[Role.GENERATION] = 4
    metrics.answered("/v1/chat/completions", 200, 2.5)
    metrics.answered("/v1/chat/completions", 503, 0.5)
    metrics.answered("/v1/models", 401, 0.1)
    metrics.tokens(Role.GENERATION, prompt=100, completion=32)
    metrics.tokens(Role.EMBEDDING, prompt=7)
    found = counters_in(metrics.render((), turns), 5.0)
    assert found.tokens == {
        ("generation", "prompt"): 100,
        ("generation", "completion"): 32,
        ("embedding", "prompt"): 7,
    }
    assert (found.requests, found.errors, found.inside, found.refused, found.seconds) == (2, 1, 4, 4, 3.0)


def test_tokens_of_several_keys_add_up_and_nonsense_is_left_out() -> None:
    text = (
        'planner_gateway_tokens_total{role="generation",kind="prompt",key="one"} 4\n'
        'planner_gateway_tokens_total{role="generation",kind="prompt",key="two"} 5\n'
        'planner_gateway_tokens_total{role="x"} 1.2.3\nplanner_gateway_in_flight 3\n\x00'
    )
    found = counters_in(text, 0.0)
    assert found.tokens == {("generation", "prompt"): 9}
    assert found.inside == 2


def test_speed_is_what_was_done_between_two_readings_and_never_negative() -> None:
    activity = with_reading(None, counters(10.0, 100, 1000))
    assert not activity.rates
    activity = with_reading(activity, counters(12.0, 150, 1000))
    assert activity.rates == {"generation": (25.0,), "embedding": (0.0,)}
    activity = with_reading(activity, counters(14.0, 3, 8))
    assert activity.rates == {"generation": (25.0, 0.0), "embedding": (0.0, 0.0)}
    assert with_reading(activity, counters(14.0, 9, 9)) is activity


def test_only_so_many_speeds_are_kept() -> None:
    activity: Activity | None = None
    for number in range(KEPT + 20):
        activity = with_reading(activity, Counters(float(number + 1), {("generation", "completion"): float(number)}))
    assert activity is not None
    assert len(activity.rates["generation"]) == KEPT


def test_a_gateway_that_is_gone_is_told_in_words(tmp_path: Path) -> None:
    key = tmp_path / "gateway.key"
    key.write_text("secret\n")
    there = busy("gone", api_key_file=str(key), gateway_url="http://127.0.0.1:9")
    assert "cannot be asked" in str(read_counters([there], 0.0)["gone"])
    without = busy("keyless", api_key_file=str(tmp_path / "none"), gateway_url="http://127.0.0.1:9")
    assert "cannot be asked" in str(read_counters([without], 0.0)["keyless"])
    assert read_counters([crashed()], 0.0) == {}


def test_a_log_is_followed_through_growth_cuts_and_files_that_come_later(tmp_path: Path) -> None:
    log = tmp_path / "generation.log"
    log.write_text("one\napi_key: sk-12345\n")
    follower = LogFollower(tmp_path)
    assert follower.read() == [("generation", "one"), ("generation", "api_key: ****")]
    with log.open("a") as file:
        file.write("two\nhalf")
    assert follower.read() == [("generation", "two")]
    assert follower.read() == [("generation", "half")]
    log.write_text("anew\n")
    (tmp_path / "embedding.log").write_text("other\n")
    assert follower.read() == [("embedding", "other"), ("generation", "anew")]
    assert LogFollower(tmp_path, ("embedding",)).read() == [("embedding", "other")]


def test_requests_are_told_in_words_when_they_are_asked_for_and_the_apps_own_never(tmp_path: Path) -> None:
    (tmp_path / "generation.log").write_text("ready\n")
    entry = {"time": "2026-11-25T13:46:40.802Z", "method": "POST", "status": 200, "seconds": 0.521, "key": "team-a"}
    lines = [
        json.dumps({**entry, "route": "/v1/embeddings", "waited_seconds": 1.5, "prompt_tokens": 7}),
        json.dumps({**entry, "route": "/metrics"}),
        "not json",
    ]
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n")
    assert LogFollower(tmp_path).read() == [("generation", "ready")]
    assert LogFollower(tmp_path, ("access",)).read() == [
        ("access", "13:46:40 POST /v1/embeddings 200 in 0.52 s after 1.50 s of waiting 7 read with the key team-a"),
        ("access", "not json"),
    ]


@given(st.lists(st.floats(0, 1e6), max_size=80), st.integers(0, 60))
def test_a_sparkline_fits_and_shows_that_anything_was_done(values: list[float], width: int) -> None:
    for marks in (UNICODE, ASCII):
        line = sparkline(values, width, marks)
        assert len(line) == min(width, len(values))
        lowest = "▁" if marks is UNICODE else "_"
        shown = values[-width:] if width else []
        assert all((bar == lowest) == (value <= 0) for bar, value in zip(line, shown, strict=True))
    assert sparkline(values, width, ASCII).isascii()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "5 s"), (700, "11 min"), (11_000, "3 h 03 min"), (400_000, "4 days")]
)
def test_how_long_it_runs_is_said_in_two_units_at_most(seconds: int, expected: str) -> None:
    started = NOW_S - 4540  # as STARTED is
    assert for_words(STARTED, started + seconds) == expected
    assert for_words("yesterday", NOW_S) == ""


# --- the page ------------------------------------------------------------------------------------------------------


async def test_measured_stands_beside_estimated_and_what_is_far_off_is_said(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        text = screen_text(app)
        assert "400 MiB 300 MiB 133 % 23 147 16 % 1" in " ".join(text.split())
        assert "51 MiB" in text
        assert "http://127.0.0.1:8484/v1" in text
        assert "! writer-1b runs at 23 tok/s, far below" in text
        assert "7 checks through the gateway passed" in text
        assert "1 h 15 min" in text
        assert "1,240 in all, 3 failed, 2 under way, 1.7 s each" in text


async def test_speed_of_now_is_drawn_from_reading_to_reading(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        for number, written in ((1, 3_140), (2, 3_240)):
            asked = servers.asked
            servers.readings["default"] = counters(2.0 * number, written, 45_000)
            page_of(app)._tick()
            await until(pilot, lambda asked=asked: servers.asked > asked, "a reading")  # type: ignore[misc]
            await planned(pilot)
        text = screen_text(app)
        assert "▄█" in text or "▃█" in text
        assert "50 tok/s now, 3.24k written, 12k read" in text


async def test_a_gateway_that_does_not_answer_is_said(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    servers.readings["default"] = "its gateway did not answer within 2 s"
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        assert "No counters: its gateway did not answer within 2 s." in screen_text(app)


async def test_the_log_follows_by_role_and_leaves_a_reader_in_peace(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    servers.words += [("generation", f"line {number}") for number in range(60)]
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        log = page_of(app).query_one(RichLog)
        await until(pilot, lambda: "generation line 59" in screen_text(app), "the log's end")
        log.focus()
        await pilot.press("home")
        await pilot.pause()
        servers.words.append(("generation", "line 60"))
        page_of(app)._tick()
        await planned(pilot)
        assert "line 60" not in screen_text(app)
        await pilot.press("end")
        await pilot.pause()
        assert "line 60" in screen_text(app)
        await pilot.press("l")
        await until(pilot, lambda: "Log: embedding" in screen_text(app), "another log")
        await planned(pilot)
        assert "all slots are idle" in screen_text(app)
        assert "line 60" not in screen_text(app)
        assert servers.followed == [("default", ()), ("default", ("embedding",))]


async def test_a_crash_shows_the_last_words_and_what_to_do(world: World, servers: Servers) -> None:
    world.servers = (busy(), crashed())
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        assert "1 running, 1 failed" in screen_text(app)
        await pilot.press("down")
        await planned(pilot)
        text = " ".join(screen_text(app).split())
        assert "CUDA error: out of memory" in text
        assert "x starts it again as it was, s forgets it." in text
        assert text.count("crashed three times") == 1
        await pilot.press("x")
        await until(pilot, lambda: len(servers.restarts) == 1, "the start")
        servers.restarts[0].say("generation: starting", False)
        await until(pilot, lambda: "generation: starting" in screen_text(app), "what it does")
        servers.restarts[0].finish(Outcome({}, Problem("The disk is full.", "Free some space.", "no-space")))
        await until(pilot, lambda: "Not started again: The disk is full." in screen_text(app), "the reason")
        assert "Free some space." in screen_text(app)


async def test_restarting_asks_first_and_stays_in_the_list_meanwhile(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("n")
        assert not servers.restarts
        await pilot.press("x", "y")
        await until(pilot, lambda: len(servers.restarts) == 1, "the restart")
        world.servers = ()
        app.look()
        await until(pilot, lambda: app.state.servers == (), "nothing to run")
        assert "restarting" in screen_text(app)
        world.servers = (busy(),)
        servers.restarts[0].finish(Outcome({"deployment": {}}))
        await until(pilot, lambda: "restarting" not in screen_text(app), "the end")


async def test_that_nothing_runs_is_not_said_before_anybody_has_looked(world: World, servers: Servers) -> None:
    gate = threading.Event()

    def slow() -> tuple[DeploymentRecord, ...]:
        assert gate.wait(60)
        return ()

    app = PlannerApp(replace(servers.with_(world.services), servers=slow), page="servers")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: bool(app.state.plans), "plans")
        assert "looking at what runs" in screen_text(app)
        assert "nothing runs" not in screen_text(app)
        gate.set()
        await until(pilot, lambda: "nothing runs" in screen_text(app), "what was found")


async def test_stopping_asks_first(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await until(pilot, lambda: len(world.jobs) == 1, "the command")
        assert world.jobs[0].arguments == ["stop", "default", "--json"]
        await until(pilot, lambda: "stopping" in screen_text(app), "the state")
        world.jobs[0].finish(Outcome({"deployments": []}))


async def test_forgetting_what_failed_is_not_called_stopping(world: World, servers: Servers) -> None:
    world.servers = (crashed(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "crashed three times" in screen_text(app), "the crash")
        await pilot.press("s")
        await until(pilot, lambda: "Forget “other”?" in screen_text(app), "the question")
        await pilot.press("y")
        await until(pilot, lambda: len(world.jobs) == 1, "the command")
        assert world.jobs[0].arguments == ["stop", "other", "--json"]
        world.jobs[0].finish(Outcome({"deployments": []}))


async def test_settings_are_copied_and_shown_and_the_key_is_copied_alone(
    world: World, servers: Servers, tmp_path: Path
) -> None:
    key = tmp_path / "gateway.key"
    key.write_text("sk-of-this-test\n")
    world.servers = (busy(api_key_file=str(key)),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ClientSettings), "the settings")
        assert "export OPENAI_BASE_URL=http://127.0.0.1:8484/v1" in app.clipboard
        assert "sk-of-this-test" not in app.clipboard
        assert "export OPENAI_BASE_URL" in screen_text(app)
        await pilot.press("k")
        await until(pilot, lambda: app.clipboard == "sk-of-this-test", "the key")
        assert "sk-of-this-test" not in screen_text(app)
        key.unlink()
        await pilot.press("k")
        await until(pilot, lambda: "could not be read" in screen_text(app), "the reason")
        await pilot.press("escape")
        assert isinstance(app.screen, ServersPage)


async def test_with_nothing_running_it_says_what_launches_something(world: World, servers: Servers) -> None:
    app = make_app(world, servers)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "Nothing runs." in screen_text(app), "the words")
        await pilot.press("s", "x", "c", "l")
        assert isinstance(app.screen, ServersPage)
        world.servers = (busy(),)
        app.look()
        await shown(pilot)
        world.servers = ()
        app.look()
        await until(pilot, lambda: "Nothing runs." in screen_text(app), "the words again")


async def test_the_page_is_whole_before_the_gateways_have_answered(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    servers.gate.clear()
    app = PlannerApp(servers.with_(world.services))
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await pilot.press("6")
        await until(pilot, lambda: "reading its counters" in screen_text(app), "the page")
        text = screen_text(app)
        assert "1 running" in text
        assert "http://127.0.0.1:8484/v1" in text
        assert "147" in text
        servers.gate.set()
        await until(pilot, lambda: "1,240 in all" in screen_text(app), "the counters")


async def test_logs_that_cannot_be_followed_do_not_end_the_page(world: World, servers: Servers) -> None:
    servers.follow_error = UsageError("“..” cannot be a deployment's name.")
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        assert "cannot be a deployment's name" in screen_text(app)


async def test_quitting_leaves_what_runs_alone(world: World, servers: Servers) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        await pilot.press("q")
    assert app.return_code == 0
    assert not world.jobs
    assert not servers.restarts


def degraded() -> Any:
    """One that answers in part."""
    record = busy("research")
    return msgspec.structs.replace(record, state=DeploymentState.DEGRADED, gateway_url="http://127.0.0.1:8490")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 15)], ids="{0[0]}x{0[1]}".format)
async def test_a_picture_of_the_servers(world: World, servers: Servers, snap: Snap, size: tuple[int, int]) -> None:
    world.servers = (busy(), crashed(), degraded())
    app = make_app(world, servers)
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "default" in screen_text(app), "the servers")
        page = page_of(app)
        for number, written in enumerate((3_100, 3_150, 3_290, 3_340, 3_560, 3_580, 3_700), 1):
            activity = page._activity.get("default")
            page._activity["default"] = with_reading(
                activity, counters(100 + 2.0 * number, written, 45_000 + written)
            )
        servers.readings = {}
        page._draw()
        await planned(pilot)
        snap(app)


async def test_a_picture_of_a_crash_without_unicode(world: World, servers: Servers, snap: Snap) -> None:
    world.servers = (crashed(),)
    servers.readings = {}
    app = make_app(world, servers, marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "crashed three times" in screen_text(app), "the crash")
        await planned(pilot)
        snap(app)


async def test_a_picture_of_the_settings(world: World, servers: Servers, snap: Snap) -> None:
    world.servers = (busy(),)
    app = make_app(world, servers)
    async with app.run_test(size=(120, 40)) as pilot:
        await shown(pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ClientSettings), "the settings")
        await planned(pilot)
        snap(app)
