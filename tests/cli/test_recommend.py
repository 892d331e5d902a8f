import csv
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from planner.units import GIB
from tests.cli.conftest import Planner

MEMORY = {"weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes", "total_bytes"}


def test_json_follows_the_contract(planner: Planner) -> None:
    outcome = planner("recommend", "--vram", "8", "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert answer["schema"] == 1
    assert answer["hardware"]["devices"][0]["memory_total_bytes"] == 8 * GIB
    assert answer["workload"]["role"] == "rag"
    first = answer["recommendations"][0]
    assert set(first) == {
        "rank", "label", "embedding", "generation", "reranker", "memory", "score", "reasons", "warnings", "command",
        "terms", "relatives", "changes", "indexing_s", "first_word_s",
    }  # fmt: skip
    assert set(first["terms"]) == {"retrieval", "answers", "generation_speed", "indexing_speed", "context"}
    assert all(set(term) == {"value", "weight", "points"} for term in first["terms"].values())
    assert sum(term["points"] for term in first["terms"].values()) == pytest.approx(first["score"], abs=0.1)
    for time in ("indexing_s", "first_word_s"):
        assert 0 < first[time]["low"] <= first[time]["mid"] <= first[time]["high"]
    assert set(first["memory"]) == {"total_bytes", "budget_bytes", "headroom_bytes", "devices"}
    for role in ("embedding", "generation"):
        choice = first[role]
        assert {"model", "variant", "artifacts", "context", "estimate", "quality", "licence"} <= set(choice)
        assert {"memory", "placement", "throughput", "warnings"} <= set(choice["estimate"])
        assert MEMORY | {"devices"} == set(choice["estimate"]["memory"])
        assert {"verdict", "n_gpu_layers", "n_cpu_moe", "n_layers", "tensor_split", "reason"} == set(
            choice["estimate"]["placement"]
        )
        assert {"pp", "tg", "embed"} == set(choice["estimate"]["throughput"])
    assert {"low", "mid", "high", "unit", "basis"} == set(first["generation"]["estimate"]["throughput"]["tg"])


@pytest.mark.parametrize("gib", ["4", "8", "12", "24", "80"])
def test_every_plan_fits_and_can_be_fetched(planner: Planner, gib: str) -> None:
    for plan in planner("recommend", "--vram", gib, "--json", "-n", "20").json["recommendations"]:
        for row in plan["memory"]["devices"]:
            assert row["total_bytes"] <= row["budget_bytes"]
        assert plan["memory"]["devices"][0]["budget_bytes"] < int(gib) * GIB
        for role in ("embedding", "generation"):
            choice = plan[role]
            assert choice["estimate"]["placement"]["verdict"] in {"fits", "offload"}
            # Without a file that is known by name, the repositories to find it in.
            assert choice["artifacts"] or choice["gguf_repos"]
            for artifact in choice["artifacts"]:
                assert artifact["file"]
                assert artifact["repo"] or artifact["source"] == "package"
            rows = choice["estimate"]["memory"]["devices"]
            for name in MEMORY:
                assert choice["estimate"]["memory"][name] == sum(row[name] for row in rows)


def test_the_same_question_has_the_same_bytes(planner: Planner) -> None:
    assert planner("recommend", "--vram", "8", "--json").out == planner("recommend", "--vram", "8", "--json").out
    assert planner("recommend", "--total", "--json").out == planner("recommend", "--total", "--json").out


def test_this_machine_is_planned_with_what_is_free_of_it(planner: Planner) -> None:
    free = planner("recommend", "--json").json
    total = planner("recommend", "--total", "--json").json
    assert (free["memory_basis"], total["memory_basis"]) == ("free", "total")
    assert planner("recommend", "--vram", "8", "--json").json["memory_basis"] == "described"
    budgets = [answer["recommendations"][0]["memory"]["budget_bytes"] for answer in (free, total)]
    available = free["hardware"]["host"]["memory_available_bytes"]
    assert budgets[0] <= available
    assert total["hardware"]["host"]["memory_available_bytes"] is None
    text = planner("recommend").out
    assert "5% of every device kept as headroom" in text
    assert "--total" in text


def test_nothing_of_the_host_leaks_into_a_described_machine(planner: Planner) -> None:
    import platform

    import psutil

    answer = planner("recommend", "--vram", "8", "--json").json
    host: dict[str, Any] = answer["hardware"]["host"]
    assert host["memory_total_bytes"] == 16 * GIB
    assert str(psutil.virtual_memory().total) not in planner("recommend", "--vram", "8", "--json").out
    assert platform.node() not in planner("recommend", "--vram", "8").out


def test_people_get_memory_by_component_speed_reasons_and_the_command(planner: Planner) -> None:
    text = planner("recommend", "--vram", "8", "-n", "1", "--explain").out
    for word in (
        "weights",
        "KV",
        "compute",
        "overhead",
        "tok/s",
        "run: planner up ",
        "8 GiB GPU",
        "retrieval",
        "weight",
        "   + ",
    ):
        assert word in text


def test_the_recommended_command_is_one_that_parses(planner: Planner) -> None:
    command = planner("recommend", "--vram", "8", "--json", "-n", "1").json["recommendations"][0]["command"]
    assert planner(*command[1:], "--help").code == 0


@pytest.mark.parametrize(("role", "other"), [("embedding", "generation"), ("generation", "embedding")])
def test_a_single_role(planner: Planner, role: str, other: str) -> None:
    plans = planner("recommend", "--vram", "8", "--role", role, "--json").json["recommendations"]
    assert len(plans) > 1
    assert all(plan[role] and plan[other] is None for plan in plans)


def test_prefer_and_licence_change_the_answer(planner: Planner) -> None:
    fast = planner("recommend", "--gpu", "RTX 4090", "--prefer", "speed", "--json").json["recommendations"][0]
    good = planner("recommend", "--gpu", "RTX 4090", "--prefer", "quality", "--json").json["recommendations"][0]
    speed = [plan["generation"]["estimate"]["throughput"]["tg"]["mid"] for plan in (fast, good)]
    assert speed[0] > speed[1]
    for plan in planner("recommend", "--vram", "48", "--licence", "commercial", "--json").json["recommendations"]:
        assert plan["embedding"]["licence"]["commercial"] == "yes"
        assert plan["generation"]["licence"]["commercial"] == "yes"


@pytest.mark.parametrize(
    ("arguments", "code", "reference"),
    [
        (("--vram", "lots"), 2, "usage"),
        (("--vram", "-8"), 2, "usage"),
        (("--gpu", "RTX 9999 Ultra"), 2, "unknown-gpu"),
        (("--vram", "8", "--prefer", "beauty"), 2, "usage"),
        (("--nonsense",), 2, "usage"),
        (("--ram", "0.2"), 3, "nothing-fits"),
        (("--vram", "8", "--min-speed", "100000"), 3, "nothing-fits"),
        (("--vram", "8", "--context", "16000000"), 3, "nothing-matches"),
        (("--hardware", "/nonexistent.json"), 2, "hardware-unreadable"),
        (("--vram", "8", "--language", "klingon"), 2, "unknown-language"),
        (
            ("--vram", "8", "--language", "la", "--licence", "commercial", "--context", "1000000"),
            3,
            "nothing-matches",
        ),
        (("--vram", "8", "--role", "embedding", "--min-speed", "5"), 2, "contradiction"),
        (("--vram", "8", "--role", "reranker", "--context", "8192"), 2, "contradiction"),
        (("--vram", "8", "--role", "generation", "--reranker"), 2, "contradiction"),
        (("--vram", "8", "--max-download", "1MB"), 3, "nothing-fits"),
        (("--vram", "8", "--max-download", "much"), 2, "usage"),
        (("--vram", "8", "--docs", "0"), 2, "usage"),
    ],
)
def test_errors_say_what_and_what_to_do(
    planner: Planner, arguments: tuple[str, ...], code: int, reference: str
) -> None:
    outcome = planner("recommend", *arguments, "--json")
    assert outcome.code == code
    error = outcome.json["error"]
    assert error["reference"] == reference
    assert error["message"]
    assert error["hint"]
    plain = planner("recommend", *arguments)
    assert plain.code == code
    assert plain.out == ""
    assert plain.err.startswith("Error: ")
    assert "→" in plain.err


def test_a_machine_saved_elsewhere_is_planned_for(planner: Planner, tmp_path: Path) -> None:
    saved = tmp_path / "machine.json"
    saved.write_text(planner("hardware", "--gpu", "RTX 3090", "--json").out, encoding="utf-8")
    from_file = planner("recommend", "--hardware", str(saved), "--json").json
    direct = planner("recommend", "--gpu", "RTX 3090", "--json").json
    assert from_file["recommendations"] == direct["recommendations"]


def test_a_broken_catalog_file_of_the_user_is_an_error_and_a_good_one_is_used(
    planner: Planner, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"schema": 1, "family": "x", "models": [{"id": ', encoding="utf-8")
    outcome = planner("recommend", "--vram", "8", "--catalog", str(broken), "--json")
    assert outcome.code == 4
    assert "broken.json" in outcome.json["error"]["message"]


@pytest.mark.parametrize(
    "arguments", [("--vram", "8"), ("--gpu", "2x RTX 3090"), ("--ram", "16"), ("--vram", "24", "-n", "20")]
)
def test_table_and_explanation_fit_80_columns(planner: Planner, arguments: tuple[str, ...]) -> None:
    for extra in ((), ("--explain",), ("--reranker",)):
        outcome = planner("recommend", *arguments, *extra)
        assert outcome.code == 0
        assert max(map(len, outcome.out.splitlines())) <= 80


def test_every_plan_ends_with_a_command_that_a_shell_reads_as_the_one_of_the_contract(planner: Planner) -> None:
    plans = planner("recommend", "--vram", "24", "--prefer", "quality", "--docs", "5000", "--json").json
    text = planner("recommend", "--vram", "24", "--prefer", "quality", "--docs", "5000").out
    shown = re.findall(r"run: ((?:.*\\\n)*.*)", text)
    assert [shlex.split(line.replace("\\\n", "")) for line in shown] == [
        plan["command"] for plan in plans["recommendations"]
    ]


def test_csv_and_markdown_have_a_row_for_every_plan(planner: Planner) -> None:
    plans = planner("recommend", "--vram", "8", "--json").json["recommendations"]
    rows = list(csv.DictReader(io.StringIO(planner("recommend", "--vram", "8", "--format", "csv").out)))
    assert [row["generation"] for row in rows] == [plan["generation"]["model"] for plan in plans]
    assert [float(row["score"]) for row in rows] == [plan["score"] for plan in plans]
    assert [row["command"] for row in rows] == [" ".join(plan["command"]) for plan in plans]
    lines = planner("recommend", "--vram", "8", "--format", "md").out.splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == 1 + len(plans)
    assert all(line.count("|") == 10 for line in lines if line.startswith("|"))
    assert planner("recommend", "--vram", "8", "--format", "csv", "--json").code == 2
    assert planner("recommend", "--vram", "8", "--format", "md", "--explain").code == 2


def test_a_bounded_download_is_kept(planner: Planner) -> None:
    plans = planner("recommend", "--vram", "24", "--max-download", "4GB", "--json").json["recommendations"]
    rows = list(
        csv.DictReader(
            io.StringIO(planner("recommend", "--vram", "24", "--max-download", "4GB", "--format", "csv").out)
        )
    )
    assert len(rows) == len(plans) > 1
    assert all(int(row["download_bytes"]) <= 4_000_000_000 for row in rows)


def test_languages_may_be_named_in_english(planner: Planner) -> None:
    named = planner("recommend", "--vram", "8", "--language", "German", "--json").json
    assert named["workload"]["language"] == "de"
    assert named == planner("recommend", "--vram", "8", "--language", "de", "--json").json


def test_a_reranker_beside_the_pair_and_alone(planner: Planner) -> None:
    plans = planner("recommend", "--vram", "24", "--reranker", "--json").json["recommendations"]
    assert all(plan["reranker"] for plan in plans)
    alone = planner("recommend", "--vram", "24", "--role", "reranker", "--json").json["recommendations"]
    assert all(plan["reranker"] and plan["embedding"] is None and plan["generation"] is None for plan in alone)


def test_what_is_shown_is_a_choice(planner: Planner) -> None:
    plans = planner("recommend", "--vram", "24", "--json").json["recommendations"]
    labels = {label for plan in plans for label in plan["label"].split(", ")}
    assert {"balanced", "best quality", "fastest", "smallest"} <= labels
    assert len({plan["generation"]["model"] for plan in plans}) == len(plans)


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "gemma-3-4b-it", "--licence", "commercial"),
        ("up", "SmolLM2-135M-Instruct", "--context", "100000"),
    ],
)
def test_a_named_model_that_contradicts_a_wish_is_refused(planner: Planner, arguments: tuple[str, ...]) -> None:
    outcome = planner(*arguments, "--vram", "8", "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["reference"] == "contradiction"


def test_more_memory_never_lowers_the_best_score(planner: Planner) -> None:
    scores = [
        planner("recommend", "--vram", gib, "--bandwidth", "500", "-n", "1", "--json").json["recommendations"][0][
            "score"
        ]
        for gib in ("3", "4", "6", "8", "10", "12", "16", "20", "24", "32", "48", "80")
    ]
    assert scores == sorted(scores)
