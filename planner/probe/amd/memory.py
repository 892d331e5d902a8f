"""What memory an AMD device has: its own, or for an APU what is set aside of the host's and what it may map."""

from dataclasses import dataclass

from planner.core.machines.hardware import DeviceKind, DeviceSpec
from planner.probe.amd.kfd import KfdNode
from planner.probe.amd.rocm_smi import Told
from planner.probe.pci.cards import PciCard
from planner.probe.surroundings import Surroundings
from planner.units import GIB

_CARVE_OUT_BYTES = 4 * GIB
"""An APU's own "VRAM" is a slice of host memory the firmware sets aside; by default 4 GiB at most."""


_NOT_A_SIZE = 2**50
"""More than any card has: drivers write 2^64 - 1 where they do not know."""


@dataclass(frozen=True)
class Vram:
    """What the driver tells, in bytes: memory of its own, and host memory it may map (GTT). `driver` is who told."""

    total: int | None = None
    used: int | None = None
    gtt_total: int | None = None
    gtt_used: int | None = None
    driver: str = "amdgpu (sysfs)"


@dataclass(frozen=True)
class Memory:
    """What planning needs, in bytes. `rule` says in words what the budget is."""

    kind: DeviceKind
    total: int | None
    used: int | None
    free: int | None
    budget: int | None
    rule: str


def read_vram(here: Surroundings, card: PciCard, node: KfdNode | None, told: Told | None) -> Vram:
    """The amdgpu driver's files, else ROCm's memory banks, else what ROCm's tools print."""
    total, used, gtt_total, gtt_used = (
        here.read_int(card.folder / f"mem_info_{what}")
        for what in ("vram_total", "vram_used", "gtt_total", "gtt_used")
    )
    driver = Vram.driver
    if total is None and node is not None and node.vram_bytes is not None:
        total, driver = node.vram_bytes, "amdkfd (sysfs)"
    elif total is None and told is not None:
        total, used, driver = told.total_bytes, told.used_bytes, told.tool
    return Vram(_size(total), _part(used, total), _size(gtt_total), _part(gtt_used, gtt_total), driver)


def weigh(vram: Vram, spec: DeviceSpec | None, host_available_bytes: int | None = None) -> Memory:
    """Memory, use and budget of a device.

    A part with tiny VRAM and a larger GTT is an APU, as is one whose data sheet says so however much is set aside:
    its memory is both together, so is its budget. A card's budget is what is free of it. Of the host's memory an
    APU may map no more is free than the host has available (`host_available_bytes`), whoever took the rest.
    """
    small = (
        vram.total is not None
        and vram.gtt_total is not None
        and vram.total <= _CARVE_OUT_BYTES
        and vram.gtt_total > vram.total
    )
    unified = spec.kind is DeviceKind.UNIFIED if spec is not None else small
    total, used = vram.total, vram.used
    rule = "free memory"
    if unified and vram.total is not None and vram.gtt_total is not None:
        total = vram.total + vram.gtt_total
        used = None if vram.used is None or vram.gtt_used is None else vram.used + vram.gtt_used
        rule = "memory set aside for the GPU, plus host memory it may map (GTT)"
    free = None if total is None or used is None else max(0, total - used)
    if unified and free is not None and host_available_bytes is not None and vram.total is not None:
        free = min(free, max(0, vram.total - (vram.used or 0)) + host_available_bytes)
    budget = total if unified or free is None else free
    if free is None and not unified:
        rule = "all of it: use is unknown"
    kind = DeviceKind.UNIFIED if unified else DeviceKind.DISCRETE
    return Memory(kind, total, used, free, budget, rule)


def _part(used: int | None, total: int | None) -> int | None:
    """Of a memory no more is in use than there is."""
    size = _size(used)
    return size if size is None or total is None else min(size, max(0, total))


def _size(value: int | None) -> int | None:
    """No card has a negative size, nor a pebibyte."""
    return value if value is not None and 0 <= value < _NOT_A_SIZE else None
