"""Types and sizes against what llama.cpp's quantize makes (benchmarks/quantize_types.py asked it)."""

import msgspec
import pytest

from planner.catalog.loader import load
from planner.core.models.file_size import file_size, header_bytes, tensor_table
from planner.core.models.model import Architecture
from planner.core.models.parameters import parameter_table
from planner.core.models.quants import BLOCKS, FILE_BITS_PER_WEIGHT
from planner.core.models.recipe import has_recipe, quant_types
from tests.core.shapes import BERT_LARGE, DEEPSEEK_V2_LITE, GEMMA3_270M, LLAMA_8B, QWEN3_EMBED_06B


def types(arch: Architecture, quant: str, *, imatrix: bool = False) -> dict[str, str]:
    return {tensor.name: tensor.type for tensor in tensor_table(arch, quant, imatrix=imatrix)}


def test_every_known_quant_type_has_a_recipe() -> None:
    assert set(quant_types()) == set(FILE_BITS_PER_WEIGHT)
    assert not has_recipe("Q9_Z")
    assert tensor_table(LLAMA_8B, "Q9_Z") == ()


def test_block_sizes_are_those_of_the_catalog() -> None:
    table = {block.type.lower(): (block.block_size, block.block_bytes) for block in load().quants.block_types}
    assert {name: table[name] for name in BLOCKS} == BLOCKS


def test_sums_and_table_agree_for_every_shape_and_type() -> None:
    for arch in {model.architecture for model in load().models if model.architecture is not None}:
        resident = parameter_table(arch).resident
        for quant in ("F16", "Q8_0", "Q4_K_M", "IQ2_S", "MXFP4"):
            size = file_size(arch, quant)
            table = tensor_table(arch, quant)
            assert size is not None
            assert sum(tensor.size_bytes for tensor in table) == size.tensor_bytes
            assert sum(tensor.elements for tensor in table) == resident


@pytest.mark.parametrize(
    ("quant", "published"),
    [
        ("IQ1_S", 2.0042), ("IQ1_M", 2.1460), ("IQ2_XXS", 2.3824), ("IQ2_XS", 2.5882), ("IQ2_S", 2.7403),
        ("IQ2_M", 2.9294), ("IQ3_XXS", 3.2548), ("IQ3_XS", 3.4977), ("IQ3_S", 3.6606), ("IQ3_M", 3.7628),
        ("IQ4_XS", 4.4597), ("IQ4_NL", 4.6818), ("Q2_K_S", 2.9697), ("Q2_K", 3.1593), ("Q3_K_S", 3.6429),
        ("Q3_K_L", 4.2979), ("Q4_K_S", 4.6672), ("Q4_K_M", 4.8944), ("Q5_K_S", 5.5704), ("Q5_K_M", 5.7036),
        ("Q6_K", 6.5633), ("Q8_0", 8.5008), ("F16", 16.0005),
    ],
)  # fmt: skip
def test_bits_per_weight_are_those_llama_cpp_publishes_for_llama_8b(quant: str, published: float) -> None:
    size = file_size(LLAMA_8B, quant)
    assert size is not None
    assert size.tensor_bytes * 8 / parameter_table(LLAMA_8B).total == pytest.approx(published, rel=3e-5)


def test_a_q4_k_m_gives_more_bits_to_some_layers_and_to_the_output() -> None:
    found = types(LLAMA_8B, "Q4_K_M")
    assert (found["token_embd.weight"], found["output.weight"]) == ("q4_k", "q6_k")
    wide = [index for index in range(32) if found[f"blk.{index}.ffn_down.weight"] == "q6_k"]
    assert wide == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert [index for index in range(32) if found[f"blk.{index}.attn_v.weight"] == "q6_k"] == wide
    assert {found[f"blk.{index}.ffn_up.weight"] for index in range(32)} == {"q4_k"}
    assert found["blk.0.attn_norm.weight"] == "f32"


def test_a_tied_table_and_an_encoders_table_are_as_wide_as_an_output() -> None:
    assert types(QWEN3_EMBED_06B, "Q4_K_M")["token_embd.weight"] == "q6_k"
    assert types(BERT_LARGE, "Q4_K_M")["token_embd.weight"] == "q6_k"
    assert types(QWEN3_EMBED_06B, "IQ2_XS")["token_embd.weight"] == "q5_k"


def test_rows_that_are_no_whole_number_of_blocks_fall_back() -> None:
    # The counts of the real gemma-3-270m Q4_K_M.
    counts: dict[str, int] = {}
    for tensor in tensor_table(GEMMA3_270M, "Q4_K_M"):
        counts[tensor.type] = counts.get(tensor.type, 0) + 1
    assert counts == {"q5_0": 81, "q4_k": 27, "q8_0": 10, "q6_k": 9, "f32": 109}
    odd = msgspec.structs.replace(GEMMA3_270M, embedding_length=650)
    assert types(odd, "Q4_0")["blk.0.attn_q.weight"] == "f16"


def test_positions_routers_and_norms_are_never_quantised() -> None:
    found = types(BERT_LARGE, "Q4_0")
    assert {found["position_embd.weight"], found["token_types.weight"], found["token_embd_norm.weight"]} == {"f32"}
    assert types(DEEPSEEK_V2_LITE, "Q4_K_M")["blk.1.ffn_gate_inp.weight"] == "f32"


def test_eight_experts_get_wide_attention() -> None:
    mixtral = msgspec.structs.replace(
        LLAMA_8B, vocab_size=32000, expert_count=8, expert_used_count=2, expert_feed_forward_length=14336
    )
    found = types(mixtral, "Q4_K_M")
    assert (found["blk.4.attn_v.weight"], found["blk.4.attn_k.weight"]) == ("q8_0", "q8_0")
    assert (found["blk.4.attn_output.weight"], found["blk.4.attn_q.weight"]) == ("q5_k", "q4_k")


def test_a_70b_model_gets_wider_values() -> None:
    llama_70b = msgspec.structs.replace(
        LLAMA_8B, layers=80, embedding_length=8192, feed_forward_length=28672, head_count=64
    )
    assert types(llama_70b, "Q4_K_S")["blk.40.attn_v.weight"] == "q5_k"
    assert types(LLAMA_8B, "Q4_K_S")["blk.20.attn_v.weight"] == "q4_k"


def test_falcon_has_its_own_down_rule() -> None:
    falcon = msgspec.structs.replace(LLAMA_8B, name="falcon")
    found = types(falcon, "Q4_K_M")
    downs = [found[f"blk.{index}.ffn_down.weight"] for index in (0, 1, 2, 4, 6)]
    assert downs == ["q6_k", "q6_k", "q5_k", "q4_k", "q5_k"]
    assert found["output.weight"] == "q8_0"


def test_an_importance_matrix_changes_the_first_down_matrices() -> None:
    assert types(LLAMA_8B, "Q4_0")["blk.0.ffn_down.weight"] == "q4_0"
    assert types(LLAMA_8B, "Q4_0", imatrix=True)["blk.0.ffn_down.weight"] == "q4_1"
    assert types(LLAMA_8B, "IQ4_XS")["blk.0.ffn_down.weight"] == "q5_k"
    assert types(LLAMA_8B, "IQ4_XS", imatrix=True)["blk.0.ffn_down.weight"] == "iq4_xs"


def test_gpt_oss_keeps_its_experts_whatever_the_file_is_called() -> None:
    arch = load().find("gpt-oss-20b").architecture
    assert arch is not None
    for quant in ("F16", "Q4_K_M", "MXFP4"):
        assert types(arch, quant)["blk.0.ffn_up_exps.weight"] == "mxfp4"
    assert types(arch, "MXFP4")["blk.0.attn_q.weight"] == "q8_0"


@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("all-MiniLM-L6-v2", 639_648),
        ("SmolLM2-135M-Instruct", 1_785_664),
        ("gemma-3-270m", 6_525_120),
        ("Llama-3.1-8B", 7_841_184),
        ("Qwen3-8B", 5_956_416),
        ("bge-m3", 6_834_464),
        ("Mistral-7B-Instruct-v0.2", 735_520),
        ("gpt-oss-20b", 13_008_288),
    ],
)
def test_headers_are_of_the_size_of_real_ones(name: str, measured: int) -> None:
    arch = load().find(name).architecture
    assert arch is not None
    assert header_bytes(arch) == pytest.approx(measured, rel=0.03)
