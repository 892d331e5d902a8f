"""Downloads from the app with the real command and a Hub that lies: paused, broken off, damaged, gone on later."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from planner.catalog.loader import load
from planner.config import load_config
from planner.core.values import RepoPath
from planner.tui.app import PlannerApp
from planner.tui.child import start_child
from planner.tui.data.choices import keep_choices, read_choices
from planner.tui.data.licences import unaccepted
from planner.tui.data.machine import Situation
from planner.tui.data.store import fetchable, read_store
from planner.tui.queue import DownloadState
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.pick import Pick
from planner.tui.services import Services
from tests.fetch.lying_hub import FILE, Lie, LyingHub
from tests.tui.conftest import screen_text, until
from tests.tui.world import HARDWARE

MB = 10**6
CLOSED_FILE = RepoPath("closed-Q4_K_M.gguf")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    server = LyingHub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", os.environ["HOME"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    block = b"".join(hashlib.sha256(bytes([number % 251])).digest() for number in range(300_000))
    server.files[FILE] = b"GGUF\x03\x00\x00\x00" + block
    server.files[CLOSED_FILE] = server.files[FILE]
    yield server
    server.close()


@pytest.fixture
def services(hub: LyingHub) -> Services:
    """The real ones, for a user whose catalog has acme/tiny, on a machine that is not looked at."""
    own = load_config().own_catalog_dir
    own.mkdir(parents=True)
    size = len(hub.files[FILE])

    def model(name: str, file: RepoPath, licence: str, commercial: str) -> dict[str, object]:
        artifacts = [{"source": "hub", "repo": "acme/tiny-GGUF", "file": str(file)}]
        return {
            "id": name,
            "family": "llama",
            "role": "generation",
            "parameters": 1000,
            "context_length": 128,
            "licence": {"spdx": licence, "commercial": commercial},
            "variants": [{"quant": "Q4_K_M", "artifacts": artifacts, "file_bytes": size}],
        }

    models = [model("acme/tiny", FILE, "MIT", "yes"), model("acme/closed", CLOSED_FILE, "CC-BY-NC-4.0", "no")]
    (own / "tiny.json").write_text(json.dumps({"schema": 1, "family": "llama", "models": models}))
    found = tuple(model for model in load(own=own).models if model.id.startswith("acme/"))
    return Services(
        look=lambda: Situation(HARDWARE, found),
        plan=lambda _situation: (),
        servers=lambda: (),
        start=start_child,
        unaccepted=unaccepted,
        store=read_store,
        fetchable=fetchable,
        recall=read_choices,
        keep=keep_choices,
    )


def stall(hub: LyingHub, after_bytes: int) -> None:
    """The file comes so far and no further, however long the test takes, until `hub.always` is None."""
    hub.lies, hub.always = [Lie(stall_after=after_bytes)], Lie(stall_after=0)


async def patiently(pilot: Pilot[None], what: str, text: str) -> None:
    """A real command takes its time."""
    for _ in range(8):
        if text in screen_text(pilot.app):
            return
        try:
            await until(pilot, lambda: text in screen_text(pilot.app), what)
        except pytest.fail.Exception:
            continue
    assert text in screen_text(pilot.app), what


async def added(pilot: Pilot[None], name: str = "tiny") -> PlannerApp:
    """The page, and the model chosen from its list."""
    app = pilot.app
    assert isinstance(app, PlannerApp)
    await patiently(pilot, "the store", "Nothing has been fetched yet.")
    await pilot.press("a")
    await until(pilot, lambda: isinstance(app.screen, Pick) and "tiny Q4_K_M" in screen_text(app), "the list")
    await pilot.press(*name, "enter")
    return app


async def test_paused_in_a_stall_it_goes_on_from_the_partial_file(services: Services, hub: LyingHub) -> None:
    stall(hub, 4 * MB)
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot)
        await patiently(pilot, "what came", "4 MB of 10 MB")
        app.screen.query_one("#downloads-list").focus()
        await pilot.press("space")
        await patiently(pilot, "the pause", "paused")
        hub.always = None
        await pilot.press("r")
        await patiently(pilot, "the partial file", "4 MB unfinished")
        await pilot.press("space")
        await patiently(pilot, "the end", "6 MB transferred, checked")
        await patiently(pilot, "the store", "hash checked")
    assert hub.gets()[-1].headers["range"] == f"bytes={4 * MB}-"
    (path,) = load_config().models_dir.rglob(str(FILE))
    assert path.read_bytes() == hub.files[FILE]


async def test_quitting_during_a_download_asks_and_the_next_run_goes_on_there(
    services: Services, hub: LyingHub
) -> None:
    stall(hub, 3 * MB)
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot)
        await patiently(pilot, "what came", "3 MB of 10 MB")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
    app.end()
    hub.always = None
    again = PlannerApp(services, page="downloads")
    async with again.run_test(size=(120, 40)) as pilot:
        await patiently(pilot, "the queue of before", "3 MB of 10 MB")
        assert [one.state for one in again.state.downloads] == [DownloadState.PAUSED]
        again.screen.query_one("#downloads-list").focus()
        await pilot.press("space")
        await patiently(pilot, "the end", "7 MB transferred, checked")
    again.end()
    assert hub.gets()[-1].headers["range"] == f"bytes={3 * MB}-"
    assert read_choices().get("downloads") is None, "what is done is not kept"


async def test_a_hub_that_sends_wrong_bytes_is_told_at_the_download_and_leaves_nothing(
    services: Services, hub: LyingHub
) -> None:
    hub.always = Lie(flip_bit=True)
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot)
        await patiently(pilot, "the reason", "sha256")
        assert "✗  tiny Q4_K_M  failed" in screen_text(app)
    assert not list(load_config().models_dir.rglob(str(FILE)))


async def test_a_cancelled_download_leaves_nothing_on_the_disk(services: Services, hub: LyingHub) -> None:
    stall(hub, 4 * MB)
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot)
        await patiently(pilot, "what came", "4 MB of 10 MB")
        app.screen.query_one("#downloads-list").focus()
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        await pilot.press("y")
        await patiently(pilot, "the end", "Nothing is downloaded.")

        def removed() -> bool:
            return not list(Path(load_config().models_dir).rglob("*.partial"))

        for _ in range(8):
            if removed():
                break
            await until(pilot, lambda: True, "a moment")
            await pilot.pause(1)
        assert removed()


async def test_an_accepted_licence_reaches_the_command_and_is_remembered(services: Services, hub: LyingHub) -> None:
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot, "closed")
        await until(pilot, lambda: isinstance(app.screen, Confirm), "the question")
        assert "CC-BY-NC-4.0" in screen_text(app)
        await pilot.press("y")
        await patiently(pilot, "the end", "transferred, checked")
    accepted = json.loads((load_config().state_dir / "licences.json").read_text())["accepted"]
    assert [consent["model"] for consent in accepted] == ["acme/closed"]


async def test_a_damaged_file_is_found_set_aside_and_can_be_fetched_again(services: Services, hub: LyingHub) -> None:
    app = PlannerApp(services, page="downloads")
    async with app.run_test(size=(120, 40)) as pilot:
        await added(pilot)
        await patiently(pilot, "the end", "transferred, checked")
        await patiently(pilot, "the store", "hash checked")
        (path,) = load_config().models_dir.rglob(str(FILE))
        data = bytearray(path.read_bytes())
        data[5 * MB] ^= 1
        times = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        app.screen.query_one("#store-list").focus()
        await pilot.press("v")
        await patiently(pilot, "the damage", f"Not as it was fetched: {FILE}.")
        assert not path.exists()
