"""Memory of one engine process, by component and device, in bytes, as llama.cpp allocates it.

total = weights + KV cache + compute buffer + overhead. Weights and KV cache follow the layers; compute buffer and
overhead repeat on every device used. How each formula was checked: docs/estimates.md.
"""

import functools
import itertools
import operator
from collections.abc import Iterable

import msgspec

from planner.core.machines.hardware import Backend
from planner.core.memory.compute_buffer import (
    compute_buffer_bytes,
    host_compute_bytes,
    output_buffer_bytes,
    pipeline_bytes,
    shared_host_compute_bytes,
)
from planner.core.memory.estimate import HOST, DeviceMemory, Memory
from planner.core.memory.kv_cache import kv_layer_bytes, micro_batch
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture
from planner.core.models.tensors import tensors_by_layer
from planner.core.models.weights import WeightTable
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


OFFLOAD_TOKENS = 32
"""From this micro-batch on llama.cpp sends weights of the host to a GPU for the work of a prompt."""


class Layout(msgspec.Struct, frozen=True):
    """Units (layers and the output layer) per GPU, in device order; the rest stays on the host.

    The experts of the first `cpu_moe` layers are on the host too (llama.cpp's `--n-cpu-moe`).
    """

    units: tuple[int, ...]
    cpu_moe: int = 0

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


class LayerSums:
    """What a file's bytes by layer add up to: the same for all settings that it is run with.

    `experts`: bytes of the routed experts of every layer, empty for a dense model. `active_bytes`: what one token
    reads of every layer. Running sums begin with 0.
    """

    def __init__(self, arch: Architecture, table: WeightTable) -> None:
        self.experts = expert_bytes(arch, table)
        self.active_bytes = tuple(map(operator.mul, table.layer_bytes, table.active_share))
        self.running_weights = _running_sum((*table.layer_bytes, table.output_bytes))
        self.running_experts = _running_sum((*(self.experts or (0,) * arch.layers), 0))
        self._shares = largest_shares(arch)
        self._layer_bytes = table.layer_bytes

    @functools.cached_property
    def largest_matrices(self) -> list[int]:
        """Bytes of the largest matrix of the first 0, 1, 2 … layers."""
        return _running_max(round(s * share) for s, share in zip(self._layer_bytes, self._shares, strict=True))

    @functools.cached_property
    def largest_expert_matrices(self) -> list[int]:
        """Bytes of the largest matrix of experts of the first 0, 1, 2 … layers."""
        return _running_max(size // 3 for size in self.experts)


class ProcessMemory:
    """The memory of one process for any layout. Sums are prepared once, so that a layout costs O(devices).

    `reserved_rows`: rows of logits, where they are not what the server reserves (`compute_buffer`). `sums` may be
    passed in where a file is looked at with several settings.
    """

    def __init__(
        self,
        arch: Architecture,
        table: WeightTable,
        settings: Settings,
        *,
        reserved_rows: int | None = None,
        sums: LayerSums | None = None,
    ) -> None:
        self.arch = arch
        self.table = table
        self.settings = settings
        self.units = arch.layers + 1
        self.sums = sums = sums or LayerSums(arch, table)
        self.experts = sums.experts
        self._weights = sums.running_weights
        self._experts = sums.running_experts
        self._kv = _running_sum((*kv_layer_bytes(arch, settings), 0))
        self._compute = compute_buffer_bytes(arch, settings, reserved_rows=reserved_rows)
        self._output = output_buffer_bytes(arch, settings)

    @functools.cached_property
    def _host_compute(self) -> int:
        return host_compute_bytes(self.arch, self.settings)

    @functools.cached_property
    def _shared_host_compute(self) -> int:
        return shared_host_compute_bytes(self.arch, self.settings)

    @functools.cached_property
    def _pipeline(self) -> int:
        """Several GPUs that hold everything turn on copies of what goes in."""
        return pipeline_bytes(self.arch, self.settings)

    @functools.cached_property
    def least_bytes(self) -> int:
        """What it takes of all devices together on any layout: more of buffers, tables and runtimes on some."""
        return self.table.tensor_bytes + self._kv[-1] + self._output + PROCESS_OVERHEAD_BYTES

    def fixed_bytes(self, pool: Pool, *, shared: bool) -> int:
        """What a GPU with at least one layer takes before any layer's own bytes."""
        return self._compute + (self._pipeline if shared else 0) + BACKEND_OVERHEAD_BYTES[pool.backend]

    def unit_bytes(self, start: int, end: int, moved: int) -> int:
        """Weights and cache of the units `start` to before `end` on GPUs, the experts of the first `moved` not."""
        experts = self._experts[max(start, min(end, moved))] - self._experts[start]
        kv = self._kv[end] - self._kv[start] if self.settings.kv_offload else 0
        return self._weights[end] - self._weights[start] - experts + kv

    def layer_sizes(self) -> list[int]:
        """Weights and cache of every layer on a GPU."""
        kept = self._kv if self.settings.kv_offload else [0] * len(self._kv)
        caches = map(operator.sub, kept[1:], kept)
        return list(map(operator.add, self.table.layer_bytes, caches))

    def unit_at(self, start: int, moved: int, size_bytes: int) -> int:
        """The end of the units from `start` on that come nearest to `size_bytes`."""
        low = self.last_unit(start, moved, size_bytes)
        if low == self.units:
            return low
        over = self.unit_bytes(start, low + 1, moved) - size_bytes
        return low + 1 if over < size_bytes - self.unit_bytes(start, low, moved) else low

    def last_unit(self, start: int, moved: int, room_bytes: int) -> int:
        """The end of the most units from `start` on that take no more than `room_bytes`."""
        low, high = start, self.units + 1
        while low + 1 < high:
            middle = (low + high) // 2
            if self.unit_bytes(start, middle, moved) <= room_bytes:
                low = middle
            else:
                high = middle
        return low

    def host_read_bytes(self, layout: Layout) -> float:
        """What a token makes the host read: the active part of weights there, and its part of a full cache."""
        first = self.units - layout.gpu_units
        table = self.table
        layers = min(first, self.arch.layers)
        read = sum(table.layer_bytes[i] * table.active_share[i] for i in range(layers))
        share = (self.arch.expert_used_count or 0) / (self.arch.expert_count or 1)
        read += share * (self._experts[max(layout.cpu_moe, layers)] - self._experts[layers])
        if first == self.units:
            read += table.output_bytes
        return read + self._kv[first]

    def at(self, layout: Layout, gpus: tuple[Pool, ...], host: Pool, *, unified: bool = False) -> Memory:
        """Bytes per device. On unified memory everything is in the host's pool."""
        used = [(pool, count) for pool, count in zip(gpus, layout.units, strict=True) if count]
        first = self.units - layout.gpu_units
        # Experts of layers that are on the host as a whole move nothing.
        moved = max(layout.cpu_moe, first) if self.experts else first
        whole = first == 0 and moved == 0
        spread = len(used) > 1 and whole
        sent = 0 if unified else self.sent_bytes(first, moved)
        rows: list[DeviceMemory] = []
        start = first
        for pool, count in used:
            end = start + count
            kv = self._kv[end] - self._kv[start] if self.settings.kv_offload else 0
            rows.append(
                _row(
                    pool,
                    self.unit_bytes(start, end, moved) - kv,
                    kv,
                    self._compute + (self._pipeline if spread else 0) + sent,
                    BACKEND_OVERHEAD_BYTES[pool.backend],
                )
            )
            start = end
        host_weights = self.table.input_bytes + self._weights[min(first, self.arch.layers)]
        host_weights += self._experts[moved] - self._experts[first]
        if first == self.units and not self.table.tied:
            host_weights += self.table.output_bytes
        on_host = whole and self.settings.kv_offload
        host_compute = self._host_compute if on_host else self._compute
        if spread:
            host_compute = max(host_compute, self._shared_host_compute)
        host_kv = self._kv[first if self.settings.kv_offload else self.units]
        rows.append(_row(host, host_weights, host_kv, host_compute + self._output, PROCESS_OVERHEAD_BYTES))
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

    def sent_bytes(self, first: int, moved: int) -> int:
        """The largest matrix on the host: while a prompt is worked through, a GPU multiplies with a copy of it.

        llama.cpp does so from 32 tokens a micro-batch on. A log of Llama-2 13B Q8_0 with no layer on its GPU shows
        the output matrix, 166 MiB, beside 82.5 MiB of compute buffer (`benchmarks/data/memory_logs.csv`).
        """
        if micro_batch(self.settings) < OFFLOAD_TOKENS:
            return 0
        if first == self.units:
            return max(self.table.output_bytes, self.sums.largest_matrices[-1])
        experts = self.sums.largest_expert_matrices[moved] if moved > first else 0
        return max(self.sums.largest_matrices[first], experts)


def expert_bytes(arch: Architecture, table: WeightTable) -> tuple[int, ...]:
    """Bytes of the routed experts of every layer: what a token skips is the part of them it does not choose.

    Empty for a dense model.
    """
    used, count = arch.expert_used_count, arch.expert_count
    if not used or not count or used >= count:
        return ()
    return tuple(
        round(size * (1 - active) / (1 - used / count))
        for size, active in zip(table.layer_bytes, table.active_share, strict=True)
    )


@functools.lru_cache(maxsize=512)
def largest_shares(arch: Architecture) -> tuple[float, ...]:
    """The share of each layer's weights that is in its largest tensor."""
    shares: dict[int, float] = {}
    layers = tensors_by_layer(arch)
    for tensors in layers:
        if id(tensors) not in shares:
            sizes = [tensor.elements for tensor in tensors]
            shares[id(tensors)] = max(sizes) / sum(sizes)
    return tuple(shares[id(tensors)] for tensors in layers)


def _running_max(values: Iterable[int]) -> list[int]:
    """The largest of the first 0, 1, 2 … values."""
    return list(itertools.accumulate(values, max, initial=0))


def _running_sum(values: Iterable[int]) -> list[int]:
    """The sums of the first 0, 1, 2 … values."""
    return list(itertools.accumulate(values, initial=0))


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
