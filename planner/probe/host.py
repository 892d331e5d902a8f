"""This machine, from all sources at once, under one deadline. Any subset of answers is a usable result."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.core.machines.hardware import (
    BandwidthBasis,
    Device,
    DeviceKind,
    DeviceSpec,
    Hardware,
    Host,
    Vendor,
)
from planner.probe.amd.gpus import probe_amd
from planner.probe.apple import probe_apple, read_sysctl
from planner.probe.intel import probe_intel
from planner.probe.machine_store import machine_id, read_bandwidth, with_bandwidth
from planner.probe.merging import merge_devices, with_host_bandwidth
from planner.probe.nvidia.gpus import probe_nvidia
from planner.probe.surroundings import Finding, Surroundings
from planner.probe.system.cgroup import read_limits
from planner.probe.system.cpu import Counters, HostFacts, apple_cpu, read_host, system_counters
from planner.probe.system.memory_modules import read_memory_modules
from planner.probe.system.topology import apple_core_kinds
from planner.probe.vulkan.gpus import probe_vulkan

SOURCE_DEADLINE_S = 3.0

_WEAKEST_TFLOPS = 1.0
"""FP32 peak below which an integrated GPU is no help: eight cores with AVX2 have about as much."""

_OS = {"darwin": "macos", "win32": "windows", "cygwin": "windows"}


@dataclass(frozen=True)
class Question:
    """What a source is asked with."""

    here: Surroundings
    specs: tuple[DeviceSpec, ...]
    host_memory_bytes: int | None
    timeout_s: float
    host_available_bytes: int | None = None


Source = Callable[[Question], Finding]
Timing = Callable[[str, float], None]
"""Told the name of a source and the seconds it took, as soon as it has answered; from any thread."""

SOURCES: Mapping[str, Source] = {
    "NVIDIA": lambda q: probe_nvidia(q.here, q.specs, host_memory_bytes=q.host_memory_bytes, timeout_s=q.timeout_s),
    "AMD": lambda q: probe_amd(q.here, q.specs, host_available_bytes=q.host_available_bytes, timeout_s=q.timeout_s),
    "Intel": lambda q: probe_intel(q.here, q.specs, host_memory_bytes=q.host_memory_bytes),
    "Apple": lambda q: probe_apple(q.here, q.specs, host_memory_bytes=q.host_memory_bytes, timeout_s=q.timeout_s),
    "Vulkan": lambda q: probe_vulkan(q.here, q.specs, host_memory_bytes=q.host_memory_bytes, timeout_s=q.timeout_s),
}


def probe(
    specs: Sequence[DeviceSpec],
    *,
    deadline_s: float = 5.0,
    here: Surroundings | None = None,
    counters: Counters | None = None,
    sources: Mapping[str, Source] | None = None,
    state_dir: Path | None = None,
    on_timing: Timing | None = None,
) -> Hardware:
    """The machine: processor, memory and GPUs, and what could not be found out.

    Returns within `deadline_s` seconds. A source that fails, hangs or crashes costs its own answer only and
    becomes a note. `specs` are the rows of `catalog/devices.json`; a bandwidth measured before is in `state_dir`.
    """
    here = here or Surroundings()
    started = time.monotonic()
    timing = on_timing or (lambda name, seconds: None)
    facts = read_host(here, counters or system_counters(), read_limits(here))
    asked = SOURCES if sources is None else sources
    question = Question(
        here,
        tuple(specs),
        facts.memory_total_bytes,
        min(SOURCE_DEADLINE_S, 0.8 * deadline_s),
        host_available_bytes=facts.memory_available_bytes,
    )
    timing("processor and memory", time.monotonic() - started)
    answers = _ask_all(asked, question, until=started + deadline_s, timing=timing)
    notes = [*facts.notes, *_platform_notes(here)]
    devices: list[Device] = []
    drivers: dict[str, str] = {}
    for name in asked:
        answer = answers.get(name)
        if answer is None:
            waited = time.monotonic() - started
            notes.append(f"{name}: no answer after {waited:.1f} s; gone on without this source.")
        else:
            devices.extend(answer.devices)
            notes.extend(answer.notes)
            drivers.update(answer.drivers)
    devices = _settle(merge_devices(devices), facts.memory_available_bytes)
    shared = next((d for d in devices if d.kind is DeviceKind.UNIFIED and d.memory_bandwidth_gbps), None)
    host, note = _host(here, facts, shared, state_dir)
    notes.extend(note)
    devices, more = with_host_bandwidth(devices, host)
    notes.extend(more)
    return Hardware(host=host, devices=tuple(devices), notes=tuple(dict.fromkeys(notes)), drivers=drivers)


def _host(
    here: Surroundings, facts: HostFacts, shared: Device | None, state_dir: Path | None
) -> tuple[Host, tuple[str, ...]]:
    """The host, and notes. Its bandwidth: measured, else that of a GPU that shares its memory, else the modules'."""
    cpu, source = facts.cpu, dict(facts.source)
    if here.platform == "darwin":
        # There is no /proc/cpuinfo; the kernel values say more.
        sysctl = read_sysctl(here)
        cpu, kinds = apple_cpu(cpu, sysctl), apple_core_kinds(sysctl)
        source["cpu.cores_physical"] += f", {kinds}" if kinds is not None else ""
    modules = read_memory_modules(here)
    source.update(modules.source)
    bandwidth = modules.bandwidth_gbps
    if shared is not None:
        bandwidth = shared.memory_bandwidth_gbps
        source["memory_bandwidth_gbps"] = f"shared with {shared.name}"
    host = Host(
        os=_OS.get(here.platform, here.platform),
        cpu=cpu,
        memory_total_bytes=facts.memory_total_bytes,
        memory_available_bytes=facts.memory_available_bytes,
        memory_bandwidth_gbps=bandwidth,
        memory_bandwidth_basis=None if bandwidth is None else BandwidthBasis.SPECIFIED,
        memory_speed_mts=modules.speed_mts,
        memory_channels=modules.channels,
        source=source,
    )
    if state_dir is None:
        return host, ()
    stored, note = read_bandwidth(state_dir, machine_id(here, host))
    return (host if stored is None else with_bandwidth(host, stored)), (() if note is None else (note,))


def _ask_all(
    sources: Mapping[str, Source], question: Question, *, until: float, timing: Timing
) -> dict[str, Finding]:
    """Ask every source in a thread of its own; those not done by `until` (monotonic seconds) are left out.

    The threads are daemons: one stuck in the kernel neither delays the answer nor the end of the program.
    """
    inbox: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()

    def ask(name: str, source: Source) -> None:
        started = time.monotonic()
        try:
            found = source(question)
        except Exception as error:  # noqa: BLE001  # a source that fails is a note, never a crash
            text = f"{name}: this source failed ({type(error).__name__}: {error}); gone on without it."
            found = Finding(notes=(text,))
        timing(name, time.monotonic() - started)
        inbox.put((name, found))

    for name, source in sources.items():
        threading.Thread(target=ask, args=(name, source), daemon=True, name=f"probe {name}").start()
    answers: dict[str, Finding] = {}
    while len(answers) < len(sources):
        try:
            name, finding = inbox.get(timeout=max(0.001, until - time.monotonic()))
        except queue.Empty:
            break
        answers[name] = finding
    return answers


def _settle(devices: Iterable[Device], available_bytes: int | None) -> list[Device]:
    """Leave integrated parts out beside a card, and the weak ones always: there the processor is faster.

    What shares the host's memory has the host's free memory.
    """
    devices = list(devices)
    card = next((d for d in devices if d.usable and d.kind is DeviceKind.DISCRETE), None)
    settled = []
    for device in devices:
        if device.kind is DeviceKind.DISCRETE or not device.usable:
            settled.append(device)
            continue
        note = f"integrated graphics, not used beside the {card.name}" if card is not None else _too_weak(device)
        if note:
            settled.append(msgspec.structs.replace(device, usable=False, memory_budget_bytes=None, note=note))
            continue
        settled.append(_with_free(device, available_bytes))
    return settled


def _too_weak(device: Device) -> str:
    """Why integrated graphics slower than a few processor cores are not used; Jetsons have slow cores as well."""
    peak = device.fp32_tflops
    if device.vendor is Vendor.NVIDIA or peak is None or peak >= _WEAKEST_TFLOPS:
        return ""
    return f"integrated graphics of {peak:g} TFLOPS: the processor does the work"


def _with_free(device: Device, available_bytes: int | None) -> Device:
    """A unified device with the host's free memory as its own. The budget stays what it may take of an idle host."""
    total = device.memory_total_bytes
    if device.memory_free_bytes is not None or available_bytes is None:
        return device
    free = available_bytes if total is None else min(available_bytes, total)
    source = {**device.source, "memory_free_bytes": "free host memory, at the time of asking"}
    return msgspec.structs.replace(device, memory_free_bytes=free, source=source)


def _platform_notes(here: Surroundings) -> list[str]:
    """What to know about the system itself."""
    if "microsoft" in (here.read("/proc/version") or "").lower():
        return ["This is WSL: memory and processors are the virtual machine's, set in .wslconfig."]
    return []
