"""The machine for people: what there is, what is in use, and where every value comes from. 100 columns wide."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from planner.cli.output import table
from planner.core.machines.hardware import BandwidthBasis, Device, DeviceKind, Hardware, Host, MemoryHolder, PcieLink
from planner.units import format_gib, printable

WIDTH = 100
_LABEL = 10
_SHORTEST_NAME = 12
_MOST_HOLDERS = 4

_HOST_VALUES = {
    "os": "system",
    "cpu.cores_physical": "cores",
    "cpu.cores_usable": "usable cores",
    "memory_total_bytes": "memory",
    "memory_available_bytes": "available memory",
    "memory_bandwidth_gbps": "memory bandwidth",
    "memory_speed_mts": "memory speed",
    "memory_channels": "memory channels",
}
_DEVICE_VALUES = {
    "vendor": "vendor",
    "memory_total_bytes": "memory",
    "memory_used_bytes": "used",
    "memory_free_bytes": "free",
    "memory_budget_bytes": "budget",
    "memory_bandwidth_gbps": "bandwidth",
    "fp32_tflops": "FP32",
    "fp16_tflops": "FP16",
    "compute_capability": "compute capability",
    "gfx_target": "target",
    "gpu_cores": "cores",
    "tdp_w": "TDP",
    "power_limit_w": "power limit",
    "pcie_link": "link",
    "holders": "processes",
}
_BASIS = {BandwidthBasis.MEASURED: " measured", BandwidthBasis.ASSUMED: " assumed"}


def page(machine: Hardware) -> Iterator[str]:
    """Host, a table of the devices, details of each, how the values were obtained, notes."""
    yield from _host(machine.host, machine.drivers)
    yield ""
    if machine.devices:
        yield from _table(machine.devices)
        for device in machine.devices:
            yield ""
            yield from _details(device)
    else:
        yield "No GPU: models run on the processor. Describe a card with --gpu or --vram."
    yield ""
    yield from _origins(machine)
    if machine.notes:
        yield ""
    for note in machine.notes:
        yield from _wrapped("note: ", note, indent=6)


def _host(host: Host, drivers: Mapping[str, str]) -> Iterator[str]:
    """Processor, memory, instruction sets and drivers."""
    cpu = host.cpu
    cores = f"{cpu.cores_physical} cores" if cpu.cores_physical != 1 else "1 core"
    if cpu.cores_usable != cpu.cores_physical:
        cores += f", {cpu.cores_usable} usable"
    yield from _field("host", f"{host.os}, {cpu.name}, {cores}")
    memory = [_size(host.memory_total_bytes)]
    if host.memory_available_bytes is not None:
        memory.append(f"{_size(host.memory_available_bytes)} available")
    if host.memory_bandwidth_gbps is not None:
        basis = _BASIS.get(host.memory_bandwidth_basis, "") if host.memory_bandwidth_basis else ""
        memory.append(f"{host.memory_bandwidth_gbps:g} GB/s{basis}")
    if host.memory_speed_mts is not None:
        memory.append(f"{host.memory_speed_mts:g} MT/s")
    if host.memory_channels is not None:
        memory.append(f"{host.memory_channels} channel{'s' if host.memory_channels > 1 else ''}")
    yield from _field("memory", ", ".join(memory))
    if cpu.isa:
        yield from _field("isa", " ".join(cpu.isa))
    if drivers:
        yield from _field("drivers", ", ".join(f"{name} {version}" for name, version in drivers.items()))


def _table(devices: Sequence[Device]) -> list[str]:
    """One row a device; names are cut where the table would be too wide, the details have them whole."""
    headings = ("device", "name", "backend", "memory", "used", "free", "budget", "GB/s")
    rows = [
        (
            device.id,
            " ".join(device.name.split()),
            device.backend.value,
            _size(device.memory_total_bytes),
            _size(device.memory_used_bytes, unknown="-"),
            _size(device.memory_free_bytes),
            _size(device.memory_budget_bytes) if device.usable else "not usable",
            _bandwidth(device),
        )
        for device in devices
    ]
    right = frozenset(range(3, len(headings)))
    lines = table(headings, rows, right=right)
    excess = max(map(len, lines)) - WIDTH
    if excess <= 0:
        return lines
    room = max(_SHORTEST_NAME, max(len(printable(row[1])) for row in rows) - excess)
    return table(headings, [(row[0], _cut(printable(row[1]), room), *row[2:]) for row in rows], right=right)


def _details(device: Device) -> Iterator[str]:
    """What the table has no room for."""
    where = f", PCI {device.pci_id}" if device.pci_id else ""
    yield from _wrapped("", f"{device.id}  {device.name}{where}", indent=2)
    if device.note:
        yield from _detail("state", device.note)
    if device.kind is DeviceKind.UNIFIED:
        yield from _detail("memory", "shared with the host")
    compute = [
        f"{value:g} {kind} TFLOPS"
        for value, kind in ((device.fp32_tflops, "FP32"), (device.fp16_tflops, "FP16"))
        if value is not None
    ]
    if device.gpu_cores is not None:
        compute.append(f"{device.gpu_cores} cores")
    if device.compute_capability is not None:
        compute.append(f"compute capability {device.compute_capability}")
    if device.gfx_target is not None:
        compute.append(f"target {device.gfx_target}")
    if compute:
        yield from _detail("compute", ", ".join(compute))
    if device.pcie_link is not None and (link := _link(device.pcie_link)):
        yield from _detail("link", link)
    power = [
        f"{name} {value:g} W"
        for name, value in (("limit", device.power_limit_w), ("TDP", device.tdp_w))
        if value is not None
    ]
    if power:
        yield from _detail("power", ", ".join(power))
    if device.holders:
        yield from _detail("used by", _holders(device.holders))


def _link(link: PcieLink) -> str:
    """`PCIe 4.0 x16, now 1.0 x16`; one of both where they are the same or one is unknown."""
    most, now = _speed(link.max_generation, link.max_lanes), _speed(link.generation, link.lanes)
    if not most or most == now:
        return f"PCIe {now}" if now else ""
    return f"PCIe {most}" + (f", now {now}" if now else "")


def _speed(generation: int | None, lanes: int | None) -> str:
    """`4.0 x16`, as far as it is known."""
    parts = ("" if generation is None else f"{generation}.0", "" if lanes is None else f"x{lanes}")
    return " ".join(filter(None, parts))


def _holders(holders: Sequence[MemoryHolder]) -> str:
    """The processes that hold most, and how many more there are."""
    named = []
    for holder in holders[:_MOST_HOLDERS]:
        size = "" if holder.memory_bytes is None else f" {_size(holder.memory_bytes)}"
        named.append(f"{holder.name or 'process'} ({holder.pid}){size}")
    more = len(holders) - _MOST_HOLDERS
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _origins(machine: Hardware) -> Iterator[str]:
    """Which source each value comes from, values of one source together."""
    told = [("host", machine.host.source, _HOST_VALUES)]
    told += [(device.id, device.source, _DEVICE_VALUES) for device in machine.devices]
    width = max(len(printable(name)) for name, _, _ in told)
    yield "how the values were obtained"
    for name, source, labels in told:
        by_source: dict[str, list[str]] = {}
        for field, label in labels.items():
            if field in source:
                by_source.setdefault(source[field], []).append(label)
        first = name
        for how, fields in by_source.items():
            yield from _wrapped(f"  {first:{width}}  ", f"{', '.join(fields)}: {how}", indent=width + 6)
            first = ""


def _field(label: str, text: str) -> Iterator[str]:
    """A line of the host."""
    return _wrapped(f"{label:{_LABEL}}", text, indent=_LABEL)


def _detail(label: str, text: str) -> Iterator[str]:
    """A line of a device."""
    return _wrapped(f"  {label:{_LABEL}}", text, indent=_LABEL + 2)


def _wrapped(start: str, text: str, *, indent: int) -> Iterator[str]:
    """Text within the width, its further lines indented."""
    yield from textwrap.wrap(
        printable(text),
        width=WIDTH,
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    ) or [start.rstrip()]


def _cut(text: str, room: int) -> str:
    """Text with an ellipsis where it is longer than the room."""
    return text if len(text) <= room else text[: room - 1].rstrip() + "…"


def _bandwidth(device: Device) -> str:
    """The bandwidth, with its spread where the card is only known by its size."""
    middle = "unknown" if device.memory_bandwidth_gbps is None else f"{device.memory_bandwidth_gbps:g}"
    spread = device.memory_bandwidth_range_gbps
    return middle if spread is None else f"{middle} ({spread[0]:.0f} to {spread[1]:.0f})"


def _size(size_bytes: int | None, *, unknown: str = "unknown") -> str:
    """A size, or that it is unknown."""
    return unknown if size_bytes is None else format_gib(size_bytes)
