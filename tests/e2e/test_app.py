"""The app with the real engine and the real starter pair: one key, a checked pair, and another key that stops it."""

import contextlib
import importlib.util

import psutil
import pytest

from planner.config import load_config
from planner.serve import deployments
from planner.serve.state import Home
from planner.tui.app import PlannerApp
from planner.tui.data.machine import Situation
from planner.tui.parts import PartState
from planner.tui.screens.confirm import Confirm
from planner.tui.services import Services
from tests.core.shapes import machine
from tests.e2e.test_starter import KEPT
from tests.tui.conftest import screen_text, until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the embedded engine"),
]


async def test_one_key_leads_to_the_starter_pair_measured_beside_its_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(KEPT))
    home = Home(load_config().deployments_dir, "default")
    app = PlannerApp(
        Services(look=lambda: Situation(machine(), ()), plan=lambda _situation: (), recall=dict, keep=lambda _: None)
    )
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("t")
            for _ in range(120):  # a download comes first, on a machine that does not have the files
                await pilot.pause(5)
                if app.state.launch is not None and not app.state.launch.under_way:
                    break
            launch = app.state.launch
            assert launch is not None
            assert launch.problem is None, launch.problem
            assert {part.state for part in launch.parts} == {PartState.DONE}
            await until(pilot, lambda: "● running" in screen_text(app), "the result")
            text = screen_text(app)
            assert "export OPENAI_BASE_URL=http://127.0.0.1:" in text
            record = launch.deployment
            assert record is not None
            for process in record.processes:
                assert process.memory_estimated_bytes == pytest.approx(process.memory_measured_bytes, rel=0.1)
            pids = [process.pid for process in record.processes if process.pid is not None]
            assert len(pids) == 2
            await pilot.press("escape")
            await until(pilot, lambda: "● default  running" in screen_text(app), "what runs")
            await pilot.press("s")
            await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
            await pilot.press("y")
            for _ in range(60):
                await pilot.pause(1)
                if "Nothing runs." in screen_text(app):
                    break
            assert "Nothing runs." in screen_text(app)
        app.end()
        assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    finally:
        with contextlib.suppress(Exception):
            deployments.stop_deployment(home)
