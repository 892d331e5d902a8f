"""NVIDIA cards, through NVML in a child process that may hang or crash without harm."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from planner.core.devices import match_driver_name, unified_budget
from planner.core.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device, visible_order
from planner.probe.pci import NVIDIA, card_name, graphics_cards, pci_address
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.units import GIB, format_gib, printable

_LOST = {15: "the GPU is lost", 16: "the GPU needs a reset", 999: "the driver reports an unknown error"}
_NOT_SUPPORTED, _REFUSED = 3, 4
_IN_USE_WORTH_SAYING = GIB

_INIT = {
    4: "the driver refuses access (no permission, or a container without the device nodes)",
    9: "the driver is not loaded",
    12: "the driver is not loaded, or its library libnvidia-ml is missing",
    13: "the driver's library is too old",
    15: "a GPU has fallen off the bus",
    17: "the operating system blocks the driver",
    18: "the driver was updated and its library no longer fits the loaded module: reboot",
}


@dataclass
class Answer:
    """What the child told before it ended, and how it ended."""

    status: dict[str, Any] = field(default_factory=dict)
    devices: list[dict[str, Any]] = field(default_factory=list)
    asking: int | None = None
    done: bool = False


def probe_nvidia(
    here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None, timeout_s: float = 3.0
) -> Finding:
    """The NVIDIA cards of this machine. Never fails: what cannot be had becomes a note, or a field that is None.

    Without driver library nothing is reported, unless the kernel shows a card; that card is then listed as not
    usable. `host_memory_bytes` is the memory of parts that have none of their own.
    """
    finished = here.run([sys.executable, "-P", "-m", "planner.probe.nvidia_child"], timeout_s, _child_env(here))
    answer = _read(finished)
    if answer.status.get("status") != "ok":
        return _without_driver(here, specs, answer, finished, timeout_s)
    notes: list[str] = []
    devices: list[Device] = []
    for raw in answer.devices:
        devices.extend(_devices(raw, specs, host_memory_bytes, notes))
    if not answer.done:
        where = "" if answer.asking is None else f" at GPU {answer.asking}"
        notes.append(f"NVIDIA: {_ending(finished, timeout_s)}{where}; what was found before is kept.")
        if answer.asking is not None and len(answer.devices) <= answer.asking:
            devices.append(_unknown(answer.asking, "the driver stopped answering about it"))
    if not answer.devices and answer.done and answer.status.get("count") == 0:
        devices, more = _listed_only(here, specs, "the driver shows no card to this process (a container?)")
        notes.extend(more)
    return Finding(_visible(here, answer, devices, notes), tuple(notes))


def _child_env(here: Surroundings) -> dict[str, str]:
    """The child finds this package wherever it was imported from, and WSL's driver library."""
    package = str(Path(__file__).resolve().parents[2])
    added = {"PYTHONPATH": os.pathsep.join(filter(None, [package, here.environ.get("PYTHONPATH", "")]))}
    wsl = here.path("/usr/lib/wsl/lib")
    if wsl.is_dir():
        added["LD_LIBRARY_PATH"] = ":".join(filter(None, [here.environ.get("LD_LIBRARY_PATH", ""), str(wsl)]))
    return added


def _read(finished: Finished) -> Answer:
    """The child's lines; a half-written last one is left out."""
    answer = Answer()
    for line in finished.output.splitlines():
        try:
            piece = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(piece, dict):
            continue
        if "status" in piece:
            answer.status = piece
        if isinstance(piece.get("device"), dict):
            answer.devices.append(piece["device"])
        if isinstance(piece.get("asking"), int):
            answer.asking = piece["asking"]
        answer.done = answer.done or piece.get("done") is True
    return answer


def _ending(finished: Finished, timeout_s: float) -> str:
    """How the child ended, in words."""
    if finished.timed_out:
        return f"the driver did not answer within {timeout_s:g} s"
    if finished.returncode is None:
        return f"the driver could not be asked ({finished.error})"
    if finished.returncode < 0:
        return f"the driver crashed the process that asked it (signal {-finished.returncode})"
    return "the driver's answer broke off"


def _without_driver(
    here: Surroundings, specs: Sequence[DeviceSpec], answer: Answer, finished: Finished, timeout_s: float
) -> Finding:
    """No NVML: nothing to say on a machine without a card, else the card and the reason."""
    error = answer.status.get("error")
    if not isinstance(error, Mapping):
        reason, absent = _ending(finished, timeout_s), False
    else:
        code = error.get("code")
        name = printable(str(error.get("name", "")))
        reason = _INIT.get(code, f"the driver reports {name}") if isinstance(code, int) else name
        absent = code in {9, 12}
    devices, notes = _listed_only(here, specs, reason)
    if not devices and absent and here.path("/proc/driver/nvidia").is_dir():
        notes.append(f"NVIDIA: a driver is installed, but {reason}.")
    elif not devices and not absent:
        notes.append(f"NVIDIA: {reason}.")
    return Finding(tuple(devices), tuple(notes))


def _listed_only(here: Surroundings, specs: Sequence[DeviceSpec], reason: str) -> tuple[list[Device], list[str]]:
    """Cards the kernel lists but the driver does not offer: shown, never counted."""
    devices, notes = [], []
    for index, card in enumerate(graphics_cards(here, NVIDIA)):
        name = card_name(here, card) or f"NVIDIA device {card.device:04x}"
        spec = match_driver_name(name, specs)
        devices.append(
            build_device(
                index=index,
                name=name,
                vendor=Vendor.NVIDIA,
                kind=DeviceKind.DISCRETE,
                spec=spec,
                driver="PCI list",
                total_bytes=None,
                free_bytes=None,
                budget_bytes=None,
                pci_id=card.address,
                usable=False,
                note=f"visible but not usable here: {reason}",
            )
        )
        notes.append(f"{name} ({card.address or 'PCI'}) is in this machine, but {reason}; plan for it with --vram.")
    return devices, notes


def _devices(
    raw: Mapping[str, Any], specs: Sequence[DeviceSpec], host_memory_bytes: int | None, notes: list[str]
) -> Iterator[Device]:
    """The device(s) of one card: itself, or its MIG instances."""
    index = raw.get("index") if isinstance(raw.get("index"), int) else 0
    assert isinstance(index, int)
    failures = raw.get("failures") or {}
    name = raw.get("name") or f"NVIDIA GPU {index}"
    pci = pci_address(raw.get("pci") or "")
    lost = _lost(failures)
    if lost or "handle" in failures:
        reason = lost or _failure(failures["handle"])
        notes.append(f"{name} (GPU {index}) cannot be used: {reason}; the others are kept.")
        yield _unknown(index, reason, name=name, pci=pci, spec=match_driver_name(name, specs))
        return
    capability = raw.get("compute_capability")
    spec = match_driver_name(name, specs, raw.get("total") or None, capability)
    if spec is None:
        notes.append(f"{name} is not in the device list: its bandwidth is unknown, give it with --bandwidth.")
    if raw.get("instances") is not None:
        yield from _mig(index, name, raw, spec, notes)
        return
    memory = _memory(raw, spec, host_memory_bytes)
    total, free = memory.total, memory.free
    if memory.problem:
        notes.append(f"{name} (GPU {index}): {memory.problem}; give it with --vram.")
    elif total and free is not None and memory.kind is DeviceKind.DISCRETE and total - free > _IN_USE_WORTH_SAYING:
        holders = ", ".join(str(pid) for pid in raw.get("holders") or ())
        notes.append(
            f"{name} (GPU {index}): {format_gib(total - free)} of {format_gib(total)} are in use"
            + (f" by process {holders}." if holders else " by others.")
        )
    yield build_device(
        index=index,
        name=name,
        vendor=Vendor.NVIDIA,
        kind=memory.kind,
        spec=spec,
        driver="NVML" if memory.kind is DeviceKind.DISCRETE else "the host's memory",
        total_bytes=total,
        free_bytes=free,
        budget_bytes=memory.budget,
        budget_source=memory.rule,
        compute_capability=capability,
        pci_id=pci,
        usable=not memory.problem,
        note=memory.problem,
    )


@dataclass(frozen=True)
class _Memory:
    """Memory of one card in bytes; `problem` says why it is unknown, if it is."""

    kind: DeviceKind
    total: int | None = None
    free: int | None = None
    budget: int | None = None
    rule: str = ""
    problem: str = ""


def _memory(raw: Mapping[str, Any], spec: DeviceSpec | None, host_memory_bytes: int | None) -> _Memory:
    """The card's own memory, or the host's for parts that share it: those cannot answer, or answer 0."""
    total, free = raw.get("total"), raw.get("free")
    failure = (raw.get("failures") or {}).get("memory")
    silent = total == 0 or (isinstance(failure, Mapping) and failure.get("code") == _NOT_SUPPORTED)
    if spec.kind is DeviceKind.UNIFIED if spec is not None else silent:
        if host_memory_bytes is None:
            return _Memory(DeviceKind.UNIFIED, problem="it shares the host's memory, whose size is unknown")
        budget, rule = unified_budget(Vendor.NVIDIA, host_memory_bytes)
        return _Memory(DeviceKind.UNIFIED, host_memory_bytes, None, budget, rule)
    if not total:
        return _Memory(DeviceKind.DISCRETE, problem=f"its memory could not be read ({_failure(failure)})")
    return _Memory(DeviceKind.DISCRETE, total, free, free, "free memory")


def _mig(
    index: int, name: str, raw: Mapping[str, Any], spec: DeviceSpec | None, notes: list[str]
) -> Iterator[Device]:
    """The instances of a card cut by MIG. A process can use one of them: the largest stays usable."""
    instances = [i for i in raw["instances"] if isinstance(i, Mapping) and i.get("total")]
    if not instances:
        notes.append(f"{name} (GPU {index}) is in MIG mode without an instance; make one, or turn MIG off.")
        yield _unknown(index, "MIG mode without an instance", name=name, pci=None, spec=spec)
        return
    notes.append(
        f"{name} (GPU {index}) is cut into {len(instances)} MIG instances; a process can use one of them: "
        "the largest is planned for."
    )
    largest = max(range(len(instances)), key=lambda i: (instances[i].get("free") or 0, -i))
    whole = raw.get("total") or 0
    for position, instance in enumerate(instances):
        total, free = instance["total"], instance.get("free")
        used = position == largest
        device = build_device(
            index=index,
            name=instance.get("name") or f"{name} MIG {position}",
            vendor=Vendor.NVIDIA,
            kind=DeviceKind.DISCRETE,
            spec=spec,
            driver="NVML",
            total_bytes=total,
            free_bytes=free,
            budget_bytes=free if used else None,
            compute_capability=raw.get("compute_capability"),
            pci_id=None,
            usable=used,
            note="" if used else "another MIG instance of the same card is used",
            share=min(1.0, total / whole) if whole else 1.0,
        )
        yield device if used else msgspec.structs.replace(device, id=f"{device.id}/mig{position}")


def _unknown(
    index: int, reason: str, *, name: str = "", pci: str | None = None, spec: DeviceSpec | None = None
) -> Device:
    """A card that is there and cannot be used."""
    return build_device(
        index=index,
        name=name or f"NVIDIA GPU {index}",
        vendor=Vendor.NVIDIA,
        kind=DeviceKind.DISCRETE,
        spec=spec,
        driver="NVML",
        total_bytes=None,
        free_bytes=None,
        budget_bytes=None,
        pci_id=pci,
        usable=False,
        note=reason,
    )


def _lost(failures: Mapping[str, Any]) -> str:
    """Why the card is gone, if any query says so."""
    for failure in failures.values():
        if isinstance(failure, Mapping) and failure.get("code") in _LOST:
            return _LOST[failure["code"]]
    return ""


def _failure(failure: object) -> str:
    """One failed query, in words."""
    if not isinstance(failure, Mapping):
        return "the driver does not say why"
    if failure.get("code") == _REFUSED:
        return "visible but not usable here (no permission)"
    return str(failure.get("name", "unknown")).replace("_", " ").lower()


def _visible(here: Surroundings, answer: Answer, devices: list[Device], notes: list[str]) -> tuple[Device, ...]:
    """Apply CUDA_VISIBLE_DEVICES: hidden cards are listed last and not usable; ids are the engine's numbers."""
    value = here.environ.get("CUDA_VISIBLE_DEVICES")
    uuids = [str(raw.get("uuid") or "") for raw in answer.devices]
    order = visible_order(value, uuids)
    if order is None or any(raw.get("instances") for raw in answer.devices):
        if value is not None and order is not None:
            notes.append("CUDA_VISIBLE_DEVICES is set; it is not applied to MIG instances here.")
        return tuple(devices)
    notes.append(f"CUDA_VISIBLE_DEVICES={printable(value or '')} is set: {len(order)} of {len(uuids)} GPUs are used.")
    if len({d.slug for d in devices}) > 1 and here.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        notes.append("Its numbers are read in PCI order, and engines are started with CUDA_DEVICE_ORDER=PCI_BUS_ID.")
    shown = [devices[i] for i in order if i < len(devices)]
    hidden = [
        msgspec.structs.replace(d, usable=False, memory_budget_bytes=None, note="hidden by CUDA_VISIBLE_DEVICES")
        for i, d in enumerate(devices)
        if i not in order
    ]
    return tuple(msgspec.structs.replace(d, id=f"cuda:{i}") for i, d in enumerate([*shown, *hidden]))
