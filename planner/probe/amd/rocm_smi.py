"""AMD memory from ROCm's own tools, for a system whose amdgpu driver does not show it in sysfs."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from planner.probe.pci.cards import pci_address
from planner.probe.surroundings import Surroundings
from planner.units import MIB

_ROCM_SMI = ("--showmeminfo", "vram", "--showproductname", "--showbus", "--json")
_AMD_SMI = ("static", "--bus", "--vram", "--json")
_UNITS = {"B": 1, "KB": 2**10, "MB": MIB, "GB": 2**30}
"""amd-smi's MB are 2^20 bytes."""


@dataclass(frozen=True)
class Told:
    """A card's memory in bytes, as a tool prints it. `tool` is its name."""

    tool: str
    total_bytes: int
    used_bytes: int | None = None


def ask_rocm_tools(here: Surroundings, timeout_s: float) -> dict[str, Told]:
    """Memory by PCI address: from rocm-smi, which also tells use, else from amd-smi; empty without both."""
    for tool, options, read in (("rocm-smi", _ROCM_SMI, _read_rocm_smi), ("amd-smi", _AMD_SMI, _read_amd_smi)):
        program = here.which(tool)
        if program is None:
            continue
        output = here.run([program, *options], timeout_s, {}).output
        try:
            # Warnings may stand before the document.
            document = json.loads(output[min(i for i in (output.find("{"), output.find("[")) if i >= 0) :])
        except (ValueError, RecursionError):
            return {}
        return dict(read(document))
    return {}


def _read_rocm_smi(document: Any) -> Iterator[tuple[str, Told]]:
    """`{"card0": {"PCI Bus": "0000:03:00.0", "VRAM Total Memory (B)": "25753026560", …}, …}`."""
    for fields in document.values() if isinstance(document, Mapping) else ():
        if not isinstance(fields, Mapping):
            continue
        address = pci_address(str(fields.get("PCI Bus", "")))
        total = _whole(fields.get("VRAM Total Memory (B)"))
        if address is not None and total:
            yield address, Told("rocm-smi", total, _whole(fields.get("VRAM Total Used Memory (B)")))


def _read_amd_smi(document: Any) -> Iterator[tuple[str, Told]]:
    """`[{"bus": {"bdf": …}, "vram": {"size": {"value": 24560, "unit": "MB"}}}]`, newer ones in `gpu_data`."""
    cards = document.get("gpu_data") if isinstance(document, Mapping) else document
    for card in cards if isinstance(cards, list) else ():
        bus, vram = (card.get(key) if isinstance(card, Mapping) else None for key in ("bus", "vram"))
        size = vram.get("size") if isinstance(vram, Mapping) else None
        address = pci_address(str(bus.get("bdf", ""))) if isinstance(bus, Mapping) else None
        value = _whole(size.get("value")) if isinstance(size, Mapping) else None
        unit = _UNITS.get(str(size.get("unit"))) if isinstance(size, Mapping) else None
        if address is not None and value and unit:
            yield address, Told("amd-smi", value * unit)


def _whole(value: object) -> int | None:
    """A whole number written as number or text."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
