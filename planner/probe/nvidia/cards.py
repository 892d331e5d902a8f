"""From what NVML tells of a card to devices: the card itself, or the MIG instances it is cut into."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from planner.core.machines.devices import match_driver_name, unified_budget
from planner.core.machines.hardware import Device, DeviceKind, DeviceSpec, MemoryHolder, PcieLink, Vendor
from planner.probe.building import build_device
from planner.probe.nvidia.answer import Card, Failure, Holder, Instance
from planner.probe.pci.cards import pci_address
from planner.units import GIB, MIB, format_gib, printable

_LOST = {15: "the GPU is lost", 16: "the GPU needs a reset", 999: "the driver reports an unknown error"}
_TRIMMINGS = frozenset({
    "memory_v2", "link_generation", "link_lanes", "link_max_generation", "link_max_lanes", "power",
    "power_management",
})  # fmt: skip
"""Queries a sound card may fail with an unknown error."""
_NOT_SUPPORTED, _REFUSED, _UNKNOWN = 3, 4, 999
_IN_USE_WORTH_SAYING = GIB
_NAMED_IN_NOTE = 3
_WORTH_NAMING = 128 * MIB
_MOST_LANES, _NEWEST_GENERATION = 32, 9
_MOST_WATTS = 20_000

NameOf = Callable[[Holder], str]
"""The name of a process, empty if it is not known."""


class Context(msgspec.Struct, frozen=True):
    """What cards are read with. `host_memory_bytes` is the memory of parts that have none of their own."""

    specs: Sequence[DeviceSpec]
    host_memory_bytes: int | None
    name_of: NameOf
    board: DeviceSpec | None = None
    """The row of the board, where the whole computer is one NVIDIA product."""


class Seen(msgspec.Struct, frozen=True):
    """A card with its device, or one device per instance if it is in MIG mode; CUDA skips cards it cannot open."""

    card: Card
    devices: tuple[Device, ...]
    opened: bool = True
    notes: tuple[str, ...] = ()

    @property
    def cut(self) -> bool:
        """Whether it is in MIG mode."""
        return self.card.instances is not None


def look_at(card: Card, context: Context) -> Seen:
    """One card. Never fails: what cannot be had becomes a note, or a field that is None."""
    name = _name(card.name) or f"NVIDIA GPU {card.index}"
    reason = _lost(card.failures)
    if not reason and "handle" in card.failures:
        reason = _words(card.failures["handle"])
    if reason:
        device = unusable(card.index, reason, name=name, pci=pci_address(card.pci or ""), specs=context.specs)
        note = f"{name} (GPU {card.index}) cannot be used: {reason}; the others are kept."
        return Seen(card, (device,), opened=False, notes=(note,))
    spec = match_driver_name(
        name, context.specs, card.total or None, card.compute_capability, pci_id=card.pci_id
    ) or _board(card, context)
    notes = []
    if spec is None:
        notes.append(f"{name} is not in the device list: its bandwidth is unknown, give it with --bandwidth.")
    if card.instances is not None:
        devices = _instances(name, card, spec, context, notes)
    else:
        devices = (_whole(name, card, spec, context, notes),)
    return Seen(card, devices, notes=tuple(notes))


def unusable(
    index: int, reason: str, *, name: str = "", pci: str | None = None, specs: Sequence[DeviceSpec] = ()
) -> Device:
    """A card that is there and cannot be used."""
    return build_device(
        index=index,
        name=name or f"NVIDIA GPU {index}",
        vendor=Vendor.NVIDIA,
        kind=DeviceKind.DISCRETE,
        spec=match_driver_name(name, specs) if name else None,
        driver="NVML",
        total_bytes=None,
        free_bytes=None,
        budget_bytes=None,
        pci_id=pci,
        usable=False,
        note=reason,
    )


def _whole(name: str, card: Card, spec: DeviceSpec | None, context: Context, notes: list[str]) -> Device:
    """A card that is not cut into instances."""
    memory = _memory(card, spec, context.host_memory_bytes)
    holders = _holders(card.holders, context.name_of)
    if memory.problem:
        notes.append(f"{name} (GPU {card.index}): {memory.problem}; give it with --vram.")
    elif memory.kind is DeviceKind.DISCRETE:
        notes.extend(_use(f"{name} (GPU {card.index})", memory, holders))
    power_w = (card.power_limit_mw or 0) / 1000
    return build_device(
        index=card.index,
        name=name,
        vendor=Vendor.NVIDIA,
        kind=memory.kind,
        spec=spec,
        driver="NVML" if memory.kind is DeviceKind.DISCRETE else "the host's memory",
        told_by="NVML",
        total_bytes=memory.total,
        free_bytes=memory.free,
        used_bytes=memory.used,
        budget_bytes=memory.budget,
        budget_source=memory.rule,
        compute_capability=card.compute_capability,
        pci_id=pci_address(card.pci or ""),
        usable=not memory.problem,
        note=memory.problem,
        power_limit_w=power_w if 0 < power_w < _MOST_WATTS else None,
        pcie_link=_link(card.link),
        holders=holders,
    )


class _Memory(msgspec.Struct, frozen=True):
    """Memory in bytes; `problem` says why it is unknown, if it is."""

    kind: DeviceKind
    total: int | None = None
    free: int | None = None
    used: int | None = None
    budget: int | None = None
    rule: str = ""
    problem: str = ""


def _memory(told: Card | Instance, spec: DeviceSpec | None, host_memory_bytes: int | None) -> _Memory:
    """The card's own memory, or the host's for parts that share it: those cannot answer, or answer 0.

    What may be used is what is free: the driver's own reserve is neither free nor used.
    """
    failure = told.failures.get("memory")
    silent = told.total == 0 or (failure is not None and failure.code == _NOT_SUPPORTED)
    if spec.kind is DeviceKind.UNIFIED if spec is not None else silent:
        if host_memory_bytes is None:
            return _Memory(DeviceKind.UNIFIED, problem="it shares the host's memory, whose size is unknown")
        budget, rule = unified_budget(Vendor.NVIDIA, host_memory_bytes)
        return _Memory(DeviceKind.UNIFIED, host_memory_bytes, budget=budget, rule=rule)
    if not told.total:
        return _Memory(DeviceKind.DISCRETE, problem=f"its memory could not be read ({_words(failure)})")
    if told.free is None:
        rule = "all of it: the driver does not tell what is free"
        return _Memory(DeviceKind.DISCRETE, told.total, None, told.used, told.total, rule)
    return _Memory(DeviceKind.DISCRETE, told.total, told.free, told.used, told.free, "free memory")


def _instances(
    name: str, card: Card, spec: DeviceSpec | None, context: Context, notes: list[str]
) -> tuple[Device, ...]:
    """The instances of a card cut by MIG, each with its own memory; a card without any is not usable."""
    if not card.instances:
        failure = card.failures.get("mig_instance") or card.failures.get("mig_count")
        why = f" that may be seen ({_words(failure)})" if failure is not None else ""
        notes.append(f"{name} (GPU {card.index}) is in MIG mode without an instance{why}; make one, or turn MIG off.")
        return (unusable(card.index, f"MIG mode without an instance{why}", name=name, specs=context.specs),)
    whole = card.total or (round(spec.memory_gib * GIB) if spec is not None and spec.memory_gib else 0)
    devices = []
    for position, instance in enumerate(card.instances):
        own = _name(instance.name) or f"{name} MIG {position}"
        memory = _memory(instance, None, None)
        if memory.kind is DeviceKind.UNIFIED:  # an instance has memory of its own, or none at all
            memory = _Memory(DeviceKind.DISCRETE, problem="its memory could not be read")
        holders = _holders(instance.holders, context.name_of)
        where = f"{own} (GPU {card.index}, instance {position})"
        notes.extend([f"{where}: {memory.problem}."] if memory.problem else _use(where, memory, holders))
        known = [f"MIG instance {printable(instance.uuid)}" if instance.uuid else "MIG instance"]
        if instance.slices and card.slots:
            known.append(f"{instance.slices} of {card.slots} compute slices")
        devices.append(
            build_device(
                index=card.index,
                name=own,
                vendor=Vendor.NVIDIA,
                kind=DeviceKind.DISCRETE,
                spec=spec,
                driver="NVML",
                total_bytes=memory.total,
                free_bytes=memory.free,
                used_bytes=memory.used,
                budget_bytes=memory.budget,
                budget_source=memory.rule,
                compute_capability=card.compute_capability,
                usable=not memory.problem,
                note=memory.problem or ", ".join(known),
                share=min(1.0, (memory.total or 0) / whole) if whole else 1.0,
                compute_share=min(1.0, instance.slices / card.slots) if instance.slices and card.slots else None,
                holders=holders,
            )
        )
    return tuple(devices)


def _board(card: Card, context: Context) -> DeviceSpec | None:
    """The board's row for a GPU that is part of it: `Orin (nvgpu)` says too little."""
    if context.board is None or card.total:
        return None
    same = card.compute_capability in {None, context.board.compute_capability}
    return context.board if same else None


def _holders(told: Sequence[Holder], name_of: NameOf) -> tuple[MemoryHolder, ...]:
    """The processes that hold memory, with their names."""
    return tuple(MemoryHolder(holder.pid, name_of(holder), holder.bytes) for holder in told)


def _use(what: str, memory: _Memory, holders: Sequence[MemoryHolder]) -> list[str]:
    """Who has how much of the memory, because it is why a model may not fit; nothing about small amounts."""
    total, free = memory.total, memory.free
    used = memory.used if memory.used is not None or total is None or free is None else total - free
    if total is None or used is None or used <= _IN_USE_WORTH_SAYING:
        return []
    named = [
        (f"{holder.name} ({holder.pid})" if holder.name else f"process {holder.pid}")
        + (f" {format_gib(holder.memory_bytes)}" if holder.memory_bytes is not None else "")
        for holder in holders[:_NAMED_IN_NOTE]
        if holder.memory_bytes is None or holder.memory_bytes >= _WORTH_NAMING
    ]
    by = f" by {', '.join(named)}" if named else " by others"
    if named and len(holders) > len(named):
        by += f" and {len(holders) - len(named)} more"
    return [f"{what}: {format_gib(used)} of {format_gib(total)} are in use{by}."]


def _link(told: PcieLink) -> PcieLink | None:
    """The slot, without figures no slot has; None if nothing is known."""

    def sane(value: int | None, most: int) -> int | None:
        return value if value is not None and 0 < value <= most else None

    link = PcieLink(
        generation=sane(told.generation, _NEWEST_GENERATION),
        lanes=sane(told.lanes, _MOST_LANES),
        max_generation=sane(told.max_generation, _NEWEST_GENERATION),
        max_lanes=sane(told.max_lanes, _MOST_LANES),
    )
    return None if link == PcieLink() else link


def _lost(failures: Mapping[str, Failure]) -> str:
    """Why the card is gone, if any query says so."""
    for field, failure in failures.items():
        if failure.code in _LOST and not (failure.code == _UNKNOWN and field in _TRIMMINGS):
            return _LOST[failure.code]
    return ""


def _words(failure: Failure | None) -> str:
    """One failed query, in words."""
    if failure is None:
        return "the driver does not say why"
    if failure.code == _REFUSED:
        return "visible but not usable here (no permission)"
    return printable(failure.name).replace("_", " ").lower()


def _name(told: str | None) -> str:
    """A driver's name on one line."""
    return " ".join(printable(told or "").split())
