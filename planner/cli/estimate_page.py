"""What `planner estimate` prints for people, and the table over contexts and quants in the contract's form."""

from collections.abc import Iterator, Sequence

from planner.cli.estimating import Subject
from planner.cli.output import table
from planner.cli.recommend_page import machine_lines, memory_cells
from planner.core.estimates.context_table import Cell, Row
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Estimate, Verdict
from planner.core.memory.workload import Settings
from planner.core.pairs.reasons import rate_text
from planner.units import GIB, format_gib

_MARKS = {Verdict.FITS: "", Verdict.OFFLOAD: "*", Verdict.NO_FIT: "-"}


def estimate_page(
    subject: Subject, settings: Settings, hardware: Hardware, answer: Estimate, *, steps: Sequence[str] = ()
) -> Iterator[str]:
    """Machine, memory by device and component, placement, speed, and what gave way (`steps`)."""
    yield from machine_lines(hardware)
    yield ""
    slots = f", {settings.parallel} slots" if settings.parallel > 1 else ""
    yield (
        f"{subject.model.id} {subject.variant.quant}, context {settings.context}{slots}, cache {settings.kv_type_k}"
    )
    rows = [
        (row.device, *memory_cells(row), "?" if row.budget_bytes is None else format_gib(row.budget_bytes))
        for row in answer.memory.devices
    ]
    headings = ("device", "weights", "KV", "compute", "overhead", "total", "has")
    yield from table(headings, rows, right=frozenset(range(1, 7)))
    yield f"{answer.placement.verdict.value}: {answer.placement.reason}"
    for step in steps:
        yield f"gave way: {step}"
    for name, rate in (
        ("prompt processing", answer.throughput.pp),
        ("generation", answer.throughput.tg),
        ("embedding", answer.throughput.embed),
    ):
        if rate is not None:
            yield f"{name}: {rate_text(rate)} ({rate.basis})"
    for warning in answer.warnings:
        yield f"! {warning}"


def table_page(subject: Subject, hardware: Hardware, contexts: Sequence[int], rows: Sequence[Row]) -> Iterator[str]:
    """A row for every quant: memory in GiB by context, and the longest context that fits."""
    yield from machine_lines(hardware)
    yield ""
    yield f"{subject.model.id}: GiB of memory by context; * layers or experts on the host, - does not fit"
    yield "longest: tokens with which nothing gives way"
    cells = [
        (
            row.variant.quant,
            *(f"{cell.memory.total_bytes / GIB:.1f}{_MARKS[cell.placement.verdict] or ' '}" for cell in row.cells),
            "none" if row.longest is None else str(row.longest),
        )
        for row in rows
    ]
    headings = ("quant", *(f"{_thousands(context)} " for context in contexts), "longest")
    yield from table(headings, cells, right=frozenset(range(1, len(headings))))


def _thousands(context: int) -> str:
    return f"{context // 1024}k" if context % 1024 == 0 else str(context)


def table_view(contexts: Sequence[int], rows: Sequence[Row]) -> dict[str, object]:
    """The table in the contract's form (docs/json.md)."""
    return {
        "contexts": list(contexts),
        "rows": [
            {"quant": row.variant.quant, "cells": [_cell(cell) for cell in row.cells], "longest_context": row.longest}
            for row in rows
        ],
    }


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "context": cell.context,
        "total_bytes": cell.memory.total_bytes,
        "verdict": cell.placement.verdict.value,
        "n_gpu_layers": cell.placement.n_gpu_layers,
        "n_cpu_moe": cell.placement.n_cpu_moe,
    }
