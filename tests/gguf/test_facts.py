"""From header to facts to the planner's types: what an estimate rests on."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest

from planner.core.models.layers import Mixer, mixer
from planner.core.models.model import Pooling, Role
from planner.errors import GgufError
from planner.gguf.facts import GgufFacts, Shard, facts
from planner.gguf.files import read_path
from planner.gguf.model import architecture, model_from_facts, weight_table

GgufMaker = Callable[..., Path]

BASE = {
    "block_count": 12,
    "context_length": 32768,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 8,
    "attention.head_count_kv": 4,
}
TABLE: dict[str, tuple[int, ...]] = {"token_embd.weight": (32, 64)}


def facts_of(path: Path) -> GgufFacts:
    header = read_path(path).header
    assert header is not None
    return facts(header)


def test_a_llama(make_gguf: GgufMaker) -> None:
    path = make_gguf(whole_keys={"general.name": "Tiny", "general.license": "apache-2.0"})
    found = facts_of(path)
    arch = architecture(found)
    per_layer = 4 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 128 + 64)
    assert (found.layers, found.head_count, found.head_count_kv, found.vocab) == (2, 4, 2, 32)
    assert found.parameters * 4 == found.tensor_bytes == sum(found.tensor_types.values())
    assert found.token_embedding_bytes == 32 * 64 * 4
    assert found.layer_bytes == (per_layer, per_layer)
    assert found.output_bytes == 4 * (64 + 32 * 64)
    assert found.has_output
    assert not arch.tied_embeddings
    assert arch.key_length == arch.value_length == 16
    assert arch.gated_feed_forward
    assert arch.causal
    assert found.header_bytes + found.tensor_bytes <= found.size_bytes
    assert weight_table(found).tensor_bytes == found.tensor_bytes


def test_a_tied_model_counts_its_table_once(make_gguf: GgufMaker) -> None:
    tensors = {"token_embd.weight": (32, 64), "blk.0.ffn_up.weight": (128, 64), "output_norm.weight": (64,)}
    found = facts_of(make_gguf(keys={**BASE, "block_count": 1}, tensors=tensors))
    table = weight_table(found)
    assert found.tied
    assert architecture(found).tied_embeddings
    assert table.output_bytes == table.input_bytes == 32 * 64 * 4
    assert table.tensor_bytes == found.tensor_bytes


def test_an_encoder(make_gguf: GgufMaker) -> None:
    keys = {**BASE, "attention.head_count_kv": 8, "attention.causal": False, "pooling_type": 2, "context_length": 512}
    tensors = {
        **TABLE, "position_embd.weight": (512, 64), "token_types.weight": (2, 64), "token_embd_norm.weight": (64,),
        **{f"blk.{layer}.ffn_up.weight": (128, 64) for layer in range(12)},
    }  # fmt: skip
    found = facts_of(make_gguf(arch="bert", keys=keys, tensors=tensors))
    arch = architecture(found)
    model, variant = model_from_facts(found, name="my/bert")
    assert (arch.position_embeddings, arch.token_types) == (512, 2)
    assert not arch.causal
    assert not arch.tied_embeddings
    assert not arch.gated_feed_forward
    assert found.input_bytes == 4 * 64 * (32 + 512 + 2 + 1)
    assert found.output_bytes == 0
    assert (model.role, model.pooling, model.embedding_length) == (Role.EMBEDDING, Pooling.CLS, 64)
    assert variant.tensor_bytes == found.tensor_bytes


@pytest.mark.parametrize(
    ("arch", "keys", "full"),
    [
        ("gemma2", {"attention.sliding_window": 4096}, [1, 3, 5, 7, 9, 11]),
        ("gemma2", {}, [1, 3, 5, 7, 9, 11]),
        ("gemma3", {"attention.sliding_window": 512}, [5, 11]),
        ("gpt-oss", {"attention.sliding_window": 128}, [1, 3, 5, 7, 9, 11]),
        ("cohere2", {"attention.sliding_window": 4096}, [3, 7, 11]),
        ("llama4", {}, [3, 7, 11]),
        ("cohere2", {"attention.sliding_window": 4096, "attention.sliding_window_pattern": 3}, [2, 5, 8, 11]),
        (
            "newest",
            {"attention.sliding_window": 512, "attention.sliding_window_pattern": [True, True, False] * 4},
            [2, 5, 8, 11],
        ),
    ],
)
def test_sliding_layers(make_gguf: GgufMaker, arch: str, keys: dict[str, Any], full: list[int]) -> None:
    found = facts_of(make_gguf(arch=arch, keys={**BASE, **keys}, tensors=TABLE))
    shape = architecture(found)
    assert [layer for layer in range(12) if mixer(shape, layer) is not Mixer.SLIDING] == full


@pytest.mark.parametrize(
    ("arch", "keys"),
    [
        ("gemma3", {}),
        ("llama", {}),
        ("phi3", {"attention.sliding_window": 2047}),
        ("mystery", {"attention.sliding_window": 1024}),
        ("gemma3", {"attention.sliding_window": 0}),
        ("gemma3", {"attention.sliding_window": 512, "attention.sliding_window_pattern": [True, False]}),
    ],
)
def test_without_a_known_pattern_every_layer_is_full(make_gguf: GgufMaker, arch: str, keys: dict[str, Any]) -> None:
    """Then the KV cache is over-estimated: the safe side."""
    shape = architecture(facts_of(make_gguf(arch=arch, keys={**BASE, **keys}, tensors=TABLE)))
    assert shape.sliding_window is None
    assert not any(mixer(shape, layer) is Mixer.SLIDING for layer in range(12))


def test_values_per_layer_use_the_largest(make_gguf: GgufMaker) -> None:
    keys = {**BASE, "block_count": 3, "attention.head_count_kv": [4, 0, 2], "feed_forward_length": [64, 128, 96]}
    found = facts_of(make_gguf(keys=keys, tensors=TABLE))
    assert found.head_count_kv == 4
    assert found.head_count_kv_by_layer == (4, 0, 2)
    assert architecture(found).feed_forward_length == 128


def test_a_negative_number_of_heads_in_one_layer_is_refused(make_gguf: GgufMaker) -> None:
    keys = {**BASE, "block_count": 3, "attention.head_count_kv": [4, -2, 2]}
    with pytest.raises(GgufError, match="head_count_kv has -2"):
        architecture(facts_of(make_gguf(keys=keys, tensors=TABLE)))


def test_experts(make_gguf: GgufMaker) -> None:
    keys = {**BASE, "block_count": 1, "expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 32,
            "expert_shared_count": 1}  # fmt: skip
    tensors = {**TABLE, "blk.0.ffn_up_exps.weight": (8, 32, 64), "blk.0.attn_q.weight": (64, 64)}
    found = facts_of(make_gguf(arch="qwen3moe", keys=keys, tensors=tensors))
    arch = architecture(found)
    experts, rest = 8 * 32 * 64, 64 * 64
    assert arch.is_moe
    assert (arch.expert_count, arch.expert_used_count) == (8, 2)
    assert arch.expert_shared_feed_forward_length == 32
    assert found.active_parameters == experts // 4 + rest + 32 * 64
    assert found.active_share[0] == pytest.approx((experts / 4 + rest) / (experts + rest))
    model, _ = model_from_facts(found, name="x")
    assert model.active_parameters == found.active_parameters


def test_experts_in_every_second_layer(make_gguf: GgufMaker) -> None:
    keys = {**BASE, "expert_count": 8, "expert_used_count": 2, "moe_every_n_layers": 2}
    arch = architecture(facts_of(make_gguf(arch="nomic-bert-moe", keys=keys, tensors=TABLE)))
    assert arch.expert_every == 2
    dense = {**BASE, "moe_every_n_layers": 2}
    assert architecture(facts_of(make_gguf(arch="nomic-bert-moe", keys=dense, tensors=TABLE))).expert_every is None


LATENT = {**BASE, "attention.head_count_kv": 1, "attention.kv_lora_rank": 512, "rope.dimension_count": 64,
          "attention.key_length": 576, "attention.value_length": 512}  # fmt: skip


def test_latent_attention_needs_its_own_tensors(make_gguf: GgufMaker) -> None:
    """An older conversion names the rank too, but llama.cpp caches whole heads for it."""
    mla = {"attention.key_length_mla": 192, "attention.value_length_mla": 128}
    new = architecture(facts_of(make_gguf(arch="deepseek2", keys={**LATENT, **mla}, tensors=TABLE)))
    old = architecture(facts_of(make_gguf(arch="deepseek2", keys=LATENT, tensors=TABLE)))
    assert (new.kv_lora_rank, new.rope_head_length, new.key_length, new.value_length) == (512, 64, 192, 128)
    assert (old.kv_lora_rank, old.rope_head_length) == (None, None)


@pytest.mark.parametrize(
    ("keys", "quant"),
    [
        ({"general.file_type": 15}, "Q4_K_M"),
        ({"general.file_type": 1024 + 7}, "Q8_0"),
        ({}, "Q8_0"),
        ({"general.file_type": 9999}, "Q8_0"),
    ],
)
def test_quant_from_the_recipe_else_from_most_bytes(make_gguf: GgufMaker, keys: dict[str, int], quant: str) -> None:
    kinds = gguf.GGMLQuantizationType
    quantised = {"blk.0.x": ((64, 64), kinds.Q4_0), "blk.0.ffn_up.weight": ((1024, 64), kinds.Q8_0)}
    assert facts_of(make_gguf(quantised=quantised, whole_keys=keys)).quant == quant


def test_a_projection_behind_the_pooling_sets_the_vector_length(make_gguf: GgufMaker) -> None:
    found = facts_of(make_gguf(arch="gemma-embedding", tensors={**TABLE, "dense_2.weight": (48, 64)}))
    assert found.has_dense_projection
    assert found.vector_length == 48
    assert not found.causal
    assert found.tied


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"block_count": 2**32 - 1}, "llama.block_count"),
        ({"block_count": 0}, "llama.block_count"),
        ({"block_count": None}, "llama.block_count"),
        ({"block_count": "thirty"}, "llama.block_count"),
        ({"block_count": 500}, "llama.block_count"),
        ({"embedding_length": 2**31}, "llama.embedding_length"),
        ({"embedding_length": 128}, "llama.embedding_length"),
        ({"attention.head_count": 0}, "llama.attention.head_count"),
        ({"attention.head_count": [0, 0]}, "llama.attention.head_count"),
        ({"attention.head_count_kv": 2**20}, "llama.attention.head_count_kv"),
        ({"attention.head_count_kv": 6}, "llama.attention.head_count_kv"),
        ({"context_length": 2**30}, "llama.context_length"),
        ({"context_length": None}, "llama.context_length"),
        ({"feed_forward_length": 2**30}, "llama.feed_forward_length"),
        ({"feed_forward_length": 0.5}, "llama.feed_forward_length"),
        ({"attention.key_length": 0}, None),
        ({"attention.key_length": 2**30}, "llama.attention.key_length"),
        ({"expert_count": 4, "expert_used_count": 8}, "llama.expert_used_count"),
        ({"leading_dense_block_count": 99, "expert_count": 4}, "llama.leading_dense_block_count"),
    ],
)
def test_implausible_numbers_are_shown_but_not_estimated(
    make_gguf: GgufMaker, change: dict[str, Any], field: str | None
) -> None:
    keys: dict[str, Any] = {
        "block_count": 2, "context_length": 2048, "embedding_length": 64, "feed_forward_length": 128,
        "attention.head_count": 4, "attention.head_count_kv": 2, **change,
    }  # fmt: skip
    found = facts_of(make_gguf(keys={key: value for key, value in keys.items() if value is not None}))
    if field is None:
        architecture(found)
        return
    with pytest.raises(GgufError, match=field) as caught:
        architecture(found)
    assert caught.value.reference == "gguf-implausible"
    with pytest.raises(GgufError):
        model_from_facts(found, name="x")


def test_numbers_of_64_bits_are_refused_by_name(tmp_path: Path) -> None:
    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    head = (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
    )
    path = tmp_path / "model.gguf"
    path.write_bytes(head + text(b"llama.block_count") + struct.pack("<Iq", 11, -(2**63)))
    with pytest.raises(GgufError, match=r"llama\.block_count"):
        architecture(facts_of(path))


def test_a_vocabulary_is_not_a_model(make_gguf: GgufMaker) -> None:
    with pytest.raises(GgufError, match="no weights"):
        model_from_facts(facts_of(make_gguf(tensors={})), name="x")


@pytest.mark.parametrize("name", ["my model (1)!.gguf", "con.gguf", "modèle@home.gguf"])
def test_any_file_name_becomes_a_safe_artifact(make_gguf: GgufMaker, name: str) -> None:
    _, variant = model_from_facts(facts_of(make_gguf(name)), name="x")
    assert variant.artifacts[0].source == "file"
    assert variant.artifacts[0].file.endswith(".gguf")


# Split models


def split(make_gguf: GgufMaker, number: int, count: int, tensors: dict[str, tuple[int, ...]], *, total: int) -> Path:
    keys = {"split.no": number, "split.count": count, "split.tensors.count": total}
    return make_gguf(f"big-{number + 1:05d}-of-{count:05d}.gguf", tensors=tensors, whole_keys=keys)


def test_parts_in_one_folder_are_read_together(make_gguf: GgufMaker) -> None:
    first = split(make_gguf, 0, 2, {"token_embd.weight": (32, 64), "blk.0.attn_q.weight": (64, 64)}, total=3)
    second = split(make_gguf, 1, 2, {"blk.1.attn_q.weight": (64, 64)}, total=3)
    for path in (first, second):
        contents = read_path(path)
        assert contents.header is not None
        found = facts(contents.header)
        assert found.shard is None
        assert found.parameters == 32 * 64 + 2 * 64 * 64
        assert found.tensor_count == 3
        assert contents.size_bytes == first.stat().st_size + second.stat().st_size
        model_from_facts(found, name="x")


def test_a_lone_part_says_so_and_is_not_estimated(make_gguf: GgufMaker) -> None:
    path = split(make_gguf, 0, 3, TABLE, total=9)
    contents = read_path(path)
    assert contents.missing_parts == ("big-00002-of-00003.gguf", "big-00003-of-00003.gguf")
    found = facts_of(path)
    assert found.shard == Shard(1, 3)
    assert any("part 1 of 3" in note for note in found.notes)
    with pytest.raises(GgufError, match="part 1 of 3"):
        model_from_facts(found, name="x")


def test_a_part_is_known_by_its_name_alone(make_gguf: GgufMaker) -> None:
    assert facts_of(make_gguf("big-00002-of-00004.gguf")).shard == Shard(2, 4)


def test_a_part_is_known_by_its_keys_alone(make_gguf: GgufMaker) -> None:
    found = facts_of(make_gguf("renamed.gguf", whole_keys={"split.no": 1, "split.count": 4}))
    assert found.shard == Shard(2, 4)


@pytest.mark.parametrize("fault", ["count", "order", "twice"])
def test_parts_that_do_not_belong_together_are_refused(make_gguf: GgufMaker, fault: str) -> None:
    split(make_gguf, 0, 2, {"a": (32,)}, total=5 if fault == "count" else 2)
    second = split(make_gguf, 1, 2, {"a" if fault == "twice" else "b": (32,)}, total=2)
    if fault == "order":
        make_gguf(second.name, tensors={"b": (32,)}, whole_keys={"split.no": 0, "split.count": 2})
    with pytest.raises(GgufError, match=r"big-0000"):
        read_path(second)
