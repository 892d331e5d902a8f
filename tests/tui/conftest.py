"""Driving the app: wait for a condition, read the screen as text, compare it with a stored picture."""

import gc
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import pytest
import textual._wait
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot

from planner.tui.app import PlannerApp
from tests.tui.world import World

DRAWN_WITH = {"textual": "8.2.8", "rich": "15.0.0"}
"""The releases the pictures were made with: SVG output changes between releases, the text assertions do not."""


FRAME_S = 1 / 100
"""A little more than the app's time between two drawings."""
DEADLINE_S = 30.0


class SvgExtension(SingleFileSnapshotExtension):
    """One `.svg` per picture, which a browser opens."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the terminal the tests are run from."""
    for name in ("NO_COLOR", "TEXTUAL", "TEXTUAL_FILTERS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _in_steps_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each key Textual's pilot sleeps twice until the process is idle, in steps for 50 drawings a second."""
    monkeypatch.setattr(textual._wait, "SLEEP_GRANULARITY", FRAME_S)


@pytest.fixture(autouse=True, scope="session")
def _rare_collections() -> Iterator[None]:
    """As `planner` itself does it: with a catalog in memory, to look for what may go takes a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 50)
    yield
    gc.set_threshold(*before)


_read: dict[object, list[RuleSet]] = {}


@pytest.fixture(autouse=True)
def _stylesheets_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each app would parse the same text again, which takes longer than most tests."""
    parse = Stylesheet._parse_rules

    def parse_once(sheet: Stylesheet, *arguments: Any, **options: Any) -> list[RuleSet]:
        key = (tuple(sheet._variables.items()), arguments, tuple(options.items()))
        if key not in _read:
            _read[key] = parse(sheet, *arguments, **options)
        return _read[key]

    monkeypatch.setattr(Stylesheet, "_parse_rules", parse_once)


@pytest.fixture
def world() -> World:
    """The world, as each test may change it."""
    return World()


@pytest.fixture
def snap(snapshot: SnapshotAssertion) -> Callable[[App[Any]], None]:
    """Compare the screen with the stored picture; skipped with other releases of the drawing libraries."""
    pictures = snapshot.use_extension(SvgExtension)

    def check(app: App[Any]) -> None:
        if any(version(name) != wanted for name, wanted in DRAWN_WITH.items()):
            pytest.skip(f"pictures are drawn with {DRAWN_WITH}")
        assert app.export_screenshot() == pictures

    return check


def screen_text(app: App[Any]) -> str:
    """What stands on the screen, line by line."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width].rstrip() for strip in lines[:height])


async def until(pilot: Pilot[None], condition: Callable[[], bool], what: str) -> None:
    """Let the app run until something holds, and has been drawn."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        await pilot.pause(FRAME_S)
        if condition():
            await drawn(pilot)
            return
    pytest.fail(f"it never came to this: {what}\n{screen_text(pilot.app)}")


async def drawn(pilot: Pilot[None]) -> None:
    """Let the app draw what it has to: a change of height is laid out in several rounds."""
    quiet = 0
    for _ in range(400):
        await pilot.pause(FRAME_S)
        screen = pilot.app.screen
        waiting = screen._layout_required or screen._repaint_required or screen._dirty_widgets
        quiet = 0 if waiting else quiet + 1
        if quiet == 5:
            return


async def planned(pilot: Pilot[None]) -> PlannerApp:
    """The app once it has settled: plans or a problem are shown, servers were read."""
    app = pilot.app
    assert isinstance(app, PlannerApp)

    def settled() -> bool:
        busy = any(worker.is_running for worker in app.workers)
        return not busy and not app.state.looking and not app.state.planning

    for _ in range(50):
        await until(pilot, settled, "a plan")
        if settled():  # what was drawn meanwhile may have begun something new
            return app
    pytest.fail("it never settles")
