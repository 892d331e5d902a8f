"""What GPU a rental means: the provider's name and memory to a row of the device table and a short name for prices.

Short names keep form factor and size where prices differ by them (`h100-pcie`, `a100-sxm-80gb`) and drop brands
and what the memory column says anyway (`rtx-3060`). A name that nothing matches stays unknown; it is never guessed.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import lru_cache

import msgspec

from planner.core.machines.device_names import (
    NameIndex,
    Reading,
    index_of,
    read_name,
    same_memory,
    trailing_number_readings,
)
from planner.core.machines.devices import resolve_device
from planner.core.machines.hardware import DeviceSpec
from planner.errors import UsageError

SNAP = 0.07
"""Drivers report up to 7 % less than the label; 46,068 MB is an L40S of 48 GiB."""
KNOWN_SIZES_GIB = (
    2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 72, 80, 94, 96, 128, 141, 144, 180, 192, 256, 268, 288,
)  # fmt: skip
"""Memory sizes that GPUs are sold with."""

_WORDS = re.compile(
    r"^.+?(?=\bnvidia\b.*\bgpu\b)|(?:\(1 )?\bgpu\b.*\b(?:running in|attached to)\b.*"
    r"|\b(?:mod|modded|modified|plus|cloud)\b|[()]",
    re.IGNORECASE,
)
"""What price lists write around a name: regions of list items, "(48 GB mod)", "80GB Plus"."""
_BOARD = re.compile(r"\bHGX(?= [AH]\d00\b)", re.IGNORECASE)
"""NVIDIA's board of SXM modules; Blackwell has no other form."""
_RUN_TOGETHER = re.compile(r"\b([AH]\d00)(?=(?:NVL|SXM\d?|PCIE)\b)", re.IGNORECASE)
"""A card and its form without a space, as gpuhunt writes them."""
_DRIVERS_SXM = re.compile(r"\bH100(?= 80 ?GB HBM3\b)", re.IGNORECASE)
"""The driver's name of the SXM5 module, which RunPod has as its id: of 80 GB it alone has HBM3."""
_LAPTOP = re.compile(r"mobile|^(?!rtx-pro).*max-q")
_FORMS = frozenset({"pcie", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "nvl"})
_FORM_IN_SLUG = re.compile(r"-(?:pcie|sxm\d?|nvl)(?=-|$)")
_SIZE_IN_SLUG = re.compile(r"-\d+gb$")
_PRO_BLACKWELL = re.compile(r"^(rtx-pro-\d+d?)(.*)-blackwell")
_ONE_FORM = re.compile(r"^(a10|a16|a30|a40)-pcie$")
_ONE_SIZE = re.compile(r"^((?:h100|h200|h800)-(?:pcie|sxm|nvl)|gh200)-(?:80|94|96|141)gb$")


class GpuName(msgspec.Struct, frozen=True):
    """A GPU recognised: `slug` for prices, `device` of the table, its memory; all None for one that is not known.

    `form_open`: the name fits several form factors; `device` is then the one with the least bandwidth.
    """

    slug: str | None = None
    device: str | None = None
    memory_gib: float | None = None
    form_open: bool = False


def market_slug(slug: str) -> str:
    """The short name for prices of a row of the device table."""
    short = re.sub(r"^(?:geforce-|radeon-instinct-|tesla-|quadro-(?=rtx))", "", slug)
    short = re.sub(r"-sxm\d(?=-|$)", "-sxm", short).replace("-ada-generation", "-ada")
    short = _PRO_BLACKWELL.sub(r"\1\2", short)
    short = _ONE_FORM.sub(r"\1", short)
    short = _ONE_SIZE.sub(r"\1", short)
    return _SIZE_IN_SLUG.sub("", short) if slug.startswith("geforce-") else short


def snapped_gib(gib: float | None, label_gib: float | None) -> float | None:
    """A memory size as on the label: that of the GPU where the figure is within 7 % of it, else a known size so near.

    A figure near neither stays as it is. Without one it is the label's.
    """
    if gib is None:
        return label_gib
    if label_gib is not None and same_memory(gib, label_gib, SNAP):
        return label_gib
    near = min(KNOWN_SIZES_GIB, key=lambda size: abs(size - gib))
    return float(near) if same_memory(gib, near, SNAP) else gib


def rental_index(specs: Sequence[DeviceSpec]) -> NameIndex:
    """The index of the devices that can be rented: cards of computers, not of laptops; half of the table."""
    return _rental_index(tuple(specs))


@lru_cache(maxsize=4)
def _rental_index(specs: tuple[DeviceSpec, ...]) -> NameIndex:
    return index_of(tuple(spec for spec in specs if spec.memory_gib is not None and not _LAPTOP.search(spec.slug)))


@lru_cache(maxsize=2048)
def _read(text: str) -> Reading:
    for pattern, instead in ((_WORDS, " "), (_RUN_TOGETHER, r"\1 "), (_DRIVERS_SXM, "H100 SXM"), (_BOARD, "SXM")):
        text = pattern.sub(instead, text)
    return read_name(text)


def gpu_name(raw: str, vram_gib: float | None, specs: Sequence[DeviceSpec]) -> GpuName:
    """The GPU that a provider's name and memory mean. The row's memory decides between sizes, before the name's."""
    return recognised(raw[:200], None if vram_gib is None else round(vram_gib, 1), rental_index(specs))


@lru_cache(maxsize=4096)
def recognised(raw: str, vram_gib: float | None, index: NameIndex) -> GpuName:
    """`gpu_name` for many names of one index."""
    reading = _read(raw)
    found: tuple[DeviceSpec, ...] = ()
    for attempt in (reading, *trailing_number_readings(reading)):
        if found or not attempt.base:
            break
        size = vram_gib or attempt.memory_gib
        sized = () if size is None else index.candidates(replace(attempt, memory_gib=size), loose=True)
        found = sized or index.candidates(replace(attempt, memory_gib=None), loose=True)
    if not found:
        return GpuName()
    size = vram_gib or reading.memory_gib
    forms = _forms(found, reading, index, size)
    if len(forms) > 1:
        slugs = {_SIZE_IN_SLUG.sub("", _FORM_IN_SLUG.sub("", market_slug(spec.slug))) for spec in forms}
        slowest = min(forms, key=lambda spec: (spec.memory_bandwidth_gbps or 0.0, spec.slug))
        sizes = {spec.memory_gib for spec in forms}
        several = len({spec.memory_gib for spec in _family(reading, index)}) > 1 and not slowest.slug.startswith("h")
        suffix = f"-{slowest.memory_gib:g}gb" if several and len(sizes) == 1 else ""
        if len(slugs) == 1:
            return GpuName(slugs.pop() + suffix, slowest.slug, slowest.memory_gib, form_open=True)
    if len(found) > 1:
        return GpuName()
    return GpuName(market_slug(found[0].slug), found[0].slug, found[0].memory_gib)


def _family(reading: Reading, index: NameIndex) -> tuple[DeviceSpec, ...]:
    """Every form and size of a name."""
    return index.siblings(replace(reading, memory_gib=None, qualifiers=reading.qualifiers - _FORMS), loose=False)


def _forms(
    found: tuple[DeviceSpec, ...], reading: Reading, index: NameIndex, size: float | None
) -> tuple[DeviceSpec, ...]:
    """The devices of several form factors that a name without one may mean; those of `found` where it says."""
    if reading.qualifiers & _FORMS or not any(_FORM_IN_SLUG.search(spec.slug) for spec in found):
        return found if len(found) > 1 else ()
    memory = size or found[0].memory_gib
    same = [
        spec
        for spec in _family(reading, index)
        if memory is not None
        and spec.memory_gib is not None
        and same_memory(spec.memory_gib, memory, SNAP)
        and _FORM_IN_SLUG.search(spec.slug)
    ]
    forms = {match[0].rstrip("0123456789") for spec in same if (match := _FORM_IN_SLUG.search(spec.slug))}
    return tuple(same) if len(forms) > 1 else ()


def least_memory_gib(text: str, specs: Sequence[DeviceSpec]) -> float | None:
    """The smallest memory of the devices that a name may mean; None for a name that the table does not have."""
    sizes = [spec.memory_gib for spec in rental_index(specs).siblings(replace(_read(text), memory_gib=None))]
    return min((size for size in sizes if size is not None), default=None)


def wanted_gpus(
    text: str, specs: Sequence[DeviceSpec], *, offered: Collection[str]
) -> Callable[[str, str | None], bool]:
    """Whether an offer (its raw name, its device) is of the GPU that was asked for, in any form where none is said.

    Raises UsageError `unknown-gpu` with the nearest names for one that neither the table nor `offered` has.
    """
    reading = _read(text)
    sizes = [attempt for attempt in (reading, *trailing_number_readings(reading)) if attempt.base]
    index = rental_index(specs)
    slugs: set[str] = set()
    for attempt in sizes:
        rows = index.siblings(replace(attempt, memory_gib=None)) or ()
        slugs |= {
            spec.slug
            for spec in rows
            if attempt.memory_gib is None
            or (spec.memory_gib is not None and same_memory(spec.memory_gib, attempt.memory_gib, SNAP))
        }
        if slugs:
            break
    slugs |= {spec.slug for spec in specs if market_slug(spec.slug) == text.strip().casefold()}
    names = {raw for raw in offered if _read(raw).base == reading.base and reading.base}
    if not slugs and not names:
        try:
            slugs = {resolve_device(text, specs).slug}
        except UsageError as error:
            if error.reference == "ambiguous-gpu":
                raise
            raise UsageError(
                error.message, hint="Check the name; planner prices without --gpu lists what is for rent.",
                reference="unknown-gpu",
            ) from error  # fmt: skip
    return lambda raw, device: device in slugs or (device is None and raw in names)
