"""Memory as the engine itself reports it, from the buffer lines of its log (llama.cpp at verbosity 4).

The lines look like `load_tensors: CPU_Mapped model buffer size = 92.10 MiB`; the prefix before them differs
between builds and is ignored. Sizes are rounded to 0.01 MiB by the engine.
"""

import re
from collections.abc import Iterable

import msgspec

from planner.units import MIB

_BUFFER = re.compile(
    r"(?P<device>[A-Za-z_]\w*)\s+(?P<kind>model|KV|RS|compute|output) buffer size\s*=\s*(?P<mib>\d+(?:\.\d+)?) MiB"
)
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers")
_REPACKED = "CPU_REPACK"
_MAPPED = "CPU_Mapped"


class MemoryReport(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of llama.cpp's own buffers, summed over the devices; the process itself is not in here.

    `output` rows count as compute, recurrent state as KV cache. `repacked_bytes` is the CPU's rearranged copy of
    weights that are mapped as well: the mapped originals can be dropped by the system, so the copy is not added
    to `weights_bytes`. `offloaded` is (layers on the GPU, layers), None when the engine printed no such line.
    """

    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    repacked_bytes: int = 0
    gpu_bytes: int = 0
    offloaded: tuple[int, int] | None = None

    @property
    def total_bytes(self) -> int:
        """The same quantity as `Estimate.memory.engine_bytes`."""
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes


def read_memory_report(lines: Iterable[str]) -> MemoryReport | None:
    """Add up the buffer lines of one start; None when there is none (verbosity too low, or an unknown engine).

    Weights, KV cache and output may have several buffers on one device (a sliding-window model has two caches);
    a compute buffer is reserved again when the graph changes, and the last size counts.
    """
    sums: dict[tuple[str, str], float] = {}
    compute: dict[str, float] = {}
    offloaded: tuple[int, int] | None = None
    for line in lines:
        if match := _BUFFER.search(line):
            device, kind, mib = match["device"], match["kind"], float(match["mib"])
            if kind == "compute":
                compute[device] = mib
            else:
                sums[kind, device] = sums.get((kind, device), 0.0) + mib
        elif match := _OFFLOADED.search(line):
            offloaded = (int(match[1]), int(match[2]))
    if not any(kind == "model" for kind, _ in sums):
        return None

    repacked = sums.get(("model", _REPACKED), 0.0)
    if ("model", _MAPPED) in sums:
        sums.pop(("model", _REPACKED), None)

    def total(*kinds: str) -> int:
        return round(sum(mib for (kind, _), mib in sums.items() if kind in kinds) * MIB)

    on_gpu = sum(mib for (_, device), mib in sums.items() if not _is_host(device))
    on_gpu += sum(mib for device, mib in compute.items() if not _is_host(device))
    return MemoryReport(
        weights_bytes=total("model"),
        kv_cache_bytes=total("KV", "RS"),
        compute_bytes=total("output") + round(sum(compute.values()) * MIB),
        repacked_bytes=round(repacked * MIB),
        gpu_bytes=round(on_gpu * MIB),
        offloaded=offloaded,
    )


def _is_host(device: str) -> bool:
    """`CPU`, `CPU_Mapped`, `CPU_REPACK`, and pinned host memory such as `CUDA_Host`."""
    return device.startswith("CPU") or device.endswith("_Host")
