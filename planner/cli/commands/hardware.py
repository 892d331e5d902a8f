"""`planner hardware`: what was found, how each value came about, and what could not be found out."""

from collections.abc import Iterator

import click

from planner.cli.output import table, write_json, write_lines
from planner.cli.session import Session, common_options, hardware_options
from planner.core.hardware import Device, DeviceKind, Hardware
from planner.core.views import hardware_view
from planner.units import format_gib

_TOLD = (
    ("memory_total_bytes", "memory"),
    ("memory_free_bytes", "free"),
    ("memory_budget_bytes", "budget"),
    ("memory_bandwidth_gbps", "bandwidth"),
    ("fp16_tflops", "compute"),
    ("compute_capability", "compute capability"),
    ("gpu_cores", "cores"),
    ("vendor", "vendor"),
)


@click.command(short_help="The machine: what was found, and how.")
@hardware_options
@common_options
def hardware(session: Session) -> None:
    r"""Show this machine, or the one the options describe, as planning sees it.

    \b
    Examples:
      planner hardware
      planner hardware --json > machine.json      plan for it elsewhere: --hardware machine.json
      planner hardware --gpu "2x RTX 3090" --ram 64
    """
    machine = session.hardware
    if session.as_json:
        write_json(hardware_view(machine))
    else:
        write_lines(page(machine))


def page(machine: Hardware) -> Iterator[str]:
    """The machine for people: host, devices with total, free and budget, where values come from, notes."""
    host = machine.host
    cpu = host.cpu
    cores = f"{cpu.cores_physical} cores"
    if cpu.cores_usable != cpu.cores_physical:
        cores += f", {cpu.cores_usable} usable ({host.source.get('cpu.cores_usable', 'limited')})"
    yield f"host    {host.os}, {cpu.name}, {cores}"
    memory = f"memory  {_size(host.memory_total_bytes)}"
    if host.memory_available_bytes is not None:
        memory += f", {_size(host.memory_available_bytes)} available"
    if host.memory_bandwidth_gbps is not None:
        memory += f", {host.memory_bandwidth_gbps:g} GB/s"
    yield memory
    for field in ("memory_total_bytes", "memory_available_bytes", "memory_bandwidth_gbps"):
        if how := host.source.get(field):
            yield f"          {field.removesuffix('_bytes').removesuffix('_gbps').replace('_', ' ')}: {how}"
    if cpu.isa:
        yield f"isa     {' '.join(cpu.isa)}"
    yield ""
    if machine.devices:
        yield from _devices(machine.devices)
    else:
        yield "No GPU: models run on the processor. Describe a card with --gpu or --vram."
    if machine.notes:
        yield ""
    for note in machine.notes:
        yield f"note: {note}"


def _devices(devices: tuple[Device, ...]) -> Iterator[str]:
    """A table, then per device where its values come from."""
    headings = ("device", "name", "backend", "memory", "free", "budget", "GB/s", "FP16 TFLOPS")
    rows = [
        (
            device.id,
            device.name,
            device.backend.value,
            _size(device.memory_total_bytes) + (" shared" if device.kind is DeviceKind.UNIFIED else ""),
            _size(device.memory_free_bytes),
            _size(device.memory_budget_bytes) if device.usable else "not usable",
            _bandwidth(device),
            _number(device.fp16_tflops),
        )
        for device in devices
    ]
    yield from table(headings, rows, right=frozenset({3, 4, 5, 6, 7}))
    for device in devices:
        yield ""
        where = f" at {device.pci_id}" if device.pci_id else ""
        yield f"{device.id}{where}: {device.name}" + (f" ({device.note})" if device.note else "")
        for field, label in _TOLD:
            if how := device.source.get(field):
                yield f"  {label}: {how}"


def _bandwidth(device: Device) -> str:
    """The bandwidth, with its spread where the card is only known by its size."""
    middle = _number(device.memory_bandwidth_gbps)
    spread = device.memory_bandwidth_range_gbps
    return middle if spread is None else f"{middle} ({spread[0]:.0f} to {spread[1]:.0f})"


def _size(size_bytes: int | None) -> str:
    """A size, or that it is unknown."""
    return "unknown" if size_bytes is None else format_gib(size_bytes)


def _number(value: float | None) -> str:
    """A figure, or that it is unknown."""
    return "unknown" if value is None else f"{value:g}"
