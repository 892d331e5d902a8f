"""Asks for the estimate of a model on many machines, and stops where the answer is known."""

from collections.abc import Sequence

import msgspec

from planner.core.estimates.estimator import estimate, settings_for, weights_of
from planner.core.fits.device_grid import reference_hardware
from planner.core.fits.device_market import Chip, DeviceClass, device_class, ram_sizes_gib
from planner.core.fits.fitting import file_bytes_of, longest_context, rate_of
from planner.core.fits.need_answer import (
    CONTEXT_SIZES_GIB,
    DESKTOP,
    SERVER,
    CpuOnly,
    DeviceNeed,
    Partial,
    QuantNeed,
    Question,
)
from planner.core.machines.hardware import DeviceKind, DeviceSpec, Hardware
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.estimate import HOST, Estimate, Rate, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import machine_of
from planner.core.models.model import Role, Variant
from planner.core.pairs.score import READING_TOKENS_PER_S
from planner.core.speed.calibration import Calibration
from planner.units import GIB

COUNTS = (1, 2, 3, 4, 6, 8)
"""How many of one card are tried: what mainboards and servers take."""
CARD_SIZES_GIB = (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 180)
"""Memory sizes of cards tried for a part of the layers."""
WORTH_A_CARD = 1.25
"""A part on a card counts where it is faster than the CPU alone by this factor."""
_ALL_LAYERS = 10_000


class Search:
    """A question with what is worked out once: settings, processes by quant, the machine around a card."""

    def __init__(self, question: Question, specs: Sequence[DeviceSpec], calibration: Calibration) -> None:
        self.question = question
        self.specs = tuple(specs)
        self.calibration = calibration
        self.settings = settings_for(question.model, question.workload, question.context)
        self.reference = reference_hardware(self.specs)
        self.hosts = {host.id: host.hardware() for host in (DESKTOP, SERVER)}
        self.processes: dict[str, ProcessMemory] = {}
        self.whole: dict[tuple[str, str, DeviceKind], int] = {}
        self.cpu = self.cpu_only(question.variant)

    @property
    def partial_wanted(self) -> bool:
        """Whether layers on the CPU are worth a thought: embedders are small and read in bulk."""
        return self.question.model.role is Role.GENERATION

    def partial_speed(self, cpu: CpuOnly) -> float:
        """Tokens per second from which a card with a part of the layers is of use."""
        wanted = self.question.workload.min_speed
        alone = WORTH_A_CARD * cpu.rate.mid if cpu.rate is not None else 0.0
        return max(READING_TOKENS_PER_S if wanted is None else wanted, alone)

    def on(self, variant: Variant, hardware: Hardware, *, whole: bool = False) -> Estimate:
        """A quant on a machine at its capacity. `whole`: does not fit unless the devices hold all layers."""
        process = self.processes.get(variant.quant)
        if process is None:
            process = self.processes[variant.quant] = self._process(variant, self.question.context)
        return estimate(
            self.question.model,
            variant,
            msgspec.structs.replace(self.settings, n_gpu_layers=_ALL_LAYERS) if whole else self.settings,
            hardware,
            machine_of(hardware, live=False),
            process=process,
            calibration=self.calibration,
        )

    def _process(self, variant: Variant, context: int) -> ProcessMemory:
        model = self.question.model
        table = weights_of(model, variant)
        assert model.architecture is not None, "weights_of refuses a model without one"
        return ProcessMemory(model.architecture, table, settings_for(model, self.question.workload, context))

    def rate(self, found: Estimate) -> Rate | None:
        """The speed asked about."""
        return rate_of(self.question.model, found)

    def reaches(self, rate: Rate | None, speed: float | None) -> bool:
        """Whether the middle of a rate is the speed wanted or more; an unknown rate is not."""
        return speed is None or (rate is not None and rate.mid >= speed)

    def quant_need(self, variant: Variant) -> QuantNeed:
        """What a quant takes on a CUDA card, partly on one and without any."""
        found = self.on(variant, self.reference, whole=True)
        gpu = sum(row.total_bytes for row in found.memory.devices if row.device != HOST)
        cpu = self.cpu_only(variant)
        partial = self._partial(variant, gpu, cpu) if self.partial_wanted else None
        return QuantNeed(
            variant=variant,
            predicted=variant not in self.question.model.variants,
            file_bytes=file_bytes_of(self.question.model, variant),
            gpu_bytes=gpu,
            host_bytes=found.memory.total_bytes - gpu,
            cpu_only=cpu,
            partial=partial,
            contexts=self._contexts(variant),
        )

    def cpu_only(self, variant: Variant) -> CpuOnly:
        """What a quant takes without a GPU, and on which typical machine; on the desktop if it has the memory."""
        for host in (DESKTOP, SERVER):
            found = self.on(variant, self.hosts[host.id])
            size = host.size_for(found.memory.total_bytes)
            if size is not None:
                return CpuOnly(found.memory.total_bytes, host, size, self.rate(found))
        return CpuOnly(found.memory.total_bytes, None, None, None)

    def _partial(self, variant: Variant, gpu_bytes: int, cpu: CpuOnly) -> Partial | None:
        """The smallest typical card, less than holds everything, with which the quant is fast enough."""
        if cpu.host is None:
            return None
        base, speed = self.hosts[cpu.host.id], self.partial_speed(cpu)
        for gib in CARD_SIZES_GIB:
            if gib * GIB >= gpu_bytes:
                break
            hardware = virtual_hardware(Overrides(vram=(gib * GIB,)), self.specs, base=base)
            found = self.on(variant, hardware)
            rate = self.rate(found)
            placement = found.placement
            if placement.verdict is Verdict.OFFLOAD and placement.n_gpu_layers and self.reaches(rate, speed):
                host = next(row.total_bytes for row in found.memory.devices if row.device == HOST)
                taken = found.memory.total_bytes - host
                return Partial(gib, taken, host, placement.n_gpu_layers, placement.n_cpu_moe, rate)
        return None

    def _contexts(self, variant: Variant) -> tuple[int | None, ...]:
        model, reference = self.question.model, self.reference
        machine = machine_of(reference, live=False)
        settled: dict[int, int] = {}

        def gpu_bytes(context: int) -> int:
            if context not in settled:
                settings = settings_for(model, self.question.workload, context)
                process = self._process(variant, context)
                found = estimate(model, variant, settings, reference, machine, process=process)
                settled[context] = sum(row.total_bytes for row in found.memory.devices if row.device != HOST)
            return settled[context]

        def longest(room_bytes: int) -> int | None:
            return longest_context(model, lambda context: gpu_bytes(context) <= room_bytes)

        return tuple(longest(gib * GIB) for gib in CONTEXT_SIZES_GIB)

    def device_need(self, chip: Chip) -> DeviceNeed:
        """The fewest devices of a kind, or the least shared memory, that hold the quant whole.

        Where none do, one of them with the rest on the CPU, or one that does not run.
        """
        spec, kind = chip.spec, device_class(chip.spec)
        variant, wanted = self.question.variant, self.question.workload.min_speed
        bound = self._whole_bytes(variant, spec)
        sizes = _sizes(spec, kind)
        for count, gib in sizes:
            # Less than what one of unlimited memory takes: no need to look closer.
            if count * gib * GIB < bound:
                continue
            found = self.on(variant, self.hardware(spec, count, gib), whole=True)
            if found.placement.verdict is Verdict.FITS:
                return DeviceNeed(
                    chip=chip,
                    kind=kind,
                    count=count,
                    memory_gib=gib,
                    estimate=found,
                    rate=self.rate(found),
                    reaches=self.reaches(self.rate(found), wanted),
                )
        gib = max((gib for _, gib in sizes), default=spec.memory_gib or 0.0)
        part = self.on(variant, self.hardware(spec, 1, gib))
        rate = self.rate(part)
        return DeviceNeed(
            chip=chip,
            kind=kind,
            count=1,
            memory_gib=gib,
            estimate=part,
            rate=rate,
            reaches=self.reaches(rate, wanted),
            useful=part.placement.verdict is Verdict.OFFLOAD and self.reaches(rate, self.partial_speed(self.cpu)),
        )

    def hardware(self, spec: DeviceSpec, count: int, gib: float) -> Hardware:
        """Devices of a kind in the desktop, with its memory where they share none of their own."""
        base = self.hosts[DESKTOP.id]
        ram = round(gib * GIB) if spec.kind is DeviceKind.UNIFIED else None
        return virtual_hardware(Overrides(gpu=f"{count}x {spec.slug}", ram_bytes=ram), (spec,), base=base)

    def _whole_bytes(self, variant: Variant, spec: DeviceSpec) -> int:
        """What a quant takes of such a device alone, had it room: no number of them holds it in less."""
        key = (variant.quant, spec.backend.value, spec.kind)
        if key not in self.whole:
            roomy = msgspec.structs.replace(spec, memory_gib=4096.0)
            memory = self.on(variant, self.hardware(roomy, 1, 4096.0)).memory
            shared = spec.kind is DeviceKind.UNIFIED
            self.whole[key] = sum(row.total_bytes for row in memory.devices if shared or row.device != HOST)
        return self.whole[key]

    def with_largest(self, device: DeviceNeed) -> DeviceNeed:
        """Which quant of those shown, the largest file first, the same devices hold whole."""
        spec = device.chip.spec
        hardware = self.hardware(spec, device.count, device.memory_gib)
        for variant in self.question.variants:
            if device.count * device.memory_gib * GIB < self._whole_bytes(variant, spec):
                continue
            if self.on(variant, hardware, whole=True).placement.verdict is Verdict.FITS:
                return msgspec.structs.replace(device, largest=variant)
        return device


def _sizes(spec: DeviceSpec, kind: DeviceClass) -> list[tuple[int, float]]:
    """Numbers of devices and the memory of each, in the order they are tried; empty where no memory is known."""
    if spec.kind is DeviceKind.UNIFIED:
        return [(1, float(gib)) for gib in ram_sizes_gib(spec)]
    if spec.memory_gib is None:
        return []
    counts = (1,) if kind is DeviceClass.LAPTOP else COUNTS
    return [(count, spec.memory_gib) for count in counts]
