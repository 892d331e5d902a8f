import json
from pathlib import Path
from typing import Any

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


def test_the_explanation_has_the_numbers_of_the_estimate_in_it(planner: Planner) -> None:
    outcome = planner("estimate", "Qwen3-8B:Q4_K_M", "--vram", "8", "--explain")
    assert all(len(line) <= 80 for line in outcome.out.split("\nweights ")[1].splitlines())
    assert "36 full layers · 8192 cells · 8 heads · (128·2 + 128·2) B" in outcome.out
    assert "= 1,152.00 MiB" in outcome.out
    assert "3·12288 + 5·4096 <" in outcome.out
    both = planner("estimate", "Qwen3-8B:Q4_K_M", "--vram", "8", "--explain", "--json").json
    assert both["explanation"][-1].startswith("total ")


@pytest.mark.parametrize(
    "model",
    [
        "bge-m3",
        "gemma-3-27b-it",
        "DeepSeek-V3",
        "gpt-oss-20b",
        "Qwen3.5-35B-A3B",
        "gemma-4-E2B-it",
        "granite-4.0-h-tiny",
    ],
)
def test_every_kind_of_network_can_be_explained_at_eighty_columns(planner: Planner, model: str) -> None:
    lines = planner("estimate", model, "--vram", "24", "--ram", "512", "--explain", "--json").json["explanation"]
    assert all(len(line) <= 80 for line in lines), [line for line in lines if len(line) > 80]


def test_the_table_has_a_row_for_every_quant_and_the_longest_context(planner: Planner) -> None:
    table = planner("estimate", "Qwen3-8B", "--vram", "8", "--table", "--json").json["table"]
    rows = {row["quant"]: row for row in table["rows"]}
    assert len(rows) > 1
    for row in rows.values():
        sizes = [cell["total_bytes"] for cell in row["cells"]]
        assert sizes == sorted(sizes)
        assert [cell["context"] for cell in row["cells"]] == table["contexts"]
    longest = rows["Q4_K_M"]["longest_context"]
    assert longest % 256 == 0
    for context, verdict in ((longest, "fits"), (longest + 256, "offload")):
        found = planner("estimate", "Qwen3-8B:Q4_K_M", "--vram", "8", "--context", str(context), "--json").json
        assert found["estimate"]["placement"]["verdict"] == verdict
    assert "longest" in planner("estimate", "Qwen3-8B", "--vram", "8", "--table").out


def test_what_gives_way_is_chosen_and_said(planner: Planner) -> None:
    def given(*ways: str) -> Any:
        return planner("estimate", "Qwen3-8B", "--vram", "8", "--parallel", "4", "--json", *ways).json

    plain = given("--context", "32768")
    assert plain["gave_way"] == []
    cache = given("--context", "32768", "--give-way", "kv-type,layers")
    assert cache["gave_way"] == ["cache q8_0 instead of f16"]
    shorter = planner("estimate", "Qwen3-8B:Q8_0", "--vram", "9", "--give-way", "context", "--json").json
    (step,) = shorter["gave_way"]
    assert step.startswith("context ")
    assert shorter["estimate"]["placement"]["verdict"] == "fits"
    assert shorter["variant"] == "Q8_0"
    smaller = planner("estimate", "Qwen3-8B", "--vram", "6", "--context", "4096", "--give-way", "quant", "--json")
    assert smaller.json["gave_way"] == [] or smaller.json["variant"] != "Q8_0"


@pytest.mark.parametrize(
    "arguments",
    [
        ("Qwen3-8B", "--context", "8192", "--give-way", "context"),
        ("Qwen3-8B", "--kv-type", "f16", "--give-way", "kv-type"),
        ("Qwen3-8B:Q8_0", "--give-way", "quant"),
        ("Qwen3-8B", "--give-way", "quality"),
    ],
)
def test_what_the_user_fixed_never_gives_way(planner: Planner, arguments: tuple[str, ...]) -> None:
    outcome = planner("estimate", *arguments, "--vram", "8", "--json")
    assert outcome.code == 2
    assert "give way" in outcome.json["error"]["message"]


def test_experts_and_the_cache_go_to_the_host_when_asked(planner: Planner) -> None:
    def memory(*options: str) -> dict[str, dict[str, int]]:
        answer = planner("estimate", "Qwen3-30B-A3B:Q4_K_M", "--vram", "48", "--ram", "64", "--json", *options).json
        return {row["device"]: row for row in answer["estimate"]["memory"]["devices"]}

    plain, experts, cache = memory(), memory("--cpu-moe", "10"), memory("--no-kv-offload")
    assert experts["host"]["weights_bytes"] > plain["host"]["weights_bytes"] + 10 * 300 * MIB
    assert cache["cuda:0"]["kv_cache_bytes"] == 0
    assert cache["host"]["kv_cache_bytes"] == plain["cuda:0"]["kv_cache_bytes"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": "Qwen3-8B", "context": 4, "parallel": 8}, "slots"),
        ({"model": "DeepSeek-V3", "kv_type_k": "q8_0", "kv_type_v": "f16"}, "one row"),
        ({"model": "Qwen3-8B", "backend": "opencl"}, "backend"),
        ({"model": "Qwen3-8B", "quant": "Q9_X"}, "Q9_X"),
        ({"model": "Qwen3-8B", "kv_type_v": "q8_0", "flash_attention": False}, "flash attention"),
        ({"model": "Qwen3-8B", "n_cpu_moe": -1}, "n_cpu_moe"),
    ],
)
def test_what_no_engine_would_do_is_refused_in_words(
    planner: Planner, tmp_path: Path, change: dict[str, object], word: str
) -> None:
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", {"id": 1, **change})).lines
    assert word in answer["error"]["message"]


def test_a_device_of_zero_bandwidth_is_refused_by_field(planner: Planner, tmp_path: Path) -> None:
    device = {
        "id": "gpu0", "name": "Odd", "slug": "odd", "vendor": "nvidia", "backend": "cuda", "kind": "discrete",
        "memory_total_bytes": 24 * 2**30, "memory_free_bytes": None, "memory_budget_bytes": 24 * 2**30,
        "memory_bandwidth_gbps": 0.0, "fp32_tflops": None,
    }  # fmt: skip
    request = {"id": 1, "model": "Qwen3-8B", "quant": "Q4_K_M", "device": device}
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", request)).lines
    assert "memory_bandwidth_gbps" in answer["error"]["message"]


def test_a_context_beyond_the_trained_one_and_states_kept_beside_the_sum_are_warned_of(planner: Planner) -> None:
    long = planner("estimate", "Qwen3-8B", "--vram", "80", "--context", "100000", "--json").json["estimate"]
    assert any("trained context" in warning for warning in long["warnings"])
    sliding = planner("estimate", "gemma-3-27b-it", "--vram", "80", "--json").json["estimate"]
    assert any("--ctx-checkpoints" in warning for warning in sliding["warnings"])


def test_a_header_with_absurd_numbers_is_refused_with_the_number_named(planner: Planner, tmp_path: Path) -> None:
    spec = {
        "id": "someone/absurd", "family": "llama", "role": "generation", "parameters": 1, "context_length": 4096,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "architecture": {
            "name": "llama", "layers": 2**32, "embedding_length": 4096, "feed_forward_length": 14336,
            "head_count": 32, "head_count_kv": 8, "key_length": 128, "value_length": 128, "vocab_size": 128256,
        },
    }  # fmt: skip
    request = {"id": 1, "spec": spec, "quant": "Q8_0"}
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", request)).lines
    assert "layers" in answer["error"]["message"]
    assert "4096" in answer["error"]["message"]


SPEC: dict[str, Any] = {
    "id": "someone/small", "family": "llama", "role": "generation", "parameters": 8030261248,
    "context_length": 131072, "licence": {"spdx": "MIT", "commercial": "yes"},
    "architecture": {
        "name": "llama", "layers": 32, "embedding_length": 4096, "feed_forward_length": 14336, "head_count": 32,
        "head_count_kv": 8, "key_length": 128, "value_length": 128, "vocab_size": 128256,
    },
}  # fmt: skip


def ask(planner: Planner, path: Path, **request: Any) -> Any:
    (answer,) = planner("estimate", "--jsonl", write_requests(path / "r.jsonl", {"id": 1, **request})).lines
    return answer


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameters": 1}, ("parameters", "8,030,261,248")),
        ({"layers": 4096, "parameters": 1}, ("parameters",)),
        ({"head_count_kv": 64}, ("head_count_kv",)),
        ({"expert_count": 8, "expert_used_count": 9, "parameters": None}, ("experts",)),
        ({"layer_pattern": "s"}, ("sliding_window",)),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(
    planner: Planner, tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    shape = SPEC["architecture"] | {name: value for name, value in change.items() if name != "parameters"}
    spec = SPEC | {"architecture": shape, "parameters": change.get("parameters", SPEC["parameters"])}
    answer = ask(planner, tmp_path, spec=spec, quant="Q8_0", gpu="RTX 3090")
    assert all(word in answer["error"]["message"] for word in words)
    assert answer["error"]["reference"] == "bad-spec"


@pytest.mark.parametrize("size", [10, 300_000_000, 200_000_000_000])
def test_a_file_that_no_quant_type_makes_is_refused(planner: Planner, tmp_path: Path, size: int) -> None:
    answer = ask(planner, tmp_path, spec=SPEC, quant="Q4_K_M", file_bytes=size, gpu="RTX 3090")
    assert "file_bytes" in answer["error"]["message"]
    assert ask(planner, tmp_path, model="Qwen3-8B", file_bytes=10, gpu="RTX 3090")["error"]
    assert "estimate" in ask(planner, tmp_path, spec=SPEC, file_bytes=2_000_000_000, gpu="RTX 3090")


@pytest.mark.parametrize("field", ["batch", "ubatch", "parallel", "context", "n_prompt"])
def test_none_of_something_is_refused(planner: Planner, tmp_path: Path, field: str) -> None:
    message = ask(planner, tmp_path, model="Qwen3-8B", gpu="RTX 3090", **{field: 0})["error"]["message"]
    assert f"“{field}” must be at least 1" in message


def test_a_depth_beyond_the_context_is_refused_and_a_prompt_beyond_it_is_warned_of(
    planner: Planner, tmp_path: Path
) -> None:
    base = {"model": "Qwen3-8B", "gpu": "RTX 3090", "context": 4096}
    assert "depth" in ask(planner, tmp_path, **base, depth=4097)["error"]["message"]
    longer = ask(planner, tmp_path, **base, depth=4000, n_prompt=512)["estimate"]["warnings"]
    assert any("does not go into" in warning for warning in longer)
    for depth in (0, 4000):
        assert not any("go into" in w for w in ask(planner, tmp_path, **base, depth=depth)["estimate"]["warnings"])


def test_an_encoder_generates_nothing(planner: Planner, tmp_path: Path) -> None:
    speed = ask(planner, tmp_path, model="bge-m3", quant="F16", gpu="RTX 3090", embedding=False)
    assert speed["estimate"]["throughput"]["tg"] is None
    assert speed["estimate"]["throughput"]["embed"]["mid"] > 0


def test_an_architecture_that_nobody_checked_is_warned_of(planner: Planner, tmp_path: Path) -> None:
    strange = SPEC | {"architecture": SPEC["architecture"] | {"name": "perceiver"}}
    warnings = ask(planner, tmp_path, spec=strange, quant="Q8_0", gpu="RTX 3090")["estimate"]["warnings"]
    assert any("perceiver" in warning for warning in warnings)
    warnings = ask(planner, tmp_path, spec=SPEC, quant="Q8_0", gpu="RTX 3090")["estimate"]["warnings"]
    assert not any("architecture" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backend": "opencl"}, ("$.backend", "cuda, rocm, vulkan, metal, cpu")),
        ({"kv_type_k": "q9"}, ("$.kv_type_k", "f32, f16, bf16, q8_0")),
        ({"spec": SPEC | {"role": "poet"}, "model": None}, ("$.spec.role", "embedding, generation, reranker")),
        ({"device": {"name": 5}}, ("device.name",)),
    ],
)
def test_a_word_that_is_not_allowed_is_answered_with_those_that_are(
    planner: Planner, tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]
) -> None:
    message = ask(planner, tmp_path, **{"model": "Qwen3-8B", **change})["error"]["message"]
    assert all(word in message for word in words)


@pytest.mark.parametrize(
    "line", ['{"id": 1, "model": "Qwen3-8B", "model": "bge-m3"}', '{"model": "x", "device": {"a": 1, "a": 2}}']
)
def test_a_key_that_is_there_twice_is_refused(planner: Planner, tmp_path: Path, line: str) -> None:
    (answer,) = planner("estimate", "--jsonl", write_requests(tmp_path / "r.jsonl", line)).lines
    assert "there twice" in answer["error"]["message"]


def test_an_assumed_memory_of_an_apple_chip_is_said(planner: Planner, tmp_path: Path) -> None:
    assumed = ask(planner, tmp_path, model="Qwen3-8B", gpu="Apple M2")["estimate"]
    assert any("8 GiB" in warning and "ram_bytes" in warning for warning in assumed["warnings"])
    said = ask(planner, tmp_path, model="Qwen3-8B", gpu="Apple M2", ram_bytes=16 * 2**30)["estimate"]
    assert not any("ram_bytes" in warning for warning in said["warnings"])


def test_a_budget_in_a_hardware_file_is_a_limit(planner: Planner, tmp_path: Path) -> None:
    machine = planner("hardware", "--gpu", "RTX 3060 12 GB", "--json").json
    machine["devices"][0]["memory_budget_bytes"] = 4 * 2**30
    file = tmp_path / "machine.json"
    file.write_text(json.dumps(machine))
    found = planner("estimate", "Qwen3-8B:Q4_K_M", "--hardware", str(file), "--json").json["estimate"]
    assert found["placement"]["verdict"] == "offload"
    assert found["memory"]["devices"][0]["budget_bytes"] == 4 * 2**30


def test_a_card_far_faster_than_those_measured_is_less_sure_than_others(planner: Planner) -> None:
    def width(card: str) -> float:
        rate = planner("estimate", "Qwen3-8B:Q4_K_M", "--gpu", card, "--json").json["estimate"]["throughput"]["tg"]
        return float(rate["high"] / rate["low"])

    # Neither architecture has rows.
    assert width("H100 PCIe") > 1.2 * width("RTX 2080 Ti")
