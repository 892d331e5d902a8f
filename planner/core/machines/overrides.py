"""A machine described by the user instead of probed: `--vram`, `--gpu`, `--ram`, `--cpu-cores`, `--hardware FILE`.

Nothing of the real host goes in: the same question has the same answer everywhere.
"""

import re
from collections.abc import Sequence

import msgspec

from planner.core.machines.device_names import index_of, read_name
from planner.core.machines.devices import device_from_spec, resolve_device, unified_budget
from planner.core.machines.hardware import BandwidthBasis, Cpu, Device, DeviceKind, DeviceSpec, Hardware, Host, Vendor
from planner.core.machines.hardware_file import MAX_DEVICES, device_from_json, hardware_from_json
from planner.core.machines.machine_options import Overrides
from planner.core.machines.typical_device import anonymous_device
from planner.errors import UsageError
from planner.units import GIB, format_gib

__all__ = ["Overrides", "described_hardware", "device_from_json", "hardware_from_json", "virtual_hardware"]

REFERENCE_RAM_BYTES = 16 * GIB
REFERENCE_CORES = 8
REFERENCE_BANDWIDTH_GBPS = 50.0
"""Two channels of DDR4-3200 (51.2 GB/s): a desktop of the last ten years."""

_COUNT_BEFORE = re.compile(r"(\d{1,3})\s*[x*\u00d7]\s*(?=\D|\d{4})(\S.*)", re.IGNORECASE)
_COUNT_AFTER = re.compile(r"(.*\S)\s+[x*\u00d7]\s*(\d{1,3})", re.IGNORECASE)
_SMALLEST_APPLE_RAM_GIB = {
    "m1": 8, "m1pro": 16, "m1max": 32, "m1ultra": 64,
    "m2": 8, "m2pro": 16, "m2max": 32, "m2ultra": 64,
    "m3": 8, "m3pro": 18, "m3max": 36, "m3ultra": 96,
    "m4": 16, "m4pro": 24, "m4max": 36,
    "m5": 16, "m5pro": 24, "m5max": 36,
}  # fmt: skip
"""The least memory each chip was sold with (Apple's specifications)."""
_APPLE_CORES_BY_RAM_GIB = {
    "m3max": {36: 30, 48: 40, 64: 40, 96: 30, 128: 40},
    "m3ultra": {512: 80},
    "m4max": {36: 32, 48: 40, 64: 40, 128: 40},
    "m5max": {36: 32, 48: 40, 64: 40, 128: 40},
}
"""GPU cores by memory, where a size was sold with one variant of a chip alone (recalled)."""


def virtual_hardware(overrides: Overrides, specs: Sequence[DeviceSpec], *, base: Hardware | None = None) -> Hardware:
    """The machine these overrides describe, and nothing else; what is not said is a stated reference host.

    Several cards: `gpu` may be `"2x RTX 3090"` or a comma-separated list, `vram` has one size per card (a
    single size holds for all). `bandwidth_gbps` applies to every card, or to the host's memory without one.
    With `base` (a machine from a file) what is not said stays as it is there; devices named replace all of its.
    Raises UsageError: an unknown or ambiguous name, counts that do not agree, values that make no sense.
    """
    _check_values(overrides)
    named = _named_specs(overrides, specs)
    notes = [*base.notes] if base is not None else []
    for text, spec in dict(named).items():
        notes.extend(_variant_note(text, spec, specs))
    ram, ram_source = _ram(overrides, named, base)
    if named or overrides.vram:
        devices = _described_devices(overrides, named, specs, ram)
    elif base is not None:
        devices = [_on_host(d, ram) if overrides.ram_bytes is not None else d for d in base.devices]
    else:
        devices = []
    if overrides.bandwidth_gbps is not None:
        devices = [_with_bandwidth(device, overrides.bandwidth_gbps) for device in devices]
    host = _host(overrides, devices, ram, ram_source, base)
    if host.source.get("memory_total_bytes", "").startswith("assumed"):
        notes.append(f"Host memory of {format_gib(ram)} assumed; set it with --ram.")
    return Hardware(host=host, devices=tuple(devices), notes=tuple(notes))


def described_hardware(device: Device, ram_bytes: int | None) -> Hardware:
    """The reference host around a device that is described by figures.

    `ram_bytes` is the host's memory; a device that shares it says what there is where nobody else does.
    """
    ram, source = ram_bytes, "--ram"
    if ram is None and device.kind is DeviceKind.UNIFIED and device.memory_total_bytes:
        ram, source = device.memory_total_bytes, f"shared with {device.name}"
    if ram is None:
        ram, source = REFERENCE_RAM_BYTES, f"assumed: reference host, {format_gib(REFERENCE_RAM_BYTES)}"
    return Hardware(host=_host(Overrides(), [device], ram, source, None), devices=(device,))


def _described_devices(
    overrides: Overrides, named: Sequence[tuple[str, DeviceSpec]], specs: Sequence[DeviceSpec], ram: int
) -> list[Device]:
    """The cards of `gpu` with the sizes of `vram`, or cards known by their size alone."""
    sizes = _sizes(overrides, len(named))
    if not named:
        return [anonymous_device(size, specs, position) for position, size in enumerate(sizes)]
    devices = []
    for position, (_, spec) in enumerate(named):
        size = sizes[position] if sizes else None
        own = size if spec.kind is DeviceKind.DISCRETE else None
        device = device_from_spec(
            spec, index=position, host_memory_bytes=ram, memory_bytes=own, memory_source="--vram"
        )
        devices.append(device if size is None or own is not None else _with_budget(device, size))
    return devices


def _host(overrides: Overrides, devices: Sequence[Device], ram: int, ram_source: str, base: Hardware | None) -> Host:
    """The host around the devices: said, else the base's, else the reference host's."""
    if base is not None:
        before = base.host
    else:
        before = Host(
            os="macos" if any(d.vendor is Vendor.APPLE for d in devices) else "linux",
            cpu=Cpu(name="unspecified", cores_physical=REFERENCE_CORES, cores_usable=REFERENCE_CORES),
            memory_total_bytes=None,
            memory_available_bytes=None,
            memory_bandwidth_gbps=REFERENCE_BANDWIDTH_GBPS,
            memory_bandwidth_basis=BandwidthBasis.ASSUMED,
            source={
                "os": "assumed",
                "cpu.cores_usable": f"assumed: reference host, {REFERENCE_CORES} cores",
                "memory_bandwidth_gbps": f"assumed: reference host, {REFERENCE_BANDWIDTH_GBPS:g} GB/s",
            },
        )
    source = {**before.source}
    bandwidth, basis = before.memory_bandwidth_gbps, before.memory_bandwidth_basis
    if overrides.bandwidth_gbps is not None and not devices:
        bandwidth, basis = overrides.bandwidth_gbps, BandwidthBasis.SPECIFIED
        source["memory_bandwidth_gbps"] = "--bandwidth"
    for device in devices:
        if device.kind is DeviceKind.UNIFIED and device.memory_bandwidth_gbps is not None:
            bandwidth, basis = device.memory_bandwidth_gbps, BandwidthBasis.SPECIFIED
            source["memory_bandwidth_gbps"] = f"shared with {device.name}"
            break
    cpu = before.cpu
    if overrides.cpu_cores is not None:
        cpu = Cpu(cpu.name, overrides.cpu_cores, overrides.cpu_cores, cpu.isa)
        source["cpu.cores_usable"] = "--cpu-cores"
    available: int | None = ram
    if base is not None and overrides.ram_bytes is None and before.memory_total_bytes is not None:
        available = before.memory_available_bytes
    else:
        source["memory_total_bytes"] = ram_source
        source["memory_available_bytes"] = "all of it: a described machine is idle"
    return Host(
        os=before.os,
        cpu=cpu,
        memory_total_bytes=ram,
        memory_available_bytes=available,
        memory_bandwidth_gbps=bandwidth,
        memory_bandwidth_basis=basis,
        memory_speed_mts=before.memory_speed_mts,
        memory_channels=before.memory_channels,
        source=source,
    )


def _check_values(overrides: Overrides) -> None:
    """Refuse what no parser before us may have looked at."""
    sizes = (*overrides.vram, *(() if overrides.ram_bytes is None else (overrides.ram_bytes,)))
    if any(not 0 < size < 2**60 for size in sizes):
        raise UsageError("A memory size must be positive.", hint="Give GiB as a number: 8, 24GiB, 512M.")
    if overrides.bandwidth_gbps is not None and not 0 < overrides.bandwidth_gbps < 1e6:
        raise UsageError("A bandwidth must be a positive number of GB/s.", hint="An RTX 3060 has 360.")
    if overrides.cpu_cores is not None and not 0 < overrides.cpu_cores <= 4096:
        raise UsageError(
            "A machine has between 1 and 4096 CPU cores.", hint="Give the physical cores: --cpu-cores 8."
        )
    if len(overrides.vram) > MAX_DEVICES:
        raise UsageError(f"At most {MAX_DEVICES} devices can be planned for.", hint="Give fewer sizes to --vram.")


def _named_specs(overrides: Overrides, specs: Sequence[DeviceSpec]) -> list[tuple[str, DeviceSpec]]:
    """One (text, row) per card named by `gpu`, counts unrolled."""
    if overrides.gpu is None:
        return []
    named: list[tuple[str, DeviceSpec]] = []
    for raw in overrides.gpu.split(","):
        part = raw.strip()
        if not part:
            raise UsageError("--gpu has an empty name in it.", hint='For example --gpu "RTX 4090" or "2x RTX 3090".')
        count, text = _counted(part)
        if not 1 <= count <= MAX_DEVICES or len(named) + count > MAX_DEVICES:
            raise UsageError(
                f"“{part[:80]}” asks for {count} devices; 1 to {MAX_DEVICES} can be planned for.",
                hint='For example --gpu "2x RTX 3090".',
            )
        position = len(named)
        size = overrides.vram[position] if position < len(overrides.vram) else next(iter(overrides.vram), None)
        spec = resolve_device(text, specs, memory_gib=size / GIB if size is not None else None)
        spec = _apple_variant(text, spec, specs, overrides.ram_bytes)
        named.extend([(text, spec)] * count)
    if len(named) > 1 and any(spec.vendor is Vendor.APPLE for _, spec in named):
        raise UsageError("An Apple chip has one GPU and takes no second.", hint="Name the chip alone.")
    return named


def _apple_variant(text: str, spec: DeviceSpec, specs: Sequence[DeviceSpec], ram_bytes: int | None) -> DeviceSpec:
    """The variant of a chip that was sold with that much memory, where the name leaves the GPU cores open."""
    reading = read_name(text)
    if spec.vendor is not Vendor.APPLE or reading.cores is not None or reading.last_number is not None:
        return spec
    gib = ram_bytes / GIB if ram_bytes is not None else reading.memory_gib
    cores = _APPLE_CORES_BY_RAM_GIB.get(read_name(spec.name).base, {}).get(round(gib or 0))
    same_chip = (s for s in index_of(tuple(specs)).siblings(reading) if s.gpu_cores == cores)
    return next(same_chip, spec)


def _counted(part: str) -> tuple[int, str]:
    """`2x RTX 3090`, `4x4090`, `RTX 3090 x2` and a name alone."""
    if match := _COUNT_BEFORE.fullmatch(part):
        return int(match[1]), match[2]
    if match := _COUNT_AFTER.fullmatch(part):
        return int(match[2]), match[1]
    return 1, part


def _sizes(overrides: Overrides, named: int) -> tuple[int, ...]:
    """`vram` per card; one size stands for all named cards."""
    if named == 0 or not overrides.vram or len(overrides.vram) == named:
        return overrides.vram
    if len(overrides.vram) == 1:
        return overrides.vram * named
    raise UsageError(
        f"--gpu names {named} {'device' if named == 1 else 'devices'} and --vram gives {len(overrides.vram)} sizes.",
        hint="Give one size for all, or as many sizes as devices.",
    )


def _ram(overrides: Overrides, named: Sequence[tuple[str, DeviceSpec]], base: Hardware | None) -> tuple[int, str]:
    """Host memory in bytes and where it comes from."""
    if overrides.ram_bytes is not None:
        return overrides.ram_bytes, "--ram"
    if base is not None and base.host.memory_total_bytes is not None:
        return base.host.memory_total_bytes, "the hardware file"
    for text, spec in named:
        reading = read_name(text)
        if spec.vendor is Vendor.APPLE and reading.memory_gib is not None:
            return round(reading.memory_gib * GIB), "the size in --gpu"
        if spec.vendor is Vendor.APPLE:
            least = _SMALLEST_APPLE_RAM_GIB.get(read_name(spec.name).base)
            if least is not None:
                return least * GIB, f"assumed: the least this chip is sold with, {least} GiB"
        if spec.kind is DeviceKind.UNIFIED and spec.memory_gib is not None:
            return round(spec.memory_gib * GIB), f"devices.json ({spec.slug})"
    return REFERENCE_RAM_BYTES, f"assumed: reference host, {format_gib(REFERENCE_RAM_BYTES)}"


def _variant_note(text: str, spec: DeviceSpec, specs: Sequence[DeviceSpec]) -> list[str]:
    """Say which of several devices of one name was taken, where the name left it open."""
    reading = read_name(text)
    if reading.memory_gib is not None or reading.cores is not None or reading.last_number is not None:
        return []
    others = [s for s in index_of(tuple(specs)).siblings(reading) if s.slug != spec.slug]
    if not others:
        return []
    return [f"“{text[:80]}” was taken as {spec.name}; there is also {', '.join(s.name for s in others)}."]


def _with_bandwidth(device: Device, bandwidth_gbps: float) -> Device:
    """The same device with a bandwidth the user knows."""
    return msgspec.structs.replace(
        device,
        memory_bandwidth_gbps=bandwidth_gbps,
        memory_bandwidth_range_gbps=None,
        source={**device.source, "memory_bandwidth_gbps": "--bandwidth"},
    )


def _with_budget(device: Device, budget_bytes: int) -> Device:
    """A unified device of which the user says how much it may take; never more than there is."""
    total = device.memory_total_bytes
    budget = budget_bytes if total is None else min(budget_bytes, total)
    return msgspec.structs.replace(
        device, memory_budget_bytes=budget, source={**device.source, "memory_budget_bytes": "--vram"}
    )


def _on_host(device: Device, ram: int) -> Device:
    """A unified device of a machine whose memory the user changed."""
    if device.kind is DeviceKind.DISCRETE:
        return device
    budget, rule = unified_budget(device.vendor, ram)
    return msgspec.structs.replace(
        device,
        memory_total_bytes=ram,
        memory_free_bytes=ram,
        memory_budget_bytes=budget,
        source={**device.source, "memory_total_bytes": "--ram", "memory_budget_bytes": rule},
    )
