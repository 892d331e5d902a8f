"""Without a network a launch is planned from what is on the machine."""

import json
from pathlib import Path

import pytest

from planner.cli.offline import what_is_here
from planner.cli.session import Session
from planner.config import Config
from planner.core.models.model import Role
from planner.core.pairs.candidates import Pin
from tests.cli.conftest import Planner

_REPO = "somebody/tiny-GGUF"


def digest(quant: str, name: str) -> str:
    return (name + quant).encode().hex().ljust(64, "0")[:64]


def entry(name: str, role: str) -> dict[str, object]:
    quants = ("Q4_K_M", "Q8_0")
    return {
        "id": f"test/{name}",
        "family": "test",
        "role": role,
        "parameters": 2_000_000,
        "context_length": 2048,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "variants": [
            {
                "quant": quant,
                "file_bytes": 4_000_000,
                "artifacts": [
                    {"source": "hub", "repo": _REPO, "file": f"{name}-{quant}.gguf", "sha256": digest(quant, name)}
                ],
            }
            for quant in quants
        ],
    }


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Two writers and an embedder, of which the Hub's cache has one quant of one writer."""
    blobs = tmp_path / "cache" / f"models--{_REPO.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / digest("Q8_0", "writer")).write_bytes(b"GGUF")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    models = [entry("writer", "generation"), entry("other", "generation"), entry("embedder", "embedding")]
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"schema": 1, "family": "test", "models": models}))
    return Session(Config(tmp_path, tmp_path, tmp_path, tmp_path, catalogs=(file,)), quiet=True)


def test_of_a_named_model_the_quant_that_is_here_is_meant(session: Session) -> None:
    _, (pin,) = what_is_here(session, [Pin(session.catalog.find("test/writer"))], [Role.GENERATION])
    assert [variant.quant for variant in pin.model.variants] == ["Q8_0"]


def test_a_quant_that_was_named_is_kept(session: Session) -> None:
    writer = session.catalog.find("test/writer")
    named = Pin(writer, writer.variant("Q4_K_M"))
    assert what_is_here(session, [named], [Role.GENERATION])[1] == (named,)


def test_a_model_that_is_not_here_at_all_is_left_as_it_is(session: Session) -> None:
    named = Pin(session.catalog.find("test/other"))
    assert what_is_here(session, [named], [Role.GENERATION])[1] == (named,)


def test_the_choice_is_among_what_is_here_and_whole_for_a_role_of_which_nothing_is(session: Session) -> None:
    models, _ = what_is_here(session, [], [Role.EMBEDDING, Role.GENERATION])
    writers = [model for model in models if model.role is Role.GENERATION]
    assert [(model.id, [v.quant for v in model.variants]) for model in writers] == [("test/writer", ["Q8_0"])]
    embedders = {model.id for model in models if model.role is Role.EMBEDDING}
    assert embedders == {model.id for model in session.catalog.models if model.role is Role.EMBEDDING}


@pytest.mark.usefixtures("session")
def test_where_nothing_that_is_here_will_do_it_says_that_there_was_little_to_choose_from(
    planner: Planner, tmp_path: Path
) -> None:
    wish = ("up", "--language", "de", "--ram", "64", "--catalog", str(tmp_path / "models.json"))
    offline = planner(*wish, "--offline", "--json")
    assert (offline.code, offline.json["error"]["reference"]) == (3, "nothing-matches")
    assert "on this machine" in offline.json["error"]["hint"]
