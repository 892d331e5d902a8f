"""GPUs that no native source reports, from `vulkaninfo`: NVK, Adreno, Mali, Asahi; AMD and Intel on Windows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from planner.core.machines.devices import match_driver_name
from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device, visible_order
from planner.probe.intel import memory_untold
from planner.probe.pci.cards import AMD, INTEL, NVIDIA, PciCard, children, graphics_cards
from planner.probe.pci.match import match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.probe.vulkan.vulkaninfo import VulkanGpu, read_vulkaninfo
from planner.units import printable

_VENDORS = {NVIDIA: Vendor.NVIDIA, AMD: Vendor.AMD, INTEL: Vendor.INTEL, 0x106B: Vendor.APPLE}
_NO_GPU = frozenset({"CPU"})
_MICROSOFT = 0x1414
"""Direct3D's own software renderer."""
_TRANSLATED = "MESA_DOZEN"
_PHONE_NODES = ("/dev/kgsl-3d0", "/dev/mali0")
_WSL_NODE, _WSL_CUDA = "/dev/dxg", "/usr/lib/wsl/lib/libcuda.so.1"
_NATIVE_DRIVERS = frozenset({"nvidia", "amdgpu"})
"""Kernel drivers whose cards other sources know better, whatever Vulkan says."""
_NO_HARDWARE = frozenset({"vgem", "vkms"})
_VARIABLE = "GGML_VK_VISIBLE_DEVICES"


@dataclass(frozen=True)
class _Gap:
    """What would be missed without Vulkan, in words, and whether that is worth saying to one without vulkaninfo."""

    words: str
    said: bool = True


def probe_vulkan(
    here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None, timeout_s: float = 3.0
) -> Finding:
    """What Vulkan can drive here; nothing, and no program run, where native sources know all there is. Never fails.

    Also cards that a native source lists: where reports are merged, its own counts, and Vulkan's memory serves
    where the native driver shows none. A processor that plays GPU is none.
    """
    gap = _gap(here)
    if gap is None:
        return Finding()
    program = here.which("vulkaninfo")
    if program is None:
        part = "Vulkan SDK" if here.platform == "win32" else "package vulkan-tools"
        text = f"vulkaninfo is not installed ({part}), so {gap.words}."
        return Finding(notes=(text,) if gap.said else ())
    # Without a display there are no surfaces to describe: nothing to wait for.
    finished = here.run([program], timeout_s, {"DISPLAY": ""})
    found = read_vulkaninfo(finished.output)
    notes = []
    if finished.timed_out:
        notes.append(f"vulkaninfo did not answer within {timeout_s:g} s; what it had told is kept.")
    gpus = _with_addresses(here, [g for g in found if g.kind not in _NO_GPU and g.vendor != _MICROSOFT])
    devices, more = _devices(here, _once_each(gpus), specs, host_memory_bytes)
    native = {c.address for v in (NVIDIA, AMD) for c in graphics_cards(here, v) if c.driver in _NATIVE_DRIVERS}
    return Finding(tuple(d for d in devices if d.pci_id is None or d.pci_id not in native), (*notes, *more))


def _gap(here: Surroundings) -> _Gap | None:
    """What only Vulkan can tell here; None if nothing, or if Vulkan has no device to open."""
    if here.platform == "darwin":
        return None
    if here.platform in {"win32", "cygwin"}:
        return _Gap("AMD and Intel GPUs are not found by themselves; name one with --gpu")
    if here.path(_WSL_NODE).exists():
        # Only CUDA and Direct3D go through this node: with CUDA's library there, NVML finds the card.
        cuda = here.path(_WSL_CUDA).exists()
        return (
            None if cuda else _Gap(f"the GPU that Windows lends to WSL ({_WSL_NODE}) is unknown; name it with --gpu")
        )
    phone = next((node for node in _PHONE_NODES if here.path(node).exists()), None)
    if phone is not None:
        return _Gap(f"the GPU behind {phone} is unknown")
    nodes = [node for node in children(here.path("/dev/dri")) if node.name.startswith("renderD")]
    known = {c.render_node: c for vendor in (NVIDIA, AMD, INTEL) for c in graphics_cards(here, vendor)}
    gaps = [gap for node in nodes if (gap := _gap_behind(here, node, known.get(node.name))) is not None]
    return max(gaps, key=lambda gap: gap.said, default=None)


def _gap_behind(here: Surroundings, node: Path, card: PciCard | None) -> _Gap | None:
    """What a render node leaves open: a GPU no native source reports, or reports without its memory."""
    if card is not None:
        if card.driver == "nouveau":
            return _Gap("the NVIDIA card that nouveau drives is not used")
        untold = card.vendor == INTEL and memory_untold(here, card)
        return _Gap("the memory of an Intel card is its data sheet's", said=False) if untold else None
    folder = f"/sys/class/drm/{node.name}/device"
    found = re.search(r"(?m)^DRIVER=([\w-]{1,40})$", here.read(f"{folder}/uevent") or "")
    driver = found[1] if found else ""
    if driver in _NO_HARDWARE:
        return None
    # A PCI device of another maker is what a virtual machine has for a display.
    on_board = here.read_int(f"{folder}/vendor", 16) is None
    return _Gap(
        f"the GPU behind /dev/dri/{node.name}{f' (driver {driver})' if driver else ''} is unknown", said=on_board
    )


def _with_addresses(here: Surroundings, gpus: Sequence[VulkanGpu]) -> list[VulkanGpu]:
    """The GPUs with the PCI address of the card of the same ids, where an old driver does not tell it."""
    taken = {gpu.address for gpu in gpus}
    placed = []
    for gpu in gpus:
        found = gpu
        if gpu.address is None and gpu.vendor in _VENDORS:
            same = [c.address for c in graphics_cards(here, gpu.vendor) if c.device == gpu.device]
            address = next((a for a in same if a is not None and a not in taken), None)
            taken.add(address)
            found = replace(gpu, address=address)
        placed.append(found)
    return placed


def _once_each(gpus: Sequence[VulkanGpu]) -> list[VulkanGpu]:
    """One GPU per card: two drivers may show it (RADV and AMDVLK; a maker's own and the one over Direct3D)."""
    own = {(g.vendor, g.device) for g in gpus if g.driver_id != _TRANSLATED}
    kept: dict[str, VulkanGpu] = {}
    for gpu in gpus:
        if gpu.driver_id == _TRANSLATED and (gpu.vendor, gpu.device) in own:
            continue
        kept.setdefault(gpu.address or f"no address {gpu.index}", gpu)
    return list(kept.values())


@dataclass(frozen=True)
class _Memory:
    """Memory in bytes, and what the budget is."""

    total: int | None
    free: int | None
    budget: int | None
    rule: str


def _memory(gpu: VulkanGpu, kind: DeviceKind, host_memory_bytes: int | None) -> _Memory:
    """A card has its largest local heap, of which its budget is free; other parts share the host's memory.

    Mesa lets these have three quarters of it, makers' drivers often all: more than three quarters is not planned.
    """
    if kind is DeviceKind.DISCRETE:
        local = max((h for h in gpu.heaps if h.device_local), key=lambda h: h.size, default=None)
        if local is None:
            return _Memory(None, None, None, "")
        free = None if local.budget is None else min(local.budget, local.size)
        rule = "all of it: use is unknown" if free is None else "free memory"
        return _Memory(local.size, free, local.size if free is None else free, rule)
    heaps = sum(heap.size for heap in gpu.heaps) or None
    total = host_memory_bytes or heaps
    if heaps is None or total is None:
        return _Memory(total, None, None, "")
    return _Memory(total, None, min(heaps, total * 3 // 4), "the Vulkan driver's heaps, at most 3/4 of memory")


def _devices(
    here: Surroundings, gpus: Sequence[VulkanGpu], specs: Sequence[DeviceSpec], host_memory_bytes: int | None
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices and what to know, after the variable of llama.cpp that hides some."""
    value = here.environ.get(_VARIABLE)
    every = [""] * (max((gpu.index for gpu in gpus), default=-1) + 1)
    shown = visible_order(value, every)
    notes = [] if value is None or not gpus else [f"{_VARIABLE}={printable(value)} is set and honoured."]
    devices = []
    for number, gpu in enumerate(gpus):
        device, remark = _device(number, gpu, specs, host_memory_bytes)
        if shown is not None and gpu.index not in shown:
            hidden = f"hidden by {_VARIABLE}"
            device = msgspec.structs.replace(device, usable=False, memory_budget_bytes=None, note=hidden)
        elif remark:
            notes.append(remark)
        devices.append(device)
    return tuple(devices), tuple(notes)


def _device(
    number: int, gpu: VulkanGpu, specs: Sequence[DeviceSpec], host_memory_bytes: int | None
) -> tuple[Device, str]:
    """One GPU, and what is missing of it."""
    kind = DeviceKind.UNIFIED if gpu.kind == "INTEGRATED_GPU" else DeviceKind.DISCRETE
    name = printable(gpu.name)
    # Direct3D's name wraps the card's, Mesa's has the chip behind it.
    inner = re.fullmatch(r"Microsoft Direct3D12 \((.+)\)", name)
    plain = re.sub(r"\s*\([^()]*\)$", "", name) if inner is None else inner[1]
    memory = _memory(gpu, kind, host_memory_bytes)
    spec = _spec(gpu, plain, specs, memory.total if kind is DeviceKind.DISCRETE else None)
    note = ""
    if memory.budget is None:
        note = "vulkaninfo does not tell its memory"
    elif kind is DeviceKind.UNIFIED and spec is None:
        note = "integrated graphics without known figures: the processor does the work"
    remark = ""
    if kind is DeviceKind.DISCRETE and (note or spec is None):
        remark = (
            f"{plain}: {note}; give it with --vram."
            if note
            else f"{plain} is not in the device list: its bandwidth is unknown, give it with --bandwidth."
        )
    device = build_device(
        index=number,
        name=plain,
        vendor=_VENDORS.get(gpu.vendor, Vendor.UNKNOWN) if spec is None else spec.vendor,
        kind=kind,
        spec=spec,
        driver="vulkaninfo" + (f" ({printable(gpu.driver)})" if gpu.driver else ""),
        total_bytes=memory.total,
        free_bytes=memory.free,
        budget_bytes=None if note else memory.budget,
        budget_source=memory.rule,
        pci_id=gpu.address,
        usable=not note,
        note=note,
        backend=Backend.VULKAN,
    )
    return device, remark


def _spec(gpu: VulkanGpu, name: str, specs: Sequence[DeviceSpec], memory_bytes: int | None) -> DeviceSpec | None:
    """The data-sheet row: by PCI ids and name for the makers of cards, by name for the rest."""
    if gpu.vendor in {NVIDIA, AMD, INTEL}:
        card = PciCard(Path("/"), gpu.vendor, gpu.device, None, gpu.address, None)
        return match_card(card, specs, memory_bytes=memory_bytes, names=[name]).spec
    return match_driver_name(name, specs, memory_bytes)
