"""Memory estimates beside what engines reported and devices held, by component and class of build.

Run: python -m benchmarks.memory_accuracy

A running engine on hollow files (`engine_memory.py`) and today's rules; published logs, most of them of old builds,
which reserved another compute buffer: their own forms, read off these very rows, stand in `memory_builds.py`, while
weights and cache follow today's rules; peaks of devices that share the host's memory; and what ran and what did not,
decided through the planner's own placement.
"""

import statistics
from collections import defaultdict
from typing import Any

import msgspec

from benchmarks.memory_rows import (
    EngineRow,
    LogRow,
    decisions,
    engine_rows,
    log_rows,
    peak_errors,
    percentile,
    read_csv,
    sum_errors,
)
from planner.core.memory.workload import Settings


def spread(errors: list[float]) -> str:
    """Number, median, 90th percentile and worst of the sizes of errors."""
    sizes = [abs(error) for error in errors]
    return f"{len(sizes):5}{statistics.median(sizes):9.2%}{percentile(sizes, 0.9):9.2%}{max(sizes):9.2%}"


def print_engine_rows(rows: list[EngineRow]) -> None:
    """Errors by class and component, and the worst rows."""
    groups: defaultdict[str, list[EngineRow]] = defaultdict(list)
    for row in rows:
        groups[row.kind].append(row)
    print(f"\n{'a running engine':38}{'part':9}{'rows':>5}{'median':>9}{'p90':>9}{'worst':>9}")
    for name, group in sorted(groups.items()):
        for part in ("weights", "kv", "compute", "output", "sum"):
            print(f"{name:38}{part:9}{spread([row.errors[part] for row in group])}")
    worst = sorted(rows, key=lambda row: -abs(row.errors["compute"]))[:10]
    print("\nfarthest compute buffers")
    for row in worst:
        told = row.compute_mib
        print(f"  {row.errors['compute']:+8.2%} of {told:8.2f} MiB  {row.model} {describe(row.settings)}")


def describe(settings: Settings) -> str:
    """What of the settings is not the default."""
    plain = Settings(context=8192)
    values: dict[str, Any] = msgspec.structs.asdict(settings)
    return ", ".join(f"{name} {value}" for name, value in values.items() if value != getattr(plain, name))


def _print_logs(rows: list[LogRow]) -> None:
    buffers = [row for row in rows if row.line["kind"] == "buffers"]
    table: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for row in buffers:
        ours, todays = row.estimate(), row.estimate(todays=True)
        kv = row.told("kv_gpu_mib", "kv_host_mib")
        if kv:
            table[row.kind, "kv"].append(ours["kv"] / kv - 1)
        if not row.full_offload or row.line["era"] == "fork":
            continue
        if weights := row.told("weights_gpu_mib"):
            table[row.kind, "weights"].append(ours["weights"] / weights - 1)
        for part, sizes in (("", ours), (", today's rule", todays)):
            if told := row.told("compute_gpu_mib"):
                table[row.kind, f"compute{part}"].append(sizes["compute"] / told - 1)
            if told and (total := row.told("total_gpu_mib")):
                table[row.kind, f"sum{part}"].append(sum(sizes.values()) / total - 1)
    print(f"\n{'logs':26}{'part':22}{'rows':>5}{'median':>9}{'p90':>9}{'worst':>9}")
    for (kind, part), errors in sorted(table.items()):
        print(f"{kind:26}{part:22}{spread(errors)}")


def _print_table(title: str, groups: dict[str, list[float]]) -> None:
    print(f"\n{title:48}{'rows':>5}{'median':>9}{'p90':>9}{'worst':>9}")
    for name, errors in sorted(groups.items()):
        print(f"{name:48}{spread(errors)}")


def _print_decisions() -> None:
    found = decisions()
    right = sum(decision.right for decision in found)
    near = sum(0.85 < decision.filled < 1.15 for decision in found)
    print(f"\nfits or not: {right} of {len(found)} right ({right / len(found):.1%}), {near} within 15 % of the limit")
    for decision in found:
        if not decision.right:
            line, outcome = decision.line, "ran" if decision.ran else "did not run"
            what = f"{line['gpus']}x {line['device']} {line['model']} {line['quant']}"
            print(f"  {what}: {decision.filled:.0%} filled, {outcome}")


def main() -> None:
    """Print every table."""
    print_engine_rows(engine_rows())
    _print_logs(log_rows())
    _print_table(
        "sum on the GPUs against llama.cpp's own total",
        {"forms of the build": sum_errors(), "today's rule": sum_errors(todays=True)},
    )
    _print_table("peaks of a device", peak_errors())
    _print_decisions()
    print("\nleft out")
    for line in read_csv("memory_logs.csv"):
        if line["left_out"]:
            print(f"  {line['id']} {line['model'] or '?'}: {line['left_out']}")


if __name__ == "__main__":
    main()
