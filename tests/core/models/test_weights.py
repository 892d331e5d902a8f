"""Where a file's bytes go: tables and output by the recipe, what is left in the layers."""

import msgspec
import pytest

from planner.core.models.file_size import file_size
from planner.core.models.model import Architecture, Variant
from planner.core.models.weights import WeightTable, predicted_file_bytes, weight_table
from planner.units import GIB
from tests.core.shapes import BGE_M3, DEEPSEEK_V2_LITE, GEMMA3_270M, LLAMA_8B, QWEN3_EMBED_06B


def table_of(arch: Architecture, variant: Variant) -> WeightTable:
    table = weight_table(arch, variant)
    assert table is not None
    return table


def test_without_a_size_the_recipe_is_the_size() -> None:
    size = file_size(LLAMA_8B, "Q4_K_M")
    assert size is not None
    table = table_of(LLAMA_8B, Variant(quant="Q4_K_M", artifacts=()))
    assert table.tensor_bytes == size.tensor_bytes
    assert (table.input_bytes, table.layer_bytes, table.output_bytes) == (
        size.input_bytes,
        size.layer_bytes,
        size.output_bytes,
    )
    assert predicted_file_bytes(LLAMA_8B, "Q4_K_M") == size.file_bytes


def test_an_unknown_type_without_a_size_is_unknown() -> None:
    assert weight_table(LLAMA_8B, Variant(quant="Q9_Z", artifacts=())) is None
    assert predicted_file_bytes(LLAMA_8B, "Q9_Z") is None


def test_an_unknown_type_is_spread_as_evenly_as_f16() -> None:
    table = table_of(LLAMA_8B, Variant(quant="unknown", artifacts=(), tensor_bytes=4_000_000_000))
    assert table.tensor_bytes == 4_000_000_000
    share = LLAMA_8B.vocab_size * LLAMA_8B.embedding_length / 8_030_261_248
    assert table.input_bytes / table.tensor_bytes == pytest.approx(share, rel=1e-4)
    assert len({round(size / 1e4) for size in table.layer_bytes[:-1]}) == 1


@pytest.mark.parametrize("arch", [LLAMA_8B, QWEN3_EMBED_06B, BGE_M3, GEMMA3_270M, DEEPSEEK_V2_LITE])
@pytest.mark.parametrize("quant", ["Q4_K_M", "UD-Q4_K_XL", "unknown"])
@pytest.mark.parametrize("tensor_bytes", [1, 10**6, 10**9, 10**12])
def test_every_byte_of_a_file_is_somewhere_and_none_is_negative(
    arch: Architecture, quant: str, tensor_bytes: int
) -> None:
    table = table_of(arch, Variant(quant=quant, artifacts=(), tensor_bytes=tensor_bytes))
    assert table.tensor_bytes == tensor_bytes
    assert min(table.input_bytes, table.output_bytes, *table.layer_bytes) >= 0
    assert len(table.layer_bytes) == arch.layers


def test_a_vendors_mix_has_its_difference_in_the_layers() -> None:
    plain = table_of(LLAMA_8B, Variant(quant="Q4_K_M", artifacts=()))
    mixed = table_of(
        LLAMA_8B, Variant(quant="UD-Q4_K_XL", artifacts=(), tensor_bytes=round(plain.tensor_bytes * 1.02))
    )
    assert (mixed.input_bytes, mixed.output_bytes) == (plain.input_bytes, plain.output_bytes)
    ratios = [b / a for a, b in zip(plain.layer_bytes, mixed.layer_bytes, strict=True)]
    assert max(ratios) - min(ratios) < 1e-6


def test_layers_that_quantize_gives_more_bits_are_larger() -> None:
    layers = table_of(LLAMA_8B, Variant(quant="Q4_K_M", artifacts=(), file_bytes=4_920_739_232)).layer_bytes
    # The first and last eighth and every third between: ffn_down and attn_v in Q6_K instead of Q4_K.
    assert layers[0] == pytest.approx(layers[6], rel=1e-5)
    assert layers[0] - layers[4] == pytest.approx((4096 * 14336 + 4096 * 1024) * (210 - 144) / 256, rel=1e-3)


def test_a_file_of_a_tied_model_may_hold_an_output_matrix_of_its_own() -> None:
    # Qwen2.5-0.5B-Instruct, the publisher's Q4_K_M.
    arch = Architecture(
        name="qwen2",
        layers=24,
        embedding_length=896,
        feed_forward_length=4864,
        head_count=14,
        head_count_kv=2,
        key_length=64,
        value_length=64,
        vocab_size=151936,
        tied_embeddings=True,
    )
    table = table_of(arch, Variant(quant="Q4_K_M", artifacts=(), file_bytes=491_400_032))
    assert not table.tied
    assert table.output_bytes == 151936 * 896 * 34 // 32 + 4 * 896
    assert table.input_bytes == 151936 * 896 * 22 // 32
    assert table_of(arch, Variant(quant="Q4_K_M", artifacts=())).tied


@pytest.mark.parametrize(("stated", "gives_way"), [(4.6, True), (4.4, False)])
def test_a_rounded_size_gives_way_to_the_recipe_where_both_agree(stated: float, gives_way: bool) -> None:
    stated_bytes = round(stated * GIB)
    variant = Variant(quant="Q4_K_M", artifacts=(), file_bytes=stated_bytes, file_bytes_source="rounded")
    size = file_size(LLAMA_8B, "Q4_K_M")
    assert size is not None
    agrees = abs(size.file_bytes - stated_bytes) < 0.055 * GIB
    assert agrees is gives_way
    assert (table_of(LLAMA_8B, variant).tensor_bytes == size.tensor_bytes) is agrees


def test_a_computed_size_is_computed_again_and_an_exact_one_kept() -> None:
    computed = Variant(quant="Q8_0", artifacts=(), file_bytes=9_000_000_000, file_bytes_source="computed")
    size = file_size(LLAMA_8B, "Q8_0")
    assert size is not None
    assert table_of(LLAMA_8B, computed).tensor_bytes == size.tensor_bytes
    exact = msgspec.structs.replace(computed, file_bytes_source="exact")
    assert table_of(LLAMA_8B, exact).tensor_bytes == 9_000_000_000 - size.header_bytes


def test_a_token_reads_the_bytes_of_its_experts_and_of_all_the_rest() -> None:
    table = table_of(DEEPSEEK_V2_LITE, Variant(quant="Q8_0", artifacts=()))
    assert table.active_share[0] == 1
    experts = 64 * 3 * 2048 * 1408 * 34 // 32
    active = 1 - experts / table.layer_bytes[1] * (1 - 6 / 64)
    assert table.active_share[1] == pytest.approx(active, rel=1e-6)
