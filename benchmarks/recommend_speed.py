"""How fast a recommendation is: beside llmfit, over a growing catalog, and when only a wish changes.

Run: python benchmarks/recommend_speed.py [--llmfit PROGRAM] [--scale 1000,10000,100000]        (on a quiet machine)

The command is run as people run it, in a fresh process each time, alternately with `llmfit --memory 8G recommend
--json` where that program is found. The overlays of the scale curve are the shipped models under new ids, their sizes
and parameters changed by a few percent (seeded), given with --catalog. Re-ranking is what the app does when a wish
changes: the same machine, another question, in one process.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from planner.catalog.loader import load, model_files
from planner.catalog.location import data_dir
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.workload import Workload
from planner.core.pairs.pair import Planner
from planner.units import GIB

_RUNS = 15
_OURS = [sys.executable, "-m", "planner", "recommend", "--vram", "8", "--json"]
_MODELS_A_FILE = 2000
_CHANGES: dict[str, dict[str, object]] = {
    "nothing": {},
    "commercial licences": {"licence": "commercial"},
    "prefer quality": {"prefer": "quality"},
    "prefer speed": {"prefer": "speed"},
    "German": {"language": "de"},
    "30 tok/s": {"min_speed": 30.0},
    "100,000 documents": {"docs": 100_000},
}


class Run(NamedTuple):
    """One run of a command: seconds of wall and of CPU time, MiB at its peak."""

    wall_s: float
    cpu_s: float
    peak_mib: float


def run(command: list[str]) -> Run:
    """Run it to its end. Raises SystemExit when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Run(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def beside(llmfit: str | None) -> None:
    """Both commands in turn; the first run of each is not counted."""
    theirs = [llmfit, "--memory", "8G", "recommend", "--json"] if llmfit else None
    ours_runs, their_runs = [], []
    for _ in range(_RUNS + 1):
        ours_runs.append(run(_OURS))
        if theirs:
            their_runs.append(run(theirs))
    ours = _told("planner recommend --vram 8 --json", ours_runs[1:])
    if theirs:
        other = _told("llmfit --memory 8G recommend --json", their_runs[1:])
        print(f"ratio: wall {ours.wall_s / other.wall_s:.2f}, memory {ours.peak_mib / other.peak_mib:.2f}")
    else:
        print("llmfit was not found; give it with --llmfit")


def _told(name: str, runs: list[Run]) -> Run:
    median = Run(*(statistics.median(each[i] for each in runs) for i in range(3)))
    best = min(each.wall_s for each in runs)
    print(
        f"{name}: {median.wall_s:.3f} s (best {best:.3f}), {median.cpu_s:.3f} s of CPU time, "
        f"{median.peak_mib:.0f} MiB; median of {len(runs)}"
    )
    return median


def overlay(folder: Path, count: int) -> None:
    """Write so many models, each a shipped one that is a few percent larger or smaller."""
    entries = [model for file in model_files(data_dir()) for model in json.loads(file.read_text())["models"]]
    entries = [model for model in entries if model.get("deployable", True) and model.get("architecture")]
    chance = random.Random(count)  # noqa: S311  # no secret: the same overlay every time
    models: list[dict[str, object]] = []
    for index in range(count):
        model = dict(entries[index % len(entries)])
        factor = chance.uniform(0.97, 1.03)
        model["id"] = f"overlay/{model['id'].rpartition('/')[2]}-{index}"
        model["parameters"] = model["parameters"] and round(model["parameters"] * factor)
        model["active_parameters"] = model.get("active_parameters") and round(model["active_parameters"] * factor)
        model["variants"] = [
            {**variant, "file_bytes": variant.get("file_bytes") and round(variant["file_bytes"] * factor)}
            for variant in model.get("variants", ())
        ]
        for variant in model["variants"]:
            variant.pop("tensor_bytes", None)
        for name in ("aliases", "sources", "starter"):
            model.pop(name, None)
        models.append(model)
        if len(models) == _MODELS_A_FILE or index == count - 1:
            text = json.dumps({"schema": 1, "family": "overlay", "models": models})
            (folder / f"models-{index:06d}.json").write_text(text, encoding="utf-8")
            models = []


def scale(counts: list[int]) -> None:
    """The command over catalogs of those sizes."""
    before: tuple[int, float] | None = None
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            overlay(Path(folder), count)
            runs = [run([*_OURS, "--catalog", folder]) for _ in range(3 if count < 50_000 else 1)]
        best = min(runs)
        growth = f", {best.cpu_s / before[1]:.1f} times for {count / before[0]:g} times the models" if before else ""
        print(
            f"{count:,} models overlaid: {best.wall_s:.2f} s, {best.cpu_s:.2f} s of CPU time{growth}, "
            f"{best.peak_mib:.0f} MiB"
        )
        before = count, best.cpu_s


def reranking() -> None:
    """A change of one wish at a time, on a machine that was planned for before."""
    catalog = load()
    hardware = virtual_hardware(Overrides(vram=(8 * GIB,)), catalog.devices)
    planner = Planner(catalog.models, hardware, calibration=catalog.speed)
    planner.recommend(Workload())
    for name, change in _CHANGES.items():
        times = []
        for _ in range(5):
            planner.recommend(Workload())
            started = time.perf_counter()
            planner.recommend(msgspec.structs.replace(Workload(), **change))
            times.append((time.perf_counter() - started) * 1e3)
        print(f"re-ranked for {name}: first {times[0]:.1f} ms, then {min(times[1:]):.1f} ms")


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--llmfit", default=shutil.which("llmfit"))
    parser.add_argument("--scale", default="1000,10000,100000")
    options = parser.parse_args()
    beside(options.llmfit)
    reranking()
    scale([int(count) for count in options.scale.split(",") if count])


if __name__ == "__main__":
    main()
