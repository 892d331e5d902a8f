"""`planner show`: a model's page, for people and for scripts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from planner.catalog.loader import load
from planner.cli.app import cli
from planner.cli.columns import cells
from tests.cli.conftest import Outcome, Planner

FIELDS = {
    "schema", "model", "variant", "context", "quants", "devices", "standings", "unranked", "other_scores",
    "alternatives", "quick_start", "here", "rentals",
}  # fmt: skip


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = outcome.json
    return found


def by(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


class TestDocument:
    def test_has_the_fields_of_the_contract(self, planner: Planner) -> None:
        found = document(planner("show", "bge-m3", "--json"))
        assert set(found) == FIELDS
        assert found["schema"] == 1
        assert found["here"] is None
        for quant in found["quants"]:
            assert set(quant) == {
                "quant", "predicted", "file_bytes", "file_bytes_source", "bits_per_weight", "quality_loss",
                "quality_loss_basis", "memory", "artifacts",
            }  # fmt: skip
            memory = quant["memory"]
            parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes")
            assert memory["total_bytes"] == sum(memory[part] for part in parts)
            assert memory["total_bytes"] == memory["gpu_bytes"] + memory["host_bytes"]

    def test_is_the_same_twice_and_knows_nothing_of_this_machine(self, planner: Planner) -> None:
        first = planner("show", "Qwen3-8B", "--json")
        assert first == planner("show", "Qwen3-8B", "--json")
        assert "hardware" not in first.out

    def test_a_described_machine_or_this_one_is_added_when_asked_for(self, planner: Planner) -> None:
        plain = document(planner("show", "Qwen3-8B", "--json"))
        described = document(planner("show", "Qwen3-8B", "--json", "--vram", "8"))
        here = document(planner("show", "Qwen3-8B", "--json", "--here"))
        assert {**described, "here": None} == plain == {**here, "here": None}
        quants = by(described["here"]["quants"], "quant")
        assert quants["Q4_K_M"]["estimate"]["placement"]["verdict"] == "fits"
        assert 8192 < quants["Q4_K_M"]["usable_context"] < 40960
        assert quants["Q8_0"]["usable_context"] is None
        assert here["here"]["hardware"]["host"]["memory_total_bytes"] > 0
        assert here["here"]["hardware"]["host"]["memory_available_bytes"] is None

    def test_the_grid_gets_no_worse_with_more_memory_of_the_same_kind(self, planner: Planner) -> None:
        devices = by(document(planner("show", "Qwen3-8B", "--json"))["devices"], "name")
        assert len(devices) >= 12
        small, large = devices["RTX 4060 8 GB"], devices["A100 80 GB"]
        assert by(small["quants"], "quant")["Q8_0"]["verdict"] == "offload"
        assert {quant["verdict"] for quant in large["quants"]} == {"fits"}
        assert devices["CPU only, 32 GiB"]["memory_bytes"] is None
        for device in devices.values():
            best = by(device["quants"], "quant")[device["best_quant"]]
            assert best["verdict"] == "fits"
            assert best["rate"]["low"] < best["rate"]["mid"] < best["rate"]["high"]

    def test_context_changes_the_memory_and_is_bounded_by_training(self, planner: Planner) -> None:
        short, long = (document(planner("show", "Qwen3-8B", "--json", "--context", c)) for c in ("2048", "32768"))
        assert (short["context"], long["context"]) == (2048, 32768)
        for few, many in zip(short["quants"], long["quants"], strict=True):
            assert few["memory"]["kv_cache_bytes"] < many["memory"]["kv_cache_bytes"]
        outcome = planner("show", "bge-large-en-v1.5", "--json", "--context", "9999")
        assert outcome.json["context"] == 512
        assert "trained on 512 tokens" in outcome.err

    def test_a_named_quant_is_what_the_page_is_about(self, planner: Planner) -> None:
        found = document(planner("show", "Qwen3-8B:q8_0", "--json"))
        assert found["variant"] == "Q8_0"
        assert any("Qwen3-8B:Q8_0" in step["command"] for step in found["quick_start"])


class TestCorrectedReferencePage:
    """Where a page about Linq-Embed-Mistral that people find is wrong, ours is right."""

    def test_pooling_context_prompt_and_licence(self, planner: Planner) -> None:
        model = document(planner("show", "Linq-Embed-Mistral", "--json"))["model"]
        assert (model["pooling"], model["context_length"], model["embedding_length"]) == ("last", 32768, 4096)
        assert model["prompts"]["query"] == "Instruct: {task}\nQuery: "
        assert model["licence"] == {"spdx": "CC-BY-NC-4.0", "commercial": "no"}

    def test_sizes_of_its_quants(self, planner: Planner) -> None:
        quants = by(document(planner("show", "Linq-Embed-Mistral", "--json"))["quants"], "quant")
        sizes = {name: round(quants[name]["file_bytes"] / 1e9, 1) for name in ("Q4_K_M", "Q8_0", "F16")}
        assert sizes == {"Q4_K_M": 4.3, "Q8_0": 7.6, "F16": 14.2}

    def test_its_rank_is_that_of_a_dated_pool(self, planner: Planner) -> None:
        standing = by(document(planner("show", "Linq-Embed-Mistral", "--json"))["standings"], "pool")
        assert standing["board_2024-07-06"]["rank"] == 1
        now = standing["results_2026-08-20"]
        assert (now["rank"], now["ranked"], now["models"], now["date"]) == (10, 153, 320, "2026-08-20")
        assert round(now["mtr_percent"], 2) == 13.89

    def test_an_alternative_for_commercial_use_is_better_by_a_number(self, planner: Planner) -> None:
        found = document(planner("show", "Linq-Embed-Mistral", "--json"))["alternatives"]
        (commercial,) = [item for item in found if "commercial" in item["kinds"]]
        assert commercial["licence"]["commercial"] == "yes"
        assert commercial["difference"]["pool"] == "results_2026-08-20"
        assert commercial["difference"]["mtr_points"] is not None
        (smaller,) = [item for item in found if "smaller" in item["kinds"]]
        assert smaller["difference"]["memory_bytes"] < 0
        assert smaller["difference"]["mtr_points"] > 0


class TestPage:
    def test_says_what_it_is_in_words_and_quotes_prompts_exactly(self, planner: Planner) -> None:
        out = planner("show", "Linq-Embed-Mistral", "--no-here").out
        assert "It turns text of up to 32,768 tokens into one vector of 4,096 numbers." in " ".join(out.split())
        assert '"Instruct: {task}\\nQuery: "' in out
        assert "last token (--pooling last)" in out
        assert "CC-BY-NC-4.0: no commercial use" in out
        assert "grouped-query attention (GQA): 32 heads share 8 key/value heads" in " ".join(out.split())

    def test_a_closed_model_has_a_page_without_a_plan(self, planner: Planner) -> None:
        outcome = planner("show", "voyage-large-2-instruct")
        assert outcome.code == 0
        assert "Cannot be run here: Closed weights" in outcome.out
        for section in ("Quants", "Devices", "Quick start", "On this machine"):
            assert section not in outcome.out
        assert "5 of 148" in outcome.out

    def test_unranked_is_said_with_the_reason(self, planner: Planner) -> None:
        assert "no rank in results_2026-08-20 (2026-08-20): 12 of 40" in planner("show", "bge-m3", "--no-here").out

    def test_shows_this_machine_or_the_described_one(self, planner: Planner) -> None:
        assert "On this machine" in planner("show", "all-MiniLM-L6-v2").out
        assert "On this machine" not in planner("show", "all-MiniLM-L6-v2", "--no-here").out
        described = planner("show", "all-MiniLM-L6-v2", "--gpu", "RTX 4090").out
        assert "On GeForce RTX 4090 (24.0 GiB)" in described
        assert "On this machine" not in described

    @pytest.mark.parametrize("width", [80, 140])
    def test_only_commands_are_longer_than_a_line(
        self, planner: Planner, monkeypatch: pytest.MonkeyPatch, width: int
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        for name in ("Linq-Embed-Mistral", "Qwen3-8B", "Qwen3-30B-A3B", "voyage-lite-02-instruct", "bge-m3"):
            for line in planner("show", name, "--vram", "12").out.splitlines():
                assert cells(line) <= width or line.startswith("    -d ")


class TestQuickStart:
    @pytest.mark.parametrize("name", ["bge-m3", "Qwen3-8B", "bge-reranker-v2-m3", "Qwen3-Embedding-0.6B:Q8_0"])
    def test_its_planner_commands_exist_with_these_options(self, planner: Planner, name: str) -> None:
        steps = [step["command"] for step in document(planner("show", name, "--json"))["quick_start"]]
        commands = [step.split() for step in steps if step.startswith("planner ")]
        assert commands
        for _, command, *arguments in commands:
            found = cli.get_command(click.Context(cli), command)
            assert found is not None
            found.make_context(command, list(arguments))

    def test_its_requests_are_valid_json_for_endpoints_of_the_role(self, planner: Planner) -> None:
        for name, path in (
            ("bge-m3", "embeddings"),
            ("Qwen3-8B", "chat/completions"),
            ("bge-reranker-v2-m3", "rerank"),
        ):
            steps = [step["command"] for step in document(planner("show", name, "--json"))["quick_start"]]
            calls = [step for step in steps if step.startswith("curl ")]
            assert calls
            for call in calls:
                assert f"/v1/{path} " in call
                assert json.loads(call.partition(" -d '")[2].removesuffix("'"))

    def test_input_types_are_named_where_the_model_has_prompts(self, planner: Planner) -> None:
        asking = planner("show", "Qwen3-Embedding-0.6B", "--json").out
        assert "input_type" in asking
        assert "input_type" not in planner("show", "all-MiniLM-L6-v2", "--json").out


class TestErrors:
    def test_an_unknown_model_is_exit_2_with_the_nearest(self, planner: Planner) -> None:
        outcome = planner("show", "bge-m4", "--json")
        assert (outcome.code, outcome.json["error"]["reference"]) == (2, "unknown-model")
        assert "BAAI/bge-m3" in outcome.json["error"]["hint"]

    def test_an_unknown_quant_names_those_there_are(self, planner: Planner) -> None:
        outcome = planner("show", "Qwen3-8B:Q9")
        assert outcome.code == 2
        assert "Q4_K_M" in outcome.err

    def test_a_model_of_ones_own_with_little_known_still_has_a_page(self, planner: Planner, tmp_path: Path) -> None:
        entry = {
            "id": "me/little",
            "family": "mine",
            "role": "embedding",
            "parameters": None,
            "context_length": 512,
            "licence": {"spdx": "MIT", "commercial": "yes"},
        }
        path = tmp_path / "mine.json"
        path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [entry]}))
        outcome = planner("show", "little", "--catalog", str(path))
        assert outcome.code == 0
        assert "not published" in outcome.out
        assert planner("show", "little", "--catalog", str(path), "--json", "--here").json["here"] is None


def test_every_model_of_the_catalog_has_a_page_and_a_document(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample of every family: the first of each."""
    monkeypatch.setenv("COLUMNS", "80")
    families = {model.family: model.id for model in load().models}
    for name in families.values():
        outcome = planner("show", name, "--vram", "12")
        assert outcome.code == 0, outcome.err
        assert all(cells(line) <= 80 or line.startswith("    -d ") for line in outcome.out.splitlines()), name
        assert document(planner("show", name, "--json"))["model"]["id"] == name


def test_the_page_imports_nothing_heavy() -> None:
    program = (
        "import sys; from planner.cli.app import run; code = run(['show', 'bge-m3', '--json', '--vram', '8']); "
        "heavy = {'textual', 'requests', 'huggingface_hub', 'numpy', 'gguf'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
