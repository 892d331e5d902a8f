"""A device described by its figures: which row of the catalog it is, and what that row adds to what was said.

What is said stays, with one exception: many tables print the FP16 rate of the vector units where ours have that of
the tensor cores, which is four to thirty-two times as much.
"""

import functools
import math
from collections.abc import Sequence
from typing import Protocol

import msgspec

from planner.core.machines.device_names import index_of, read_name, same_memory
from planner.core.machines.devices import DATA_SHEET_FIELDS, DRIVER_MEMORY_TOLERANCE, rows_named, same_speed
from planner.core.machines.hardware import ESTIMATED, Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.core.machines.tensor_cores import capability_number, has_tensor_cores
from planner.units import GIB

VENDOR_OF = {Backend.CUDA: Vendor.NVIDIA, Backend.ROCM: Vendor.AMD, Backend.METAL: Vendor.APPLE}
"""Backends that drive devices of one vendor alone."""

_TENSOR_CORES = 7.0
"""Compute capability of Volta, the first with tensor cores."""
_VECTOR_BELOW = 0.5
"""Of the usual tensor peak: less is the rate of vector units, which have an eighth to a quarter of it."""
_SAME_BANDWIDTH, _SAME_FP32 = 1.1, 1.3
"""Factors up to which two figures are of one device: rounding, and base or boost clock."""
_UNSURE = 1.25
"""An estimated peak is at least so far from sure, either way: the table's cards follow the ratio by design."""


class Figures(Protocol):
    """What is said of a device and tells which it is; empty or None where nothing is."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def slug(self) -> str: ...  # noqa: D102
    @property
    def vendor(self) -> Vendor: ...  # noqa: D102
    @property
    def memory_total_bytes(self) -> int | None: ...  # noqa: D102
    @property
    def memory_bandwidth_gbps(self) -> float | None: ...  # noqa: D102
    @property
    def fp32_tflops(self) -> float | None: ...  # noqa: D102
    @property
    def compute_capability(self) -> str | None: ...  # noqa: D102
    @property
    def gpu_cores(self) -> int | None: ...  # noqa: D102


class Match(msgspec.Struct, frozen=True):
    """The row of a described device. `same`: its figures agree; else only the chip's name is the same."""

    row: DeviceSpec
    same: bool


def match_of(said: Figures, specs: Sequence[DeviceSpec]) -> Match | None:
    """The row that slug or name mean, the nearest in figures where they leave it open; None for an unknown device.

    Rows of another vendor are no match; of another memory, bandwidth or peak they are another card of that chip.
    """
    rows = named = tuple(spec for spec in specs if said.slug and spec.slug == said.slug)
    if not rows and said.name:
        gib = said.memory_total_bytes / GIB if said.memory_total_bytes else None
        named = rows_named(said.name, specs, memory_gib=gib)
        siblings = index_of(tuple(specs)).siblings(read_name(said.name))
        rows = tuple({row.slug: row for row in (*named, *siblings)}.values())
    rows = tuple(row for row in rows if said.vendor in {Vendor.UNKNOWN, row.vendor})
    agreeing = [row for row in rows if _agrees(said, row)]
    if len(agreeing) > 1 and not said.memory_bandwidth_gbps and not said.fp32_tflops:
        only = named[0] if len(named) == 1 and not said.memory_total_bytes else same_speed(agreeing)
        return None if only is None else Match(only, same=True)
    if agreeing:
        return Match(min(agreeing, key=lambda row: _distance(said, row)), same=True)
    return Match(rows[0], same=False) if rows else None


def _agrees(said: Figures, row: DeviceSpec) -> bool:
    """Whether no figure says that it is another device."""
    memory = said.memory_total_bytes
    sized = row.kind is DeviceKind.DISCRETE and memory and row.memory_gib is not None
    if sized and not same_memory((memory or 0) / GIB, row.memory_gib or 0, DRIVER_MEMORY_TOLERANCE):
        return False
    if said.compute_capability not in {None, row.compute_capability}:
        return False
    if row.vendor is Vendor.APPLE and said.gpu_cores not in {None, row.gpu_cores}:
        return False
    # AMD's FP32 peaks are printed with and without dual issue.
    fp32 = None if row.vendor is Vendor.AMD else said.fp32_tflops
    return _near(said.memory_bandwidth_gbps, row.memory_bandwidth_gbps, _SAME_BANDWIDTH) and _near(
        fp32, row.fp32_tflops, _SAME_FP32
    )


def _near(left: float | None, right: float | None, factor: float) -> bool:
    return not left or not right or max(left, right) <= factor * min(left, right)


def _distance(said: Figures, row: DeviceSpec) -> float:
    pairs = (
        (said.fp32_tflops, row.fp32_tflops),
        (said.memory_bandwidth_gbps, row.memory_bandwidth_gbps),
        ((said.memory_total_bytes or 0) / GIB, row.memory_gib),
    )
    return sum(abs(math.log(left / right)) for left, right in pairs if left and right)


def with_table_facts(device: Device, match: Match | None, specs: Sequence[DeviceSpec]) -> Device:
    """The device with what its row knows and nobody said; `listed` says whether there is such a row.

    A card of the same chip adds what the chip decides: compute capability, or gfx target. One that is known by its
    memory size alone stays as it is.
    """
    if device.known_by_size:
        return device
    # A part of a card (MIG), as a saved machine has it: of that row, and yet not with its figures.
    part = match is not None and device.listed and match.row.slug == device.slug
    device = msgspec.structs.replace(device, listed=part or (match is not None and match.same))
    if match is not None:
        fields = DATA_SHEET_FIELDS if match.same else ("compute_capability", "gfx_target")
        device = _filled(
            device, {field: getattr(match.row, field) for field in fields}, f"devices.json ({match.row.slug})"
        )
        if match.same:
            device = msgspec.structs.replace(device, slug=match.row.slug)
    device = _with_half_peak(device, match.row if match is not None and match.same else None, tuple(specs))
    return device if device.listed else _with_power(device, tuple(specs))


def _filled(device: Device, facts: dict[str, object], how: str) -> Device:
    """The device with these facts where it has none."""
    new = {field: value for field, value in facts.items() if value is not None and getattr(device, field) is None}
    return (
        msgspec.structs.replace(device, **new, source={**device.source, **dict.fromkeys(new, how)}) if new else device
    )


def _with_half_peak(device: Device, row: DeviceSpec | None, specs: tuple[DeviceSpec, ...]) -> Device:
    """The device with the FP16 peak that its prompts go by, if that is missing or is that of the vector units."""
    half, single = device.fp16_tflops, device.fp32_tflops
    tensor = device.vendor is Vendor.NVIDIA and device.backend in {Backend.CUDA, Backend.VULKAN}
    if tensor and (capability_number(device.compute_capability) or _TENSOR_CORES) < _TENSOR_CORES:
        return device
    if not tensor and (half is not None or device.vendor not in {Vendor.AMD, Vendor.INTEL}):
        return device
    ratios = _usual_ratios(device.vendor, device.compute_capability or device.gfx_target, specs)
    if ratios is None:
        return device
    low, middle, high = ratios
    usual = row.fp16_tflops if row is not None else single and single * middle
    if not usual or (half is not None and half >= _VECTOR_BELOW * usual):
        return device
    said = "" if half is None else f"; {half:g} is the rate of the vector units"
    if row is not None:
        source = {**device.source, "fp16_tflops": f"devices.json ({row.slug}){said}"}
        return msgspec.structs.replace(device, fp16_tflops=usual, source=source)
    assert single is not None, "without it nothing is usual"
    source = {**device.source, "fp16_tflops": f"{ESTIMATED}FP32 \u00d7 {middle:.3g}, as such devices have{said}"}
    return msgspec.structs.replace(
        device,
        fp16_tflops=round(usual, 2),
        fp16_range_tflops=(
            round(min(low * single, usual / _UNSURE), 2),
            round(max(high * single, usual * _UNSURE), 2),
        ),
        source=source,
    )


def _with_power(device: Device, specs: tuple[DeviceSpec, ...]) -> Device:
    """The device with the power that tensor cores of its kind usually have, where nobody said: prompts go by it."""
    if device.tdp_w or device.power_limit_w or not has_tensor_cores(device):
        return device
    watts = _usual_watts(device.compute_capability, (device.fp16_tflops or 0.0) / (device.fp32_tflops or 1.0), specs)
    if watts is None:
        return device
    how = f"{ESTIMATED}{watts:.3g} W per TFLOPS, as such devices have"
    tdp_w = round(watts * (device.fp16_tflops or 0.0), 1)
    return msgspec.structs.replace(device, tdp_w=tdp_w, source={**device.source, "tdp_w": how})


@functools.lru_cache(maxsize=256)
def _usual_watts(capability: str | None, ratio: float, specs: tuple[DeviceSpec, ...]) -> float | None:
    """Median watts per TFLOPS of an architecture's tensor cores, else of those as strong beside FP32 (`ratio`)."""
    rows = [
        spec
        for spec in specs
        if spec.tdp_w and spec.fp16_tflops and (capability_number(spec.compute_capability) or 0) >= _TENSOR_CORES
    ]
    same = [spec for spec in rows if spec.compute_capability == capability]
    same = same or [spec for spec in rows if _near((spec.fp16_tflops or 0) / (spec.fp32_tflops or 1), ratio, 1.5)]
    watts = [(spec.tdp_w or 0) / (spec.fp16_tflops or 1) for spec in same or rows]
    return _median(watts) if watts else None


@functools.lru_cache(maxsize=256)
def _usual_ratios(
    vendor: Vendor, architecture: str | None, specs: tuple[DeviceSpec, ...]
) -> tuple[float, float, float] | None:
    """FP16 over FP32 of the table's devices of an architecture, else of the vendor: 10th percentile, median, 90th."""
    rows = [
        spec
        for spec in specs
        if spec.vendor is vendor
        and spec.fp16_tflops
        and spec.fp32_tflops
        and (vendor is not Vendor.NVIDIA or (capability_number(spec.compute_capability) or 0) >= _TENSOR_CORES)
    ]
    same = [spec for spec in rows if architecture in (spec.compute_capability, spec.gfx_target)]
    ratios = sorted((spec.fp16_tflops or 0) / (spec.fp32_tflops or 1) for spec in same or rows)
    if not ratios:
        return None
    tenth = len(ratios) // 10
    return ratios[tenth], _median(ratios), ratios[-1 - tenth]


def _median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    ranked, half = sorted(values), len(values) // 2
    return ranked[half] if len(values) % 2 else (ranked[half - 1] + ranked[half]) / 2
