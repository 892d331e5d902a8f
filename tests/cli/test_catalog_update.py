"""`planner catalog update`: the difference is shown, and written only into the user's own catalog."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.location import data_dir
from planner.config import load_config
from tests.cli.conftest import Outcome
from tests.cli.hub_home import hub_for_commands, own_files
from tests.fetch.lying_hub import COMMIT, LyingHub

Planner = Callable[..., Outcome]
Q8 = b"GGUF" + b"eight" * 1000
OLD = "1" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    yield from hub_for_commands(tmp_path, monkeypatch)


def entry(identity: str = "me/tiny", **changes: Any) -> dict[str, Any]:
    artifact = {"source": "hub", "repo": "acme/tiny-GGUF", "file": "tiny-Q8_0.gguf"}
    return {
        "id": identity,
        "family": "mine",
        "role": "generation",
        "parameters": 1000,
        "context_length": 2048,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "variants": [{"quant": "Q8_0", "artifacts": [artifact]}],
        "gguf_repos": ["acme/tiny-GGUF"],
        "notes": ["mine"],
        **changes,
    }


@pytest.fixture
def mine(hub: LyingHub) -> Path:
    """A file of the user's with two models, and a repository that has one file of the first."""
    hub.files["tiny-Q8_0.gguf"] = Q8
    path = load_config().own_catalog_dir / "mine.json"
    path.parent.mkdir(parents=True)
    other = entry("me/other", gguf_repos=[], variants=[])
    path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [entry(), other]}))
    return path


def test_the_difference_is_shown_and_nothing_written_without_a_word(
    planner: Planner, hub: LyingHub, mine: Path
) -> None:
    before = mine.read_bytes()
    shown = planner("catalog", "update", "me/tiny")
    assert shown.code == 0
    assert f"revision: not known → {COMMIT}" in shown.out
    assert f"bytes: not known → {len(Q8):,} bytes" in shown.out
    assert "nothing was written" in shown.err
    assert "--yes" in shown.err
    assert mine.read_bytes() == before


def test_with_yes_it_is_written_where_the_entry_stands(planner: Planner, hub: LyingHub, mine: Path) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q8
    done = planner("catalog", "update", "me/tiny", "--yes", "--json")
    assert done.json["written"] == [str(mine)]
    first, second = json.loads(mine.read_text())["models"]
    artifact = first["variants"][0]["artifacts"][0]
    assert artifact["sha256"] == hashlib.sha256(Q8).hexdigest()
    assert [variant["quant"] for variant in first["variants"]] == ["Q8_0", "Q4_K_M"]
    assert (second["id"], second["notes"]) == ("me/other", ["mine"])
    again = planner("catalog", "update", "me/tiny", "--yes", "--json").json
    assert (again["changes"], again["written"]) == ([], [])


def test_a_dry_run_writes_nothing_even_with_yes(planner: Planner, hub: LyingHub, mine: Path) -> None:
    before = mine.read_bytes()
    shown = planner("catalog", "update", "me/tiny", "--yes", "--dry-run", "--json")
    assert shown.json["changes"]
    assert (shown.json["written"], shown.json["dry_run"]) == ([], True)
    assert mine.read_bytes() == before


def test_a_shipped_entry_is_copied_never_changed(planner: Planner, hub: LyingHub) -> None:
    shipped = data_dir() / "models/qwen3.json"
    before = shipped.read_bytes()
    hub.others["Qwen/Qwen3-8B-GGUF"] = {"Qwen3-8B-Q8_0.gguf": Q8}
    done = planner("catalog", "update", "Qwen3-8B", "--yes", "--json").json
    assert done["written"] == [str(own_files()["Qwen--Qwen3-8B.json"])]
    assert {row["repo"] for row in done["changes"]} == {"Qwen/Qwen3-8B-GGUF"}
    assert done["unreachable"]
    assert shipped.read_bytes() == before
    copied = json.loads(own_files()["Qwen--Qwen3-8B.json"].read_text())["models"][0]
    original = next(model for model in json.loads(before)["models"] if model["id"] == "Qwen/Qwen3-8B")
    assert copied.keys() - {"sources"} == original.keys() - {"sources"}
    assert copied.get("scores") == original.get("scores")
    listed = planner("models", "--search", "Qwen/Qwen3-8B", "--json")
    assert "replaces the catalog's entry" in listed.err
    assert any(a["sha256"] == hashlib.sha256(Q8).hexdigest() for a in listed.json["models"][0]["artifacts"])


def test_what_has_vanished_is_told_with_what_took_its_place(planner: Planner, hub: LyingHub, mine: Path) -> None:
    hub.files["TINY-q8_0.gguf"] = hub.files.pop("tiny-Q8_0.gguf")
    told = planner("catalog", "update", "me/tiny", "--yes")
    assert "vanished" in told.out
    assert "TINY-q8_0.gguf is there" in told.out
    assert "tiny-Q8_0.gguf" in mine.read_text()
    (gone,) = planner("catalog", "update", "me/tiny", "--json").json["vanished"]
    assert gone["model"] == "me/tiny"
    assert gone["now"] == "TINY-q8_0.gguf"


def test_a_changed_file_shows_old_and_new(planner: Planner, hub: LyingHub, mine: Path) -> None:
    planner("catalog", "update", "me/tiny", "--yes")
    hub.commits["acme/tiny-GGUF"] = OLD
    hub.files["tiny-Q8_0.gguf"] = Q8 + b"!"
    told = planner("catalog", "update", "me/tiny").out
    assert f"sha256: {hashlib.sha256(Q8).hexdigest()} → {hashlib.sha256(Q8 + b'!').hexdigest()}" in told
    assert f"revision: {COMMIT} → {OLD}" in told


def test_on_a_terminal_it_is_asked_for(
    planner: Planner, hub: LyingHub, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.cli.test_catalog_add import Terminal

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    before = mine.read_bytes()
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert "nothing was written" in planner("catalog", "update", "me/tiny").err
    assert mine.read_bytes() == before
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "Written to" in planner("catalog", "update", "me/tiny").err
    assert mine.read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("me/other",), (2, "no-repository")),
        (("nobody/knows",), (2, "unknown-model")),
        (("me/tiny", "--offline"), (5, "offline")),
        (("me/gone",), (5, "not-found")),
    ],
)
def test_questions_without_an_answer(
    planner: Planner, hub: LyingHub, mine: Path, arguments: tuple[str, ...], answer: tuple[int, str]
) -> None:
    gone = entry("me/gone", gguf_repos=["gone/x"], variants=[])
    mine.with_name("gone.json").write_text(json.dumps({"schema": 1, "family": "mine", "models": [gone]}))
    asked = planner("catalog", "update", *arguments, "--json")
    assert (asked.code, asked.json["error"]["reference"]) == answer
    assert asked.json["error"]["hint"]


def test_a_file_given_by_hand_is_not_written(planner: Planner, hub: LyingHub, tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [entry()]}))
    refused = planner("catalog", "update", "me/tiny", "--yes", "--catalog", str(path), "--json")
    assert refused.code == 2
    assert refused.json["error"]["reference"] == "not-own-catalog"
    assert own_files() == {}


def test_a_hub_that_is_down_is_not_asked_about_every_model(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("planner.fetch.hub.backoff_s", lambda _failures: 0.01)
    asked: list[str] = []
    from planner.fetch import hub

    listing = hub.list_files

    def counted(repo: Any, *args: Any, **settings: Any) -> hub.Snapshot:
        asked.append(repo)
        return listing(repo, *args, **settings)

    monkeypatch.setattr(hub, "list_files", counted)
    refused = planner("catalog", "update", "--json")
    assert refused.code == 5
    assert refused.json["error"]["reference"] == "network"
    assert len(asked) == 1
