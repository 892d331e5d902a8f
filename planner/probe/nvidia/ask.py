"""What to ask NVML, and in which order: first what makes a card usable, of every card, then the trimmings.

Runs in the process of `child`; imports nothing but the standard library, so that it starts fast.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

Nvml = Any
"""The module `pynvml` of nvidia-ml-py; it carries no types."""

NOT_A_SIZE = 2**50
"""More than any card has; NVML writes 2^64 - 1 where a size is not available."""
MOST_CARDS = 64
MOST_PROCESSES = 1024
_NAMED_PROCESSES = 32
_NOT_FOUND, _INSUFFICIENT_SIZE, _FUNCTION_NOT_FOUND = 6, 7, 13
_TRIES = 5
"""A list of processes may grow between asking for its length and asking for the list."""

Piece = dict[str, Any]


class Gate:
    """The one way to NVML: every call gives a value or None, and the failure is kept by the name of the field."""

    def __init__(self, nvml: Nvml, names: dict[int, str] | None = None) -> None:
        self.nvml = nvml
        self.failures: dict[str, dict[str, object]] = {}
        self._names = names or {
            getattr(nvml, name): name.removeprefix("NVML_ERROR_")
            for name in dir(nvml)
            if name.startswith("NVML_ERROR_") and isinstance(getattr(nvml, name), int)
        }

    def another(self) -> "Gate":
        """A gate with failures of its own."""
        return Gate(self.nvml, self._names)

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

    def number(self, field: str, function: str, *arguments: object) -> int | None:
        """Like `ask`, for whole numbers from 1 up: NVML writes 0 or 2^32 - 1 for what it does not know."""
        value = self.ask(field, function, *arguments)
        return value if isinstance(value, int) and 0 < value < 2**32 - 1 else None

    def code(self, field: str) -> object:
        """The error code of a field, None if it did not fail."""
        return self.failures.get(field, {}).get("code")


def report(nvml: Nvml) -> Iterator[Piece]:
    """What NVML knows, piece by piece: status, a card each, more of each card, done. Never raises."""
    gate = Gate(nvml)
    gate.ask("init", "nvmlInit")
    if "init" in gate.failures:
        yield {"status": {"error": gate.failures["init"]}}
        return
    count = gate.ask("count", "nvmlDeviceGetCount")
    if not isinstance(count, int):
        yield {"status": {"error": gate.failures.get("count", {"code": 0, "name": "no count"})}}
        return
    driver = _text(gate.ask("driver", "nvmlSystemGetDriverVersion"))
    yield {"status": {"count": count, "driver": driver, "cuda": _cuda_version(gate)}}
    handles: dict[int, Any] = {}
    for index in range(min(count, MOST_CARDS)):
        yield {"asking": index}
        own = gate.another()
        handle = own.ask("handle", "nvmlDeviceGetHandleByIndex", index)
        if handle is not None:
            handles[index] = handle
        yield {"card": {"index": index, "failures": own.failures, **({} if handle is None else _card(own, handle))}}
    for index, handle in handles.items():
        yield {"asking": index}
        own = gate.another()
        yield {"more": {"index": index, "failures": own.failures, **_more(own, handle)}}
    yield {"done": True}


def _cuda_version(gate: Gate) -> str | None:
    """The newest CUDA the driver runs, e.g. 13.0; NVML writes it as 13000."""
    version = gate.number("cuda", "nvmlSystemGetCudaDriverVersion_v2")
    if version is None:
        version = gate.number("cuda", "nvmlSystemGetCudaDriverVersion")
    return None if version is None else f"{version // 1000}.{version % 1000 // 10}"


def _card(gate: Gate, handle: Any) -> Piece:
    """What planning needs to know of one card, with its MIG instances if it is cut into any."""
    found: Piece = {
        "name": _text(gate.ask("name", "nvmlDeviceGetName", handle)),
        "uuid": _text(gate.ask("uuid", "nvmlDeviceGetUUID", handle)),
    }
    pci = gate.ask("pci", "nvmlDeviceGetPciInfo", handle)
    found["pci"] = _text(getattr(pci, "busId", None))
    identity = getattr(pci, "pciDeviceId", None)
    if isinstance(identity, int) and identity > 0xFFFF:
        found["pci_id"] = f"{identity & 0xFFFF:04x}:{identity >> 16:04x}"
    found.update(_memory(gate, handle))
    capability = gate.ask("compute_capability", "nvmlDeviceGetCudaComputeCapability", handle)
    parts = capability if isinstance(capability, tuple | list) and len(capability) == 2 else ()
    if parts and all(isinstance(part, int) and 0 <= part < 100 for part in parts) and parts[0]:
        found["compute_capability"] = f"{parts[0]}.{parts[1]}"
    mode = gate.ask("mig", "nvmlDeviceGetMigMode", handle)
    if isinstance(mode, tuple | list) and mode and mode[0] == 1:
        found["slots"] = gate.number("mig_count", "nvmlDeviceGetMaxMigDeviceCount", handle)
        found["instances"] = [_instance(gate, instance) for instance in _instances(gate, handle)]
    return found


def _memory(gate: Gate, handle: Any) -> Piece:
    """Total, free and used bytes; a size that makes no sense is left out.

    The second version of the query counts what the driver keeps for itself apart; the first counts it as used.
    """
    memory = None
    version = getattr(gate.nvml, "nvmlMemory_v2", None)
    if version is not None:
        memory = gate.ask("memory_v2", "nvmlDeviceGetMemoryInfo", handle, version)
    if memory is None:
        memory = gate.ask("memory", "nvmlDeviceGetMemoryInfo", handle)
    sizes = {name: getattr(memory, name, None) for name in ("total", "free", "used")}
    known = {name: size for name, size in sizes.items() if isinstance(size, int) and 0 <= size < NOT_A_SIZE}
    total = known.get("total", NOT_A_SIZE)
    return {name: size for name, size in known.items() if size <= total}


def _instances(gate: Gate, handle: Any) -> Iterator[Any]:
    """The handles of the MIG instances of a card; positions may be empty."""
    for position in range(min(gate.number("mig_count", "nvmlDeviceGetMaxMigDeviceCount", handle) or 0, 64)):
        instance = gate.ask("mig_instance", "nvmlDeviceGetMigDeviceHandleByIndex", handle, position)
        if instance is not None:
            yield instance
        elif gate.code("mig_instance") == _NOT_FOUND:
            del gate.failures["mig_instance"]


def _instance(gate: Gate, handle: Any) -> Piece:
    """One MIG instance. `slices` is its part of the card's processors."""
    own = gate.another()
    attributes = own.ask("attributes", "nvmlDeviceGetAttributes", handle)
    slices = getattr(attributes, "computeInstanceSliceCount", None)
    return {
        "name": _text(own.ask("name", "nvmlDeviceGetName", handle)),
        "uuid": _text(own.ask("uuid", "nvmlDeviceGetUUID", handle)),
        "gpu_instance": own.ask("gpu_instance", "nvmlDeviceGetGpuInstanceId", handle),
        "compute_instance": own.ask("compute_instance", "nvmlDeviceGetComputeInstanceId", handle),
        "slices": slices if isinstance(slices, int) and slices > 0 else None,
        **_memory(own, handle),
        "failures": own.failures,
    }


def _more(gate: Gate, handle: Any) -> Piece:
    """What is good to know of a card: its slot, its power limit, and who holds its memory."""
    link = {
        "generation": gate.number("link_generation", "nvmlDeviceGetCurrPcieLinkGeneration", handle),
        "lanes": gate.number("link_lanes", "nvmlDeviceGetCurrPcieLinkWidth", handle),
        "max_generation": gate.number("link_max_generation", "nvmlDeviceGetMaxPcieLinkGeneration", handle),
        "max_lanes": gate.number("link_max_lanes", "nvmlDeviceGetMaxPcieLinkWidth", handle),
    }
    power = gate.number("power", "nvmlDeviceGetEnforcedPowerLimit", handle)
    if power is None:
        power = gate.number("power_management", "nvmlDeviceGetPowerManagementLimit", handle)
    mode = gate.another().ask("mig", "nvmlDeviceGetMigMode", handle)
    cut = isinstance(mode, tuple | list) and bool(mode) and mode[0] == 1
    return {
        "link": link,
        "power_limit_mw": power,
        "holders": [] if cut else _holders(gate, handle),
        "instances": [_holders(gate, instance) for instance in _instances(gate, handle)] if cut else [],
    }


def _holders(gate: Gate, handle: Any) -> list[Piece]:
    """The processes that hold memory of a card or an instance, largest first, unknown sizes last.

    One that computes and draws is in both lists with the same size.
    """
    sizes: dict[int, int | None] = {}
    for kind in ("Compute", "Graphics"):
        for process in _processes(gate, kind, handle):
            pid, size = getattr(process, "pid", None), getattr(process, "usedGpuMemory", None)
            if not isinstance(pid, int) or pid <= 0:
                continue
            known = size if isinstance(size, int) and 0 <= size < NOT_A_SIZE else None
            sizes[pid] = max((s for s in (sizes.get(pid), known) if s is not None), default=None)
    order = sorted(sizes, key=lambda pid: (sizes[pid] is None, -(sizes[pid] or 0), pid))[:MOST_PROCESSES]
    quiet = gate.another()
    return [
        {
            "pid": pid,
            "bytes": sizes[pid],
            "name": _text(quiet.ask("process_name", "nvmlSystemGetProcessName", pid))
            if position < _NAMED_PROCESSES
            else None,
        }
        for position, pid in enumerate(order)
    ]


def _processes(gate: Gate, kind: str, handle: Any) -> list[Any]:
    """The driver's list of processes of a kind; older drivers know an older query."""
    field = f"{kind.lower()}_processes"
    for version in ("_v3", "_v2"):
        for _ in range(_TRIES):
            listed = gate.ask(field, f"nvmlDeviceGet{kind}RunningProcesses{version}", handle)
            if listed is not None:
                gate.failures.pop(field, None)
                return list(listed)
            if gate.code(field) != _INSUFFICIENT_SIZE:
                break
        if gate.code(field) != _FUNCTION_NOT_FOUND:
            break
    return []


def _text(value: object) -> str | None:
    """Bytes or text, as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def write_report(out: TextIO, problem: str | None, load: Callable[[], Nvml] | None = None) -> None:
    """Write the report, one line a piece. `problem` is why the driver's library cannot be loaded, if it cannot."""
    if problem:
        status: Piece = {"error": {"code": 12, "name": "LIBRARY_NOT_FOUND", "text": problem[:300]}}
        out.write(json.dumps({"status": status}) + "\n")
        return
    try:
        nvml = (load or _pynvml)()
    except Exception as error:  # noqa: BLE001  # a broken binding is a missing source
        text = f"{type(error).__name__}: {error}"[:300]
        out.write(json.dumps({"status": {"error": {"code": 0, "name": "NO_BINDING", "text": text}}}) + "\n")
        return
    for piece in report(nvml):
        out.write(json.dumps(piece) + "\n")
        out.flush()


def _pynvml() -> Nvml:
    import pynvml  # noqa: PLC0415  # only here, and only in the child

    return pynvml
