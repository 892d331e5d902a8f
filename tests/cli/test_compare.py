"""`planner compare`: models side by side, and what the differences come to."""

from typing import Any

import pytest

from planner.cli.columns import cells
from tests.cli.conftest import Outcome, Planner

LINQ, SFR, QWEN = "Linq-Embed-Mistral", "SFR-Embedding-Mistral", "Qwen3-Embedding-8B"


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = outcome.json
    return found


def facts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {fact["name"]: fact for fact in found["facts"]}


class TestDocument:
    def test_has_the_fields_of_the_contract(self, planner: Planner) -> None:
        found = document(planner("compare", LINQ, SFR, "--json"))
        assert set(found) == {
            "schema", "hardware", "context", "quant", "pool", "models", "facts", "differences", "significance",
            "text", "notes",
        }  # fmt: skip
        assert found["hardware"] is None
        assert [model["id"].partition("/")[2] for model in found["models"]] == [LINQ, SFR]
        for fact in found["facts"]:
            assert len(fact["values"]) == 2

    def test_is_the_same_twice(self, planner: Planner) -> None:
        assert planner("compare", LINQ, SFR, "--json") == planner("compare", LINQ, SFR, "--json")

    def test_the_better_value_is_marked_where_better_means_something(self, planner: Planner) -> None:
        found = facts(document(planner("compare", "Qwen3-8B", "Qwen3-4B", "--vram", "24", "--json")))
        assert found["memory_bytes"]["best"] == [1]
        assert found["tokens_per_s"]["best"] == [1]
        assert found["quality"]["best"] == [0]
        assert found["context_length"]["best"] == []  # alike
        assert (found["licence"]["better"], found["licence"]["best"]) == (None, [])

    def test_ranks_and_significance_are_those_of_one_pool(self, planner: Planner) -> None:
        found = document(planner("compare", QWEN, LINQ, "--json"))
        assert found["pool"] == "results_2026-08-20"
        rank = facts(found)["mtr_percent"]
        assert (rank["better"], rank["best"]) == ("lower", [0])
        test = found["significance"]
        assert test["tasks"] == 40
        assert test["differ"] is True
        ranks = [row["mean_rank"] for row in test["mean_ranks"]]
        assert ranks[1] - ranks[0] > test["critical_difference"]
        assert len(test["groups"]) == 2

    def test_a_difference_that_may_be_chance_is_called_so(self, planner: Planner) -> None:
        found = document(planner("compare", LINQ, SFR, "--json"))
        assert len(found["significance"]["groups"]) == 1
        assert found["text"][1].startswith("No difference in rank is significant")

    def test_a_closed_model_moves_the_comparison_to_the_pool_it_is_in(self, planner: Planner) -> None:
        found = document(planner("compare", "e5-mistral-7b-instruct", "voyage-large-2-instruct", "--json"))
        assert found["pool"] == "board_2024-07-06"
        assert found["models"][1]["memory"] is None

    def test_ranks_of_different_pools_are_said_and_not_compared(self, planner: Planner) -> None:
        found = document(planner("compare", "snowflake-arctic-embed-l-v2.0", "voyage-lite-02-instruct", "--json"))
        assert found["pool"] is None
        rank = facts(found)["mtr_percent"]
        assert rank["best"] == []
        assert all(" in " in value for value in rank["values"])
        assert any("different pools are not compared" in note for note in found["notes"])
        assert found["differences"][0]["mtr_points"] is None

    def test_unranked_is_not_called_bad(self, planner: Planner) -> None:
        found = document(planner("compare", "bge-m3", "bge-large-en-v1.5", "--json"))
        assert facts(found)["mtr_percent"]["values"][0] is None
        assert any("bge-m3 has no rank" in note for note in found["notes"])
        assert found["significance"] is None


class TestCommonGround:
    def test_models_are_compared_in_a_quant_that_all_have(self, planner: Planner) -> None:
        found = document(planner("compare", "Qwen3-8B", "Qwen3-4B", "--json"))
        assert found["quant"] == "Q4_K_M"
        assert [model["variant"] for model in found["models"]] == ["Q4_K_M", "Q4_K_M"]

    def test_a_named_quant_holds_for_the_others_too(self, planner: Planner) -> None:
        assert document(planner("compare", "Qwen3-8B", "Qwen3-4B:Q8_0", "--json"))["quant"] == "Q8_0"

    def test_quants_of_one_model_can_be_compared(self, planner: Planner) -> None:
        found = document(planner("compare", "Qwen3-8B:Q8_0", "Qwen3-8B:Q4_K_M", "--json"))
        assert found["quant"] is None
        assert found["differences"][0]["memory_bytes"] > 2**30
        assert any("quants differ" in note for note in found["notes"])

    def test_the_context_is_one_that_all_were_trained_on(self, planner: Planner) -> None:
        assert document(planner("compare", QWEN, "bge-large-en-v1.5", "--json"))["context"] == 512
        asked = document(planner("compare", QWEN, LINQ, "--context", "40000", "--json"))
        assert asked["context"] == 32768
        assert any("32,768" in note for note in asked["notes"])

    def test_other_purposes_are_put_side_by_side_and_none_is_better(self, planner: Planner) -> None:
        found = document(planner("compare", QWEN, "Qwen3-8B", "--json"))
        assert all(not fact["best"] for fact in found["facts"])
        assert any("different purposes" in note for note in found["notes"])


class TestMachine:
    def test_a_described_one_counts_with_its_memory(self, planner: Planner) -> None:
        found = document(planner("compare", "Qwen3-8B", "Qwen3-32B", "--vram", "8", "--json"))
        assert found["hardware"]["devices"][0]["memory_total_bytes"] == 8 * 2**30
        assert [model["verdict"] for model in found["models"]] == ["fits", "offload"]
        assert found["models"][0]["usable_context"] > 8192
        assert found["models"][1]["usable_context"] is None

    def test_one_that_does_not_fit_is_said(self, planner: Planner) -> None:
        outcome = planner("compare", "Qwen3-8B", "Llama-3.3-70B-Instruct", "--vram", "8")
        assert outcome.code == 0
        assert "does not fit" in outcome.out


class TestPage:
    @pytest.mark.parametrize("width", [60, 80, 140])
    @pytest.mark.parametrize("models", [(LINQ, SFR), (LINQ, SFR, QWEN, "bge-m3", "bge-large-en-v1.5", "e5-large-v2")])
    def test_lines_fit_the_terminal(
        self, planner: Planner, monkeypatch: pytest.MonkeyPatch, width: int, models: tuple[str, ...]
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        outcome = planner("compare", *models, "--no-here")
        assert outcome.code == 0, outcome.err
        assert max(map(cells, outcome.out.splitlines())) <= width
        assert outcome.out.count("trained context") == 1 + (len(models) - 1) // max(1, (width - 17) // 22)

    def test_says_the_differences_in_numbers(self, planner: Planner) -> None:
        out = " ".join(planner("compare", "Qwen3-8B", "Qwen3-4B", "--gpu", "RTX 4090").out.split())
        assert "Compared with Qwen3-4B Q4_K_M, Qwen3-8B Q4_K_M needs" in out
        assert "GiB more memory" in out
        assert "* the better value" in out


class TestErrors:
    @pytest.mark.parametrize("models", [(), ("bge-m3",), ("bge-m3",) * 7])
    def test_two_to_six_models_are_wanted(self, planner: Planner, models: tuple[str, ...]) -> None:
        outcome = planner("compare", *models, "--json")
        assert (outcome.code, outcome.json["error"]["reference"]) == (2, "wrong-count")

    @pytest.mark.parametrize(
        "models",
        [("bge-m3", "BAAI/BGE-M3"), ("bge-m3:Q8_0", "bge-m3"), ("bge-m3:q8_0", LINQ, "bge-m3:Q8_0")],
        ids=str,
    )
    def test_the_same_model_twice_is_an_error(self, planner: Planner, models: tuple[str, ...]) -> None:
        outcome = planner("compare", *models, "--json")
        assert (outcome.code, outcome.json["error"]["reference"]) == (2, "same-model")

    def test_an_unnamed_quant_is_another_than_the_named_one(self, planner: Planner) -> None:
        found = document(planner("compare", "bge-m3", "bge-m3:Q4_K_M", "--json"))
        assert [model["variant"] for model in found["models"]] == ["Q8_0", "Q4_K_M"]

    def test_an_unknown_model_names_the_nearest(self, planner: Planner) -> None:
        outcome = planner("compare", "bge-m3", "bge-m4", "--json")
        assert (outcome.code, outcome.json["error"]["reference"]) == (2, "unknown-model")
        assert "BAAI/bge-m3" in outcome.json["error"]["hint"]
