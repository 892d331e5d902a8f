"""The arithmetic of a memory estimate with its numbers in it, for people: lines of at most 80 columns.

Every line is made from the same values as the estimate, so that it cannot say something else.
"""

from collections.abc import Iterator

from planner.core.memory.compute_buffer import ComputeBuffer, compute_buffer, input_bytes, output_rows
from planner.core.memory.estimate import Memory, Placement
from planner.core.memory.kv_cache import kv_cells, kv_layer_bytes, state_bytes
from planner.core.memory.memory import PROCESS_OVERHEAD_BYTES, ProcessMemory
from planner.core.memory.workload import Settings
from planner.core.models.layers import Mixer, kv_heads, mixers, owns_cache
from planner.core.models.model import Architecture
from planner.core.models.quants import ELEMENT_BYTES
from planner.units import MIB, format_gib

_KINDS = {Mixer.FULL: "full", Mixer.SLIDING: "sliding", Mixer.BOTH: "full"}


def explain_memory(process: ProcessMemory, placement: Placement, memory: Memory) -> tuple[str, ...]:
    """The sum by component, each with what it is made of."""
    buffer = compute_buffer(process.arch, process.settings)
    return (
        *_weights(process, placement, memory),
        *_cache(process.arch, process.settings, memory),
        *_compute(process, buffer, memory),
        *_overhead(memory),
        f"total {format_gib(memory.total_bytes)}",
    )


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:,.2f} MiB"


def _weights(process: ProcessMemory, placement: Placement, memory: Memory) -> Iterator[str]:
    table, arch = process.table, process.arch
    yield f"weights {format_gib(memory.weights_bytes)}"
    yield f"  input tables   {_mib(table.input_bytes):>14}  always on the host"
    sizes = table.layer_bytes
    least, most = _mib(min(sizes)), _mib(max(sizes))
    each = most if least == most else f"{least.removesuffix(' MiB')} to {most}"
    yield f"  layers         {_mib(sum(sizes)):>14}  {arch.layers} of {each}"
    if table.output_bytes:
        why = "the token table again, with layers on a GPU" if table.tied else "matrix"
        yield f"  output         {_mib(table.output_bytes):>14}  {why}"
    if placement.n_cpu_moe:
        first = placement.n_layers - placement.n_gpu_layers
        moved = process.experts[first : placement.n_cpu_moe]
        yield f"  experts moved  {_mib(sum(moved)):>14}  of layers {first} to {placement.n_cpu_moe - 1}, on the host"


def _cache(arch: Architecture, settings: Settings, memory: Memory) -> Iterator[str]:
    yield f"KV cache {format_gib(memory.kv_cache_bytes)}"
    if not arch.causal:
        yield "  an encoder keeps none"
        return
    cells = kv_cells(arch, settings)
    kinds = mixers(arch)
    for kind, name in _KINDS.items():
        count = sum(k is kind and owns_cache(arch, layer) for layer, k in enumerate(kinds))
        if count:
            number = cells.sliding if kind is Mixer.SLIDING else cells.full
            yield f"  {count} {name} layers · {number} cells · {_row(arch, settings, kind)}"
    shared = sum(k in _KINDS and not owns_cache(arch, layer) for layer, k in enumerate(kinds))
    if shared:
        yield f"  {shared} layers read an earlier layer's"
    states = sum(kind in {Mixer.RECURRENT, Mixer.BOTH} for kind in kinds)
    if states:
        yield f"  {states} recurrent layers · {settings.parallel} slots · {state_bytes(arch):,} B of state"
    yield f"  cells: {_cells(arch, settings, cells.per_sequence, cells.sliding_per_sequence)}"
    total = sum(kv_layer_bytes(arch, settings))
    yield f"  = {_mib(total)}{'' if settings.kv_offload else ', on the host as asked'}"


def _row(arch: Architecture, settings: Settings, kind: Mixer) -> str:
    key_bytes, value_bytes = ELEMENT_BYTES[settings.kv_type_k], ELEMENT_BYTES[settings.kv_type_v]
    if arch.kv_lora_rank:
        return f"({arch.kv_lora_rank} + {arch.rope_head_length or 64}) · {key_bytes:g} B (MLA)"
    heads, key, value = kv_heads(arch, kind)
    return f"{heads} heads · ({key}·{key_bytes:g} + {value}·{value_bytes:g}) B"


def _cells(arch: Architecture, settings: Settings, full: int, sliding: int) -> str:
    pools = 1 if settings.kv_unified else settings.parallel
    told = f"{settings.context} / {pools} slots" if pools > 1 else f"{settings.context}"
    text = f"{told} up to a multiple of 256 = {full}"
    if arch.sliding_window and sliding < full:
        text += f"; window {arch.sliding_window} + micro-batch = {sliding}"
    return f"{text}{f', times {pools}' if pools > 1 else ''}"


def _compute(process: ProcessMemory, buffer: ComputeBuffer, memory: Memory) -> Iterator[str]:
    settings, u = process.settings, buffer.micro_batch
    yield f"compute {format_gib(memory.compute_bytes)}, in parts"
    yield f"  micro-batch u = min(ubatch {settings.ubatch}, batch {settings.batch}, context) = {u}"
    yield f"  numbers a token needs in each step (rows of output reserved: {output_rows(settings)})"
    for step in buffer.steps:
        mark = " <" if step is buffer.widest else ""
        yield f"    {step.name:13}{step.width:>10,}  {step.formula}{mark}"
    carried = f" + {buffer.carried_width}" if buffer.carried_width else ""
    yield f"  u · 4 B · {'(' if carried else ''}{buffer.widest.width}{carried}{')' if carried else ''}"
    yield f"    + mask u · {buffer.mask_cells} cells · {buffer.mask_element_bytes} B = {_mib(buffer.total_bytes)}"
    gpus = [row for row in memory.devices if row.device != "host"]
    for row in gpus:
        if extra := row.compute_bytes - buffer.total_bytes:
            yield f"  {row.device}: + {_mib(extra)}, copies of inputs, or of the largest matrix on the host"
    for row in memory.devices:
        if row.device == "host" and gpus:
            rows = _mib(input_bytes(process.arch, settings))
            yield f"  host: {_mib(row.compute_bytes)}, of it {rows} of input rows, then masks and output"
        elif row.device == "host":
            yield f"  output rows: {_mib(row.compute_bytes - buffer.total_bytes)}"


def _overhead(memory: Memory) -> Iterator[str]:
    yield f"overhead {format_gib(memory.overhead_bytes)}, outside the engine's own buffers"
    for row in memory.devices:
        if row.device != "host":
            yield f"  {row.device}: {_mib(row.overhead_bytes)} for the runtime of its driver"
    yield f"  host: {_mib(PROCESS_OVERHEAD_BYTES)} for the process"
