"""Readings of memory in use: what a plan takes of them, so that one question asked twice has one answer."""

from msgspec.structs import replace

from planner.core.machines.hardware import Device, DeviceKind, Hardware

STEPS = 32
"""Free memory counts in steps of a thirty-second of the whole, rounded down: it changes by a little all the time."""

_IN_USE = " in use"


def steady(hardware: Hardware) -> Hardware:
    """The machine with its free memory rounded down to `STEPS`, and without who holds the rest."""

    def rounded(device: Device) -> Device:
        total = device.memory_total_bytes
        free, budget = _stepped(device.memory_free_bytes, total), device.memory_budget_bytes
        if device.kind is DeviceKind.DISCRETE:
            budget = _stepped(budget, total)
        return _anonymous(replace(device, memory_free_bytes=free, memory_budget_bytes=budget))

    host = hardware.host
    available = _stepped(host.memory_available_bytes, host.memory_total_bytes)
    return replace(
        hardware,
        host=replace(host, memory_available_bytes=available),
        devices=tuple(map(rounded, hardware.devices)),
        notes=_lasting_notes(hardware),
    )


def at_capacity(hardware: Hardware) -> Hardware:
    """The machine as if nothing else ran on it: the same every time."""

    def whole(device: Device) -> Device:
        budget = device.memory_budget_bytes
        if device.kind is DeviceKind.DISCRETE and budget is not None:
            budget = device.memory_limit_bytes or device.memory_total_bytes
        return _anonymous(replace(device, memory_free_bytes=None, memory_budget_bytes=budget))

    return replace(
        hardware,
        host=replace(hardware.host, memory_available_bytes=None),
        devices=tuple(map(whole, hardware.devices)),
        notes=_lasting_notes(hardware),
    )


def with_whole_budgets(hardware: Hardware) -> Hardware:
    """The machine with its readings, and with the budgets that its devices have while nothing else runs."""

    def whole(device: Device) -> Device:
        if device.kind is not DeviceKind.DISCRETE or device.memory_budget_bytes is None:
            return device
        budget = device.memory_limit_bytes or device.memory_total_bytes
        source = {**device.source, "memory_budget_bytes": "all of it, as if nothing else ran"}
        return replace(device, memory_budget_bytes=budget, source=source)

    return replace(hardware, devices=tuple(map(whole, hardware.devices)))


def use_notes(hardware: Hardware) -> tuple[str, ...]:
    """The notes about memory that others hold now; they would make two runs of one question differ."""
    return tuple(note for note in hardware.notes if _IN_USE in note)


def _lasting_notes(hardware: Hardware) -> tuple[str, ...]:
    return tuple(note for note in hardware.notes if _IN_USE not in note)


def _anonymous(device: Device) -> Device:
    """A device without its use: processes come and go, idle links slow down."""
    return replace(device, memory_used_bytes=None, holders=(), pcie_link=None)


def _stepped(size_bytes: int | None, total_bytes: int | None) -> int | None:
    """Rounded down to a step of the whole; all of it stays all of it."""
    if size_bytes is None or not total_bytes or size_bytes >= total_bytes:
        return size_bytes
    step = max(1, total_bytes // STEPS)
    return size_bytes // step * step
