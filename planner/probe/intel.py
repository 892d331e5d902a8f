"""Intel graphics, from sysfs: Arc cards with memory of their own, and integrated parts that share the host's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from planner.core.machines.devices import unified_budget
from planner.core.machines.hardware import Device, DeviceKind, DeviceSpec, PcieLink, Vendor
from planner.probe.access import foreign_driver, node_access
from planner.probe.building import build_device
from planner.probe.pci.cards import INTEL, PciCard, children, graphics_cards, listed_names, product_name
from planner.probe.pci.link import pcie_link
from planner.probe.pci.match import Match, match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB, format_gib, printable

_SMALLEST_WINDOW_BYTES = 2 * GIB
_PREFETCHABLE = 0x2000
_MICROWATTS = 1_000_000
_INTEGRATED = ":00:02.0"
"""Where integrated graphics sit."""


@dataclass(frozen=True)
class _Vram:
    """Memory of a card's own as the driver tells it, in bytes; `window` is the largest view of it on the PCI bus."""

    total: int | None = None
    free: int | None = None
    window: int | None = None


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
    vram = _vram(here, card)
    product, listed = product_name(here, card), listed_names(here, card)
    match = match_card(
        card, specs, memory_bytes=vram.total, window_bytes=vram.window, names=[n for n in (product, *listed) if n]
    )
    fallback = next(iter(listed), None) or f"Intel graphics {card.device:04x}"
    name = printable(product or match.name or fallback)
    where = f"{name} ({card.address or 'PCI'})"
    spec = match.spec
    kind = DeviceKind.DISCRETE if _discrete(spec, vram) else DeviceKind.UNIFIED
    common = _Common(index, name, card, match, kind)
    if kind is DeviceKind.DISCRETE:
        device = _card_with_memory(here, common, vram)
    else:
        device = _integrated(common, host_memory_bytes)
    held = foreign_driver(card.driver) or node_access(here, card.render_node).render
    problem = f"visible but not usable here: {held}" if held else "" if device.usable else device.note
    if held or (problem and kind is DeviceKind.DISCRETE):
        notes.append(f"{where}: {problem}. Plan for it with --vram or --gpu.")
    elif not problem and kind is DeviceKind.DISCRETE and device.memory_bandwidth_gbps is None:
        notes.append(f"The bandwidth of {where} is unknown: give it with --bandwidth, or name the card.")
    if problem:
        return msgspec.structs.replace(device, usable=False, memory_budget_bytes=None, note=problem)
    return device


@dataclass(frozen=True)
class _Common:
    """What is the same for both kinds."""

    index: int
    name: str
    pci: PciCard
    match: Match
    kind: DeviceKind

    def build(
        self,
        *,
        driver: str,
        total: int | None,
        budget: int | None,
        rule: str,
        usable: bool,
        note: str = "",
        free: int | None = None,
        used: int | None = None,
        power_limit_w: float | None = None,
        link: PcieLink | None = None,
    ) -> Device:
        """The device."""
        return build_device(
            index=self.index,
            name=self.name,
            vendor=Vendor.INTEL,
            kind=self.kind,
            spec=self.match.spec,
            driver=driver,
            total_bytes=total,
            free_bytes=free,
            budget_bytes=budget,
            budget_source=rule,
            pci_id=self.pci.address,
            usable=usable,
            note=note,
            told_by=f"{self.pci.driver or 'kernel'} (sysfs)",
            used_bytes=used,
            power_limit_w=power_limit_w,
            pcie_link=link,
        )


def _discrete(spec: DeviceSpec | None, vram: _Vram) -> bool:
    """Whether a part has memory of its own; a window on it is looked for on cards only."""
    if spec is not None:
        return spec.kind is DeviceKind.DISCRETE
    return vram.total is not None or vram.window is not None


def _card_with_memory(here: Surroundings, common: _Common, vram: _Vram) -> Device:
    """An Arc or data centre card."""
    spec, total, driver = common.match.spec, vram.total, f"{common.pci.driver or 'kernel'} (sysfs)"
    remark = ""
    if total is None and spec is not None and spec.memory_gib is not None:
        total, driver = round(spec.memory_gib * GIB), f"devices.json ({spec.slug})"
        if len({row.memory_gib for row in common.match.rows}) > 1:
            size = format_gib(total)
            remark = f"the driver does not tell which of the two; {size} is planned for, give more with --vram"
    return common.build(
        driver=driver,
        total=total,
        free=vram.free,
        used=None if vram.free is None or vram.total is None else max(0, vram.total - vram.free),
        budget=total if vram.free is None else vram.free,
        rule="all of it: the driver does not tell what is free" if vram.free is None else "free memory",
        usable=total is not None,
        note=remark if total is not None else "its memory is unknown",
        power_limit_w=_power_limit(here, common.pci),
        link=pcie_link(here, common.pci),
    )


def _integrated(common: _Common, host_memory_bytes: int | None) -> Device:
    """Graphics of a processor: a share of the host's memory."""
    budget, rule = unified_budget(Vendor.INTEL, host_memory_bytes) if host_memory_bytes is not None else (None, "")
    known = common.match.spec is not None
    return common.build(
        driver="the host's memory",
        total=host_memory_bytes,
        budget=budget if known else None,
        rule=rule,
        usable=known,
        note="" if known else "integrated graphics without known figures: the processor does the work",
    )


def _vram(here: Surroundings, card: PciCard) -> _Vram:
    """What the kernel tells of local memory.

    xe shows the size of each tile, Intel's own builds of i915 `lmem_…_bytes` in the card's folder; i915 as Linux
    has it shows nothing. The largest prefetchable window on the PCI bus (resizable BAR) is the memory rounded up
    to a power of two: 12 GiB are seen through 16.
    """
    tiles = [f for f in children(card.folder) if re.fullmatch(r"tile\d", f.name)]
    sizes = [
        here.read_int(tile / "physical_vram_size_bytes", 0)
        or here.read_int(tile / "memory/physical_vram_size_bytes", 0)
        for tile in tiles
    ]
    total = sum(size for size in sizes if size is not None and size > 0) or None
    drm = [f for f in (card.drm, *children(card.folder / "drm")) if f is not None and f.name.startswith("card")]
    for folder in drm if total is None else ():
        size, free = (here.read_int(folder / f"lmem_{what}_bytes", 0) for what in ("total", "avail"))
        if size is not None and size > 0:
            return _Vram(size, free if free is not None and 0 <= free <= size else None)
    if total is not None:
        return _Vram(total)
    windows = [
        int(end, 16) - int(start, 16) + 1
        for start, end, flags in re.findall(
            r"0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+)", here.read(card.folder / "resource") or ""
        )
        if int(flags, 16) & _PREFETCHABLE
    ]
    largest = max(windows, default=0)
    own = card.address is not None and not card.address.endswith(_INTEGRATED)
    return _Vram(window=largest if own and largest >= _SMALLEST_WINDOW_BYTES else None)


def memory_untold(here: Surroundings, card: PciCard) -> bool:
    """Whether a card has memory of its own whose size the kernel does not tell."""
    return card.address is not None and not card.address.endswith(_INTEGRATED) and _vram(here, card).total is None


def _power_limit(here: Surroundings, card: PciCard) -> float | None:
    """The sustained power limit in watts."""
    for sensor in children(card.folder / "hwmon"):
        limit = here.read_int(sensor / "power1_max")
        if limit is not None and limit > 0:
            return limit / _MICROWATTS
    return None
