"""Intel graphics, from sysfs: Arc cards with memory of their own, and integrated parts that share the host's."""

import re
from collections.abc import Sequence

from planner.core.devices import unified_budget
from planner.core.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device
from planner.probe.pci import INTEL, PciCard, card_name, graphics_cards, match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB

_VRAM_FILES = ("lmem_total_bytes", "../lmem_total_bytes", "mem_info_vram_total")
_SMALLEST_VRAM_BYTES = 2 * GIB


def probe_intel(here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None) -> Finding:
    """The Intel devices of this machine; integrated graphics without known figures are listed but not used."""
    devices: list[Device] = []
    notes: list[str] = []
    for index, card in enumerate(graphics_cards(here, INTEL)):
        devices.append(_device(here, card, specs, index=index, host_memory_bytes=host_memory_bytes, notes=notes))
    return Finding(tuple(devices), tuple(notes))


def _device(
    here: Surroundings,
    card: PciCard,
    specs: Sequence[DeviceSpec],
    *,
    index: int,
    host_memory_bytes: int | None,
    notes: list[str],
) -> Device:
    """One card. The kernel seldom tells an Arc's memory: then it is the data sheet's."""
    told = card_name(here, card)
    name = told or f"Intel graphics {card.device:04x}"
    vram, driver = _vram(here, card)
    spec = match_card(name, specs, vram)
    discrete = spec.kind is DeviceKind.DISCRETE if spec is not None else vram is not None
    problem = ""
    free = None
    if discrete:
        total = vram
        if total is None and spec is not None and spec.memory_gib is not None:
            total, driver = round(spec.memory_gib * GIB), f"devices.json ({spec.slug})"
        budget, rule = total, "all of it: the driver does not tell what is free"
        if total is None:
            problem = "its memory is unknown"
            notes.append(f"{name} ({card.address or 'PCI'}): {problem}; give it with --vram.")
    else:
        total, driver = host_memory_bytes, "the host's memory"
        budget, rule = unified_budget(Vendor.INTEL, total) if total is not None else (None, "")
        if spec is None:
            problem = "integrated graphics without known figures: the processor does the work"
            budget = None
    return build_device(
        index=index,
        name=name,
        vendor=Vendor.INTEL,
        kind=DeviceKind.DISCRETE if discrete else DeviceKind.UNIFIED,
        spec=spec,
        driver=driver,
        total_bytes=total,
        free_bytes=free,
        budget_bytes=budget,
        budget_source=rule,
        pci_id=card.address,
        usable=not problem,
        note=problem,
    )


def _vram(here: Surroundings, card: PciCard) -> tuple[int | None, str]:
    """Local memory in bytes: a driver file, else the largest prefetchable window (resizable BAR shows all of it)."""
    files = [card.folder / name for name in _VRAM_FILES]
    files += [card.folder / f"tile{n}" / "physical_vram_size_bytes" for n in range(2)]
    sizes = [size for file in files if (size := here.read_int(file, 0)) is not None and size > 0]
    if sizes:
        return sum(sizes[:2]) if len(sizes) > 1 else sizes[0], "driver (sysfs)"
    largest = 0
    for start, end, flags in re.findall(
        r"0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)", here.read(card.folder / "resource") or ""
    ):
        if int(flags, 16) & 0x2000:
            largest = max(largest, int(end, 16) - int(start, 16) + 1)
    if card.address is not None and not card.address.endswith(":00:02.0") and largest >= _SMALLEST_VRAM_BYTES:
        return largest, "PCI memory window"
    return None, "driver (sysfs)"
