"""Doctor: what it shows and copies, what is wrong first, and what happens when nothing can be found out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual.app import App

from planner.core.pages.views import hardware_view
from planner.tui.app import PlannerApp
from planner.tui.child import Outcome, start_child
from planner.tui.data.doctor import COMMAND, report_of, report_text
from planner.tui.marks import ASCII
from planner.tui.problem import Problem
from planner.tui.screens.doctor import DoctorPage
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import HARDWARE, World

Snap = Callable[[App[Any]], None]
TERMINAL = {"size": "120x40", "colours": "truecolor"}


def answer(*problems: dict[str, str]) -> dict[str, Any]:
    """What `planner doctor --json` says on a machine that never changes."""
    hardware = json.loads(json.dumps(hardware_view(HARDWARE)))
    return {
        "schema": 1,
        "sections": {
            "planner": {"version": "1.2.3", "installed": "package, in pipx"},
            "system": {"os": "Acme Linux 5", "kernel": "Linux 6.6", "inside": ["container"], "python": "3.12"},
            "terminal": {"term": "xterm-256color", "isatty": {"stdin": False}},
            "hardware": {**hardware, "timings_s": {"NVIDIA": 0.051, "AMD": 0.002}},
            "limits": {"open_files": 1024, "address_space_bytes": None, "cgroup_memory_bytes": 8 * 2**30},
            "disk": {
                name: {"folder": f"~/.local/{name}/planner", "free_bytes": 78_410_000_000, "writable": True}
                for name in ("data", "cache", "state")
            },
            "settings": {"file": "~/.config/planner/config.toml", "engine": {"value": "auto", "source": "default"}},
            "environment": {"LANG": "C.UTF-8", "HF_TOKEN": "set", "PLANNER_PROGRESS": "set"},
            "proxies": {},
            "engines": {"wanted": "auto", "llama-server": "not on PATH", "embedded": "xllamacpp 2026.10"},
            "catalog": {"models": 258, "by_role": {"embedding": 102, "generation": 150}, "notes": []},
            "store": {"files": 2, "bytes": 145_000_000, "unfinished_bytes": 0},
            "deployments": {"listed": []},
            "packages": {"click": "8.5.1", "xllamacpp": None},
        },
        "problems": list(problems),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _a_terminal_of_256_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report names the colours there are."""
    monkeypatch.setenv("TERM", "xterm-256color")


BAD = (
    {
        "section": "hardware",
        "message": "Acme GPU 8 (cuda:1) is not used: it is lost; the machine must be restarted.",
        "hint": "",
    },
    {"section": "disk", "message": "~/.local/data/planner cannot be written.", "hint": "Change its rights."},
)


async def examined(pilot: Any, world: World, found: Outcome) -> str:
    """Let the page have its answer; what stands on the screen then."""
    await until(pilot, lambda: bool(world.jobs), "the child")
    world.jobs[-1].finish(found)
    await until(pilot, lambda: not pilot.app.screen._examining, "the answer")
    await planned(pilot)
    return screen_text(pilot.app)


# --- pure ----------------------------------------------------------------------------------------------------------


def test_a_report_has_every_section_in_words_with_units() -> None:
    report = report_of(answer(*BAD), TERMINAL)
    rows = {section.name: dict(section.rows) for section in report.sections}
    assert rows["terminal"] == {"term": "xterm-256color", **TERMINAL}
    assert rows["hardware"]["cuda:0"] == "Acme GPU 24, cuda, 24.0 GiB, 18.0 GiB free, 936 GB/s"
    assert rows["hardware"]["time taken"] == "NVIDIA 0.051 s, AMD 0.002 s"
    assert rows["disk"]["data"] == "folder ~/.local/data/planner, free 78.41 GB, writable yes"
    assert rows["limits"]["cgroup memory"] == "8.0 GiB"
    assert rows["packages"]["xllamacpp"] == "not installed"
    assert "PLANNER_PROGRESS" not in rows["environment"]
    assert "PLANNER_PROGRESS" in dict(report_of(answer(), {}, {"PLANNER_PROGRESS"}).sections[7].rows)
    assert [trouble.section for trouble in report.troubles] == ["hardware", "disk"]


def test_the_text_of_a_report_is_a_hundred_columns_wide_and_leaves_nothing_out() -> None:
    report = report_of(answer(*BAD), TERMINAL)
    text = report_text(report)
    assert max(map(len, text.splitlines())) <= 100
    for section in report.sections:
        assert f"\n{section.name}\n" in text
    assert "2 problems" in text
    assert "-> Change its rights." in text
    assert "No problems found." in report_text(report_of(answer(), TERMINAL))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"sections": []},
        {"sections": {"system": "no answer", "hardware": {"host": 3}}, "problems": 7},
        {"sections": {"hardware": {"error": "No answer within 10 s."}}, "problems": ["x", {"message": 1}]},
    ],
)
def test_an_answer_of_another_shape_is_shown_as_far_as_it_goes(wrong: dict[str, Any]) -> None:
    report = report_of(wrong, TERMINAL)
    assert report.troubles == ()
    assert report_text(report).endswith("No problems found.\n")


def test_the_real_doctor_answers_and_leaves_nothing_private_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    monkeypatch.setenv("USER", "somebodyspecial")
    outcome = start_child(COMMAND, lambda _text, _transient: None).wait()
    assert outcome.problem is None
    text = report_text(report_of(outcome.answer, TERMINAL))
    assert "hardware" in text
    assert "abcdefghijklmnop" not in text
    assert "somebodyspecial" not in text


# --- the page ------------------------------------------------------------------------------------------------------


async def test_problems_come_first_with_what_to_do_and_mark_their_section(world: World) -> None:
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "looking at everything" in screen_text(app), "that it looks")
        text = await examined(pilot, world, Outcome(answer(*BAD)))
        assert world.jobs[0].arguments == ["doctor", "--json"]
        assert "✗ disk: ~/.local/data/planner cannot be written." in text
        assert "Change its rights." in text
        assert "✗ hardware" in text
        assert "✓ system" in text
        assert "2 problems" in text


async def test_the_report_is_copied_as_a_whole(world: World) -> None:
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: bool(world.jobs), "the child")
        await pilot.press("c")
        assert not app.clipboard
        await examined(pilot, world, Outcome(answer()))
        await pilot.press("c")
        await until(pilot, lambda: "The report was copied" in screen_text(app), "the note")
        assert app.clipboard.startswith("planner doctor, from the app.")
        assert "xllamacpp" in app.clipboard
        assert "80x24" in app.clipboard


async def test_it_looks_again_when_asked_and_keeps_what_it_showed(world: World) -> None:
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=(120, 40)) as pilot:
        await examined(pilot, world, Outcome(answer(*BAD)))
        await pilot.press("r", "r")
        await until(pilot, lambda: len(world.jobs) == 2, "the second look")
        assert "Acme Linux 5" in screen_text(app)
        text = await examined(pilot, world, Outcome(answer()))
        assert "No problems found." in text


async def test_a_doctor_that_dies_is_said_with_its_last_words(world: World) -> None:
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=(120, 40)) as pilot:
        problem = Problem("planner doctor was killed by signal 9 and gave no answer.", "Its last words: hm")
        text = await examined(pilot, world, Outcome({}, problem))
        assert "Nothing found out: planner doctor was killed by signal 9" in text
        assert "Its last words: hm" in text
        assert isinstance(app.screen, DoctorPage)


async def test_a_child_that_cannot_be_started_is_said(world: World) -> None:
    world.start_error = OSError(11, "Resource temporarily unavailable")
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "Resource temporarily unavailable" in screen_text(app), "the reason")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 15)], ids="{0[0]}x{0[1]}".format)
async def test_a_picture_of_the_doctor(world: World, snap: Snap, size: tuple[int, int]) -> None:
    app = PlannerApp(world.services, page="doctor")
    async with app.run_test(size=size) as pilot:
        await examined(pilot, world, Outcome(answer(*BAD)))
        snap(app)


async def test_a_picture_of_the_doctor_without_unicode(world: World, snap: Snap) -> None:
    app = PlannerApp(world.services, page="doctor", marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await examined(pilot, world, Outcome(answer()))
        snap(app)
