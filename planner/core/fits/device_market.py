"""Which kind of machine a device is for, with how much memory a chip is sold, and which devices are on sale today."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from planner.core.fits.device_grid import COMMON_DEVICES
from planner.core.machines.hardware import DeviceKind, DeviceSpec, Vendor


class DeviceClass(StrEnum):
    """Who buys a device. Shared: a chip whose GPU uses the machine's memory, Apple's apart."""

    CONSUMER = "consumer"
    WORKSTATION = "workstation"
    DATA_CENTRE = "data-centre"
    APPLE = "apple"
    SHARED = "shared"
    LAPTOP = "laptop"
    MINING = "mining"


_LAPTOP = re.compile(
    r"\bmobile\b|(?<!blackwell )\bmax-q\b|\b[a-z]*\d{3,4}(?:m|s|mx)\b|\ba30m\b|\ba60m\b|\bmx\d{3}\b|iris xe max"
)
_NOT_LAPTOP = ("radeon ai pro r9700s", "tesla v100s", "p106m")
_MINING = re.compile(r"(?:cmp|p10[246]m?)\b")
_PREFIXES = (
    ("radeon instinct", DeviceClass.DATA_CENTRE),
    ("data center", DeviceClass.DATA_CENTRE),
    ("quadro", DeviceClass.WORKSTATION),
    ("rtx", DeviceClass.WORKSTATION),
    ("radeon ai pro", DeviceClass.WORKSTATION),
    ("radeon pro vii", DeviceClass.WORKSTATION),
    ("radeon pro v", DeviceClass.DATA_CENTRE),
    ("radeon pro", DeviceClass.WORKSTATION),
    ("arc pro", DeviceClass.WORKSTATION),
    ("geforce", DeviceClass.CONSUMER),
    ("titan", DeviceClass.CONSUMER),
    ("radeon", DeviceClass.CONSUMER),
    ("arc", DeviceClass.CONSUMER),
)
"""Product lines by how their names begin; what begins otherwise is NVIDIA's for servers or its small T-series."""
_SMALL_WORKSTATION = re.compile(r"t\d{3,4}\b")


def device_class(spec: DeviceSpec) -> DeviceClass:
    """The class of a device, by its name: product lines are named for who buys them."""
    name = spec.name.casefold()
    line = next((found for prefix, found in _PREFIXES if name.startswith(prefix)), None)
    if spec.vendor is Vendor.APPLE:
        found = DeviceClass.APPLE
    elif spec.kind is DeviceKind.UNIFIED and line is not DeviceClass.DATA_CENTRE:
        found = DeviceClass.SHARED
    elif _LAPTOP.search(name) and not name.startswith(_NOT_LAPTOP):
        found = DeviceClass.LAPTOP
    elif _MINING.match(name):
        found = DeviceClass.MINING
    elif line is None:
        found = DeviceClass.WORKSTATION if _SMALL_WORKSTATION.match(name) else DeviceClass.DATA_CENTRE
    else:
        found = line
    return found


_APPLE_RAM_GIB: dict[str, tuple[int, ...]] = {
    "M1": (8, 16), "M1 Pro": (16, 32), "M1 Max": (32, 64), "M1 Ultra": (64, 128),
    "M2": (8, 16, 24), "M2 Pro": (16, 32), "M2 Max": (32, 64, 96), "M2 Ultra": (64, 128, 192),
    "M3": (8, 16, 24), "M3 Pro": (18, 36), "M3 Max": (36, 48, 64, 96, 128), "M3 Ultra": (96, 256, 512),
    "M4": (16, 24, 32), "M4 Pro": (24, 48, 64), "M4 Max": (36, 48, 64, 128),
    "M5": (16, 24, 32), "M5 Pro": (24, 48, 64), "M5 Max": (36, 48, 64, 128),
}  # fmt: skip
"""Memory each chip is sold with (Apple's specifications, recalled)."""
_ONLY_WITH_CORES = {
    ("M2 Max", 96): 38, ("M3 Max", 36): 30, ("M3 Max", 96): 30, ("M3 Max", 48): 40, ("M3 Max", 64): 40,
    ("M3 Max", 128): 40, ("M3 Ultra", 512): 80, ("M4 Max", 36): 32, ("M4 Max", 48): 40, ("M4 Max", 64): 40,
    ("M4 Max", 128): 40, ("M5 Max", 36): 32, ("M5 Max", 48): 40, ("M5 Max", 64): 40, ("M5 Max", 128): 40,
}  # fmt: skip
"""GPU cores of the one variant of a chip that is sold with a size (recalled)."""
_SOLDERED_RAM_GIB: dict[str, tuple[int, ...]] = {
    "radeon-8040s": (32, 64), "radeon-8050s": (32, 64, 128), "radeon-8060s": (64, 96, 128),
    "arc-130v-mobile": (16, 32), "arc-140v-mobile": (16, 32),
    "arc-b370-mobile": (16, 32, 64), "arc-b390-mobile": (16, 32, 64),
}  # fmt: skip
"""Memory that machines with soldered memory are sold with (makers' offers, recalled)."""
_SOCKETED_RAM_GIB = (8, 16, 32, 64, 96)
"""Two modules of a laptop or small desktop."""
_APPLE_CHIP = re.compile(r"Apple (M\d+(?: Pro| Max| Ultra)?)")


def ram_sizes_gib(spec: DeviceSpec) -> tuple[int, ...]:
    """Memory in GiB that machines with such a shared-memory chip are sold with, ascending."""
    if spec.memory_gib is not None:
        return (round(spec.memory_gib),)
    chip = _APPLE_CHIP.match(spec.name)
    if chip is None:
        return _SOLDERED_RAM_GIB.get(spec.slug, _SOCKETED_RAM_GIB)
    sizes = _APPLE_RAM_GIB.get(chip[1], ())
    return tuple(size for size in sizes if _ONLY_WITH_CORES.get((chip[1], size), spec.gpu_cores) == spec.gpu_cores)


_GENERATION = {
    "Turing": 1, "Ampere": 2, "Ada Lovelace": 3, "Hopper": 3, "Blackwell": 4, "Blackwell 2.0": 4,
    "Blackwell Ultra": 4,
    "RDNA 2.0": 1, "RDNA 3.0": 2, "RDNA 3.5": 2, "RDNA 4.0": 3, "CDNA 2.0": 1, "CDNA 3.0": 2, "CDNA 4.0": 3,
    "Xe-HPG": 1, "Xe2-HPG": 2, "Xe2-LPG": 1, "Xe3-LPG": 2,
    "Apple M3": 1, "Apple M4": 2, "Apple M5": 3,
}  # fmt: skip
"""Chip generations that are on sale, new or used in numbers, by vendor; a higher number is newer."""
_UNUSUAL = re.compile(
    r"-d$|-d-v2$|^a800|^h800|^h20-|6000d|mi308x|5880|^l20?$"  # sold in China alone (recalled)
    r"|cnx|^a100x$|^a30x$|^l40g$|^a10m$|dgxs|one-die|^g[bh]\d{3}|^h100-(?:pcie-96|sxm5-(?:64|94|96))gb"
    r"|^a16-|flex-|pro-v\d{3}|w6[68]00x|w6900x|gddr6$|-gme$|-le$|^jetson-nano|orin-nano"
)
"""Slugs of devices that few can buy: for one country, one computer or one system."""
_COMMON = frozenset(device.slug for device in COMMON_DEVICES)


def generation(spec: DeviceSpec) -> int | None:
    """How new a device on sale is among its vendor's, higher is newer; None for older and unusual ones.

    Apple's M3 generation counts for its Ultra alone: no later one has followed it.
    """
    if _UNUSUAL.search(spec.slug) or spec.memory_bandwidth_gbps is None:
        return None
    if spec.arch == "Apple M3" and "Ultra" not in spec.name:
        return None
    return _GENERATION.get(spec.arch or "")


def is_common(spec: DeviceSpec) -> bool:
    """Whether it is one of those that many people have (`planner show` has a grid of them)."""
    return spec.slug in _COMMON


class Chip(NamedTuple):
    """Devices that differ in name alone: same chip, cores, memory and bandwidth. `others` are their further names."""

    spec: DeviceSpec
    others: tuple[str, ...]


def folded(specs: Sequence[DeviceSpec]) -> tuple[Chip, ...]:
    """The devices of a table, each chip once; the first that is on sale stands for its namesakes.

    Bandwidths are compared to two digits: data sheets round them differently.
    """
    groups: dict[tuple[object, ...], list[DeviceSpec]] = {}
    for spec in specs:
        key = (
            device_class(spec), spec.vendor, spec.arch, spec.gpu_cores, spec.memory_gib,
            None if spec.memory_bandwidth_gbps is None else f"{spec.memory_bandwidth_gbps:.2g}",
        )  # fmt: skip
        groups.setdefault(key, []).append(spec)
    chips = []
    for group in groups.values():
        first = min(group, key=lambda spec: (not is_common(spec), generation(spec) is None))
        chips.append(Chip(first, tuple(spec.name for spec in group if spec is not first)))
    return tuple(chips)
