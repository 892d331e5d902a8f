"""AMD cards and APUs, from the amdgpu driver's files in sysfs. A program is run only if these lack the memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, MemoryHolder, Vendor
from planner.probe.access import Access, foreign_driver, node_access
from planner.probe.amd.kfd import KfdNode, kfd_holders, kfd_nodes
from planner.probe.amd.memory import Memory, Vram, read_vram, weigh
from planner.probe.amd.rocm_smi import Told, ask_rocm_tools
from planner.probe.amd.visible import Counted, apply_visible
from planner.probe.building import build_device
from planner.probe.pci.cards import AMD, PciCard, children, graphics_cards, listed_names, product_name
from planner.probe.pci.link import pcie_link
from planner.probe.pci.match import Match, match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB, format_gib, printable

_MICROWATTS = 1_000_000
_IN_USE_WORTH_SAYING = GIB
_OLD_DRIVER = (
    "the old radeon driver has it, with which neither ROCm nor Vulkan works; where the card is of 2012 or later, "
    "boot with radeon.si_support=0 radeon.cik_support=0 amdgpu.si_support=1 amdgpu.cik_support=1"
)
_VERSIONS = {"amdgpu": "/sys/module/amdgpu/version", "rocm": "/opt/rocm/.info/version"}


@dataclass(frozen=True)
class _Card:
    """A card with all that was read about it. `nodes` are ROCm's devices of it, several if it is partitioned."""

    pci: PciCard
    nodes: tuple[KfdNode, ...]
    vram: Vram
    match: Match
    name: str
    access: Access


def probe_amd(
    here: Surroundings,
    specs: Sequence[DeviceSpec],
    *,
    host_available_bytes: int | None = None,
    timeout_s: float = 3.0,
) -> Finding:
    """The AMD devices of this machine, in ROCm's order. A file that is missing leaves its field None; never fails.

    `host_available_bytes` bounds what is free of the memory an APU shares with the host.
    A card that can be opened for Vulkan and not for ROCm is a Vulkan device; one that cannot be opened at all, or
    whose memory is unknown, is listed and not usable.
    """
    nodes = kfd_nodes(here)
    places = {node.address: place for place, node in reversed(list(enumerate(nodes)))}
    found = sorted(graphics_cards(here, AMD), key=lambda c: places.get(c.address or "", len(nodes)))
    if not found:
        return Finding()
    cards = _read_all(here, specs, found, nodes, timeout_s)
    notes: list[str] = []
    counted: list[Counted] = []
    for card in cards:
        counted.extend(_devices(here, card, notes, host_available_bytes, in_rocm=bool(card.nodes) or not nodes))
    devices, more = apply_visible(here, counted)
    versions = {name: printable(text) for name, path in _VERSIONS.items() if (text := here.read(path))}
    return Finding(devices, (*notes, *more), versions)


def _read_all(
    here: Surroundings,
    specs: Sequence[DeviceSpec],
    found: Sequence[PciCard],
    nodes: Sequence[KfdNode],
    timeout_s: float,
) -> list[_Card]:
    """All cards; ROCm's tools are asked once, if amdgpu has a card whose memory no file tells."""
    own = {card: tuple(n for n in nodes if n.address == card.address) for card in found}
    vrams = {card: read_vram(here, card, next(iter(own[card]), None), None) for card in found}
    told: dict[str, Told] = {}
    if any(vrams[card].total is None and card.driver == "amdgpu" for card in found):
        told = ask_rocm_tools(here, timeout_s)
    cards = []
    for card in found:
        vram = vrams[card]
        if vram.total is None and card.address in told:
            vram = read_vram(here, card, None, told[card.address])
        product, listed = product_name(here, card), listed_names(here, card)
        match = match_card(card, specs, memory_bytes=vram.total, names=[n for n in (product, *listed) if n])
        name = product or match.name or next(iter(listed), None) or f"AMD device {card.device:04x}"
        cards.append(_Card(card, own[card], vram, match, printable(name), node_access(here, card.render_node)))
    return cards


def _devices(
    here: Surroundings, card: _Card, notes: list[str], host_available_bytes: int | None, *, in_rocm: bool
) -> list[Counted]:
    """The device of a card, or one for each of its partitions."""
    parts = max(1, len(card.nodes))
    vram, spec = card.vram, card.match.spec
    if parts > 1:
        told_each = vram.driver.startswith("amdkfd")
        vram = replace(
            vram,
            total=vram.total if told_each or vram.total is None else vram.total // parts,
            used=None if vram.used is None else vram.used // parts,
        )
        mode = here.read(card.pci.folder / "current_compute_partition")
        notes.append(
            f"{card.name} ({card.pci.address or 'PCI'}) is cut into {parts} partitions"
            + (f" ({printable(mode)})" if mode else "")
            + ": each is a device with its share of memory and bandwidth."
        )
    memory = weigh(vram, spec, host_available_bytes)
    problem = _problem(card, memory)
    if problem:
        notes.append(f"{card.name} ({card.pci.address or 'PCI'}): {problem}. Plan for it with --vram or --gpu.")
    backend, remark = Backend.ROCM, problem
    if not problem and card.access.kfd:
        backend = Backend.VULKAN
        remark = f"ROCm cannot use it: {card.access.kfd}; Vulkan can"
        notes.append(f"{card.name} ({card.pci.address or 'PCI'}): {remark}.")
    if not problem and spec is None:
        could = f" (it may be {card.match.candidates})" if card.match.rows else ""
        notes.append(f"The bandwidth of {card.name}{could} is unknown: give it with --bandwidth, or name the card.")
    counted = []
    for part, node in enumerate(card.nodes or (None,)):
        holders = kfd_holders(here, frozenset({node.gpu_id})) if node is not None else ()
        device = _build(here, card, memory, part=part, node=node, backend=backend, problem=problem, holders=holders)
        device = msgspec.structs.replace(device, note=remark)
        notes.extend(_use(device) if not problem else ())
        rocm = in_rocm and backend is Backend.ROCM and not _not_amdgpu(card.pci)
        counted.append(Counted(device, node.uuid if node is not None else "", rocm))
    return counted


def _build(
    here: Surroundings,
    card: _Card,
    memory: Memory,
    *,
    part: int,
    node: KfdNode | None,
    backend: Backend,
    problem: str,
    holders: tuple[MemoryHolder, ...],
) -> Device:
    """One device. Of a partitioned card the first has the PCI address, by which reports of one card are merged."""
    return build_device(
        index=0,
        name=card.name + (f", partition {part}" if len(card.nodes) > 1 else ""),
        vendor=Vendor.AMD,
        kind=memory.kind,
        spec=card.match.spec,
        driver=card.vram.driver,
        total_bytes=memory.total,
        free_bytes=memory.free,
        budget_bytes=None if problem else memory.budget,
        budget_source=memory.rule,
        pci_id=card.pci.address if part == 0 else None,
        usable=not problem,
        share=1 / max(1, len(card.nodes)),
        told_by="amdgpu (sysfs)" if node is None else "amdgpu and amdkfd (sysfs)",
        used_bytes=memory.used,
        power_limit_w=_power_limit(here, card.pci) if len(card.nodes) <= 1 else None,
        pcie_link=pcie_link(here, card.pci) if memory.kind is DeviceKind.DISCRETE else None,
        holders=holders,
        gfx_target=node.gfx_target if node is not None else None,
        backend=backend,
    )


def _problem(card: _Card, memory: Memory) -> str:
    """Why a card cannot be used here; empty if it can."""
    if held := _not_amdgpu(card.pci):
        return held if held == _OLD_DRIVER else f"visible but not usable here: {held}"
    if memory.total is None:
        return "its memory cannot be read (is the amdgpu driver loaded?)"
    if memory.total == 0:
        return "its driver shows no memory"
    return f"visible but not usable here: {card.access.render}" if card.access.render else ""


def _not_amdgpu(card: PciCard) -> str:
    """What has the card in place of amdgpu; empty if nothing known has."""
    return _OLD_DRIVER if card.driver == "radeon" else foreign_driver(card.driver)


def _power_limit(here: Surroundings, card: PciCard) -> float | None:
    """The power limit in watts; parts without one of their own have none."""
    for sensor in children(card.folder / "hwmon"):
        limit = here.read_int(sensor / "power1_cap")
        if limit is not None and limit > 0:
            return limit / _MICROWATTS
    return None


def _use(device: Device) -> list[str]:
    """That much of a card's memory is taken, and by whom: it is why a model may not fit."""
    total, used = device.memory_total_bytes, device.memory_used_bytes
    if device.kind is not DeviceKind.DISCRETE or total is None or used is None or used <= _IN_USE_WORTH_SAYING:
        return []
    largest = device.holders[0] if device.holders else None
    by = f", most by {largest.name or 'process'} ({largest.pid})" if largest is not None else ""
    return [f"{device.name} ({device.pci_id or 'PCI'}): {format_gib(used)} of {format_gib(total)} are in use{by}."]
