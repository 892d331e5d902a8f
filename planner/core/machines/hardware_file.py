"""Machines and devices as JSON: what `planner hardware --save` writes, or people by hand, checked field by field."""

import codecs
import math
import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from planner.core.machines.described_device import VENDOR_OF, match_of, with_table_facts
from planner.core.machines.devices import unified_budget
from planner.core.machines.hardware import (
    NATIVE_BACKEND,
    Backend,
    BandwidthBasis,
    Cpu,
    Device,
    DeviceKind,
    DeviceSpec,
    Hardware,
    Host,
    MemoryHolder,
    PcieLink,
    Vendor,
)
from planner.core.values import with_choices
from planner.errors import BadDataError
from planner.units import GIB

MAX_DEVICES = 64

_T = TypeVar("_T")

_CHOICES = {"vendor": tuple(Vendor), "backend": tuple(Backend), "kind": tuple(DeviceKind)}
_LARGEST = {"memory_bandwidth_gbps": 1e6, "fp32_tflops": 1e6, "fp16_tflops": 1e6, "tdp_w": 1e6, "power_limit_w": 1e6}
"""GB/s, TFLOPS and watts far beyond every device."""
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

    name: str = ""
    memory_total_bytes: int | None = None
    id: str = ""
    slug: str = ""
    vendor: Vendor = Vendor.UNKNOWN
    backend: Backend | None = None
    kind: DeviceKind | None = None
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
    listed: bool | None = None
    fp16_range_tflops: tuple[float, float] | None = None
    memory_limit_bytes: int | None = None
    fp32_range_tflops: tuple[float, float] | None = None
    tdp_range_w: tuple[float, float] | None = None


class _WrongFieldError(Exception):
    """What cannot be used of a document, with the place in it."""


class _File(msgspec.Struct, frozen=True):
    """The whole document. Unknown fields are let through: fields may be added to the contract, never renamed."""

    host: _FileHost
    schema: int = 1
    devices: tuple[_FileDevice, ...] = ()
    notes: tuple[str, ...] = ()
    drivers: dict[str, str] = {}


def hardware_from_json(raw: bytes, specs: Sequence[DeviceSpec] = ()) -> Hardware:
    """The machine of a file written by `planner hardware --save` (or by hand in that form).

    With `specs`, the catalog's devices, it is read to be planned for: what nobody said of a device comes from its
    row, and a budget below its memory is a limit. Raises BadDataError `hardware-invalid` with the path of the wrong
    field: bad JSON, wrong types, a newer schema, and sizes or rates that are zero, negative or not finite.
    """
    try:
        return _hardware(raw, specs)
    except _WrongFieldError as error:
        raise BadDataError(
            f"The hardware file cannot be used: {error}",
            hint="Make one with `planner hardware --save FILE` and change what you need.",
            reference="hardware-invalid",
        ) from error


def device_from_json(raw: bytes, specs: Sequence[DeviceSpec]) -> Device:
    """The device that a request describes by figures, with what its row in `specs` adds; it must have a memory.

    Raises BadDataError `bad-request` with the field.
    """
    try:
        found = _decoded(raw, _FileDevice, "device")
        device = _file_device(found, 0, "device", specs)
        _has_memory(device)
    except _WrongFieldError as error:
        raise BadDataError(
            f"The device of this request cannot be used: {error}",
            hint="Its fields are those of a device in `planner hardware --json` (docs/json.md); or name a gpu.",
            reference="bad-request",
        ) from error
    return device


def _has_memory(device: Device) -> None:
    """A device without memory takes nothing, and nobody asks for that."""
    if device.memory_total_bytes is None:
        raise _WrongFieldError(
            "its memory is not given, and no known device has its name - at `device.memory_total_bytes`"
        )


def _decoded(raw: bytes, kind: type[_T], root: str) -> _T:
    try:
        # Editors on Windows put a byte order mark in front.
        return msgspec.json.decode(raw.removeprefix(codecs.BOM_UTF8), type=kind)
    except msgspec.ValidationError as error:
        raise _WrongFieldError(with_choices(str(error), _CHOICES).replace("`$", f"`{root}", 1)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongFieldError(f"it is not JSON: {error}") from error


def _hardware(raw: bytes, specs: Sequence[DeviceSpec]) -> Hardware:
    document = _decoded(raw, _File, "$")
    if document.schema != 1:
        raise _WrongFieldError(f"schema {document.schema} is not known - at `$.schema`")
    host, cpu = document.host, document.host.cpu
    for name, value in (("cores_physical", cpu.cores_physical), ("cores_usable", cpu.cores_usable)):
        _positive(value, f"$.host.cpu.{name}")
    for name in ("memory_total_bytes", "memory_bandwidth_gbps", "memory_speed_mts", "memory_channels"):
        _positive(getattr(host, name), f"$.host.{name}")
    _not_negative(host.memory_available_bytes, "$.host.memory_available_bytes")
    _within(host.memory_available_bytes, host.memory_total_bytes, "$.host.memory_available_bytes")
    if len(document.devices) > MAX_DEVICES:
        raise _WrongFieldError(f"more than {MAX_DEVICES} devices - at `$.devices`")
    devices = tuple(
        _file_device(device, position, f"$.devices[{position}]", specs)
        for position, device in enumerate(document.devices)
    )
    if len({d.id for d in devices}) != len(devices):
        raise _WrongFieldError("two devices have the same id - at `$.devices`")
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


def _file_device(device: _FileDevice, position: int, at: str, specs: Sequence[DeviceSpec]) -> Device:
    """A device of a file, checked; free memory defaults to all of it, the budget to the usual share."""
    for name in _POSITIVE:
        _positive(getattr(device, name), f"{at}.{name}", _LARGEST.get(name, 2.0**63))
    for name in ("memory_free_bytes", "memory_budget_bytes", "memory_used_bytes", "memory_limit_bytes"):
        _not_negative(getattr(device, name), f"{at}.{name}")
        _within(getattr(device, name), device.memory_total_bytes, f"{at}.{name}")
    for name in ("memory_bandwidth_range_gbps", "fp16_range_tflops", "fp32_range_tflops", "tdp_range_w"):
        for bound in getattr(device, name) or ():
            _positive(bound, f"{at}.{name}", 1e6)
    if device.vendor is Vendor.UNKNOWN and device.backend in VENDOR_OF:
        device = msgspec.structs.replace(device, vendor=VENDOR_OF[device.backend])
    match = match_of(device, specs) if specs else None
    row = match.row if match is not None else None
    vendor = row.vendor if row is not None else device.vendor
    kind = device.kind or (row.kind if row is not None else None)
    kind = kind or (DeviceKind.UNIFIED if vendor is Vendor.APPLE else DeviceKind.DISCRETE)
    total = device.memory_total_bytes
    if total is None and match is not None and match.same and kind is DeviceKind.DISCRETE and match.row.memory_gib:
        total = round(match.row.memory_gib * GIB)
    free = total if device.memory_free_bytes is msgspec.UNSET else device.memory_free_bytes
    backend = device.backend or NATIVE_BACKEND[vendor]
    budget = device.memory_budget_bytes
    if budget is None and device.usable:
        budget = total if free is None else free
        if kind is DeviceKind.UNIFIED and total is not None:
            share, _ = unified_budget(vendor, total)
            budget = share if budget is None else min(share, budget)
    link = device.pcie_link
    fields = {name: getattr(device, name) for name in device.__struct_fields__}
    fields.update(
        id=device.id or f"{backend.value}:{position}",
        name=device.name or f"{backend.value} device",
        slug=device.slug or "-".join(re.findall(r"[a-z0-9]+", device.name.lower())),
        vendor=vendor,
        backend=backend,
        kind=kind,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_budget_bytes=budget,
        pcie_link=None
        if link is None
        else PcieLink(link.generation, link.lanes, link.max_generation, link.max_lanes),
        holders=tuple(MemoryHolder(h.pid, h.name, h.memory_bytes) for h in device.holders),
        listed=device.listed is not False if not specs else device.listed is True,
    )
    if specs and total is not None and budget is not None and budget < total and kind is DeviceKind.DISCRETE:
        fields["memory_limit_bytes"] = min(budget, device.memory_limit_bytes or budget)
    found = Device(**fields)
    return with_table_facts(found, match, specs) if specs else found


def _positive(value: float | None, at: str, largest: float = 2.0**63) -> None:
    """None passes: unknown is not zero."""
    if value is None or (math.isfinite(value) and 0 < value < largest):
        return
    wanted = f"at most {largest:,.0f}" if value >= largest else "a positive number"
    raise _WrongFieldError(f"expected {wanted}, got {value:g} - at `{at}`")


def _not_negative(value: float | msgspec.UnsetType | None, at: str) -> None:
    """A full card has 0 bytes free."""
    if isinstance(value, int | float) and not 0 <= value < 2**63:
        raise _WrongFieldError(f"expected 0 or more, got {value} - at `{at}`")


def _within(value: int | msgspec.UnsetType | None, total_bytes: int | None, at: str) -> None:
    """No part of a memory is larger than all of it."""
    if isinstance(value, int) and total_bytes is not None and value > total_bytes:
        raise _WrongFieldError(f"expected at most the {total_bytes} bytes there are, got {value} - at `{at}`")
