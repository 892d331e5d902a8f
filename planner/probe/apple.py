"""Apple silicon: chip, GPU cores and memory from sysctl and system_profiler."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from planner.core.devices import match_driver_name, unified_budget
from planner.core.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device
from planner.probe.surroundings import Finding, Surroundings
from planner.units import MIB, format_gib, printable

_KEYS = (
    "hw.memsize",
    "machdep.cpu.brand_string",
    "sysctl.proc_translated",
    "iogpu.wired_limit_mb",
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


def read_sysctl(here: Surroundings, *, timeout_s: float = 1.0) -> dict[str, str]:
    """The kernel values this room asks for; keys the system does not know are missing."""
    finished = here.run(["/usr/sbin/sysctl", *_KEYS], timeout_s, {})
    return dict(re.findall(r"(?m)^([\w.]+): (.*)$", finished.output))


def probe_apple(
    here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None, timeout_s: float = 3.0
) -> Finding:
    """The GPU of an Apple chip; nothing on other systems. Never fails.

    Budget: `iogpu.wired_limit_mb` if the user set it, else a share of memory marked as estimated. Graphics cards
    of Intel Macs are listed but not used.
    """
    if here.platform != "darwin":
        return Finding()
    sysctl = read_sysctl(here, timeout_s=min(1.0, timeout_s))
    finished = here.run(["/usr/sbin/system_profiler", "-json", "SPDisplaysDataType"], max(0.5, timeout_s - 1.0), {})
    notes: list[str] = []
    displays = _displays(finished.output)
    if finished.timed_out:
        notes.append(f"system_profiler did not answer within {timeout_s:g} s; the number of GPU cores is unknown.")
    chip = sysctl.get("machdep.cpu.brand_string", "")
    apple = [d for d in displays if str(d.get("sppci_model", "")).startswith("Apple")]
    if not apple and chip.startswith("Apple"):
        apple = [{"sppci_model": chip}]
    if sysctl.get("sysctl.proc_translated") == "1":
        notes.append("This Python runs under Rosetta: install one for arm64, or nothing will use the GPU well.")
        if not apple:
            apple = [{"sppci_model": "Apple chip"}]
    total = _whole(sysctl.get("hw.memsize")) or host_memory_bytes
    devices = [_device(entry, specs, total, sysctl, notes) for entry in apple[:1]]
    for entry in displays:
        if entry not in apple:
            name = printable(str(entry.get("sppci_model", "unknown graphics")))
            notes.append(f"{name}: graphics of an Intel Mac are not used; the processor does the work.")
    return Finding(tuple(devices), tuple(notes))


def _device(
    entry: Mapping[str, Any],
    specs: Sequence[DeviceSpec],
    total: int | None,
    sysctl: Mapping[str, str],
    notes: list[str],
) -> Device:
    """The GPU of the chip."""
    name = printable(str(entry.get("sppci_model")))
    cores = _whole(entry.get("sppci_cores"))
    spec = match_driver_name(name, specs, gpu_cores=cores)
    if spec is None:
        notes.append(f"{name} with {cores or '?'} GPU cores is not in the device list: give --bandwidth.")
    budget, rule = (None, "") if total is None else unified_budget(Vendor.APPLE, total)
    limit = _whole(sysctl.get("iogpu.wired_limit_mb"))
    if limit and total is not None:
        budget, rule = min(limit * MIB, total), "iogpu.wired_limit_mb"
        notes.append(f"The GPU may take {format_gib(budget)}: iogpu.wired_limit_mb is set.")
    device = build_device(
        index=0,
        name=name,
        vendor=Vendor.APPLE,
        kind=DeviceKind.UNIFIED,
        spec=spec,
        driver="sysctl hw.memsize",
        total_bytes=total,
        free_bytes=None,
        budget_bytes=budget,
        budget_source=rule,
        gpu_cores=cores,
        usable=total is not None,
        note="" if total is not None else "the size of its memory is unknown",
    )
    if cores is not None:
        return msgspec.structs.replace(device, source={**device.source, "gpu_cores": "system_profiler"})
    return device


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
