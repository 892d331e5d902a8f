"""Reports of several sources to one list of devices: every card once, with what each source knows. Pure."""

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from planner.core.machines.hardware import NATIVE_BACKEND, Backend, Device, DeviceKind, Host, Vendor

_DATA_SHEET, _ALL = "devices.json", "all of it"
"""How sources begin to say that nobody told the size, or what is free of it."""
_KEPT = frozenset({"id", "note", "usable", "source"})
"""Fields that belong to one report and are never taken over from another."""


def merge_devices(devices: Iterable[Device]) -> list[Device]:
    """One device per card, in order, each with a number of its own.

    Reports of one PCI address are one card: the usable one counts, then the one with the vendor's native backend,
    then the one whose memory a driver told; what it leaves open is taken from the other. A card hidden by a
    variable stays hidden. A report of Vulkan's without an address is dropped if another source knows its maker.
    """
    devices = list(devices)
    kept: dict[str, Device] = {}
    for position, device in enumerate(devices):
        if _known_otherwise(device, devices):
            continue
        key = device.pci_id or f"no address {position}"
        rival = kept.get(key)
        if rival is None:
            kept[key] = device
        else:
            better, other = (device, rival) if _rank(device) > _rank(rival) else (rival, device)
            kept[key] = _completed(better, other)
    return _with_own_ids(list(kept.values()))


def _known_otherwise(device: Device, devices: Sequence[Device]) -> bool:
    """Whether a Vulkan device that cannot be placed is a card of the same maker that another source reports."""
    if device.backend is not Backend.VULKAN or device.pci_id is not None or device.vendor is Vendor.UNKNOWN:
        return False
    others = (d for d in devices if d is not device and d.vendor is device.vendor)
    return any(d.pci_id is not None or d.backend is not Backend.VULKAN for d in others)


def _rank(device: Device) -> tuple[bool, bool, bool, bool]:
    """Which of two reports of one card counts."""
    hidden = not device.usable and device.note.startswith("hidden by")
    native = device.backend is NATIVE_BACKEND[device.vendor]
    told = device.memory_total_bytes is not None and not _is_data_sheets(device.source.get("memory_total_bytes", ""))
    return hidden, device.usable, native, told


def _is_data_sheets(source: str) -> bool:
    """Whether a value is what the product should have, and nobody on this machine told it."""
    return source.startswith(_DATA_SHEET)


def _completed(device: Device, other: Device) -> Device:
    """The device with what it does not know and the other report does."""
    found = {
        field: theirs
        for field in device.__struct_fields__
        if field not in _KEPT and getattr(device, field) in {None, ()} and (theirs := getattr(other, field))
    }
    if not device.usable:
        found.pop("memory_budget_bytes", None)
    elif other.memory_free_bytes is not None and device.source.get("memory_budget_bytes", "").startswith(_ALL):
        found["memory_budget_bytes"] = other.memory_budget_bytes
    source = {field: other.source[field] for field in found if field in other.source}
    return msgspec.structs.replace(device, **found, source={**device.source, **source})


def _with_own_ids(devices: Sequence[Device]) -> list[Device]:
    """Sources number for themselves; where two gave the same number, the later device gets the next free one."""
    taken = {device.id for device in devices}
    used: set[str] = set()
    numbered = []
    for device in devices:
        own = device.id
        if own in used:
            free = (f"{device.backend.value}:{number}" for number in itertools.count())
            own = next(name for name in free if name not in taken and name not in used)
        used.add(own)
        numbered.append(msgspec.structs.replace(device, id=own))
    return numbered


def with_host_bandwidth(devices: Iterable[Device], host: Host) -> tuple[list[Device], list[str]]:
    """The devices, those that share the host's memory with its bandwidth where their own is unknown; and notes."""
    found, notes = [], []
    how = host.source.get("memory_bandwidth_gbps", "")
    for device in devices:
        shares = device.usable and device.kind is DeviceKind.UNIFIED and device.memory_bandwidth_gbps is None
        if shares and host.memory_bandwidth_gbps is not None:
            source = {**device.source, "memory_bandwidth_gbps": f"the host's memory{f' ({how})' if how else ''}"}
            device = msgspec.structs.replace(  # noqa: PLW2901  # the same device, told more
                device, memory_bandwidth_gbps=host.memory_bandwidth_gbps, source=source
            )
        elif shares and device.fp32_tflops is not None:
            # A device that is in no list has been spoken of by its source.
            notes.append(
                f"The bandwidth of {device.name} is that of this machine's memory, which is unknown: measure it with "
                "planner hardware --measure, or give it with --bandwidth."
            )
        found.append(device)
    return found, notes
