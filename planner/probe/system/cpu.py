"""The processor and the host's memory, bounded by what this process is allowed to use."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from planner.core.machines.hardware import Cpu
from planner.probe.surroundings import Surroundings
from planner.probe.system.cgroup import Limits
from planner.probe.system.topology import allowed_cpus, core_kinds, count_cores
from planner.probe.system.windows_cpu import windows_cpu_name, windows_features
from planner.units import format_gib

T = TypeVar("T")

ISA = (
    "sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx_vnni", "avx_vnni_int8", "avx512f", "avx512cd", "avx512dq",
    "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8",
    "amx_bf16", "amx_fp16", "neon", "asimd", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
"""Instruction sets llama.cpp has kernels for, by the names of `/proc/cpuinfo`."""

_INTEL_MAC_ISA = {
    "SSE4.2": "sse4_2",
    "AVX1.0": "avx",
    "AVX512VNNI": "avx512_vnni",
    "AVX512BF16": "avx512_bf16",
}
"""Where macOS spells a name otherwise than `/proc/cpuinfo` in capitals."""
_APPLE_ISA = {
    "FEAT_DotProd": "asimddp",
    "FEAT_I8MM": "i8mm",
    "FEAT_BF16": "bf16",
    "FEAT_FP16": "fphp",
    "FEAT_SME": "sme",
}


@dataclass(frozen=True)
class Counters:
    """What psutil, the scheduler and Windows say; each may fail or not know."""

    memory: Callable[[], tuple[int, int]]
    """(total, available) bytes."""
    physical_cores: Callable[[], int | None]
    logical_cores: Callable[[], int | None]
    affinity: Callable[[], int | None]
    """Number of logical CPUs this process may run on."""
    cpu_name: Callable[[], str] = lambda: ""
    features: Callable[[], tuple[str, ...]] = lambda: ()
    """Instruction sets, where there is no `/proc/cpuinfo`."""


def system_counters() -> Counters:
    """The real ones."""
    import psutil  # noqa: PLC0415  # 36 ms that only a probe needs to pay

    def memory() -> tuple[int, int]:
        reading = psutil.virtual_memory()
        return reading.total, reading.available

    def affinity() -> int | None:
        get = getattr(os, "sched_getaffinity", None)
        return len(get(0)) if get is not None else None

    return Counters(
        memory=memory,
        physical_cores=lambda: psutil.cpu_count(logical=False),
        logical_cores=lambda: psutil.cpu_count(logical=True),
        affinity=affinity,
        cpu_name=windows_cpu_name,
        features=windows_features,
    )


@dataclass(frozen=True)
class HostFacts:
    """Processor and memory of the host. Bytes; None means unknown."""

    cpu: Cpu
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    source: dict[str, str]
    notes: tuple[str, ...]


def read_host(here: Surroundings, counters: Counters, limits: Limits) -> HostFacts:
    """Processor and memory, each the least of what the machine has and what this process may use. Never fails."""
    notes: list[str] = []
    source: dict[str, str] = {}
    memory = _ask(counters.memory)
    total, available = memory if memory is not None and memory[0] > 0 else _meminfo(here)
    if total is None:
        notes.append("The size of the host's memory could not be read; give it with --ram.")
    else:
        source["memory_total_bytes"] = "operating system"
        source["memory_available_bytes"] = "operating system, at the time of asking"
    if limits.memory_bytes is not None and (total is None or limits.memory_bytes < total):
        if total is not None:
            notes.append(
                f"A memory limit of {format_gib(limits.memory_bytes)} ({limits.memory_source}) holds for this "
                f"process; the machine has {format_gib(total)}."
            )
        total = limits.memory_bytes
        source["memory_total_bytes"] = limits.memory_source
    if limits.memory_free_bytes is not None and (available is None or limits.memory_free_bytes < available):
        available = limits.memory_free_bytes
        source["memory_available_bytes"] = f"{limits.memory_source} less what is used"
    if total is not None and available is not None:
        available = min(available, total)
    cpu = _cpu(here, counters, limits, source, notes)
    return HostFacts(cpu, total, available, source, tuple(notes))


def _cpu(here: Surroundings, counters: Counters, limits: Limits, source: dict[str, str], notes: list[str]) -> Cpu:
    """Name, cores and instruction sets."""
    cpuinfo = here.read("/proc/cpuinfo") or ""
    allowed = allowed_cpus(here)
    logical = _ask(counters.logical_cores) or len(re.findall(r"(?m)^processor\s*:", cpuinfo)) or os.cpu_count() or 1
    affinity = _ask(counters.affinity) or len(allowed) or logical
    physical = _ask(counters.physical_cores) or logical
    usable = min(physical, affinity)
    if len(allowed) < logical:
        # Two threads of one core are one core.
        usable = min(usable, count_cores(here, allowed) or usable)
    source["cpu.cores_physical"] = "operating system"
    source["cpu.cores_usable"] = "physical cores" if usable == physical else "CPU affinity or cpuset"
    quota = limits.whole_cores
    if quota is not None and quota < usable:
        usable = quota
        source["cpu.cores_usable"] = limits.cpu_source
        notes.append(f"A CPU quota of {limits.cpu_cores:.3g} cores ({limits.cpu_source}) holds for this process.")
    kinds = core_kinds(here)
    if kinds is not None:
        source["cpu.cores_physical"] += f", {kinds}"
        notes.append(f"Hybrid processor: {kinds}; the slowest core sets the pace, fewer threads may be faster.")
    name = _name(cpuinfo) or _ask(counters.cpu_name) or here.machine or "unknown"
    isa = _isa(cpuinfo) or _ask(counters.features) or ()
    return Cpu(name=name, cores_physical=physical, cores_usable=usable, isa=isa)


def apple_cpu(cpu: Cpu, sysctl: Mapping[str, str]) -> Cpu:
    """The processor with what macOS knows better: its name and its features, of ARM and of Intel."""
    isa = tuple(name for key, name in _APPLE_ISA.items() if sysctl.get(f"hw.optional.arm.{key}") == "1")
    told = f"{sysctl.get('machdep.cpu.features', '')} {sysctl.get('machdep.cpu.leaf7_features', '')}".split()
    intel = {_INTEL_MAC_ISA.get(word, word.lower()) for word in told}
    known = ("asimd", *isa) if isa else tuple(name for name in ISA if name in intel)
    name = sysctl.get("machdep.cpu.brand_string", "") or cpu.name
    return Cpu(name, cpu.cores_physical, cpu.cores_usable, known or cpu.isa)


def _ask(question: Callable[[], T]) -> T | None:
    """An answer, or None whatever went wrong: psutil raises differently on every platform."""
    try:
        return question()
    except Exception:  # noqa: BLE001  # a counter that fails is an unknown, never a crash
        return None


def _meminfo(here: Surroundings) -> tuple[int | None, int | None]:
    """(total, available) from `/proc/meminfo`."""
    values = dict(re.findall(r"(?m)^(\w+):\s+(\d+) kB$", here.read("/proc/meminfo") or ""))
    total, available = (int(values[k]) * 1024 if k in values else None for k in ("MemTotal", "MemAvailable"))
    return total, available


def _name(cpuinfo: str) -> str:
    """The processor's name, as far as it is told."""
    for key in ("model name", "Model", "Hardware", "cpu model"):
        if match := re.search(rf"(?m)^{key}\s*:\s*(\S.*)$", cpuinfo):
            return " ".join(match[1].split())
    return ""


def _isa(cpuinfo: str) -> tuple[str, ...]:
    """Known instruction sets of the first processor."""
    match = re.search(r"(?m)^(?:flags|Features)\s*:\s*(.*)$", cpuinfo)
    flags = set(match[1].split()) if match else set()
    return tuple(name for name in ISA if name in flags)
