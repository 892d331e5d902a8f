"""Memory of one engine process, by component and device, in bytes, as llama.cpp allocates it.

total = weights + KV cache + compute buffer + overhead. Weights and KV cache follow the layers; compute buffer and
overhead repeat on every device used. How each formula was checked: docs/estimates.md.
"""

import msgspec

from planner.core.estimate import HOST, DeviceMemory, Memory
from planner.core.hardware import Backend
from planner.core.kv_cache import kv_cells, kv_layer_bytes, micro_batch
from planner.core.layers import widest_feed_forward
from planner.core.model import Architecture
from planner.core.weights import WeightTable
from planner.core.workload import Settings
from planner.units import MIB

BACKEND_OVERHEAD_BYTES: dict[Backend, int] = {
    Backend.CUDA: 450 * MIB,
    Backend.ROCM: 450 * MIB,
    Backend.VULKAN: 250 * MIB,
    Backend.METAL: 150 * MIB,
    Backend.CPU: 0,
}
"""Runtime context and libraries per device and process, outside llama.cpp's buffers. CUDA: 450 MiB reproduces all
of 170 fit/out-of-memory decisions; the others are smaller by reports and not measured by us."""

PROCESS_OVERHEAD_BYTES = 80 * MIB
"""Host memory of the engine process itself: program, tokenizer, HTTP server (30 to 60 MiB resident
beside the buffers on the embedded engine, `benchmarks/starter_memory.py`; pages still untouched come on top)."""


def output_rows(settings: Settings) -> int:
    """Rows of logits reserved: one per slot for chat, every token of the micro-batch in embedding mode."""
    return micro_batch(settings) if settings.embedding else min(settings.parallel, micro_batch(settings))


def compute_buffer_bytes(arch: Architecture, settings: Settings) -> int:
    """The compute buffer of a device that runs layers: worst-case prompt batch, 4-byte activations.

    Decoder with flash attention: u·(4·(max(3·n_ff, n_vocab·R/u) + 5·n_embd) + 2·C), a second mask for sliding
    layers; without it the score matrix 4·u·C·heads and a 4-byte mask rule. Encoder: u·(4·(n_ff + 5·n_embd) + 2·u).
    """
    u = micro_batch(settings)
    width = arch.embedding_length
    if not arch.causal:
        return u * (4 * (arch.feed_forward_length + 5 * width) + 2 * u)
    cells = kv_cells(arch, settings)
    wide = widest_feed_forward(arch)
    if arch.expert_count and arch.expert_feed_forward_length:
        wide = max(
            wide if arch.leading_dense_layers else 0, arch.expert_feed_forward_length * (arch.expert_used_count or 1)
        )
    if settings.flash_attention:
        rows = arch.vocab_size * output_rows(settings) // u
        mask = 2 * u * (cells.per_sequence + (cells.sliding_per_sequence if arch.sliding_window else 0))
        return u * 4 * (max(3 * wide, rows) + 5 * width) + mask
    heads = 3 * arch.head_count * arch.key_length + 2 * arch.head_count_kv * arch.key_length
    attention = 4 * u * (cells.per_sequence * (arch.head_count + 1) + 3 * width + heads)
    logits = 4 * output_rows(settings) * arch.vocab_size
    return max(attention, logits + 4 * u * 5 * width)


def host_compute_bytes(arch: Architecture, settings: Settings) -> int:
    """Host side of a process whose layers are on GPUs: input rows and the attention mask."""
    u = micro_batch(settings)
    mask = (2 if settings.flash_attention else 4) * u * (kv_cells(arch, settings).per_sequence if arch.causal else u)
    return u * 4 * arch.embedding_length + mask


def output_buffer_bytes(arch: Architecture, settings: Settings) -> int:
    """Logits (or vectors) handed to the caller: one row per slot."""
    row = arch.vocab_size if arch.causal and not settings.embedding else arch.embedding_length
    return 4 * row * settings.parallel


class Layout(msgspec.Struct, frozen=True):
    """Units (layers and the output layer) per GPU, in device order; the rest stays on the host."""

    units: tuple[int, ...]

    @property
    def gpu_units(self) -> int:
        """All units on GPUs: llama.cpp's n_gpu_layers."""
        return sum(self.units)


class Pool(msgspec.Struct, frozen=True):
    """A device (or the host) as a container: its id, backend, what may be taken of it in bytes, and its speed."""

    id: str
    backend: Backend
    budget_bytes: int | None
    bandwidth_gbps: float | None = None


class ProcessMemory:
    """The memory of one process for any layout. Sums are prepared once, so that a layout costs O(devices)."""

    def __init__(self, arch: Architecture, table: WeightTable, settings: Settings) -> None:
        self.arch = arch
        self.table = table
        self.units = arch.layers + 1
        kv = kv_layer_bytes(arch, settings)
        self._weights = _running_sum((*table.layer_bytes, table.output_bytes))
        self._kv = _running_sum((*kv, 0))
        self._compute = compute_buffer_bytes(arch, settings)
        self._host_compute = host_compute_bytes(arch, settings)
        self._output = output_buffer_bytes(arch, settings)
        # Several GPUs that hold everything turn on pipeline copies of the inputs: 3 more of mask and input rows each.
        self._pipeline = 3 * self._host_compute

    def fixed_bytes(self, pool: Pool, *, shared: bool) -> int:
        """What a GPU with at least one layer takes before any layer's own bytes."""
        return self._compute + (self._pipeline if shared else 0) + BACKEND_OVERHEAD_BYTES[pool.backend]

    def at(self, layout: Layout, gpus: tuple[Pool, ...], host: Pool, *, unified: bool = False) -> Memory:
        """Bytes per device. On unified memory everything is in the host's pool."""
        used = [(pool, count) for pool, count in zip(gpus, layout.units, strict=True) if count]
        first = self.units - layout.gpu_units
        rows: list[DeviceMemory] = []
        start = first
        spread = len(used) > 1 and first == 0
        for pool, count in used:
            compute = self._compute + (self._pipeline if spread else 0)
            rows.append(
                _row(
                    pool,
                    self._weights[start + count] - self._weights[start],
                    self._kv[start + count] - self._kv[start],
                    compute,
                    BACKEND_OVERHEAD_BYTES[pool.backend],
                )
            )
            start += count
        host_weights = self.table.input_bytes + self._weights[min(first, self.arch.layers)]
        if first == self.units and not self.table.tied:
            host_weights += self.table.output_bytes
        all_on_gpu = first == 0
        host_compute = self._host_compute if all_on_gpu else self._compute
        if spread:
            host_compute += self._pipeline
        rows.append(_row(host, host_weights, self._kv[first], host_compute + self._output, PROCESS_OVERHEAD_BYTES))
        if unified:
            rows = [_merge(rows, host, shared_table=self.table.output_bytes if self.table.tied and used else 0)]
        return Memory(
            weights_bytes=sum(row.weights_bytes for row in rows),
            kv_cache_bytes=sum(row.kv_cache_bytes for row in rows),
            compute_bytes=sum(row.compute_bytes for row in rows),
            overhead_bytes=sum(row.overhead_bytes for row in rows),
            total_bytes=sum(row.total_bytes for row in rows),
            devices=tuple(rows),
        )


def _running_sum(values: tuple[int, ...]) -> list[int]:
    sums = [0]
    for value in values:
        sums.append(sums[-1] + value)
    return sums


def _row(pool: Pool, weights: int, kv: int, compute: int, overhead: int) -> DeviceMemory:
    return DeviceMemory(
        device=pool.id,
        weights_bytes=weights,
        kv_cache_bytes=kv,
        compute_bytes=compute,
        overhead_bytes=overhead,
        total_bytes=weights + kv + compute + overhead,
        budget_bytes=pool.budget_bytes,
    )


def _merge(rows: list[DeviceMemory], host: Pool, *, shared_table: int) -> DeviceMemory:
    """One pool for GPU and host: a tied table is mapped once, not copied."""
    return _row(
        Pool(id=HOST, backend=host.backend, budget_bytes=host.budget_bytes),
        sum(row.weights_bytes for row in rows) - shared_table,
        sum(row.kv_cache_bytes for row in rows),
        sum(row.compute_bytes for row in rows),
        sum(row.overhead_bytes for row in rows),
    )
