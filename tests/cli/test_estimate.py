import json
from pathlib import Path

import pytest

from planner.units import MIB
from tests.cli.conftest import Planner


def write_requests(path: Path, *requests: object) -> str:
    text = "\n".join(item if isinstance(item, str) else json.dumps(item) for item in requests)
    path.write_text(text + "\n", encoding="utf-8")
    return str(path)


def test_a_model_on_a_named_card(planner: Planner) -> None:
    answer = planner("estimate", "Qwen3-8B:Q4_K_M", "--gpu", "RTX 3090", "--context", "8192", "--json").json[
        "estimate"
    ]
    assert answer["placement"]["verdict"] == "fits"
    assert answer["memory"]["kv_cache_bytes"] == 36 * 8 * 256 * 2 * 8192
    assert [row["device"] for row in answer["memory"]["devices"]][-1] == "host"
    assert answer["throughput"]["tg"]["low"] < answer["throughput"]["tg"]["high"]


def test_many_requests_keep_their_order_and_one_bad_line_loses_nothing(planner: Planner, tmp_path: Path) -> None:
    lines = write_requests(
        tmp_path / "requests.jsonl",
        {"id": "a", "model": "Qwen3-8B", "quant": "Q4_K_M", "gpu": "RTX 3090"},
        "not json",
        {"id": 2, "model": "no-such-model"},
        {"id": "c", "model": "Qwen3-8B", "unknown_field": 1},
        {"id": "d", "model": "Qwen3-8B", "gpu": "RTX 3090", "n_gpus": 2},
        {"id": "e", "model": "Qwen3-8B", "gpu": "no such card"},
        {"id": "f", "model": "Qwen3-8B", "context": 0},
        {"id": "g", "model": "Qwen3-8B", "quant": "Q4_K_M", "ram_bytes": 64 * 2**30},
    )
    outcome = planner("estimate", "--jsonl", lines)
    assert outcome.code == 0
    answers = outcome.lines
    assert [answer["id"] for answer in answers] == ["a", None, 2, "c", "d", "e", "f", "g"]
    assert [("estimate" in answer) for answer in answers] == [True, False, False, False, True, False, False, True]
    assert answers[2]["error"]["reference"] == "unknown-model"
    split = answers[4]["estimate"]
    assert len(split["memory"]["devices"]) == 3
    assert len(split["placement"]["tensor_split"]) == 2
    # No device named: the host's CPU, so everything is in its memory.
    assert [row["device"] for row in answers[7]["estimate"]["memory"]["devices"]] == ["host"]


def test_a_specification_and_a_device_of_the_callers_own(planner: Planner, tmp_path: Path) -> None:
    spec = {
        "id": "someone/small",
        "family": "llama",
        "role": "generation",
        "parameters": 8030261248,
        "context_length": 131072,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "architecture": {
            "name": "llama", "layers": 32, "embedding_length": 4096, "feed_forward_length": 14336, "head_count": 32,
            "head_count_kv": 8, "key_length": 128, "value_length": 128, "vocab_size": 128256,
        },
    }  # fmt: skip
    device = {
        "id": "gpu0", "name": "My card", "slug": "my-card", "vendor": "nvidia", "backend": "cuda", "kind": "discrete",
        "memory_total_bytes": 24 * 2**30, "memory_free_bytes": 24 * 2**30, "memory_budget_bytes": 24 * 2**30,
        "memory_bandwidth_gbps": 900.0, "fp32_tflops": 35.0, "fp16_tflops": 140.0,
    }  # fmt: skip
    lines = write_requests(
        tmp_path / "requests.jsonl",
        {"id": 1, "spec": spec, "file_bytes": 8_540_775_840, "quant": "Q8_0", "device": device, "context": 8192},
        {"id": 2, "spec": spec, "quant": "Q8_0", "device": device, "context": 8192, "n_gpu_layers": 0},
        {"id": 3, "spec": spec, "quant": "Q8_0", "device": device, "context": 8192, "embedding": True},
        {"id": 4, "spec": spec, "quant": "Q8_0", "device": device, "context": 8192, "kv_type": "q8_0"},
    )
    full, on_cpu, embedding, small_cache = (a["estimate"] for a in planner("estimate", "--jsonl", lines).lines)
    card = full["memory"]["devices"][0]
    assert card["compute_bytes"] / MIB == pytest.approx(132, rel=0.01)
    assert card["kv_cache_bytes"] == 1024 * MIB
    assert on_cpu["placement"]["n_gpu_layers"] == 0
    assert embedding["throughput"]["tg"] is None
    assert embedding["memory"]["devices"][0]["compute_bytes"] > card["compute_bytes"]
    assert small_cache["memory"]["kv_cache_bytes"] < full["memory"]["kv_cache_bytes"] * 0.54


@pytest.mark.parametrize(
    "change",
    [
        {"context": 10**21}, {"parallel": 100_000}, {"n_gpus": 1000}, {"depth": -1}, {"file_bytes": 0},
        {"backend": "metal"}, {"kv_type": "q9"}, {"ubatch": 2**40},
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_field_named(
    planner: Planner, tmp_path: Path, change: dict[str, object]
) -> None:
    request = {"id": 1, "model": "Qwen3-8B", "gpu": "RTX 3090", **change}
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", request)).lines
    assert next(iter(change)) in answer["error"]["message"] or "metal" in answer["error"]["message"]
    assert answer["error"]["hint"]


def test_an_embedders_batch_is_its_micro_batch(planner: Planner, tmp_path: Path) -> None:
    request = {"id": 1, "model": "bge-m3", "quant": "F16", "gpu": "RTX 3090", "ubatch": 8192}
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", request)).lines
    assert answer["estimate"]["memory"]["devices"][0]["compute_bytes"] / MIB == pytest.approx(416, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("no-such-model",), 2),
        (("Qwen3-8B:Q9_X",), 2),
        (("/nonexistent/model.gguf",), 2),
        (("Qwen3-8B", "--kv-type", "q9"), 2),
        (("Qwen3-8B", "--kv-type", "q4_0", "--no-flash-attention"), 4),
    ],
)
def test_errors(planner: Planner, arguments: tuple[str, ...], code: int) -> None:
    outcome = planner("estimate", *arguments, "--vram", "8", "--json")
    assert outcome.code == code
    assert outcome.json["error"]["message"]


def test_a_truncated_gguf_is_bad_data(planner: Planner, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(b"GGUF\x03\x00\x00\x00\x10")
    outcome = planner("estimate", str(cut), "--vram", "8", "--json")
    assert outcome.code == 4
    assert "cut.gguf" in outcome.json["error"]["message"]
