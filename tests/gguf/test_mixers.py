"""Hybrid and recurrent networks: what each layer is, and what their caches and states take."""

from pathlib import Path
from typing import Any

import pytest

from planner.core.memory.kv_cache import kv_layer_bytes, state_bytes
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture, Recurrent
from planner.gguf.facts import GgufFacts, facts
from planner.gguf.files import read_path
from planner.gguf.model import architecture
from tests.gguf.conftest import GgufMaker

BASE: dict[str, Any] = {
    "block_count": 4,
    "context_length": 4096,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 16,
    "attention.value_length": 16,
}
TABLE: dict[str, tuple[int, ...]] = {"token_embd.weight": (32, 64)}
DELTA = ("attn_qkv", "attn_gate", "ssm_conv1d", "ssm_out", "ffn_up")
FULL = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up")
MAMBA = ("ssm_in", "ssm_conv1d", "ssm_out")


def facts_of(path: Path) -> GgufFacts:
    header = read_path(path).header
    assert header is not None
    return facts(header)


def tensors(*layers: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    return TABLE | {f"blk.{index}.{name}.weight": (64, 64) for index, names in enumerate(layers) for name in names}


def shape(make_gguf: GgufMaker, arch: str, keys: dict[str, Any], *layers: tuple[str, ...]) -> Architecture:
    return architecture(facts_of(make_gguf(arch=arch, keys={**BASE, **keys}, tensors=tensors(*layers))))


STATE = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 16,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 8,
}
SETTINGS = Settings(context=1024)
CACHE = 2 * (16 + 16) * 2 * 1024
KEPT = 4 * (3 * (128 + 2 * 2 * 16) + 16 * 128)


def test_a_gated_delta_net_keeps_a_state_in_three_of_four_layers(make_gguf: GgufMaker) -> None:
    arch = shape(make_gguf, "qwen35", STATE | {"full_attention_interval": 4}, DELTA, DELTA, DELTA, FULL)
    assert arch.layer_pattern == "rrrf"
    assert arch.recurrent == Recurrent(
        kind="delta-net", convolution_length=4, inner_length=128, state_length=16, group_count=2, head_count=8
    )
    assert kv_layer_bytes(arch, SETTINGS) == (KEPT, KEPT, KEPT, CACHE)


def test_a_state_is_kept_for_every_slot_and_does_not_grow_with_the_context(make_gguf: GgufMaker) -> None:
    arch = shape(make_gguf, "granitehybrid", STATE, (*MAMBA, "ffn_up"), FULL)
    assert arch.layer_pattern == "rfff"
    for context in (1024, 4096):
        assert kv_layer_bytes(arch, Settings(context=context, parallel=4))[0] == 4 * KEPT


def test_a_short_convolution_keeps_its_last_inputs(make_gguf: GgufMaker) -> None:
    convolution = ("shortconv", "ffn_up")
    keys = {"shortconv.l_cache": 3, "attention.head_count_kv": [0, 0, 2, 2]}
    arch = shape(make_gguf, "lfm2", keys, convolution, convolution, FULL, FULL)
    assert arch.layer_pattern == "rrff"
    assert kv_layer_bytes(arch, SETTINGS) == (4 * 2 * 64, 4 * 2 * 64, CACHE, CACHE)


def test_layers_that_are_one_thing_or_the_other(make_gguf: GgufMaker) -> None:
    keys = STATE | {"attention.head_count_kv": [0, 0, 2, 0], "feed_forward_length": [0, 96, 0, 96]}
    arch = shape(make_gguf, "nemotron_h", keys, MAMBA, ("ffn_up", "ffn_down"), FULL[:4], ("ffn_up", "ffn_down"))
    assert (arch.layer_pattern, arch.one_part_layers) == ("rnfn", True)
    assert kv_layer_bytes(arch, SETTINGS) == (KEPT, 0, CACHE, 0)


def test_attention_and_state_side_by_side(make_gguf: GgufMaker) -> None:
    arch = shape(make_gguf, "falcon-h1", STATE, *[(*FULL, *MAMBA)] * 4)
    assert arch.layer_pattern == "bbbb"
    assert kv_layer_bytes(arch, SETTINGS) == (CACHE + KEPT,) * 4


def test_a_network_without_attention_needs_no_heads(make_gguf: GgufMaker) -> None:
    keys = STATE | {"attention.head_count": 0, "attention.head_count_kv": 0, "feed_forward_length": 0}
    arch = shape(make_gguf, "mamba2", keys, *[MAMBA] * 4)
    assert kv_layer_bytes(arch, SETTINGS) == (KEPT,) * 4


@pytest.mark.parametrize(
    ("name", "keys", "elements"),
    [
        ("rwkv7", {"wkv.head_size": 16}, 64 * (16 + 2)),
        ("kimi-linear", {"kda.head_dim": 16, "ssm.conv_kernel": 4}, 4 * 16 * (3 * 3 + 16)),
    ],
)
def test_other_states_are_known_by_their_size(
    make_gguf: GgufMaker, name: str, keys: dict[str, Any], elements: int
) -> None:
    mixing = ("time_mix_output", "ffn_up") if name == "rwkv7" else ("ssm_conv1d", "ffn_up")
    arch = shape(make_gguf, name, keys, *[mixing] * 4)
    assert state_bytes(arch) == 4 * elements


def test_a_state_that_the_header_does_not_describe_is_said_not_guessed(make_gguf: GgufMaker) -> None:
    found = facts_of(make_gguf(arch="novel", keys=BASE, tensors=tensors(*[(*MAMBA, "ffn_up")] * 4)))
    assert found.recurrent is None
    assert any("state" in note for note in found.notes)
    assert kv_layer_bytes(architecture(found), SETTINGS) == (0, 0, 0, 0)


def test_sliding_layers_of_other_lengths_and_shared_caches(make_gguf: GgufMaker) -> None:
    keys = {
        "attention.sliding_window": 256,
        "attention.sliding_window_pattern": [True, True, True, False],
        "attention.head_count_kv": [4, 4, 4, 1],
        "attention.key_length": 32,
        "attention.value_length": 32,
        "attention.key_length_swa": 16,
        "attention.value_length_swa": 16,
        "attention.shared_kv_layers": 2,
        "embedding_length_per_layer_input": 8,
        "feed_forward_length": [64, 64, 128, 128],
    }
    arch = shape(make_gguf, "gemma4", keys, *[FULL] * 4)
    assert (arch.layer_pattern, arch.head_count_kv, arch.sliding_head_count_kv) == ("sssf", 1, 4)
    assert (arch.feed_forward_lengths, arch.per_layer_embedding_length) == ((64, 64, 128, 128), 8)
    sliding = 4 * (16 + 16) * 2 * 768
    assert kv_layer_bytes(arch, SETTINGS) == (sliding, sliding, 0, 0)


def test_a_pattern_without_a_period_is_kept_as_it_is(make_gguf: GgufMaker) -> None:
    keys = {"attention.sliding_window": 256, "attention.sliding_window_pattern": [True, False, False, True]}
    assert shape(make_gguf, "newest", keys, *[FULL] * 4).layer_pattern == "sffs"


@pytest.mark.parametrize("shared", [4, 5, 2**31])
def test_more_shared_caches_than_layers_are_refused(make_gguf: GgufMaker, shared: int) -> None:
    with pytest.raises(Exception, match="shared_kv_layers"):
        shape(make_gguf, "gemma4", {"attention.shared_kv_layers": shared}, *[FULL] * 4)
