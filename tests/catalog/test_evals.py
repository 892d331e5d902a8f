"""Pools of scores: what the shipped ones hold, and which files are refused with file, field and reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.check import check
from planner.catalog.evals import all_figures, load_pool, pool_files, read_pool, wrong_scores
from planner.catalog.loader import Catalog, load
from planner.catalog.location import data_dir
from planner.core.models.model import Role
from planner.core.scores.quality import MTR_PREFIX, POOLS
from planner.core.scores.ranking import rank_pool
from planner.errors import CatalogError, UsageError

SHIPPED = {
    # name: date, models with any score, with all, tasks, tasks by category
    "board_2024-07-06": ("2024-07-06", 206, 148, 40, {"clustering": 11, "reranking": 4, "retrieval": 15, "sts": 10}),
    "board_2024-07-06-a": (
        "2024-07-06",
        187,
        129,
        40,
        {"clustering": 11, "reranking": 4, "retrieval": 15, "sts": 10},
    ),
    "results_2026-08-20": (
        "2026-08-20",
        320,
        153,
        40,
        {"clustering": 11, "reranking": 4, "retrieval": 15, "sts": 10},
    ),
    "results_2026-08-20-v2": (
        "2026-08-20",
        310,
        197,
        29,
        {"clustering": 8, "reranking": 2, "retrieval": 10, "sts": 9},
    ),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


class TestShipped:
    def test_these_are_all(self) -> None:
        assert set(pool_files()) == set(SHIPPED)
        assert set(POOLS) <= set(SHIPPED)

    @pytest.mark.parametrize("name", SHIPPED)
    def test_sizes_are_those_of_the_sources(self, name: str) -> None:
        date, models, complete, tasks, categories = SHIPPED[name]
        pool = load_pool(name)
        ranking = rank_pool(pool)
        assert (pool.name, pool.date, len(pool.tasks)) == (name, date, tasks)
        assert (ranking.models, len(ranking.rows)) == (models, complete)
        counts = {key: sum(task.category == key for task in pool.tasks) for key in categories}
        assert counts == categories
        assert pool.source
        assert pool.licence
        assert not any(model.name.endswith("#dup") for model in pool.models)

    @pytest.mark.parametrize(
        ("name", "top"),
        [
            ("board_2024-07-06", [("Linq-Embed-Mistral", 7.06), ("SFR-Embedding-Mistral", 7.58)]),
            ("results_2026-08-20", [("Qwen/Qwen3-Embedding-8B", 7.09)]),
        ],
    )
    def test_the_first_of_a_pool(self, name: str, top: list[tuple[str, float]]) -> None:
        rows = rank_pool(load_pool(name)).rows
        assert [(row.name, round(row.mtr_percent, 2)) for row in rows[: len(top)]] == top

    def test_files_are_small(self) -> None:
        for path in pool_files().values():
            assert path.stat().st_size < 200_000, path

    def test_every_score_the_catalog_quotes_is_what_its_pool_gives(self, catalog: Catalog) -> None:
        pools, broken = all_figures(data_dir())
        assert broken == {}
        quoted = [score for model in catalog.models for score in model.scores if score.name.startswith(MTR_PREFIX)]
        assert len(quoted) > 80
        assert [problem for model in catalog.models for problem in wrong_scores(model, pools)] == []

    def test_every_ranked_embedder_of_the_catalog_quotes_its_rank(self, catalog: Catalog) -> None:
        for name in ("board_2024-07-06", "results_2026-08-20", "results_2026-08-20-v2"):
            ranked = {row.identity.casefold() for row in rank_pool(load_pool(name)).rows}
            for model in catalog.models:
                if model.role is Role.EMBEDDING and model.id.casefold() in ranked:
                    assert any(score.name == MTR_PREFIX + name for score in model.scores), (model.id, name)


class TestNames:
    def test_case_and_spaces_do_not_matter(self) -> None:
        assert load_pool(" Board_2024-07-06-A ").name == "board_2024-07-06-a"

    @pytest.mark.parametrize("name", ["board_2024", "board_2024-07-06b", "result_2026-08-20"])
    def test_an_unknown_pool_suggests_the_nearest(self, name: str) -> None:
        with pytest.raises(UsageError) as caught:
            load_pool(name)
        assert caught.value.reference == "unknown-pool"
        assert name[:6] in caught.value.hint

    @pytest.mark.parametrize("name", ["", "zzz", "../models/qwen3", "x" * 5000])
    def test_nonsense_lists_them_all(self, name: str) -> None:
        with pytest.raises(UsageError) as caught:
            load_pool(name)
        assert "board_2024-07-06-a" in caught.value.hint
        assert len(caught.value.message) < 200


def scores_file(**changes: Any) -> dict[str, Any]:
    base = {
        "schema": 1,
        "kind": "scores",
        "name": "p",
        "date": "2026-01-02",
        "benchmark": "toy",
        "source": "a test",
        "licence": "CC0-1.0",
        "tasks": [
            {"name": "one", "category": "sts", "metric": "spearman"},
            {"name": "two", "category": "retrieval", "metric": "ndcg"},
        ],
        "models": [{"name": "a", "scores": [1.5, 2]}, {"name": "b", "scores": [None, -3.25]}],
    }
    return {**base, **changes}


def selection_file(**changes: Any) -> dict[str, Any]:
    base = {"schema": 1, "kind": "selection", "name": "q", "base": "p", "exclude": ["a"], "notes": ["a test"]}
    return {**base, **changes}


Put = Callable[..., Path]


def refused(path: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        read_pool(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.message


class TestHostile:
    def test_the_smallest_pool_is_fine(self, put: Put) -> None:
        pool = read_pool(put("evals/p.json", json.dumps(scores_file())))
        assert pool.models[1].scores == (None, -3.25)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"models": [{"name": "a", "scores": [1]}]}, ["models[0].scores (a)", "1 for 2 tasks"]),
            ({"models": [{"name": "a", "scores": [1, 2, 3]}]}, ["models[0].scores (a)", "3 for 2 tasks"]),
            ({"models": [{"name": "a", "scores": [None, None]}]}, ["models[0].scores (a)", "there is none"]),
            ({"models": [{"name": "a", "scores": [1, "2"]}]}, ["$.models[0].scores[1]", "(model a)", "float"]),
            ({"models": [{"name": "a", "scores": [1, True]}]}, ["$.models[0].scores[1]", "bool"]),
            ({"models": [{"name": "a", "scores": [1, 100.5]}]}, ["$.models[0].scores[1]", "100"]),
            ({"models": [{"name": "a", "scores": [1, -101]}]}, ["$.models[0].scores[1]", "100"]),
            ({"models": [{"name": "a", "score": [1, 2]}]}, ["unknown field “score”", "“scores”", "$.models[0]"]),
            ({"models": [{"name": "a", "scores": [1, 2]}, {"name": "A", "scores": [1, 2]}]}, ["models: a", "twice"]),
            (
                {"models": [{"name": "a", "scores": [1, 2]}, {"name": "b", "id": "a", "scores": [1, 2]}]},
                ["models", "the id a"],
            ),
            ({"models": []}, ["$.models"]),
            ({"tasks": []}, ["$.tasks"]),
            ({"tasks": [{"name": "one", "category": "sts", "metric": "m"}] * 2}, ["tasks: one", "twice"]),
            ({"tasks": [{"name": "one", "category": "chat", "metric": "m"}]}, ["chat", "$.tasks[0].category"]),
            ({"date": "2026-13-01"}, ["date", "2026-13-01"]),
            ({"date": "yesterday"}, ["date", "YYYY-MM-DD"]),
            ({"name": "other"}, ["name: “other”", "p.json"]),
            ({"source": ""}, ["$.source"]),
            ({"schema": 2}, ["$.schema"]),
            ({"kind": "guess"}, ["guess", "$.kind"]),
            ({"weight": 1}, ["unknown field “weight”"]),
        ],
        ids=str,
    )
    def test_a_pool_that_cannot_be(self, put: Put, changes: dict[str, Any], words: list[str]) -> None:
        message = refused(put("evals/p.json", json.dumps(scores_file(**changes))))
        for word in words:
            assert word in message

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
    def test_a_score_that_is_no_number(self, put: Put, number: str) -> None:
        text = json.dumps(scores_file()).replace("-3.25", number)
        message = refused(put("evals/p.json", text))
        assert number in message or "$.models[1].scores[1]" in message

    def test_a_key_that_stands_twice(self, put: Put) -> None:
        text = json.dumps(scores_file()).replace('"name": "b"', '"name": "b", "name": "c"')
        assert "twice" in refused(put("evals/p.json", text))

    def test_nesting_without_end(self, put: Put) -> None:
        assert "nested" in refused(put("evals/p.json", '{"models": ' + "[" * 1_000_000))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"exclude": ["nobody"]}, ["exclude: nobody", "not in p"]),
            ({"exclude": ["a", "a"]}, ["exclude: a", "twice"]),
            ({"exclude": ["a", "b"]}, ["no model is left"]),
            ({"exclude": []}, ["$.exclude"]),
            ({"notes": []}, ["$.notes"]),
            ({"base": "q"}, ["no other pool “q”"]),
            ({"base": "nowhere"}, ["no other pool “nowhere”"]),
            ({"base": "../evals/p"}, ["no other pool"]),
            ({"base": "r"}, ["“r” is a selection itself"]),
            ({"name": "p"}, ["name: “p”"]),
        ],
        ids=str,
    )
    def test_a_selection_that_cannot_be(self, put: Put, changes: dict[str, Any], words: list[str]) -> None:
        put("evals/p.json", json.dumps(scores_file()))
        put("evals/r.json", json.dumps(selection_file(name="r")))
        message = refused(put("evals/q.json", json.dumps(selection_file(**changes))))
        for word in words:
            assert word in message

    def test_a_selection_from_a_broken_pool_names_the_broken_one(self, put: Put) -> None:
        base = put("evals/p.json", json.dumps(scores_file(date="never")))
        path = put("evals/q.json", json.dumps(selection_file()))
        with pytest.raises(CatalogError) as caught:
            read_pool(path)
        assert str(base) in caught.value.message


class TestCheck:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        copy = tmp_path / "data"
        shutil.copytree(data_dir(), copy, ignore=shutil.ignore_patterns("schema", "*.md"))
        return copy

    def test_each_broken_pool_is_a_finding(self, folder: Path) -> None:
        path = folder / "evals/results_2026-08-20.json"
        path.write_text(path.read_text().replace('"category": "sts"', '"category": "chat"', 1))
        (finding,) = check(folder=folder).findings
        assert finding.file == str(path)
        assert "chat" in finding.message

    def test_a_quoted_score_that_the_pool_does_not_give_is_a_finding(self, folder: Path) -> None:
        path = folder / "models/sfr-embedding.json"
        path.write_text(path.read_text().replace("7.58", "7.85"))
        (finding,) = check(folder=folder).findings
        assert finding.model == "Salesforce/SFR-Embedding-Mistral"
        assert "rag_mtr_percent:board_2024-07-06: 7.85, where the pool gives 7.58" in finding.message
