"""A machine as it would be with more memory: of its cards, of what they share with the host, or of the host."""

from msgspec.structs import replace

from planner.core.machines.devices import unified_budget
from planner.core.machines.hardware import Device, DeviceKind, Hardware


def with_more_memory(hardware: Hardware, more_bytes: int, *, each: bool = False) -> Hardware:
    """The machine with that much more memory where models are put first, all of it free.

    That is the first of the cards that are combined, those of the backend of the one with the most memory; `each`:
    every one of them.
    """
    grown = combined_cards(hardware)[: None if each else 1]
    shared = None if grown else max(_usable(hardware), key=_budget, default=None)
    devices = tuple(
        _larger(device, more_bytes) if device is shared or any(device is card for card in grown) else device
        for device in hardware.devices
    )
    host = hardware.host
    if not grown:
        host = replace(
            host,
            memory_total_bytes=_plus(host.memory_total_bytes, more_bytes),
            memory_available_bytes=_plus(host.memory_available_bytes, more_bytes),
        )
    return replace(hardware, host=host, devices=devices)


def with_one_more_card(hardware: Hardware) -> Hardware | None:
    """The machine with another of the roomiest of its cards, all of it free; None without any card."""
    card = max(combined_cards(hardware), key=_budget, default=None)
    if card is None:
        return None
    taken = {device.id for device in hardware.devices}
    name = next(name for number in range(len(taken) + 1) if (name := f"{card.backend.value}:{number}") not in taken)
    total = card.memory_total_bytes
    free = min(total, card.memory_limit_bytes or total) if total is not None else card.memory_budget_bytes
    another = replace(
        card, id=name, memory_free_bytes=total, memory_budget_bytes=free, memory_used_bytes=None, holders=()
    )
    return replace(hardware, devices=(*hardware.devices, another))


def combined_cards(hardware: Hardware) -> list[Device]:
    """The cards with memory of their own that are used together: those of the backend of the roomiest."""
    cards = [device for device in _usable(hardware) if device.kind is DeviceKind.DISCRETE]
    leading = max(cards, key=_budget, default=None)
    return [card for card in cards if leading is not None and card.backend is leading.backend]


def _usable(hardware: Hardware) -> list[Device]:
    return [device for device in hardware.devices if device.usable and device.memory_budget_bytes]


def _budget(device: Device) -> int:
    return device.memory_budget_bytes or 0


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
