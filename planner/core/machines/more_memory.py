"""A machine as it would be with more memory: of its first GPU, of what that shares with the host, or of the host."""

from msgspec.structs import replace

from planner.core.machines.devices import unified_budget
from planner.core.machines.hardware import Device, DeviceKind, Hardware


def with_more_memory(hardware: Hardware, more_bytes: int) -> Hardware:
    """The machine with that much more memory where models are put first, all of it free.

    That is the first of the cards that are combined: those of the backend of the one with the most memory.
    """
    usable = [device for device in hardware.devices if device.usable and device.memory_budget_bytes]
    cards = [device for device in usable if device.kind is DeviceKind.DISCRETE]
    leading = max(cards or usable, key=lambda device: device.memory_budget_bytes or 0, default=None)
    grown = next((d for d in cards if leading is not None and d.backend is leading.backend), leading)
    devices = tuple(_larger(device, more_bytes) if device is grown else device for device in hardware.devices)
    host = hardware.host
    if not cards:
        host = replace(
            host,
            memory_total_bytes=_plus(host.memory_total_bytes, more_bytes),
            memory_available_bytes=_plus(host.memory_available_bytes, more_bytes),
        )
    return replace(hardware, host=host, devices=devices)


def _larger(device: Device, more_bytes: int) -> Device:
    total, budget = device.memory_total_bytes, device.memory_budget_bytes
    if device.kind is DeviceKind.UNIFIED and total and budget:
        by_rule = unified_budget(device.vendor, total)[0] == budget and device.memory_limit_bytes is None
        larger = total + more_bytes
        budget = unified_budget(device.vendor, larger)[0] if by_rule else budget * larger // total
    else:
        budget = _plus(budget, more_bytes)
    return replace(
        device,
        memory_total_bytes=_plus(total, more_bytes),
        memory_free_bytes=_plus(device.memory_free_bytes, more_bytes),
        memory_limit_bytes=_plus(device.memory_limit_bytes, more_bytes),
        memory_budget_bytes=budget,
    )


def _plus(size_bytes: int | None, more_bytes: int) -> int | None:
    return None if size_bytes is None else size_bytes + more_bytes
