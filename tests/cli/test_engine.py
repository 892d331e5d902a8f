"""`planner engine`: what there is, fetching a pinned engine, and the choice that is kept."""

import hashlib
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.config import load_config
from tests.cli.hub_home import hub_for_commands
from tests.fetch.lying_hub import Lie, LyingHub

if TYPE_CHECKING:
    from tests.cli.conftest import Planner

BINARY = b"MZqFpD='\n" + b"engine " * 1000


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    """A server that holds the pinned engine, and a data folder that pins it."""
    servers = hub_for_commands(tmp_path, monkeypatch)
    server = next(servers)
    server.files["llamafile-9.9.9"] = BINARY
    pin = {
        "name": "llamafile", "version": "9.9.9", "variant": "full", "default": True,
        "url": f"{server.url}/acme/engine/resolve/v1/llamafile-9.9.9", "bytes": len(BINARY),
        "sha256": hashlib.sha256(BINARY).hexdigest(), "llama_cpp_build": 500, "below_minimum": False,
        "licence": "Apache-2.0",
    }  # fmt: skip
    thin = {**pin, "variant": "thin", "default": False, "below_minimum": True, "llama_cpp_build": None}
    pins = {
        "schema": 1, "as_of": "2026-01-01", "minimum_llama_cpp_build": 400, "minimum_reason": "CVE: x",
        "minimum_source": "", "engines": [pin, thin], "newest_known_good_build": 450,
    }  # fmt: skip
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins" / "engines.json").write_text(json.dumps(pins))
    monkeypatch.setattr("planner.catalog.location.data_dir", lambda: tmp_path / "pins")
    yield server
    next(servers, None)


def wanted(planner: "Planner") -> list[str]:
    rows = planner("engine", "list", "--json").json["engines"]
    return [f"{row['name']}:{row['variant']}" for row in rows if row["wanted"]]


def test_the_list_says_what_is_here_and_what_is_safe(planner: "Planner", hub: LyingHub) -> None:
    body = planner("engine", "list", "--json").json
    full, thin, *others = body["engines"]
    assert (full["installed"], full["safety"]) == (False, "no known holes")
    assert "older than b400" in thin["safety"]
    assert {"llama-server", "embedded"} <= {row["name"] for row in others}
    assert (body["minimum_llama_cpp_build"], body["newest_known_good_build"]) == (400, 450)
    assert body["wanted"] == {"engine": "auto", "variant": None, "path": None, "chosen": False}
    assert hub.requests == []
    assert "9.9.9" in planner("engine", "list").out


def test_install_brings_a_checked_program(planner: "Planner", hub: LyingHub) -> None:
    done = planner("engine", "install", "llamafile", "--json")
    assert done.code == 0
    path = Path(done.json["engine"]["path"])
    assert path.read_bytes() == BINARY
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    before = len(hub.requests)
    assert planner("engine", "install", "--offline").out.strip() == str(path)
    assert len(hub.requests) == before


def test_a_program_with_another_hash_is_never_installed(planner: "Planner", hub: LyingHub) -> None:
    hub.always = Lie(flip_bit=True)
    done = planner("engine", "install", "--json")
    assert (done.code, done.json["error"]["reference"]) == (5, "integrity")
    assert not [path for path in load_config().engines_dir.glob("*/llamafile-9.9.9*") if path.is_file()]


@pytest.mark.parametrize(("name", "code"), [("embedded", 2), ("llamafile:fat", 6), ("ollama", 6)])
def test_what_is_not_pinned_cannot_be_installed(planner: "Planner", hub: LyingHub, name: str, code: int) -> None:
    assert planner("engine", "install", name, "--json").code == code


def test_a_choice_is_kept_and_auto_forgets_it(planner: "Planner", hub: LyingHub) -> None:
    done = planner("engine", "use", "llamafile:thin")
    assert done.code == 0
    assert "not here yet" in done.err
    assert (load_config().engine, load_config().engine_variant) == ("llamafile", "thin")
    assert wanted(planner) == ["llamafile:thin"]
    assert "llamafile (planner engine use)" in planner("doctor", "--json").json["sections"]["engines"]["wanted"]
    assert planner("engine", "use", "llamafile").code == 0
    assert wanted(planner) == ["llamafile:full"]
    assert planner("engine", "use", "auto").code == 0
    assert wanted(planner) == []
    assert not load_config().engine_choice.exists()


def test_a_program_of_ones_own_is_told_by_its_first_bytes(planner: "Planner", hub: LyingHub, tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.write_bytes(BINARY)
    assert planner("engine", "use", str(own), "--json").json["engine"] == "llamafile"
    own.write_bytes(b"\x7fELF")
    body = planner("engine", "use", str(own), "--json").json
    assert (body["engine"], body["path"], body["effective"]) == ("llama-server", str(own), True)
    assert load_config().engine_path == own


def test_settings_come_before_the_choice_and_that_is_said(
    planner: "Planner", hub: LyingHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "mine"
    own.write_bytes(BINARY)
    monkeypatch.setenv("PLANNER_ENGINE", "llama-server")
    done = planner("engine", "use", str(own))
    assert "comes first" in done.err
    assert (load_config().engine, load_config().engine_path) == ("llama-server", None)
    monkeypatch.setenv("PLANNER_ENGINE", "auto")
    assert (load_config().engine, load_config().engine_chosen) == ("auto", False)


@pytest.mark.parametrize("name", ["nonsense", "/", "embedded:thin"])
def test_what_cannot_be_meant_is_refused(planner: "Planner", hub: LyingHub, name: str) -> None:
    done = planner("engine", "use", name, "--json")
    assert (done.code, done.json["error"]["reference"]) == (2, "engine-unknown")


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"engine": 3}', '{"engine": "embedded", "path": 4}', "[" * 10_000]
)
def test_a_broken_choice_is_none(planner: "Planner", content: str) -> None:
    path = load_config().engine_choice
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert load_config().engine == "auto"
