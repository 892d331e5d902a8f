"""`planner rank`: pools, filters that change no rank, subsets that do, and what the differences mean."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome, Planner


def ranking(outcome: Outcome) -> dict[str, dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    return {row["model"]: row for row in outcome.json["ranking"]}


ROW = {
    "rank", "model", "mtr_percent", "rag_average", "clustering", "reranking", "retrieval", "sts",
    "deployable", "licence",
}  # fmt: skip

LAST = "deepvk/deberta-v1-base"
"""The last model of the default pool, which no catalog will ship."""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's catalog with that model, of unknown languages."""
    entry = {
        "id": LAST,
        "family": "mine",
        "role": "embedding",
        "parameters": 1_000_000_000,
        "context_length": 32768,
        "licence": {"spdx": "MIT", "commercial": "yes"},
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [entry]}))
    return path


class TestDocument:
    def test_has_the_fields_of_the_contract(self, planner: Planner) -> None:
        outcome = planner("rank", "--json", "--offline")
        document = outcome.json
        assert document["schema"] == 1
        pool = document["pool"]
        assert (pool["name"], pool["date"], pool["models"], pool["tasks"]) == (
            "results_2026-08-20", "2026-08-20", 320, 40,
        )  # fmt: skip
        assert document["ranked"] == 153
        assert len(document["tasks"]) == 40
        assert document["significance"] is None
        for row in document["ranking"]:
            assert set(row) >= ROW
            assert set(row["licence"]) == {"spdx", "commercial"}
            assert row["in_catalog"] is True
        assert [row["rank"] for row in document["ranking"]] == sorted(row["rank"] for row in document["ranking"])

    def test_is_the_same_twice(self, planner: Planner) -> None:
        assert planner("rank", "--json", "--significance") == planner("rank", "--json", "--significance")

    def test_shows_closed_models_as_not_deployable(self, planner: Planner) -> None:
        rows = ranking(planner("rank", "--pool", "board_2024-07-06", "--json"))
        assert rows["voyageai/voyage-large-2-instruct"]["deployable"] is False
        assert rows["Salesforce/SFR-Embedding-Mistral"]["rank"] == 2

    def test_says_who_has_no_rank_and_why(self, planner: Planner) -> None:
        unranked = {row["model"]: row["scored"] for row in planner("rank", "--json").json["unranked"]}
        assert unranked["BAAI/bge-m3"] == 12
        assert unranked["voyageai/voyage-lite-02-instruct"] == 0

    def test_all_has_every_model_and_knows_nothing_of_those_outside_the_catalog(self, planner: Planner) -> None:
        shown = ranking(planner("rank", "--json"))
        everything = ranking(planner("rank", "--all", "--json"))
        assert len(everything) == 153
        assert all(everything[name] == row for name, row in shown.items())
        other = everything[LAST]
        assert (other["in_catalog"], other["deployable"], other["licence"]) == (False, None, None)


class TestFilters:
    @pytest.mark.parametrize(
        "options",
        [
            ["--licence", "commercial"],
            ["--language", "sw"],
            ["--language", "German"],
            ["--max-parameters", "600M"],
            ["--max-size", "500MB"],
            ["--deployable"],
            ["--licence", "commercial", "--deployable", "--max-parameters", "1B"],
        ],
        ids=" ".join,
    )
    def test_a_filter_hides_models_and_changes_no_rank(self, planner: Planner, options: list[str]) -> None:
        everything = ranking(planner("rank", "--json"))
        filtered = ranking(planner("rank", "--json", *options))
        assert 0 < len(filtered) < len(everything)
        for name, row in filtered.items():
            assert row == everything[name]

    def test_each_hides_what_it_says(self, planner: Planner) -> None:
        licensed = ranking(planner("rank", "--json", "--licence", "commercial"))
        assert {row["licence"]["commercial"] for row in licensed.values()} == {"yes"}
        assert all(row["deployable"] for row in ranking(planner("rank", "--json", "--deployable")).values())
        small = ranking(planner("rank", "--json", "--max-parameters", "335141888"))
        assert max(row["parameters"] for row in small.values()) == 335_141_888
        assert "intfloat/multilingual-e5-small" in ranking(planner("rank", "--json", "--language", "de"))

    def test_the_limit_comes_last(self, planner: Planner) -> None:
        full = list(ranking(planner("rank", "--json", "--deployable")))
        assert list(ranking(planner("rank", "--json", "--deployable", "-n", "3"))) == full[:3]

    def test_a_language_says_what_the_scores_do_not(self, planner: Planner, mine: Path) -> None:
        outcome = planner("rank", "--language", "de", "--catalog", str(mine))
        assert "English tasks" in outcome.err
        assert "does not say their languages" in outcome.err
        assert "deberta-v1-base" in outcome.err
        assert "deberta-v1-base" not in outcome.out
        assert "English tasks" not in planner("rank", "--language", "en").err

    def test_nothing_left_is_exit_3(self, planner: Planner) -> None:
        assert planner("rank", "--max-parameters", "1k").code == 3
        outcome = planner("rank", "--max-parameters", "1k", "--json")
        assert outcome.code == 3
        assert outcome.json["error"]["reference"] == "no-models"


class TestTasks:
    def test_a_subset_ranks_anew_and_says_so(self, planner: Planner) -> None:
        outcome = planner("rank", "--tasks", "Retrieval,reranking", "--json")
        document = outcome.json
        assert len(document["tasks"]) == 19
        assert document["pool"]["tasks"] == 40
        row = document["ranking"][0]
        assert row["clustering"] is row["sts"] is None
        assert row["rag_average"] == pytest.approx((15 * row["retrieval"] + 4 * row["reranking"]) / 19)
        assert row["mtr_percent"] != ranking(planner("rank", "--json"))[row["model"]]["mtr_percent"]
        assert (
            "ranked anew on 19 of the tasks: AskUbuntuDupQuestions"
            in planner("rank", "--tasks", "reranking,retrieval").out
        )

    def test_single_datasets_and_repeated_options_combine(self, planner: Planner) -> None:
        document = planner("rank", "--tasks", "scifact", "--tasks", "NQ, biosses", "--json").json
        assert document["tasks"] == ["NQ", "SciFact", "BIOSSES"]

    def test_all_categories_are_all_tasks(self, planner: Planner) -> None:
        some = planner("rank", "--tasks", "clustering,reranking,retrieval,sts", "--json")
        assert some.json == planner("rank", "--json").json

    def test_a_model_that_lacks_other_scores_may_have_a_rank_here(self, planner: Planner) -> None:
        name = "sentence-transformers/all-mpnet-base-v2"
        assert name not in ranking(planner("rank", "--json"))
        assert name in ranking(planner("rank", "--tasks", "retrieval", "--json"))


class TestUsage:
    @pytest.mark.parametrize(
        ("options", "reference", "near"),
        [
            (["--pool", "board_2024-07-06b"], "unknown-pool", "board_2024-07-06-a"),
            (["--pool", "../devices"], "unknown-pool", "results_2026-08-20-v2"),
            (["--tasks", "retreival"], "unknown-task", "retrieval"),
            (["--tasks", "HotPot"], "unknown-task", "HotpotQA"),
            (["--tasks", ","], "unknown-task", "--tasks"),
            (["--language", "germn"], "unknown-language", "German"),
            (["--language", "xx"], "unknown-language", "xh"),
            (["--language", ""], "unknown-language", "ISO 639-1"),
            (["--max-parameters", "big"], "usage", "8B"),
            (["--max-size", "big"], "usage", "20GB"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else value,
    )
    def test_what_is_not_known_is_exit_2_with_the_nearest(
        self, planner: Planner, options: list[str], reference: str, near: str
    ) -> None:
        outcome = planner("rank", *options, "--json")
        assert outcome.code == 2
        assert outcome.json["error"]["reference"] == reference
        assert near in outcome.json["error"]["hint"]
        assert planner("rank", *options).code == 2


class TestSignificance:
    def test_names_the_groups_without_a_difference(self, planner: Planner) -> None:
        document = planner("rank", "--significance", "--json").json
        found = document["significance"]
        assert found["models"] == len(document["ranking"]) == len(found["mean_ranks"])
        assert found["friedman"]["p"] < 1e-50
        means = {row["model"]: row["mean_rank"] for row in found["mean_ranks"]}
        for group in found["groups"]:
            assert max(means[m] for m in group) - min(means[m] for m in group) < found["critical_difference"]
        assert "Qwen/Qwen3-Embedding-8B" in found["groups"][0]

    def test_a_limit_does_not_change_the_test(self, planner: Planner) -> None:
        full = planner("rank", "--significance", "--json").json
        short = planner("rank", "--significance", "--json", "-n", "2").json
        assert short["significance"] == full["significance"]

    def test_the_page_says_it_in_words(self, planner: Planner) -> None:
        out = planner("rank", "--significance", "--max-parameters", "200M").out
        assert "GROUPS" in out
        assert "Friedman test of these" in out
        assert "do not differ significantly" in out
        assert "Not significantly worse than" in out

    def test_more_groups_than_letters_are_counted(self, planner: Planner) -> None:
        out = planner("rank", "--significance", "--all").out
        assert "GROUPS" not in out
        assert "--json lists them" in out

    def test_one_task_is_nothing_to_test(self, planner: Planner) -> None:
        outcome = planner("rank", "--significance", "--tasks", "NQ", "--json")
        assert outcome.code == 3
        assert outcome.json["error"]["reference"] == "nothing-to-test"


class TestPage:
    def test_the_head_names_pool_date_and_size(self, planner: Planner) -> None:
        outcome = planner("rank")
        assert (outcome.code, outcome.err) == (0, "")
        head = " ".join(outcome.out.partition("RANK")[0].split())
        assert "results_2026-08-20, 2026-08-20: 320 models, 40 tasks" in head
        assert "153 models" in head
        assert "lower is better" in head

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_no_line_is_longer_than_the_terminal(
        self, planner: Planner, monkeypatch: pytest.MonkeyPatch, width: int
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        out = planner("rank", "--significance", "--limit", "12").out
        assert max(map(len, out.splitlines())) <= width
        assert "Qwen3-Embedding-8B" in out

    def test_what_cannot_be_run_is_marked(self, planner: Planner) -> None:
        out = planner("rank", "--pool", "board_2024-07-06").out
        (closed,) = [line for line in out.splitlines() if "voyage-large-2-instruct " in line]
        assert " no " in closed
        assert "RUN no:" in out
        assert "RUN no:" not in planner("rank", "--deployable").out

    def test_pools_are_listed_with_size_and_source(self, planner: Planner) -> None:
        out = planner("rank", "--pools").out
        assert "results_2026-08-20 (default)" in out
        assert "CC0-1.0" in out
        pools = {pool["name"]: pool for pool in planner("rank", "--pools", "--json").json["pools"]}
        assert (pools["board_2024-07-06"]["models"], pools["board_2024-07-06"]["ranked"]) == (206, 148)
        assert [name for name, pool in pools.items() if pool["default"]] == ["results_2026-08-20"]


def test_a_users_own_model_is_ranked_by_its_hub_id(planner: Planner, mine: Path) -> None:
    row = ranking(planner("rank", "--json", "--catalog", str(mine)))[LAST]
    assert row["in_catalog"] is True
    assert row["rank"] == 153


def test_recommend_never_reads_the_pools() -> None:
    program = (
        "import sys; from planner.cli.app import run; code = run(['recommend', '--vram', '8', '--json']); "
        "bad = [m for m in sys.modules if m in ('planner.catalog.evals', 'planner.core.scores.ranking')]; "
        "sys.exit(f'{code} {bad}' if code or bad else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
