"""What a shipped entry must hold: a source for each value, a file or a repository, names of its own."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.catalog.check import check
from planner.catalog.loader import load
from planner.catalog.location import data_dir
from planner.catalog.upkeep import SOURCED, gaps, shared_names
from planner.core.models.model import Model, Score


@pytest.fixture(scope="module")
def model() -> Model:
    return load().find("nomic-embed-text-v1.5")


def changed(model: Model, **changes: Any) -> list[str]:
    return list(gaps(msgspec.structs.replace(model, **changes)))


def test_a_shipped_entry_lacks_nothing(model: Model) -> None:
    assert list(gaps(model)) == []


@pytest.mark.parametrize(
    "field", [field for field in SOURCED if field not in {"parameters", "context_length", "licence"}]
)
def test_a_value_without_a_source_is_a_finding(field: str) -> None:
    model = next(m for m in load().models if getattr(m, field) and field in m.sources)
    sources = {key: text for key, text in model.sources.items() if key != field}
    assert f"sources: nothing is said about {field}" in changed(model, sources=sources)
    assert f"sources: nothing is said about {field}" in changed(model, sources={**sources, field: " "})


def test_a_source_of_no_value_is_a_finding(model: Model) -> None:
    assert changed(model, sources={**model.sources, "builds_on": "its name"}) == ["sources: builds_on has no value"]
    assert changed(model, sources={**model.sources, "pooling.how": "its name"}) == []


def test_scores_and_files_name_their_own_source(model: Model) -> None:
    score = Score(name="mine:2026", value=1.0, date="2026-01-01", source="")
    assert changed(model, scores=(score,)) == ["scores: mine:2026 has no source"]
    first = model.variants[0]
    bare = msgspec.structs.replace(first.artifacts[0], provenance="")
    (gap,) = changed(model, variants=(msgspec.structs.replace(first, artifacts=(bare,)), *model.variants[1:]))
    assert gap == f"variants[{first.quant}]: {bare.file} has no provenance"


def test_a_variant_needs_a_file_or_a_repository_to_look_in(model: Model) -> None:
    bare = (msgspec.structs.replace(model.variants[0], artifacts=()), *model.variants[1:])
    sources = {key: text for key, text in model.sources.items() if key != "gguf_repos"}
    assert changed(model, variants=bare) == []
    (gap,) = changed(model, variants=bare, gguf_repos=(), sources=sources)
    assert gap == f"variants[{bare[0].quant}]: there is no file, and no gguf_repos to find one in"
    assert changed(model, variants=bare, gguf_repos=(), sources=sources, deployable=False) == []


def test_a_single_quant_type_needs_a_reason_that_names_it(model: Model) -> None:
    only = model.variants[:1]
    quant = only[0].quant
    assert changed(model, variants=only, notes=()) == [
        f"variants: only {quant}; add another, or say in notes why it is the only one"
    ]
    assert changed(model, variants=only, notes=(f"There is {quant} and no more.",)) == []


def test_a_model_does_not_build_on_itself(model: Model) -> None:
    sources = {**model.sources, "builds_on": "its name"}
    assert changed(model, builds_on=(model.id.upper(),), sources=sources) == ["builds_on: it names the model itself"]


def test_vectors_are_cut_to_shorter_ones(model: Model) -> None:
    assert changed(model, matryoshka=(768, 256)) == ["matryoshka: 768 is no shorter than embedding_length"]


def test_languages_are_codes_that_exist_or_the_word_for_all(model: Model) -> None:
    assert changed(model, languages=("en", "ceb")) == ["languages: “ceb” is no ISO 639-1 code"]
    assert changed(model, languages=("multilingual",)) == []
    (gap,) = changed(model, languages=("multilingual", "en"))
    assert gap == "languages: “multilingual” stands for all of them; leave the codes out"


def test_a_name_of_two_models_is_a_finding(model: Model) -> None:
    other = msgspec.structs.replace(model, id="me/other", aliases=("NOMIC-EMBED-TEXT-V1.5", "mine"))
    assert list(shared_names([model, other])) == [
        (other, "aliases: nomic-ai/nomic-embed-text-v1.5 answers to “NOMIC-EMBED-TEXT-V1.5” too")
    ]
    assert list(shared_names([model, msgspec.structs.replace(other, aliases=("mine",))])) == []


def test_the_check_lists_what_ours_lack_and_leaves_the_users_in_peace(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data_dir(), folder)
    path = folder / "models/uae.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["models"][0]["sources"].pop("pooling")
    content["models"][0]["aliases"] = ["bge-m3"]
    path.write_text(json.dumps(content), encoding="utf-8")
    findings = {(finding.field, finding.message) for finding in check(folder=folder).findings}
    assert findings == {
        ("sources", "sources: nothing is said about pooling"),
        ("aliases", "aliases: BAAI/bge-m3 answers to “bge-m3” too"),
    }
    assert [finding.field for finding in check([path], shipped=False, folder=data_dir()).findings] == []
