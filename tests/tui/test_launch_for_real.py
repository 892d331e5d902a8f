"""Launches from the app with the real command and supervisor, and an engine that only pretends."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from textual.pilot import Pilot

from planner.catalog.loader import load
from planner.config import load_config
from planner.core.launch.supervise import DeploymentState
from planner.serve import deployments
from planner.serve.state import Home
from planner.tui.app import PlannerApp
from planner.tui.child import start_child
from planner.tui.data.deployments import read_servers
from planner.tui.data.licences import unaccepted
from planner.tui.data.machine import Situation, plan_pairs
from planner.tui.parts import PartState
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.launch import LaunchScreen
from planner.tui.services import Services
from tests.cli.test_up import CATALOG, PAIR
from tests.core.shapes import machine
from tests.serve.fake_engine import install
from tests.tui.conftest import planned, screen_text, until
from tests.tui.test_downloads_for_real import patiently
from tests.tui.world import World

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")
Engine = Callable[[str], None]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Makes an engine of a kind the one that is used, and brings two tiny models."""
    folder = tmp_path / "brought"
    folder.mkdir()
    entries: Any = CATALOG["models"]
    models = [model for model in entries if model["id"] in PAIR]
    (folder / "models.json").write_text(json.dumps({**CATALOG, "models": models}))
    for name in ("tiny-embedder", "tiny-writer"):
        (folder / f"{name}.gguf").write_bytes(b"GGUF" + bytes(60))
    monkeypatch.chdir(folder)  # where files of such models are looked for
    settings = load_config().config_dir / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"catalogs = [{json.dumps(str(folder / 'models.json'))}]\n")

    def use(mode: str) -> None:
        monkeypatch.setenv("PLANNER_ENGINE_PATH", str(install(tmp_path / mode / "llama-server", mode)))

    return use


@pytest.fixture
def services(engine: Engine, world: World) -> Iterator[Services]:
    """The real ones, on a machine that is described; whatever they leave behind is ended."""
    config = load_config()
    models = tuple(model for model in load(config.catalogs).models if model.id.startswith("test/"))
    fake = world.services
    yield Services(
        look=lambda: Situation(machine(), models),
        plan=plan_pairs,
        more=lambda _situation, _plans: world.extras,
        servers=read_servers,
        start=start_child,
        unaccepted=unaccepted,
        recall=fake.recall,
        keep=fake.keep,
    )
    for record in deployments.list_deployments(config.deployments_dir):
        with contextlib.suppress(Exception):
            deployments.stop_deployment(Home(config.deployments_dir, record.name))


def alive() -> list[int]:
    """Processes of deployments."""
    found = []
    for record in deployments.list_deployments(load_config().deployments_dir):
        for pid in (record.supervisor_pid, *(process.pid for process in record.processes)):
            with contextlib.suppress(psutil.NoSuchProcess):
                if pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    found.append(pid)
    return found


async def begun(pilot: Pilot[None]) -> PlannerApp:
    """Enter on the first pair."""
    app = await planned(pilot)
    await patiently(pilot, "the pair", "tiny-writer F16")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, LaunchScreen), "the launch")
    return app


async def test_one_key_leads_to_a_running_verified_pair_and_another_stops_it(
    services: Services, engine: Engine
) -> None:
    engine("ready")
    app = PlannerApp(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(pilot)
        await patiently(pilot, "the end", "● running")
        launch = app.state.launch
        assert launch is not None
        assert {part.state for part in launch.parts} == {PartState.DONE}
        assert all(part.took_s(0) is not None for part in launch.parts)
        text = screen_text(app)
        assert "export OPENAI_BASE_URL=http://127.0.0.1:" in text
        assert "checks passed" in text
        row = next(row for row in text.split("\n") if "tiny-writer F16" in row and "generation" in row)
        assert "35 MiB" in row, "measured, as the engine itself says"
        assert " 50 " in row
        await pilot.press("escape")
        await patiently(pilot, "what runs", "● default  running")
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await patiently(pilot, "nothing left", "Nothing runs.")
    assert alive() == []


async def test_cancelled_while_an_engine_loads_nothing_is_left(services: Services, engine: Engine) -> None:
    engine("hang")
    app = PlannerApp(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(pilot)
        await patiently(pilot, "that it loads", "◐  load embedder")
        assert alive()
        await pilot.press("c")
        await patiently(pilot, "the end", "○ cancelled")
        assert "What was downloaded is kept." in screen_text(app)
    assert alive() == []


async def test_quitting_while_an_engine_loads_asks_and_leaves_nothing(services: Services, engine: Engine) -> None:
    engine("hang")
    app = PlannerApp(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(pilot)
        await patiently(pilot, "that it loads", "◐  load embedder")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "Quit and cancel the launch?" in screen_text(app)
        pids = alive()
        await pilot.press("y")
    app.end()
    # The command tidies up by itself when the app has gone.
    gone, _ = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert [pid for pid in pids if psutil.pid_exists(pid)] == [], gone


async def test_an_engine_that_crashes_is_explained_at_the_model_it_should_have_loaded(
    services: Services, engine: Engine
) -> None:
    engine("crash")
    app = PlannerApp(services)
    async with app.run_test(size=(120, 40)) as pilot:
        await begun(pilot)
        await patiently(pilot, "the end", "✗ failed")
        rows = [row.strip() for row in screen_text(app).split("\n")]
        place = next(index for index, row in enumerate(rows) if row.startswith("✗  load"))
        assert rows[place + 1].startswith("! ")
        assert "not within the file bounds" in " ".join(rows[place + 1 : place + 4])
        engine("ready")
        await pilot.press("r")
        await patiently(pilot, "the second try", "● running")
    (record,) = deployments.list_deployments(load_config().deployments_dir)
    assert record.state is DeploymentState.RUNNING
