"""Asks NVML, in a process of its own: a driver call may hang or crash, and takes this process with it, no other.

`python -m planner.probe.nvidia_child` prints one JSON object a line, each as soon as it is known, so that
what was found before a hang is kept: `{"status"}` first, then a `{"device"}` per card, then `{"done"}`.
Imports nothing of the planner but this file's package: it must start fast.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

Nvml = Any
"""The module `pynvml` of nvidia-ml-py; it carries no types."""

NOT_A_SIZE = 2**60
"""NVML writes 2^64 - 1 where a size is not available."""


class Gate:
    """The one way to NVML: every call gives a value or None, and the failure is kept by the name of the field."""

    def __init__(self, nvml: Nvml) -> None:
        self.nvml = nvml
        self.failures: dict[str, dict[str, object]] = {}
        self._names = {
            getattr(nvml, name): name.removeprefix("NVML_ERROR_")
            for name in dir(nvml)
            if name.startswith("NVML_ERROR_") and isinstance(getattr(nvml, name), int)
        }

    def ask(self, field: str, function: str, *arguments: object) -> Any:
        """Call `function`; None if it is missing, fails or answers nonsense."""
        try:
            return getattr(self.nvml, function)(*arguments)
        except self.nvml.NVMLError as error:
            code = int(getattr(error, "value", 999))
            self.failures[field] = {"code": code, "name": self._names.get(code, f"error {code}")}
        except Exception as error:  # noqa: BLE001  # the binding itself may not match the library
            self.failures[field] = {"code": 0, "name": type(error).__name__}
        return None


def report(nvml: Nvml) -> Iterator[dict[str, object]]:
    """What NVML knows, piece by piece. `nvml` is the module (or a stand-in); never raises."""
    gate = Gate(nvml)
    gate.ask("init", "nvmlInit")
    if "init" in gate.failures:
        yield {"status": "error", "error": gate.failures["init"]}
        return
    count = gate.ask("count", "nvmlDeviceGetCount")
    if not isinstance(count, int):
        yield {"status": "error", "error": gate.failures.get("count", {"code": 0, "name": "no count"})}
        return
    driver = _text(gate.ask("driver", "nvmlSystemGetDriverVersion"))
    yield {"status": "ok", "count": count, "driver": driver}
    for index in range(min(count, 64)):
        yield {"asking": index}
        yield {"device": _device(nvml, index)}
    yield {"done": True}


def _device(nvml: Nvml, index: int) -> dict[str, object]:
    """One card, with its MIG instances if it is cut into any."""
    gate = Gate(nvml)
    found: dict[str, object] = {"index": index, "failures": gate.failures}
    handle = gate.ask("handle", "nvmlDeviceGetHandleByIndex", index)
    if handle is None:
        return found
    found["name"] = _text(gate.ask("name", "nvmlDeviceGetName", handle))
    found["uuid"] = _text(gate.ask("uuid", "nvmlDeviceGetUUID", handle))
    pci = gate.ask("pci", "nvmlDeviceGetPciInfo", handle)
    found["pci"] = _text(getattr(pci, "busId", None))
    found.update(_memory(gate, handle))
    capability = gate.ask("compute_capability", "nvmlDeviceGetCudaComputeCapability", handle)
    if isinstance(capability, tuple | list) and len(capability) == 2 and all(isinstance(v, int) for v in capability):
        found["compute_capability"] = f"{capability[0]}.{capability[1]}"
    found["holders"] = _holders(gate, handle)
    mode = gate.ask("mig", "nvmlDeviceGetMigMode", handle)
    if isinstance(mode, tuple | list) and mode and mode[0] == 1:
        found["instances"] = _instances(nvml, gate, handle)
    return found


def _memory(gate: Gate, handle: object) -> dict[str, object]:
    """Total and free bytes; a size that makes no sense is left out."""
    memory = gate.ask("memory", "nvmlDeviceGetMemoryInfo", handle)
    sizes = {"total": getattr(memory, "total", None), "free": getattr(memory, "free", None)}
    return {name: size for name, size in sizes.items() if isinstance(size, int) and 0 <= size < NOT_A_SIZE}


def _holders(gate: Gate, handle: object) -> list[int]:
    """Process ids that hold memory of the card."""
    pids: set[int] = set()
    for field, function in (
        ("compute_processes", "nvmlDeviceGetComputeRunningProcesses"),
        ("graphics_processes", "nvmlDeviceGetGraphicsRunningProcesses"),
    ):
        for process in gate.ask(field, function, handle) or ():
            pid = getattr(process, "pid", None)
            if isinstance(pid, int):
                pids.add(pid)
    return sorted(pids)


def _instances(nvml: Nvml, gate: Gate, handle: object) -> list[dict[str, object]]:
    """The MIG instances of a card."""
    instances: list[dict[str, object]] = []
    count = gate.ask("mig_count", "nvmlDeviceGetMaxMigDeviceCount", handle)
    for position in range(count if isinstance(count, int) and count <= 64 else 0):
        own = Gate(nvml)
        instance = own.ask("handle", "nvmlDeviceGetMigDeviceHandleByIndex", handle, position)
        if instance is None:
            continue
        attributes = own.ask("attributes", "nvmlDeviceGetAttributes", instance)
        slices = getattr(attributes, "gpuInstanceSliceCount", None)
        instances.append(
            {
                "name": _text(own.ask("name", "nvmlDeviceGetName", instance)),
                "uuid": _text(own.ask("uuid", "nvmlDeviceGetUUID", instance)),
                "slices": slices if isinstance(slices, int) else None,
                **_memory(own, instance),
                "failures": own.failures,
            }
        )
    return instances


def _text(value: object) -> str | None:
    """Bytes or text, as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def main(load: Callable[[], Nvml] | None = None) -> None:
    """Print the report, one line a piece, with the driver's own chatter kept off stdout."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with out:
        try:
            nvml = load() if load is not None else _pynvml()
        except Exception as error:  # noqa: BLE001  # a broken binding is a missing source
            out.write(json.dumps({"status": "error", "error": {"code": 0, "name": repr(error)[:200]}}) + "\n")
            return
        for piece in report(nvml):
            out.write(json.dumps(piece) + "\n")
            out.flush()


def _pynvml() -> Nvml:
    import pynvml  # noqa: PLC0415  # only here, and only in the child

    return pynvml


if __name__ == "__main__":
    main()
    # No clean-up: a library that crashes while unloading must not spoil what was found.
    sys.stdout.flush()
    os._exit(0)
