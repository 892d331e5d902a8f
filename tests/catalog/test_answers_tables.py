"""The benchmarks of generation models in the catalog, and what is refused in such a table."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.answers import answer_files, read_answers, with_answers, without_answers
from planner.catalog.evals import pool_files
from planner.catalog.loader import Catalog, load
from planner.catalog.location import data_dir
from planner.core.models.model import Role
from planner.core.scores.answers import Grade, answers
from planner.errors import CatalogError

SHIPPED = {
    # name: date, models
    "answers_faithful_2026-03-10": ("2026-03-10", 96),
    "answers_lmarena_2025-12-11": ("2025-12-11", 282),
    "answers_open-llm_2025-05-09": ("2025-05-09", 357),
    "answers_reported_2025-10-16": ("2025-10-16", 49),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def test_the_shipped_tables_say_when_and_where_they_are_from() -> None:
    tables = {path.stem: read_answers(path) for path in answer_files(data_dir())}
    assert {name: (table.date, len(table.models)) for name, table in tables.items()} == SHIPPED
    for table in tables.values():
        assert "https://github.com/" in table.source
        assert "at commit" in table.source
        assert table.licence
        assert table.reported == all(row.source for row in table.models)


def test_they_are_no_pools_of_embedding_models() -> None:
    assert not set(SHIPPED) & set(pool_files())


def test_known_models_have_the_grade_and_the_figure_of_their_source(catalog: Catalog) -> None:
    for name, grade, value, benchmark in (
        ("gemma-3-4b-it", Grade.A, 1302.85, "LMArena text"),
        ("Llama-3.1-8B-Instruct", Grade.A, 1212.42, "LMArena text"),
        ("Qwen2.5-7B-Instruct", Grade.A, 35.2, "Open LLM Leaderboard 2"),
        ("Qwen3-8B", Grade.C, None, "LMArena text"),
        ("SmolLM3-3B", Grade.D, None, "LMArena text"),
    ):
        found = answers(catalog.find(name))
        assert found is not None
        assert (found.grade, found.value, found.benchmark) == (grade, value, benchmark), name
        assert found.date


def test_every_generation_model_of_known_size_has_evidence_and_no_other_has(catalog: Catalog) -> None:
    graded = 0
    for model in catalog.models:
        attached = model.scores != without_answers(model).scores
        if model.role is not Role.GENERATION:
            assert not attached, model.id
            continue
        assert (answers(model) is not None) == bool(model.parameters), model.id
        graded += attached
    assert graded >= 40


def test_names_without_an_owner_never_lend_their_rating_to_a_namesake(catalog: Catalog) -> None:
    tables = [read_answers(path) for path in answer_files(data_dir())]
    model = without_answers(catalog.find("gemma-3-4b-it"))
    (namesake,) = with_answers([_renamed(model, "somebody/gemma-3-4b-it")], tables)
    assert namesake.scores == ()


def _renamed(model: Any, identity: str) -> Any:
    return type(model)(**{**{name: getattr(model, name) for name in model.__struct_fields__}, "id": identity})


def test_a_score_that_an_entry_has_of_its_own_is_kept(put: Callable[..., Path], entry: Callable[..., Any]) -> None:
    mine = {"name": "answers_rating:mine", "value": 1111.0, "date": "2026-01-01", "source": "measured here"}
    own = put("own.json", json.dumps({"schema": 1, "family": "mine", "models": [
        entry("google/gemma-3-4b-it", scores=[mine])
    ]}))  # fmt: skip
    found = answers(load([own]).find("google/gemma-3-4b-it"))
    assert found is not None
    assert (found.value, found.source) == (1111.0, "measured here")


def test_a_broken_table_is_left_out_with_a_note(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(data_dir(), folder)
    (folder / "evals" / "answers_lmarena_2025-12-11.json").write_text("{")
    found = load(folder=folder)
    assert any("answers_lmarena" in note and "left out" in note for note in found.notes)
    evidence = answers(found.find("Llama-3.1-8B-Instruct"))
    assert evidence is not None
    assert evidence.benchmark == "Open LLM Leaderboard 2"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"date": "yesterday"}, ["date", "yesterday"]),
        ({"name": "answers_other"}, ["name", "answers_other"]),
        ({"models": [["a", 1], ["A", 2]]}, ["models[1]", "twice"]),
        ({"models": [["a", 1, 2]]}, ["models[0].low", "above"]),
        ({"models": []}, ["$.models"]),
        ({"models": [["a", "b"]]}, ["$.models[0]"]),
        ({"models": [["a", 1e9]]}, ["$.models[0]"]),
        ({"figure": "Über"}, ["$.figure"]),
        ({"unknown": 1}, ["unknown"]),
        ({"kind": "scores"}, ["kind"]),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    put: Callable[..., Path], change: dict[str, Any], words: list[str]
) -> None:
    good = {
        "kind": "answers", "schema": 1, "name": "answers_mine", "date": "2026-01-01", "benchmark": "b",
        "figure": "rating", "unit": "points", "reported": False, "source": "s", "licence": "l", "models": [["a", 1]],
    }  # fmt: skip
    assert read_answers(put("answers_mine.json", json.dumps(good))).models[0].name == "a"
    with pytest.raises(CatalogError) as caught:
        read_answers(put("answers_mine.json", json.dumps({**good, **change})))
    for word in words:
        assert word in caught.value.message
