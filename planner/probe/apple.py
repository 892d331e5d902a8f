"""Apple silicon: chip, GPU cores and memory from sysctl, system_profiler and the I/O registry."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.core.machines.devices import match_driver_name, unified_budget
from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB, MIB, format_gib, printable

_KEYS = (
    "hw.memsize",
    "machdep.cpu.brand_string",
    "sysctl.proc_translated",
    "iogpu.wired_limit_mb",
    "debug.iogpu.wired_limit",
    "hw.optional.arm.FEAT_DotProd",
    "hw.optional.arm.FEAT_I8MM",
    "hw.optional.arm.FEAT_BF16",
    "hw.optional.arm.FEAT_FP16",
    "hw.optional.arm.FEAT_SME",
    "machdep.cpu.features",
    "machdep.cpu.leaf7_features",
    "hw.perflevel0.physicalcpu",
    "hw.perflevel1.physicalcpu",
)

_WIRED_KEYS = ("iogpu.wired_limit_mb", "debug.iogpu.wired_limit")
_REGISTRY_TIMEOUT_S = 0.5


def read_sysctl(here: Surroundings, *, timeout_s: float = 1.0) -> dict[str, str]:
    """The kernel values this room asks for; keys the system does not know are missing."""
    finished = here.run(["/usr/sbin/sysctl", *_KEYS], timeout_s, {})
    return dict(re.findall(r"(?m)^([\w.]+): (.*)$", finished.output))


def probe_apple(
    here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None, timeout_s: float = 3.0
) -> Finding:
    """The GPU of an Apple chip; nothing on other systems. Never fails.

    Budget: the limit the user set, else a share of memory marked as estimated. Graphics of Intel Macs are listed
    but not used.
    """
    if here.platform != "darwin":
        return Finding()
    sysctl = read_sysctl(here, timeout_s=min(1.0, timeout_s / 3))
    patience_s = max(0.5, timeout_s - 1.0 - _REGISTRY_TIMEOUT_S)
    finished = here.run(["/usr/sbin/system_profiler", "-json", "SPDisplaysDataType"], patience_s, {})
    displays = _displays(finished.output)
    chip = sysctl.get("machdep.cpu.brand_string", "")
    translated = sysctl.get("sysctl.proc_translated") == "1"
    apple = next((d for d in displays if str(d.get("sppci_model", "")).startswith("Apple")), None)
    notes: list[str] = []
    gpu = None
    if apple is not None:
        gpu = _Gpu(printable(str(apple["sppci_model"])), _whole(apple.get("sppci_cores")), "system_profiler")
    elif translated or chip.startswith("Apple"):
        gpu = _Gpu(chip if chip.startswith("Apple") else "Apple chip", None, "")
    if gpu is not None and gpu.cores is None:
        gpu = _from_registry(here, gpu)
        if gpu.cores is None:
            late = f" did not answer within {patience_s:g} s" if finished.timed_out else " does not tell"
            notes.append(f"system_profiler{late}, nor does ioreg: the number of GPU cores is unknown.")
    if translated:
        notes.append("This Python runs under Rosetta: install one for arm64, or nothing will use the GPU well.")
    total = _whole(sysctl.get("hw.memsize")) or host_memory_bytes
    devices = [] if gpu is None else [_device(gpu, specs, total, sysctl, notes)]
    for entry in displays:
        if entry is not apple:
            devices.append(_of_intel_mac(entry, len(devices), specs))
            notes.append(f"{devices[-1].name}: {devices[-1].note}.")
    return Finding(tuple(devices), tuple(notes))


@dataclass(frozen=True)
class _Gpu:
    """The GPU of the chip; `told_by` is who counted its cores."""

    name: str
    cores: int | None
    told_by: str


def _from_registry(here: Surroundings, gpu: _Gpu) -> _Gpu:
    """The GPU with what the I/O registry tells of it: fast, and there without a display too."""
    output = here.run(["/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d", "1"], _REGISTRY_TIMEOUT_S, {}).output
    cores = re.search(r'"gpu-core-count" = (\d{1,4})\b', output)
    if cores is None:
        return gpu
    model = re.search(r'"model" = "(Apple [^"\n]{1,60})"', output)
    return _Gpu(printable(model[1]) if model is not None else gpu.name, int(cores[1]), "ioreg")


def _device(
    gpu: _Gpu, specs: Sequence[DeviceSpec], total: int | None, sysctl: Mapping[str, str], notes: list[str]
) -> Device:
    """The device of the chip's GPU."""
    spec = match_driver_name(gpu.name, specs, gpu_cores=gpu.cores)
    if spec is None:
        notes.append(f"{gpu.name} with {gpu.cores or '?'} GPU cores is not in the device list: give --bandwidth.")
    budget, rule = (None, "") if total is None else unified_budget(Vendor.APPLE, total)
    limit, key = _wired_limit(sysctl)
    if limit is not None and total is not None:
        budget, rule = min(limit, total), key
        notes.append(f"The GPU may take {format_gib(budget)}: {key} is set.")
    return build_device(
        index=0,
        name=gpu.name,
        vendor=Vendor.APPLE,
        kind=DeviceKind.UNIFIED,
        spec=spec,
        driver="sysctl hw.memsize",
        total_bytes=total,
        free_bytes=None,
        budget_bytes=budget,
        budget_source=rule,
        gpu_cores=gpu.cores,
        usable=total is not None,
        note="" if total is not None else "the size of its memory is unknown",
        told_by=gpu.told_by,
    )


def _wired_limit(sysctl: Mapping[str, str]) -> tuple[int | None, str]:
    """What the user lets the GPU have, in bytes, and where it is set; 0 stands for the system's own choice.

    macOS 14 counts in MiB; before it another key counted in bytes.
    """
    mib, octets = (_whole(sysctl.get(key)) for key in _WIRED_KEYS)
    if mib is not None:
        return mib * MIB, _WIRED_KEYS[0]
    return octets, _WIRED_KEYS[1]


def _of_intel_mac(entry: Mapping[str, Any], index: int, specs: Sequence[DeviceSpec]) -> Device:
    """Graphics of a Mac with an Intel processor, listed with the memory that is its own (`8 GB`)."""
    name = printable(str(entry.get("sppci_model", "unknown graphics")))
    size = re.fullmatch(r"(\d{1,6}) (MB|GB)", str(entry.get("spdisplays_vram", "")))
    total = int(size[1]) * (GIB if size[2] == "GB" else MIB) if size is not None else None
    maker = str(entry.get("spdisplays_vendor", "")).lower()
    vendor = next((v for v in (Vendor.AMD, Vendor.INTEL, Vendor.NVIDIA) if v.value in maker), Vendor.UNKNOWN)
    return build_device(
        index=index,
        name=name,
        vendor=vendor,
        kind=DeviceKind.UNIFIED if vendor is Vendor.INTEL else DeviceKind.DISCRETE,
        spec=match_driver_name(name, specs, total),
        driver="system_profiler",
        total_bytes=total,
        free_bytes=None,
        budget_bytes=None,
        usable=False,
        note="graphics of an Intel Mac are not used; the processor does the work",
        backend=Backend.METAL,
    )


def _displays(output: str) -> list[Mapping[str, Any]]:
    """The entries of system_profiler's answer; empty for anything else."""
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        return []
    entries = document.get("SPDisplaysDataType") if isinstance(document, dict) else None
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _whole(value: object) -> int | None:
    """A positive whole number written as text or number."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) and int(text) > 0 else None
