"""Memory against what llama.cpp b11434 was measured to allocate (docs/estimates.md gives the conditions)."""

import msgspec
import pytest

from planner.core.compute_buffer import compute_buffer_bytes
from planner.core.hardware import Backend
from planner.core.kv_cache import kv_layer_bytes
from planner.core.memory import (
    Layout,
    Pool,
    ProcessMemory,
)
from planner.core.model import Architecture, Variant
from planner.core.weights import WeightTable, weight_table
from planner.core.workload import KvType, Settings
from planner.units import MIB
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
