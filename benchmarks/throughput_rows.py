"""Published measurements of speed as questions to the estimator: `data/throughput.csv`, see `data/README.md`.

A row's model, file size, settings and device become the values every command works with, so that an error of a row is
an error of the product.
"""

import csv
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import msgspec

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate
from planner.core.machines.devices import device_from_spec
from planner.core.machines.hardware import Backend, Cpu, Device, DeviceSpec, Hardware, Host
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import machine_of, place
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture, Commercial, Licence, Model, Role, Variant
from planner.core.models.weights import weight_table
from planner.core.speed.calibration import Calibration, family_key
from planner.core.speed.work import Run, run_of, work_per_token
from planner.units import GIB

DATA = Path(__file__).parent / "data"
_PLENTY_BYTES = 4096 * GIB
"""Memory of every device: the rows ran, whether they would fit is another question."""
Metric = Literal["tg", "pp", "embed"]


@dataclass(frozen=True)
class Row:
    """A measurement. `rate` is in tokens per second; `core` rows are fitted and scored (see `data/README.md`)."""

    id: str
    core: bool
    source: str
    build: str
    model: Model
    variant: Variant
    settings: Settings
    hardware: Hardware
    metric: Metric
    rate: float

    @property
    def device(self) -> Device | None:
        """The GPU, the first of equal ones; None on a CPU."""
        return self.hardware.devices[0] if self.hardware.devices else None

    @property
    def name(self) -> str:
        """The device as devices.json names it, or the processor."""
        return self.device.slug if self.device else self.hardware.host.cpu.name

    @property
    def family(self) -> str:
        """The device's architecture, whatever the backend."""
        return "cpu" if self.device is None else family_key(self.device).partition("/")[0]

    @property
    def backend(self) -> str:
        """Vendor and backend, for tables."""
        if self.device is None:
            return "CPU"
        shared = " shared" if self.device.kind.value == "unified" and self.device.vendor.value == "amd" else ""
        return f"{self.device.vendor.value}{shared} {self.device.backend.value}"

    @property
    def arch(self) -> Architecture:
        """The model's architecture."""
        assert self.model.architecture is not None, "every row's model has one"
        return self.model.architecture

    @property
    def kind(self) -> str:
        """Class of model."""
        return "experts" if self.arch.is_moe else "dense" if self.arch.causal else "encoder"

    @functools.cached_property
    def run(self) -> Run:
        """What the formulas look at, with the constants of no calibration."""
        table = weight_table(self.arch, self.variant)
        assert table is not None, "the quant types of the rows have recipes"
        process = ProcessMemory(self.arch, table, self.settings)
        placement, memory = place(process, machine_of(self.hardware, live=False), self.settings.n_gpu_layers)
        return run_of(
            self.arch,
            work_per_token(self.arch, table, self.settings),
            settings=self.settings,
            hardware=self.hardware,
            placement=placement,
            memory=memory,
            quant=self.variant.quant,
            calibration=Calibration(),
        )

    def predict(self, calibration: Calibration) -> tuple[float, float, float]:
        """Low, mid and high of the estimate, the way every command makes it."""
        found = estimate(
            self.model,
            self.variant,
            self.settings,
            self.hardware,
            machine_of(self.hardware, live=False),
            all_gpus=len(self.hardware.devices) > 1,
            calibration=calibration,
        ).throughput
        rate = {"tg": found.tg, "pp": found.pp, "embed": found.embed}[self.metric]
        assert rate is not None, f"{self.id} has no estimate"
        return rate.low, rate.mid, rate.high


@functools.cache
def rows() -> tuple[Row, ...]:
    """All rows of the table."""
    catalog = load()
    models = {model.id: model for model in catalog.models if model.architecture is not None} | _shapes()
    specs = {spec.slug: spec for spec in catalog.devices}
    hosts = {entry["id"]: entry for entry in json.loads((DATA / "speed_hosts.json").read_text(encoding="utf-8"))}
    with (DATA / "throughput.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_row(line, models, specs, hosts) for line in csv.DictReader(file))


def core_rows(metric: Metric) -> tuple[Row, ...]:
    """The rows that are fitted and scored: one GPU that holds everything."""
    return tuple(row for row in rows() if row.core and row.metric == metric)


def weights(chosen: Sequence[Row]) -> list[float]:
    """1 over a device's rows: every device counts the same."""
    count = Counter(row.name for row in chosen)
    return [1.0 / count[row.name] for row in chosen]


def groups(chosen: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[int]]:
    """Positions by group, in the order of their names."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(chosen):
        found.setdefault(key(row), []).append(index)
    return dict(sorted(found.items()))


def _shapes() -> dict[str, Model]:
    found = {}
    for name in ("speed_shapes.json", "shapes.json"):
        for entry in json.loads((DATA / name).read_text(encoding="utf-8")):
            fields = {key: value for key, value in entry.items() if key not in {"id", "source", "note"}}
            found[entry["id"]] = Model(
                id=entry["id"],
                family="benchmark",
                role=Role.GENERATION,
                parameters=None,
                context_length=2**24,
                licence=Licence("unknown", Commercial.UNKNOWN),
                architecture=msgspec.convert(fields, Architecture),
            )
    return found


def _row(
    line: dict[str, str],
    models: dict[str, Model],
    specs: dict[str, DeviceSpec],
    hosts: dict[str, dict[str, object]],
) -> Row:
    model = models[line["model"]]
    metric = cast("Metric", line["metric"])
    size = round(float(line["size_gib"]) * GIB) if line["size_gib"] else None
    variant = Variant(
        quant=line["quant"],
        artifacts=(),
        file_bytes=size,
        tensor_bytes=size,
        file_bytes_source="exact" if size else "computed",
    )
    return Row(
        id=line["id"],
        core=line["core"] == "1",
        source=line["source"],
        build=line["build"],
        model=model,
        variant=variant,
        settings=_settings(line, metric),
        hardware=_hardware(line, specs, hosts),
        metric=metric,
        rate=float(line["tokens_per_s"]),
    )


def _settings(line: dict[str, str], metric: Metric) -> Settings:
    depth, n_gen = int(float(line["depth"] or 0)), int(line["n_gen"] or 128)
    n_prompt = int(line["n_prompt"] or 512)
    # A run of n tokens has n/2 in the cache on average.
    middle = depth + (n_gen // 2 if metric == "tg" else 0)
    # llama.cpp's servers choose flash attention by themselves since late 2025, its older tools left it off.
    flash = line["flash_attention"] == "1" or (not line["flash_attention"] and "2026" in line["build"])
    return Settings(
        context=max(4096, depth + n_prompt + n_gen),
        depth=middle,
        n_prompt=n_prompt,
        flash_attention=flash,
        embedding=metric == "embed",
        batch=n_prompt if metric == "embed" else 2048,
        ubatch=n_prompt if metric == "embed" else 512,
        n_gpu_layers=0 if line["backend"] == "cpu" else 10_000,
    )


def _hardware(line: dict[str, str], specs: dict[str, DeviceSpec], hosts: dict[str, dict[str, object]]) -> Hardware:
    name = line["device"]
    devices: tuple[Device, ...] = ()
    cpu, gbps = Cpu(name="unknown", cores_physical=8, cores_usable=8, isa=("avx2",)), None
    if name.startswith("cpu:"):
        entry = hosts[name.removeprefix("cpu:")]
        cores = cast("int", entry["cores"])
        isa = tuple(cast("list[str]", entry["isa"]))
        cpu = Cpu(name=str(entry["id"]), cores_physical=cores, cores_usable=cores, isa=isa)
        gbps = cast("float | None", entry["gbps"])
    else:
        devices = tuple(
            msgspec.structs.replace(
                device_from_spec(
                    specs[name], index=index, host_memory_bytes=_PLENTY_BYTES, memory_bytes=_PLENTY_BYTES
                ),
                backend=Backend(line["backend"]),
                id=f"{line['backend']}:{index}",
            )
            for index in range(int(line["n_gpus"]))
        )
    host = Host(
        os="linux",
        cpu=cpu,
        memory_total_bytes=_PLENTY_BYTES,
        memory_available_bytes=_PLENTY_BYTES,
        memory_bandwidth_gbps=gbps,
    )
    return Hardware(host=host, devices=devices)
