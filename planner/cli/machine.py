"""The machine a page is about, as far as one was asked about."""

from planner.cli.planning import planned_hardware
from planner.cli.session import Session
from planner.core.hardware import Hardware
from planner.units import format_gib


def asked_machine(session: Session) -> Hardware:
    """The described machine, else this one at its capacity: the same answer every time."""
    return planned_hardware(session, live=False)


def machine_name(hardware: Hardware) -> str:
    """`2x GeForce RTX 3090 (24.0 GiB)`; without a GPU the processor."""
    usable = [device for device in hardware.devices if device.usable]
    if not usable:
        cpu, total = hardware.host.cpu, hardware.host.memory_total_bytes
        memory = "" if total is None else f", {format_gib(total)}"
        return f"the CPU ({cpu.cores_usable} cores{memory})"
    names: dict[str, int] = {}
    for device in usable:
        size = "" if device.memory_total_bytes is None else f" ({format_gib(device.memory_total_bytes)})"
        names[device.name + size] = names.get(device.name + size, 0) + 1
    return ", ".join(f"{count}x {name}" if count > 1 else name for name, count in names.items())
