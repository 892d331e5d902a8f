"""What a placed process does: bytes and operations per token, and which device does them."""

import functools

import msgspec

from planner.core.machines.hardware import Device, Hardware
from planner.core.memory.estimate import Memory, Placement
from planner.core.memory.kv_cache import kv_read_bytes, micro_batch
from planner.core.memory.memory import LayerSums
from planner.core.memory.workload import Settings
from planner.core.models.layers import Mixer, kv_heads, mixer
from planner.core.models.model import Architecture
from planner.core.models.parameters import parameter_table
from planner.core.models.weights import WeightTable
from planner.core.speed.calibration import Calibration
from planner.core.speed.cpu import memory_peak_gbps


class Work(msgspec.Struct, frozen=True):
    """What one token costs on a model.

    By layer: `layer_bytes` that are resident, `expert_bytes` of them in routed experts (empty without any),
    `active_bytes` of all that one token reads, `kv_bytes` of the cache at the asked depth. In all layers together:
    `dense_parameters` that every token uses, `expert_parameters` of the experts that see it.
    """

    layer_bytes: tuple[int, ...]
    expert_bytes: tuple[int, ...]
    active_bytes: tuple[float, ...]
    output_bytes: int
    kv_bytes: tuple[float, ...]
    dense_parameters: float
    expert_parameters: float
    output_parameters: int

    @property
    def layer_parameters(self) -> float:
        """Parameters of all layers that one token uses."""
        return self.dense_parameters + self.expert_parameters


def work_per_token(
    arch: Architecture, table: WeightTable, settings: Settings, *, sums: LayerSums | None = None
) -> Work:
    """Bytes read and parameters used by one generated token after `settings.depth` tokens.

    `sums` may be passed in where a file is looked at with several settings.
    """
    sums = sums or LayerSums(arch, table)
    dense, experts = layer_parameters(arch)
    return Work(
        layer_bytes=table.layer_bytes,
        expert_bytes=sums.experts if arch.is_moe else (),
        active_bytes=sums.active_bytes,
        output_bytes=table.output_bytes,
        kv_bytes=kv_read_bytes(arch, settings, settings.depth),
        dense_parameters=dense,
        expert_parameters=experts,
        output_parameters=arch.vocab_size * arch.embedding_length if arch.causal else 0,
    )


@functools.lru_cache(maxsize=1024)
def layer_parameters(arch: Architecture) -> tuple[float, float]:
    """Parameters of all layers that every token uses, and those of the experts that it is sent to."""
    layers = parameter_table(arch).layers
    return float(sum(layer.shared for layer in layers)), float(sum(layer.experts_active for layer in layers))


def attention_flops(arch: Architecture, position: float) -> float:
    """Operations of attention for a token that sees `position` others, all layers: 2 each for scores and values.

    A sliding layer sees no more than its window, a recurrent one no other token.
    """
    full, sliding = _attention(arch)
    return full * position + sliding * min(position, arch.sliding_window or position)


@functools.lru_cache(maxsize=1024)
def _attention(arch: Architecture) -> tuple[float, float]:
    """Operations for each token that is seen: of the full-attention layers, of the sliding ones."""
    found = {Mixer.FULL: 0.0, Mixer.SLIDING: 0.0}
    for layer in range(arch.layers):
        kind = mixer(arch, layer)
        if kind in found:
            _, key, value = kv_heads(arch, kind)
            found[kind] += 2.0 * arch.head_count * (key + value)
    return found[Mixer.FULL], found[Mixer.SLIDING]


class Part(msgspec.Struct, frozen=True):
    """Consecutive units (layers, then the output layer) on one GPU: `first` to before `end`."""

    device: Device
    first: int
    end: int


class Run(msgspec.Struct, frozen=True):
    """A placed process and what its tokens cost. `device` is the GPU that sets the pace, None on a CPU alone."""

    arch: Architecture
    work: Work
    settings: Settings
    hardware: Hardware
    placement: Placement
    device: Device | None
    parts: tuple[Part, ...]
    quant: str
    calibration: Calibration

    @property
    def host_layers(self) -> int:
        """Layers that stay on the CPU: they come first."""
        return max(0, self.placement.n_layers - self.placement.n_gpu_layers)

    @property
    def chosen_experts(self) -> float:
        """Share of a layer's experts that one token is sent to."""
        count = self.arch.expert_count or 1
        return min(1.0, (self.arch.expert_used_count or 1) / count)

    @property
    def moved(self) -> range:
        """Layers on a GPU whose experts are on the host."""
        end = min(self.placement.n_cpu_moe, self.arch.layers) if self.work.expert_bytes else 0
        return range(min(self.host_layers, end), end)

    @property
    def micro_batch(self) -> int:
        """Tokens of a prompt that are processed at once."""
        return max(1, min(self.settings.n_prompt, micro_batch(self.settings)))


def run_of(
    arch: Architecture,
    work: Work,
    *,
    settings: Settings,
    hardware: Hardware,
    placement: Placement,
    memory: Memory,
    quant: str,
    calibration: Calibration,
) -> Run:
    """Everything the formulas look at."""
    devices = devices_used(hardware, placement, memory, calibration)
    return Run(
        arch=arch,
        work=work,
        settings=settings,
        hardware=hardware,
        placement=placement,
        device=min(devices, key=lambda d: d.memory_bandwidth_gbps or 0.0, default=None),
        parts=_parts(devices, placement),
        quant=quant,
        calibration=calibration,
    )


def devices_used(
    hardware: Hardware, placement: Placement, memory: Memory, calibration: Calibration
) -> tuple[Device, ...]:
    """The GPUs that hold layers, in the order of their parts."""
    if not placement.n_gpu_layers:
        return ()
    by_id = {device.id: device for device in hardware.devices if device.usable}
    used = tuple(by_id[row.device] for row in memory.devices if row.device in by_id)
    if used:
        return used
    # On unified memory everything is in the host's row, and the bandwidth is the host's where no sheet says more.
    shared = next((d for d in by_id.values() if d.memory_budget_bytes), None)
    if shared is None:
        return ()
    if shared.memory_bandwidth_gbps is not None:
        return (shared,)
    peak = memory_peak_gbps(hardware, calibration.host)
    return (msgspec.structs.replace(shared, memory_bandwidth_gbps=peak),)


def _parts(devices: tuple[Device, ...], placement: Placement) -> tuple[Part, ...]:
    """Which units each GPU holds: consecutive runs, in device order, after those that stay on the host."""
    counts = [int(share) for share in placement.tensor_split or () if share] or [placement.n_gpu_layers]
    start = placement.n_layers - placement.n_gpu_layers
    found = []
    for device, count in zip(devices, counts, strict=False):
        found.append(Part(device, start, start + count))
        start += count
    return tuple(found)
