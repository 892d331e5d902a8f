"""What a machine can reach at best with a model, told from its network and its file's size alone.

Every figure is on the safe side: never below the speed that the estimate would give, never above the bytes it would
count.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from planner.core.machines.hardware import Device, Hardware
from planner.core.machines.typical_device import slowest
from planner.core.memory.estimate import HOST
from planner.core.memory.memory import BACKEND_OVERHEAD_BYTES, PROCESS_OVERHEAD_BYTES, ProcessMemory
from planner.core.memory.placement import Machine
from planner.core.models.model import Architecture, Model, Role
from planner.core.pairs.candidates import Candidate, File, Option
from planner.core.speed.calibration import Calibration, HostSpeed, Prompt, prompt_class
from planner.core.speed.cpu import cpu_bandwidth_gbps, cpu_gflops
from planner.core.speed.generation import flops_by_row, launch_seconds
from planner.core.speed.known_by_size import less_fast
from planner.core.speed.local import LocalCalibration
from planner.core.speed.prompt import block_flops, link_gbps
from planner.core.speed.throughput import device_spread
from planner.core.speed.work import layer_parameters
from planner.units import GIB

_PROMPT_SLACK = 4.0
"""Times its data sheet's peak that no device's prompt exceeds, whatever its share of it and its power."""
_ROUNDING = 1.01
"""Rates are rounded to three digits, and counts of parameters include norms and tables that no token multiplies."""
_MICRO_BATCH = 512
"""The most tokens of a prompt that a generator processes at once."""
_SURELY_FITS = 2
"""A file of which so many fit into a card beside a GiB is held whole by it, with cache and buffers."""


class Speed(NamedTuple):
    """Tokens per second that nothing exceeds: on the cards as they are taken to be, and on the slowest they may be.

    Both are the same unless a card is known by its size alone.
    """

    rate: float
    slow: float

    def low(self, least: float) -> float:
        """The most that the low end is, if that is `least` of the middle where the cards are known."""
        if self.slow >= self.rate:
            return self.rate * least
        return self.rate * math.exp(-math.hypot(math.log(least), math.log(self.slow / self.rate)))


class Offloaded(NamedTuple):
    """A generator beside another process: the most tokens per second, and what of it the host does.

    `host_s` are the seconds that the host's part takes of a prompt's token at least.
    """

    rate: Speed | None
    on_host: bool
    host_s: float


class Reach:
    """What one machine can do. `machine` is empty: beside another process there is less."""

    def __init__(self, machine: Machine, hardware: Hardware, calibration: Calibration) -> None:
        self.machine = machine
        self.gain = _local_gain(calibration)
        self._needs: dict[Candidate, _Needs] = {}
        self._slowing: dict[Option, bool] = {}
        self._rates: dict[tuple[File, bool], Speed | None] = {}
        self._prompts: dict[tuple[int, bool], tuple[Architecture, Speed | None]] = {}
        self._low_ends: dict[tuple[bool, bool, bool], tuple[float, float]] = {}
        self._calibration = calibration
        used = {pool.id for pool in machine.gpus}
        self._devices = devices = [device for device in hardware.devices if device.id in used]
        self._host_gbps = cpu_bandwidth_gbps(hardware, calibration.host)
        self._host_gflops = cpu_gflops(hardware, calibration.host)
        slow = [slowest(device) for device in devices]
        shared = self._host_gbps / calibration.host.bandwidth_share if machine.unified else None
        self._fastest_gbps = _fastest(devices, shared, self._host_gbps)
        self._slow_gbps = _fastest(slow, shared, self._host_gbps) or 0.0
        peaks = [prompt_class(device)[1] for device in devices]
        self._fastest_gflops = max([1e3 * _PROMPT_SLACK * (peak or 0) for peak in peaks] + [self._host_gflops])
        self._peaks_known = all(peaks)
        self._host_prompt_flops = self._host_gflops * 1e9 * _best_share(calibration.host)
        self._prompt_flops = _prompt_flops(devices, calibration, self._host_prompt_flops)
        self._slow_prompt_flops = _prompt_flops(slow, calibration, self._host_prompt_flops)
        self._link_gbps = max([calibration.host.link_gbps_default, *(link_gbps(device) or 0 for device in devices)])
        # A card that holds a layer holds the backend's own memory too.
        self._card_bytes = sum(
            max(0, (pool.budget_bytes or 0) - BACKEND_OVERHEAD_BYTES[pool.backend]) for pool in machine.gpus
        )

    def rate(self, model: Model, arch: Architecture, layers: int | None, *, on_cpu: bool) -> Speed | None:
        """Tokens per second that a model cannot exceed in its role; None where that is not known.

        `layers`: the bytes that its layers have at least.
        """
        if model.role is Role.GENERATION:
            return self._generation(arch, layers, on_cpu=on_cpu)
        return self._indexing(arch, model.parameters, on_cpu=on_cpu)

    def rate_of(self, file: File, *, on_cpu: bool) -> Speed | None:
        """`rate` of a file."""
        key = (file, on_cpu)
        if key not in self._rates:
            least = file.least
            layers = None if least is None else least.layers
            self._rates[key] = self.rate(file.model, file.architecture, layers, on_cpu=on_cpu)
        return self._rates[key]

    def _generation(self, arch: Architecture, layers: int | None, *, on_cpu: bool) -> Speed | None:
        """Every token reads at least the active weights of all layers; what no card can hold the host reads."""
        if layers is None:
            return None
        active = (arch.expert_used_count or 1) / (arch.expert_count or 1) if arch.is_moe else 1.0
        if on_cpu or not self.machine.gpus:
            host = layers
        else:
            host = 0 if self.machine.unified else max(0, layers - self._card_bytes)
        return self._reading(active * host, active * (layers - host))

    def _reading(self, host_bytes: float, card_bytes: float) -> Speed | None:
        """Tokens per second where so much is read of the host's memory for each, and of the fastest card's."""
        if self._fastest_gbps is None:
            return None
        host_s = host_bytes / (self._host_gbps * 1e9)
        seconds = host_s + card_bytes / (self._fastest_gbps * 1e9)
        if seconds <= 0:
            return None
        rate = self.gain / seconds
        if self._slow_gbps >= self._fastest_gbps:
            return Speed(rate, rate)
        return Speed(rate, self.gain / (host_s + card_bytes / (self._slow_gbps * 1e9)))

    def _indexing(self, arch: Architecture, parameters: int | None, *, on_cpu: bool) -> Speed | None:
        """Every token is multiplied with all weights of the layers."""
        if parameters is None or arch.is_moe or not self._peaks_known:
            return None
        tables = 1 if arch.tied_embeddings and arch.causal else 2
        operations = 2.0 * (parameters - tables * arch.vocab_size * arch.embedding_length)
        if operations <= 0:
            return None
        gflops = self._host_gflops if on_cpu else self._fastest_gflops
        rate = self.gain * gflops * 1e9 / operations
        return Speed(rate, rate)

    def prompt(self, arch: Architecture, *, on_cpu: bool, host_s: float) -> Speed | None:
        """Prompt tokens per second that a generator cannot exceed: each is multiplied with all active weights.

        `host_s`: what the host takes of a token at least.
        """
        key = (id(arch), on_cpu)  # the value keeps the architecture alive, and so its id its own
        if key not in self._prompts:
            host, operations = self._host_prompt_flops, 2.0 * sum(layer_parameters(arch))
            flops, slow = (host, host) if on_cpu else (self._prompt_flops, self._slow_prompt_flops)
            if flops is None or slow is None or operations <= 0:
                self._prompts[key] = arch, None
            else:
                self._prompts[key] = arch, Speed(self.gain * flops / operations, self.gain * slow / operations)
        found = self._prompts[key][1]
        if host_s <= 0:
            return found
        most = self.gain / host_s
        return Speed(most, most) if found is None else Speed(min(found.rate, most), min(found.slow, most))

    def is_offloaded(self, layers: int | None) -> bool:
        """Whether the cards surely have no room for all layers."""
        return not self.machine.unified and layers is not None and layers > self._card_bytes

    def may_slow_down(self, option: Option) -> bool:
        """Whether a card may do a layer of a generator later than the host: its attention, where experts are moved.

        Per token: reading and multiplying the dense weights of a layer and starting it, against reading them alone.
        What is true of a file is true of the smallest, as starting a layer takes as long.
        """
        if option not in self._slowing:
            self._slowing[option] = self._slows_down(option)
        return self._slowing[option]

    def _slows_down(self, option: Option) -> bool:
        layers, arch, constants = option.least_layers, option.architecture, self._calibration.generation
        dense, experts = layer_parameters(arch)
        if layers is None or not dense:
            return False
        everything = dense + experts * (arch.expert_count or 1) / (arch.expert_used_count or 1)
        each, bytes_each = dense / arch.layers, layers / everything
        host_s = each * bytes_each / (self._host_gbps * 1e9)
        return any(
            each * (bytes_each / (constants.bandwidth_share * gbps * 1e9) + 2.0 / flops_by_row(constants, device))
            + launch_seconds(constants, device, moe=arch.is_moe)
            > host_s
            for device in self._devices
            if (gbps := device.memory_bandwidth_gbps)
        )

    def lows(self, arch: Architecture, *, on_cpu: bool, offloaded: bool) -> tuple[float, float]:
        """The most that the low ends of generation and prompt can be of the middle."""
        key = (arch.is_moe, on_cpu or not self._devices, offloaded)
        if key not in self._low_ends:
            self._low_ends[key] = self._low_end(*key), self._low_end(*key, "pp")
        return self._low_ends[key]

    def _low_end(self, moe: bool, on_host: bool, offloaded: bool, quantity: str = "tg") -> float:
        calibration, spreads = self._calibration, self._calibration.spreads
        if isinstance(calibration, LocalCalibration):
            return 1.0  # what was measured here has an interval of its own
        if on_host:
            return spreads.host.low
        if quantity == "tg":
            tiers, known = (spreads.generation_moe if moe else spreads.generation), calibration.known_generation
        else:
            tiers, known = (spreads.prompt_moe if moe else spreads.prompt), calibration.known_prompt
        found = [device_spread(device, tiers, known)[0] for device in self._devices]
        # Of fast memory less is known, but a card is not slower for having it.
        found += [
            device_spread(less_fast(device), tiers, known)[0] for device in self._devices if device.known_by_size
        ]
        return max((each.wider(spreads.offload) if offloaded else each).low for each in found) * _ROUNDING

    def beside(self, candidate: Candidate, process: ProcessMemory, rest: Machine) -> Offloaded | None:
        """What a generator can reach on what a machine has left; None where that tells no more than its file.

        What the cards have no room for the host reads, at least the part of it that is active: of a byte of weights
        and cache together, as layers move with their cache, or of experts alone.
        """
        if candidate.way.on_cpu or rest.unified or self._fastest_gbps is None:
            return None
        room = sum(max(0, (pool.budget_bytes or 0) - process.fixed_bytes(pool, shared=False)) for pool in rest.gpus)
        if candidate not in self._needs:
            self._needs[candidate] = _needs(candidate, process)
        needs = self._needs[candidate]
        off = max(0, needs.total_bytes - room)
        host = min(needs.active_bytes, off * needs.active_share)
        # A prompt meets what the host holds where that is sooner done: on the CPU, or on the GPU it is sent to.
        computed = min(needs.operations, off * needs.operations_per_byte) / self._host_prompt_flops
        sent = min(needs.total_bytes, off) * needs.weight_share / (self._link_gbps * 1e9) / _MICRO_BATCH
        rate = self._reading(host, needs.active_bytes - host)
        return Offloaded(rate, host > 0, min(computed, sent))

    def least_usage(self, candidate: Candidate) -> dict[str, int] | None:
        """Bytes that it takes at least of every device, None where that is not sure without looking closer."""
        least, gpus = candidate.file.least, self.machine.gpus
        if least is None or len(gpus) > 1:
            return None
        if candidate.way.on_cpu or not gpus or self.machine.unified:
            return {HOST: least.tensors + PROCESS_OVERHEAD_BYTES}
        if _SURELY_FITS * (candidate.variant.file_bytes or 0) + GIB > (gpus[0].budget_bytes or 0):
            return None
        return {gpus[0].id: least.layers, HOST: least.table + PROCESS_OVERHEAD_BYTES}


class _Needs(NamedTuple):
    """What a generator's layers need: bytes of weights and cache, bytes that a token reads, operations of a token.

    And the least that a byte of a layer, or of experts alone, has of them.
    """

    total_bytes: int
    active_bytes: float
    operations: float
    active_share: float
    operations_per_byte: float
    weight_share: float


def _needs(candidate: Candidate, process: ProcessMemory) -> _Needs:
    work, units, arch = candidate.work, process.units, process.arch
    operations = 2.0 * work.layer_parameters
    sizes = process.layer_sizes()
    active = min(read / size if size else 1.0 for read, size in zip(work.active_bytes, sizes, strict=True))
    weights = min(held / size if size else 1.0 for held, size in zip(work.layer_bytes, sizes, strict=True))
    dense = operations / arch.layers / max([1, *sizes])
    experts = sum(work.expert_bytes) if process.experts else 0
    return _Needs(
        total_bytes=process.unit_bytes(0, units, 0),
        active_bytes=sum(work.active_bytes) + work.output_bytes,
        operations=operations,
        active_share=min(1.0, (arch.expert_used_count or 1) / (arch.expert_count or 1) if experts else 1.0, active),
        operations_per_byte=min(dense, 2.0 * work.expert_parameters / experts) if experts else dense,
        weight_share=min(1.0, weights),
    )


def _fastest(devices: Sequence[Device], shared: float | None, host_gbps: float) -> float | None:
    """The highest bandwidth in GB/s that any device has; None where one's is not known.

    A GPU without a figure of its own that shares the host's memory has the host's, `shared`.
    """
    known = [device.memory_bandwidth_gbps or shared for device in devices]
    return None if None in known else max([host_gbps, *(speed for speed in known if speed)]) * _ROUNDING


def _best_share(constants: Prompt | HostSpeed) -> float:
    """What the quant type with the fastest kernels has of the speed on 32-weight blocks."""
    return max(1.0, constants.float_share, constants.k_share)


def _prompt_flops(devices: Sequence[Device], calibration: Calibration, host: float) -> float | None:
    """FLOP/s that no prompt exceeds on all devices together; None where one's peak is not known."""
    constants = calibration.prompt
    found = [block_flops(device, constants) for device in devices]
    if None in found:
        return None
    split = max(1.0, math.pow(max(1, len(devices)), constants.split_gain))
    return max([host, *(each * _best_share(constants) * split for each in found if each)])


def _local_gain(calibration: Calibration) -> float:
    """How much faster than the formula anything may be here by what was measured."""
    if not isinstance(calibration, LocalCalibration):
        return _ROUNDING
    points = [point.measured_tokens_per_s / point.predicted_tokens_per_s for point in calibration.points]
    return _ROUNDING * max([1.0, *points, *(factor.factor for factor in calibration.factors.values())])
