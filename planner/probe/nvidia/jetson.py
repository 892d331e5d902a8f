"""NVIDIA's Jetson boards, by the name their firmware gives: NVML often does not exist there, or says little."""

import contextlib
import re
from collections.abc import Sequence

from planner.core.machines.devices import resolve_device, unified_budget
from planner.core.machines.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.errors import UsageError
from planner.probe.building import build_device
from planner.probe.surroundings import Surroundings
from planner.units import GIB, printable

_MODEL_FILES = ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model")
_NOT_THE_MODULE = r"\b(?:engineering reference|developer kit|dev ?kit|platform|reference carrier)\b"
_NAMED_OTHERWISE = {"jetson agx": "Jetson AGX Xavier", "quill": "Jetson TX2"}
"""Models as older releases of the board support write them."""
_LEAST_SHARE = 0.75
"""What is left to the system of a board's labelled memory; 3.3 of 4 GiB has been seen."""
_TOLERANCE_GIB = 0.1


def board_name(here: Surroundings) -> str | None:
    """What the firmware calls this computer, if that is a Jetson: `NVIDIA Jetson AGX Orin Developer Kit`."""
    for path in _MODEL_FILES:
        told = " ".join(printable((here.read(path) or "").replace("\0", " ")).split())
        if re.search(r"\bjetson\b|^nvidia orin\b|^quill\b", told, re.IGNORECASE):
            return told[:100]
    return None


def board_spec(
    here: Surroundings, specs: Sequence[DeviceSpec], name: str, host_memory_bytes: int | None
) -> DeviceSpec | None:
    """The data-sheet row of a board. Editions differ in memory: the smallest label that holds what the system has.

    The machine's memory decides, not what a container may use of it.
    """
    plain = " ".join(re.sub(_NOT_THE_MODULE, " ", name, flags=re.IGNORECASE).replace("-", " ").split())
    plain = _NAMED_OTHERWISE.get(plain.lower(), plain)
    if "jetson" not in plain.lower():
        plain = "Jetson " + re.sub(r"^nvidia\s+", "", plain, flags=re.IGNORECASE)
    rows = tuple(s for s in specs if s.vendor is Vendor.NVIDIA and s.kind is DeviceKind.UNIFIED)
    without_super = re.sub(r"\s+super$", "", plain, flags=re.IGNORECASE)
    size = _machine_memory(here) or host_memory_bytes
    if size is None:
        return None
    for label in sorted({s.memory_gib for s in rows if s.memory_gib}):
        if not label * _LEAST_SHARE <= size / GIB <= label + _TOLERANCE_GIB:
            continue
        for text in dict.fromkeys((plain, without_super)):
            spec = _resolve(text, rows, label)
            if spec is not None and spec.memory_gib == label:
                return spec
    return None


def board_device(name: str, spec: DeviceSpec | None, host_memory_bytes: int | None) -> tuple[Device, tuple[str, ...]]:
    """The GPU of a board that no driver library tells of: it shares the host's memory. And what to know."""
    problem = "" if host_memory_bytes is not None else "it shares the host's memory, whose size is unknown"
    budget, rule = (None, "") if host_memory_bytes is None else unified_budget(Vendor.NVIDIA, host_memory_bytes)
    device = build_device(
        index=0,
        name=name,
        vendor=Vendor.NVIDIA,
        kind=DeviceKind.UNIFIED,
        spec=spec,
        driver="the host's memory",
        total_bytes=host_memory_bytes,
        free_bytes=None,
        budget_bytes=budget,
        budget_source=rule,
        usable=not problem,
        note=problem or "known by the board's name",
    )
    notes = [f"{name}: {problem}; give it with --ram."] if problem else []
    if spec is None:
        notes.append(f"{name} is not in the device list: its bandwidth is unknown, give it with --bandwidth.")
    return device, tuple(notes)


def _resolve(text: str, rows: Sequence[DeviceSpec], memory_gib: float) -> DeviceSpec | None:
    """The row of that name, None if there is none or more than one."""
    with contextlib.suppress(UsageError):
        return resolve_device(text, rows, memory_gib=memory_gib)
    return None


def _machine_memory(here: Surroundings) -> int | None:
    """The memory of the whole machine in bytes."""
    found = re.search(r"(?m)^MemTotal:\s+(\d+) kB", here.read("/proc/meminfo") or "")
    return int(found[1]) * 1024 if found else None
