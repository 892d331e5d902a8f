"""Memory against what llama.cpp b11434 was measured to allocate (docs/estimates.md gives the conditions)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalog.loader import load
from planner.core.machines.hardware import Backend
from planner.core.memory.compute_buffer import compute_buffer_bytes
from planner.core.memory.kv_cache import checkpoint_bytes, kv_layer_bytes
from planner.core.memory.memory import Layout, Pool, ProcessMemory
from planner.core.memory.repack import repacked_bytes
from planner.core.memory.workload import KvType, Settings
from planner.core.models.model import Architecture, Variant
from planner.core.models.recipe import quant_types
from planner.core.models.weights import WeightTable, predicted_file_bytes, weight_table
from planner.units import GIB, MIB
from tests.core.shapes import BERT_LARGE, BGE_M3, DEEPSEEK_V2_LITE, GEMMA3_270M, LLAMA_8B, QWEN3_EMBED_06B

CPU = Pool(id="host", backend=Backend.CPU, budget_bytes=None)
CARD = Pool(id="gpu0", backend=Backend.CUDA, budget_bytes=None)


def table_of(arch: Architecture, quant: str, tensor_mib: float) -> WeightTable:
    variant = Variant(quant=quant, artifacts=(), tensor_bytes=int(tensor_mib * MIB))
    table = weight_table(arch, variant)
    assert table is not None
    return table


@pytest.mark.parametrize(
    ("arch", "settings", "mib"),
    [
        (LLAMA_8B, Settings(context=8192), 1024),
        (QWEN3_EMBED_06B, Settings(context=4096), 448),
        (QWEN3_EMBED_06B, Settings(context=4096, kv_type_k="q8_0", kv_type_v="q8_0"), 238),
        (GEMMA3_270M, Settings(context=8192), 24 + 15),
        (GEMMA3_270M, Settings(context=32768, parallel=4), 4 * (24 + 15)),
        (BERT_LARGE, Settings(context=512, embedding=True), 0),
        (LLAMA_8B, Settings(context=1000, parallel=3), 192),
    ],
)
def test_kv_cache_is_what_the_engine_allocates(arch: Architecture, settings: Settings, mib: float) -> None:
    assert sum(kv_layer_bytes(arch, settings)) / MIB == pytest.approx(mib, abs=0.5)


def test_mla_caches_one_compressed_row_per_token_and_no_values() -> None:
    total = sum(kv_layer_bytes(DEEPSEEK_V2_LITE, Settings(context=4096)))
    assert total == 27 * 4096 * 576 * 2


@pytest.mark.parametrize(
    ("arch", "settings", "mib"),
    [
        (LLAMA_8B, Settings(context=8192), 132),
        (LLAMA_8B, Settings(context=8192, embedding=True), 298),
        (QWEN3_EMBED_06B, Settings(context=4096), 32),
        (QWEN3_EMBED_06B, Settings(context=4096, embedding=True), 310),
        (QWEN3_EMBED_06B, Settings(context=4096, embedding=True, batch=2048, ubatch=2048), 1241),
        (QWEN3_EMBED_06B, Settings(context=4096, embedding=True, batch=128, ubatch=128), 78),
        (BERT_LARGE, Settings(context=512, embedding=True), 18),
        (BGE_M3, Settings(context=8192, embedding=True, batch=2048, ubatch=2048), 80),
        (BGE_M3, Settings(context=8192, embedding=True, batch=8192, ubatch=8192), 416),
        (LLAMA_8B, Settings(context=8192, flash_attention=False), 580),
        (LLAMA_8B, Settings(context=32768, flash_attention=False), 2164),
    ],
)
def test_compute_buffer_is_what_the_engine_reserves(arch: Architecture, settings: Settings, mib: float) -> None:
    assert compute_buffer_bytes(arch, settings) / MIB == pytest.approx(mib, rel=0.03)


def test_input_tables_stay_on_the_host_at_full_offload() -> None:
    # A bge-m3-shaped F16 file: 577 MiB on the GPU, 520 on the CPU.
    process = ProcessMemory(BGE_M3, table_of(BGE_M3, "F16", 1097), Settings(context=512, embedding=True))
    card, host = process.at(Layout(units=(25,)), (CARD,), CPU).devices
    assert card.weights_bytes / MIB == pytest.approx(577, abs=1)
    assert host.weights_bytes / MIB == pytest.approx(520, abs=1)


def test_a_tied_table_is_on_both_sides_of_a_split_and_once_on_the_cpu() -> None:
    process = ProcessMemory(QWEN3_EMBED_06B, table_of(QWEN3_EMBED_06B, "Q8_0", 603), Settings(context=4096))
    card, host = process.at(Layout(units=(29,)), (CARD,), CPU).devices
    assert card.weights_bytes / MIB == pytest.approx(603, abs=1)
    assert host.weights_bytes / MIB == pytest.approx(157, abs=1)
    (alone,) = process.at(Layout(units=(0,)), (CARD,), CPU).devices
    assert alone.weights_bytes / MIB == pytest.approx(603, abs=1)


@pytest.mark.parametrize("units", [0, 1, 2, 17, 32, 33])
def test_no_byte_is_lost_or_counted_twice_whatever_the_split(units: int) -> None:
    table = table_of(LLAMA_8B, "Q4_K_M", 4685)
    process = ProcessMemory(LLAMA_8B, table, Settings(context=8192))
    memory = process.at(Layout(units=(units,)), (CARD,), CPU)
    assert memory.weights_bytes == table.tensor_bytes
    assert memory.kv_cache_bytes == 1024 * MIB
    for name in ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes", "total_bytes"):
        assert getattr(memory, name) == sum(getattr(row, name) for row in memory.devices)
    assert memory.total_bytes == memory.engine_bytes + memory.overhead_bytes


def test_every_extra_gpu_costs_a_runtime_and_a_compute_buffer() -> None:
    process = ProcessMemory(LLAMA_8B, table_of(LLAMA_8B, "Q4_K_M", 4685), Settings(context=8192))
    second = msgspec.structs.replace(CARD, id="gpu1")
    one = process.at(Layout(units=(33, 0)), (CARD, second), CPU)
    two = process.at(Layout(units=(17, 16)), (CARD, second), CPU)
    assert two.weights_bytes == one.weights_bytes
    assert two.overhead_bytes - one.overhead_bytes == 450 * MIB
    assert two.compute_bytes > one.compute_bytes + 132 * MIB


def test_unified_memory_is_one_pool() -> None:
    process = ProcessMemory(LLAMA_8B, table_of(LLAMA_8B, "Q4_K_M", 4685), Settings(context=8192))
    memory = process.at(Layout(units=(33,)), (CARD,), CPU, unified=True)
    assert [row.device for row in memory.devices] == ["host"]
    assert memory.weights_bytes == pytest.approx(4685 * MIB, abs=64)


@pytest.mark.parametrize(("smaller", "larger"), [("q8_0", "f16"), ("q4_0", "q8_0"), ("f16", "f32")])
def test_a_coarser_cache_type_takes_less(smaller: KvType, larger: KvType) -> None:
    def size(kind: KvType) -> int:
        return sum(kv_layer_bytes(LLAMA_8B, Settings(context=4096, kv_type_k=kind, kv_type_v=kind)))

    assert size(smaller) < size(larger)


CAUSAL = [LLAMA_8B, QWEN3_EMBED_06B, GEMMA3_270M, DEEPSEEK_V2_LITE]
RUNS = st.builds(
    Settings,
    context=st.integers(1, 200_000),
    batch=st.sampled_from([32, 512, 2048]),
    ubatch=st.sampled_from([16, 128, 512, 4096]),
    flash_attention=st.booleans(),
    embedding=st.booleans(),
    kv_unified=st.booleans(),
    kv_offload=st.booleans(),
)


@given(arch=st.sampled_from(CAUSAL), settings=RUNS, more=st.integers(0, 100_000))
def test_a_longer_context_never_needs_less(arch: Architecture, settings: Settings, more: int) -> None:
    longer = msgspec.structs.replace(settings, context=settings.context + more)
    table = table_of(arch, "Q4_K_M", 3000)
    sizes = [
        ProcessMemory(arch, table, each).at(Layout(units=()), (), CPU).total_bytes for each in (settings, longer)
    ]
    # A longer context fills the micro-batch, whose part of the logits is then rounded differently.
    assert sizes[0] <= sizes[1] + 4 * settings.ubatch


@given(
    arch=st.sampled_from([*CAUSAL, BGE_M3]),
    settings=RUNS,
    units=st.integers(0, 33),
    moved=st.integers(0, 33),
    cards=st.integers(1, 3),
)
def test_components_sum_to_the_total_and_nothing_is_negative(
    arch: Architecture, settings: Settings, units: int, moved: int, cards: int
) -> None:
    table = table_of(arch, "Q4_K_M", 3000)
    process = ProcessMemory(arch, table, settings)
    on_gpu = min(units, process.units)
    counts = [on_gpu // cards] * cards
    counts[-1] += on_gpu - sum(counts)
    gpus = tuple(msgspec.structs.replace(CARD, id=f"gpu{i}") for i in range(cards))
    memory = process.at(Layout(units=tuple(counts), cpu_moe=min(moved, arch.layers)), gpus, CPU)
    parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes")
    for name in (*parts, "total_bytes"):
        assert getattr(memory, name) == sum(getattr(row, name) for row in memory.devices)
    assert memory.total_bytes == sum(getattr(memory, name) for name in parts)
    assert all(getattr(row, name) >= 0 for row in memory.devices for name in parts)
    assert memory.kv_cache_bytes == sum(kv_layer_bytes(arch, settings))
    copied = table.output_bytes if table.tied and on_gpu else 0
    assert memory.weights_bytes == table.tensor_bytes + copied


@pytest.mark.parametrize("quant", quant_types())
def test_a_mixture_of_experts_takes_at_least_its_file_at_every_quant(quant: str) -> None:
    table = weight_table(DEEPSEEK_V2_LITE, Variant(quant=quant, artifacts=()))
    assert table is not None
    memory = ProcessMemory(DEEPSEEK_V2_LITE, table, Settings(context=4096)).at(Layout(units=(28,)), (CARD,), CPU)
    size = predicted_file_bytes(DEEPSEEK_V2_LITE, quant)
    assert size is not None
    assert memory.total_bytes >= size


@pytest.mark.parametrize(
    ("model", "context", "gib"),
    [("google/gemma-3-27b-it", 131_072, 10.4), ("deepseek-ai/DeepSeek-V3", 8192, 0.54)],
)
def test_windows_and_latent_attention_keep_the_cache_small(model: str, context: int, gib: float) -> None:
    arch = next(entry.architecture for entry in load().models if entry.id == model)
    assert arch is not None
    # Windows come with a micro-batch beside them: 10.6 GiB, where the windows alone make 10.4.
    assert sum(kv_layer_bytes(arch, Settings(context=context))) / GIB == pytest.approx(gib, rel=0.03)


@pytest.mark.parametrize(
    ("arch", "settings", "mib"),
    [
        (DEEPSEEK_V2_LITE, Settings(context=8192), 92.14),
        (DEEPSEEK_V2_LITE, Settings(context=8192, flash_attention=False), 332.01),
        (GEMMA3_270M, Settings(context=8192, parallel=4, kv_unified=True), None),
    ],
)
def test_experts_latent_rows_and_one_pool_have_their_forms(
    arch: Architecture, settings: Settings, mib: float | None
) -> None:
    if mib is not None:
        assert compute_buffer_bytes(arch, settings) / MIB == pytest.approx(mib, rel=0.04)
    else:
        # 3 full layers of 8192 cells, 15 of 4 windows and a micro-batch; 1 KiB a cell.
        assert sum(kv_layer_bytes(arch, settings)) == (3 * 8192 + 15 * 2560) * 1024


def test_programs_that_reserve_every_row_of_logits_take_more() -> None:
    settings = Settings(context=8192)
    assert compute_buffer_bytes(LLAMA_8B, settings, reserved_rows=512) == pytest.approx(298 * MIB, rel=0.01)


def test_a_gpu_is_sent_the_largest_matrix_of_what_is_on_the_host() -> None:
    # Llama-2 13B Q8_0 with no layer on its GPU: 248.54 MiB, 166 of them the output matrix.
    process = ProcessMemory(LLAMA_8B, table_of(LLAMA_8B, "Q4_K_M", 4685), Settings(context=8192))
    assert process.sent_bytes(0, 0) == 0
    largest = max(table_of(LLAMA_8B, "Q4_K_M", 4685).layer_bytes) * 0.3
    assert 0 < process.sent_bytes(5, 5) < largest
    assert process.sent_bytes(33, 33) == process.table.output_bytes
    small = ProcessMemory(LLAMA_8B, process.table, Settings(context=8192, ubatch=16))
    assert small.sent_bytes(5, 5) == 0


def test_the_cache_stays_on_the_host_when_asked() -> None:
    settings = Settings(context=8192, kv_offload=False)
    process = ProcessMemory(LLAMA_8B, table_of(LLAMA_8B, "Q4_K_M", 4685), settings)
    card, host = process.at(Layout(units=(33,)), (CARD,), CPU).devices
    assert (card.kv_cache_bytes, host.kv_cache_bytes) == (0, 1024 * MIB)


def test_what_the_server_keeps_to_go_back_is_a_window_a_layer() -> None:
    # An engine said 2.506 MiB for five sliding layers of this model: 512 tokens of 1 KiB each, and a few bytes.
    six = msgspec.structs.replace(GEMMA3_270M, layers=6)
    assert checkpoint_bytes(six, Settings(context=32768)) / MIB == pytest.approx(2.506, abs=0.01)
    assert checkpoint_bytes(LLAMA_8B, Settings(context=32768)) == 0
    assert checkpoint_bytes(BGE_M3, Settings(context=8192, embedding=True)) == 0


def test_a_processor_rearranges_matrices_of_some_types() -> None:
    plain = weight_table(LLAMA_8B, Variant(quant="Q4_0", artifacts=()))
    assert plain is not None
    assert repacked_bytes(LLAMA_8B, "Q4_0") == pytest.approx(sum(plain.layer_bytes), rel=0.01)
    assert repacked_bytes(LLAMA_8B, "Q8_0") == 0
    assert repacked_bytes(LLAMA_8B, "UNKNOWN") == 0
