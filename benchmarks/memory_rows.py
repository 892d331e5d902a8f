"""What engines reported and devices held, row by row, with the estimate for each: `memory_accuracy` prints them.

Kept in `data/`: `memory_engine.csv` (an engine on hollow files), `memory_logs.csv` (published logs and peaks),
`memory_fits.csv` (what ran and what did not).
"""

import csv
import functools
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from benchmarks.memory_builds import old_compute_bytes
from planner.catalog.loader import load
from planner.core.machines.hardware import Backend, Cpu, Device, DeviceKind, Hardware, Host, Vendor
from planner.core.memory.compute_buffer import compute_buffer_bytes, output_buffer_bytes, pipeline_bytes
from planner.core.memory.estimate import Verdict
from planner.core.memory.kv_cache import kv_layer_bytes
from planner.core.memory.memory import Layout, Pool, ProcessMemory
from planner.core.memory.placement import machine_of, place
from planner.core.memory.workload import KvType, Settings
from planner.core.models.file_size import file_size
from planner.core.models.model import Architecture, Variant
from planner.core.models.weights import WeightTable, weight_table
from planner.units import GIB, MIB

_DATA = Path(__file__).parent / "data"
ENGINE_CSV = _DATA / "memory_engine.csv"
ENGINE_FIELDS = (
    "model", "layers", "quant", "context", "ubatch", "parallel", "unified", "kv_type_k", "kv_type_v",
    "flash_attention", "embedding", "weights_mib", "kv_mib", "compute_mib", "output_mib", "repack_mib",
    "held_out", "engine",
)  # fmt: skip
_CPU = Pool(id="host", backend=Backend.CPU, budget_bytes=None)


@functools.cache
def shapes() -> dict[str, Architecture]:
    """Architectures by id: the catalog's, and those of older models in the logs."""
    found = {model.id: model.architecture for model in load().models if model.architecture is not None}
    for file in ("shapes.json", "memory_shapes.json"):
        for entry in json.loads((_DATA / file).read_text(encoding="utf-8")):
            name = entry.pop("id")
            found[name] = msgspec.convert(entry, Architecture)
    return found


def read_csv(name: str) -> list[dict[str, str]]:
    """Rows of a table in `data/`."""
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cut(arch: Architecture, layers: int) -> Architecture:
    """The same network with fewer layers."""
    return msgspec.structs.replace(
        arch, layers=layers, feed_forward_lengths=arch.feed_forward_lengths[:layers], shared_kv_layers=0
    )


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the engine: the shape and settings, and MiB by kind of buffer (0: no such line).

    `held_out`: measured after the forms were written, on a shape and settings that had no part in finding them.
    """

    model: str
    layers: int
    quant: str
    context: int
    ubatch: int
    parallel: int
    unified: bool
    kv_type_k: KvType
    kv_type_v: KvType
    flash_attention: bool
    embedding: bool
    weights_mib: float
    kv_mib: float
    compute_mib: float
    output_mib: float
    repack_mib: float
    engine: str
    held_out: bool = False

    @property
    def arch(self) -> Architecture:
        """The shape that was loaded."""
        return cut(shapes()[self.model], self.layers)

    @property
    def settings(self) -> Settings:
        """Our name for how it was started."""
        return Settings(
            context=self.context,
            batch=self.ubatch if self.embedding else max(2048, self.ubatch),
            ubatch=self.ubatch,
            parallel=self.parallel,
            kv_type_k=self.kv_type_k,
            kv_type_v=self.kv_type_v,
            flash_attention=self.flash_attention,
            embedding=self.embedding,
            kv_unified=self.unified,
        )

    @property
    def kind(self) -> str:
        """The class it counts in."""
        arch = self.arch
        if not arch.causal:
            kind = "encoder"
        elif arch.recurrent is not None:
            kind = "hybrid"
        elif arch.kv_lora_rank:
            kind = "latent attention"
        elif arch.is_moe:
            kind = "mixture of experts"
        elif arch.sliding_window:
            kind = "sliding window"
        else:
            kind = "dense"
        if self.held_out:
            return f"held out: {kind}"
        return kind if self.flash_attention else f"{kind}, no flash attention"

    @property
    def estimate_mib(self) -> dict[str, float]:
        """MiB by component, as estimated."""
        arch, settings = self.arch, self.settings
        size = file_size(arch, self.quant)
        assert size is not None, self.quant
        return {
            "weights": size.tensor_bytes / MIB,
            "kv": sum(kv_layer_bytes(arch, settings)) / MIB,
            "compute": compute_buffer_bytes(arch, settings) / MIB,
            "output": output_buffer_bytes(arch, settings) / MIB,
        }

    @property
    def errors(self) -> dict[str, float]:
        """Estimated over reported, less 1, by component and for their sum; what is 0 on both sides is 0 off."""
        ours = self.estimate_mib
        theirs = {name: getattr(self, f"{name}_mib") for name in ours}
        ours["sum"], theirs["sum"] = sum(ours.values()), sum(theirs.values())
        return {name: _off(ours[name], theirs[name]) for name in ours}


def _off(ours: float, theirs: float) -> float:
    # The engine rounds to 0.01 MiB.
    if abs(ours - theirs) <= 0.0051:
        return 0.0
    return ours / theirs - 1 if theirs else float("inf")


def engine_rows() -> list[EngineRow]:
    """The starts kept in `data/`."""
    rows = read_csv(ENGINE_CSV.name)
    for row in rows:
        for name in ("unified", "flash_attention", "embedding", "held_out"):
            row[name] = cast("str", row[name] == "1")
    return [msgspec.convert(row, EngineRow, strict=False) for row in rows]


@dataclass(frozen=True)
class LogRow:
    """A published log or a device's peak, and the estimate for it, in MiB by component."""

    line: dict[str, str]
    arch: Architecture
    settings: Settings
    table: WeightTable

    @property
    def gpus(self) -> int:
        """GPUs that share the model."""
        return int(self.line["gpus"])

    @property
    def kind(self) -> str:
        """The class of build it counts in."""
        era = self.line["era"]
        if self.line["kind"] == "peak":
            return f"peak, {'Vulkan' if self.line['backend'].startswith('vulkan') else 'HIP'}"
        names = {"2023": "builds of 2023", "2024": "builds of 2024", "fork": "ik_llama.cpp", "": "other excerpts"}
        latent = {"1": ", MLA on", "0": ""}.get(self.line["latent"], "")
        return names[era] + latent

    def told(self, *names: str) -> float | None:
        """MiB of these columns together; None when none is given."""
        values = [self.line[name] for name in names if self.line[name]]
        return sum(map(float, values)) if values else None

    @property
    def full_offload(self) -> bool:
        """All layers on GPUs, with nothing moved by hand."""
        on, _, of = self.line["offload"].partition("/")
        moved = (self.told("weights_host_mib") or 0) * MIB > 1.5 * self.table.input_bytes + MIB
        return (on == of or self.line["offload"] == "full") and not moved

    def estimate(self, *, todays: bool = False) -> dict[str, float]:
        """MiB by component on all GPUs together; `todays`: the compute buffer of a build of today."""
        units = self.arch.layers + 1
        memory = ProcessMemory(self.arch, self.table, self.settings, reserved_rows=self.settings.ubatch)
        card = Pool(id="gpu", backend=Backend.VULKAN, budget_bytes=None)
        row = memory.at(Layout(units=(units,)), (card,), _CPU).devices[0]
        if self.line["kind"] == "peak":
            whole = memory.at(Layout(units=(units,)), (card,), _CPU, unified=True)
            return {
                "weights": whole.weights_bytes / MIB,
                "kv": whole.kv_cache_bytes / MIB,
                "compute": whole.compute_bytes / MIB,
            }
        compute = row.compute_bytes
        if not todays and self.line["era"] in {"2023", "2024", ""}:
            compute = old_compute_bytes(self.line["era"] or "2024", self.arch, self.settings)
        if self.gpus > 1 and self.line["era"] != "2023":
            compute = self.gpus * (compute + pipeline_bytes(self.arch, self.settings))
        return {
            "weights": row.weights_bytes / MIB,
            "kv": sum(kv_layer_bytes(self.arch, self.settings)) / MIB,
            "compute": compute / MIB,
        }


def log_rows() -> list[LogRow]:
    """The rows of `memory_logs.csv` that can be scored."""
    return [_log_row(line) for line in read_csv("memory_logs.csv") if not line["left_out"]]


def _log_row(line: dict[str, str]) -> LogRow:
    arch = shapes()[line["model"]]
    if arch.kv_lora_rank and line["latent"] != "1":
        arch = msgspec.structs.replace(arch, kv_lora_rank=None, q_lora_rank=None)
    context = int(line["context"] or 512)
    ubatch = int(line["ubatch"] or 512)
    kind = cast("KvType", line["kv_type"] or "f16")
    settings = Settings(
        context=context,
        batch=int(line["batch"] or 2048),
        ubatch=ubatch,
        kv_type_k=kind,
        kv_type_v=kind,
        flash_attention=line["flash_attention"] == "1",
    )
    size = float(line["file_gib"]) * GIB if line["file_gib"] else None
    variant = Variant(
        quant=line["quant"] or "F16",
        artifacts=(),
        file_bytes=None if size is None else round(size),
        file_bytes_source="rounded",
    )
    table = weight_table(shapes()[line["model"]], variant)
    assert table is not None, line["id"]
    return LogRow(line=line, arch=arch, settings=settings, table=table)


@dataclass(frozen=True)
class Decision:
    """A model on a machine: whether it ran, and whether the planner would have placed all of it on the GPUs."""

    line: dict[str, str]
    ran: bool
    placed: bool
    filled: float

    @property
    def right(self) -> bool:
        """Whether the planner is right."""
        return self.ran == self.placed


def decisions() -> list[Decision]:
    """`memory_fits.csv` through the placement: all GPUs, all layers, as llama-bench does without options."""
    return [_decide(line) for line in read_csv("memory_fits.csv")]


def _decide(line: dict[str, str]) -> Decision:
    arch = shapes()[line["model"]]
    apple = line["device"].startswith("Apple")
    size = int(line["memory_gib_each"]) * GIB
    # The working set that these two machines logged: 5,726.6 of 8 GB, 51,539.6 of 64 GB.
    budget = {8: 5_726_630_000, 64: 51_539_600_000}[size // GIB] if apple else size
    device = Device(
        id="gpu0", name=line["device"], slug="card", vendor=Vendor.APPLE if apple else Vendor.NVIDIA,
        backend=Backend.METAL if apple else Backend.CUDA, kind=DeviceKind.UNIFIED if apple else DeviceKind.DISCRETE,
        memory_total_bytes=size, memory_free_bytes=None, memory_budget_bytes=budget,
        memory_bandwidth_gbps=None, fp32_tflops=None,
    )  # fmt: skip
    devices = tuple(msgspec.structs.replace(device, id=f"gpu{i}") for i in range(int(line["gpus"])))
    host = Host(
        os="linux", cpu=Cpu(name="any", cores_physical=8, cores_usable=8, isa=()),
        memory_total_bytes=size if apple else 512 * GIB, memory_available_bytes=None, memory_bandwidth_gbps=None,
    )  # fmt: skip
    variant = Variant(
        quant=line["quant"],
        artifacts=(),
        file_bytes=round(float(line["file_gib"]) * GIB),
        file_bytes_source="rounded",
    )
    table = weight_table(arch, variant)
    assert table is not None
    settings = Settings(context=int(line["context"]), flash_attention=False)
    process = ProcessMemory(arch, table, settings, reserved_rows=settings.ubatch)
    machine = machine_of(Hardware(host=host, devices=devices), live=False)
    placement, memory = place(process, machine, process.units, all_gpus=True)
    filled = max(row.total_bytes / (row.budget_bytes or 1) for row in memory.devices if apple or row.device != "host")
    return Decision(line=line, ran=line["fits"] == "1", placed=placement.verdict is Verdict.FITS, filled=filled)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def sum_errors(*, todays: bool = False) -> list[float]:
    """Estimated over llama.cpp's own total on its GPUs, less 1: every log with all layers there."""
    found = []
    for row in log_rows():
        total = row.told("total_gpu_mib")
        whole = row.told("compute_gpu_mib") and row.full_offload and row.line["era"] != "fork"
        if row.line["kind"] == "buffers" and total and whole:
            found.append(sum(row.estimate(todays=todays).values()) / total - 1)
    return found


def peak_errors() -> dict[str, list[float]]:
    """Estimated over the peak of a device that shares the host's memory, less 1, by backend and model."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in log_rows():
        if row.line["kind"] == "peak":
            peak = row.told("peak_mib")
            assert peak is not None
            error = sum(row.estimate().values()) / peak - 1
            found[row.kind].append(error)
            found[f"{row.kind}: {row.line['model'].rpartition('/')[2]}"].append(error)
    return dict(found)
