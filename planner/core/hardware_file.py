"""A machine saved as JSON: what `planner hardware --save` writes, checked field by field when it comes back."""

import codecs
import math
import re

import msgspec

from planner.core.devices import unified_budget
from planner.core.hardware import (
    NATIVE_BACKEND,
    Backend,
    BandwidthBasis,
    Cpu,
    Device,
    DeviceKind,
    Hardware,
    Host,
    MemoryHolder,
    PcieLink,
    Vendor,
)
from planner.errors import BadDataError

MAX_DEVICES = 64

_POSITIVE = (
    "memory_total_bytes", "memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops", "gpu_cores", "tdp_w",
    "power_limit_w",
)  # fmt: skip


class _FileCpu(msgspec.Struct, frozen=True):
    """`cpu` of the contract."""

    name: str
    cores_physical: int
    cores_usable: int
    isa: tuple[str, ...] = ()


class _FileHost(msgspec.Struct, frozen=True):
    """`host` of the contract."""

    os: str
    cpu: _FileCpu
    memory_total_bytes: int | None
    memory_available_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    memory_bandwidth_gbps: float | None = None
    memory_bandwidth_basis: BandwidthBasis | None = None
    memory_speed_mts: float | None = None
    memory_channels: int | None = None
    source: dict[str, str] = {}


class _FilePcieLink(msgspec.Struct, frozen=True):
    """`pcie_link` of a device."""

    generation: int | None = None
    lanes: int | None = None
    max_generation: int | None = None
    max_lanes: int | None = None


class _FileHolder(msgspec.Struct, frozen=True):
    """One of `holders` of a device."""

    pid: int
    name: str = ""
    memory_bytes: int | None = None


class _FileDevice(msgspec.Struct, frozen=True):
    """One of `devices` of the contract; what a hand-written file may leave out has a default."""

    name: str
    memory_total_bytes: int | None
    id: str = ""
    slug: str = ""
    vendor: Vendor = Vendor.UNKNOWN
    backend: Backend | None = None
    kind: DeviceKind = DeviceKind.DISCRETE
    memory_free_bytes: int | msgspec.UnsetType | None = msgspec.UNSET
    memory_budget_bytes: int | None = None
    memory_bandwidth_gbps: float | None = None
    fp32_tflops: float | None = None
    fp16_tflops: float | None = None
    compute_capability: str | None = None
    gpu_cores: int | None = None
    memory_bandwidth_range_gbps: tuple[float, float] | None = None
    pci_id: str | None = None
    usable: bool = True
    note: str = ""
    source: dict[str, str] = {}
    memory_used_bytes: int | None = None
    gfx_target: str | None = None
    tdp_w: float | None = None
    power_limit_w: float | None = None
    pcie_link: _FilePcieLink | None = None
    holders: tuple[_FileHolder, ...] = ()


class _File(msgspec.Struct, frozen=True):
    """The whole document. Unknown fields are let through: fields may be added to the contract, never renamed."""

    host: _FileHost
    schema: int = 1
    devices: tuple[_FileDevice, ...] = ()
    notes: tuple[str, ...] = ()
    drivers: dict[str, str] = {}


def hardware_from_json(raw: bytes) -> Hardware:
    """The machine of a file written by `planner hardware --save` (or by hand in that form).

    Raises BadDataError `hardware-invalid` with the path of the wrong field: bad JSON, wrong types, a newer
    schema, and sizes or rates that are zero, negative or not finite.
    """
    try:
        # Editors on Windows put a byte order mark in front.
        document = msgspec.json.decode(raw.removeprefix(codecs.BOM_UTF8), type=_File)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(f"it is not JSON: {error}") from error
    if document.schema != 1:
        raise _invalid(f"schema {document.schema} is not known - at `$.schema`")
    host, cpu = document.host, document.host.cpu
    for name, value in (("cores_physical", cpu.cores_physical), ("cores_usable", cpu.cores_usable)):
        _positive(value, f"$.host.cpu.{name}")
    for name in ("memory_total_bytes", "memory_bandwidth_gbps", "memory_speed_mts", "memory_channels"):
        _positive(getattr(host, name), f"$.host.{name}")
    _not_negative(host.memory_available_bytes, "$.host.memory_available_bytes")
    _within(host.memory_available_bytes, host.memory_total_bytes, "$.host.memory_available_bytes")
    if len(document.devices) > MAX_DEVICES:
        raise _invalid(f"more than {MAX_DEVICES} devices - at `$.devices`")
    devices = tuple(_file_device(device, position) for position, device in enumerate(document.devices))
    if len({d.id for d in devices}) != len(devices):
        raise _invalid("two devices have the same id - at `$.devices`")
    return Hardware(
        host=Host(
            os=host.os,
            cpu=Cpu(cpu.name, cpu.cores_physical, cpu.cores_usable, cpu.isa),
            memory_total_bytes=host.memory_total_bytes,
            memory_available_bytes=(
                host.memory_total_bytes
                if host.memory_available_bytes is msgspec.UNSET
                else host.memory_available_bytes
            ),
            memory_bandwidth_gbps=host.memory_bandwidth_gbps,
            memory_bandwidth_basis=host.memory_bandwidth_basis,
            memory_speed_mts=host.memory_speed_mts,
            memory_channels=host.memory_channels,
            source=host.source,
        ),
        devices=devices,
        notes=document.notes,
        drivers=document.drivers,
    )


def _file_device(device: _FileDevice, position: int) -> Device:
    """A device of a file, checked; free memory defaults to all of it, the budget to the usual share."""
    at = f"$.devices[{position}]"
    for name in _POSITIVE:
        _positive(getattr(device, name), f"{at}.{name}")
    for name in ("memory_free_bytes", "memory_budget_bytes", "memory_used_bytes"):
        _not_negative(getattr(device, name), f"{at}.{name}")
        _within(getattr(device, name), device.memory_total_bytes, f"{at}.{name}")
    for bound in device.memory_bandwidth_range_gbps or ():
        _positive(bound, f"{at}.memory_bandwidth_range_gbps")
    total = device.memory_total_bytes
    free = total if device.memory_free_bytes is msgspec.UNSET else device.memory_free_bytes
    backend = device.backend or NATIVE_BACKEND[device.vendor]
    budget = device.memory_budget_bytes
    if budget is None and device.usable:
        budget = total if free is None else free
        if device.kind is DeviceKind.UNIFIED and total is not None:
            budget, _ = unified_budget(device.vendor, total)
    link = device.pcie_link
    fields = {name: getattr(device, name) for name in device.__struct_fields__}
    fields.update(
        id=device.id or f"{backend.value}:{position}",
        slug=device.slug or "-".join(re.findall(r"[a-z0-9]+", device.name.lower())),
        backend=backend,
        memory_free_bytes=free,
        memory_budget_bytes=budget,
        pcie_link=None
        if link is None
        else PcieLink(link.generation, link.lanes, link.max_generation, link.max_lanes),
        holders=tuple(MemoryHolder(h.pid, h.name, h.memory_bytes) for h in device.holders),
    )
    return Device(**fields)


def _positive(value: float | None, at: str) -> None:
    """None passes: unknown is not zero."""
    if value is not None and not (math.isfinite(value) and 0 < value < 2**63):
        raise _invalid(f"expected a positive number, got {value} - at `{at}`")


def _not_negative(value: float | msgspec.UnsetType | None, at: str) -> None:
    """A full card has 0 bytes free."""
    if isinstance(value, int | float) and not 0 <= value < 2**63:
        raise _invalid(f"expected 0 or more, got {value} - at `{at}`")


def _within(value: int | msgspec.UnsetType | None, total_bytes: int | None, at: str) -> None:
    """No part of a memory is larger than all of it."""
    if isinstance(value, int) and total_bytes is not None and value > total_bytes:
        raise _invalid(f"expected at most the {total_bytes} bytes there are, got {value} - at `{at}`")


def _invalid(reason: str) -> BadDataError:
    """The error of this module."""
    return BadDataError(
        f"The hardware file cannot be used: {reason}",
        hint="Make one with `planner hardware --save FILE` and change what you need.",
        reference="hardware-invalid",
    )
