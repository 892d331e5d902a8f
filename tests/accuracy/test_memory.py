"""Memory estimates against what engines reported: the bounds that docs/estimates.md promises."""

import statistics
from collections import defaultdict

import pytest

from benchmarks.memory_rows import (
    EngineRow,
    decisions,
    engine_rows,
    log_rows,
    peak_errors,
    percentile,
    read_csv,
    sum_errors,
)
from planner.core.memory.repack import repacked_bytes
from planner.units import MIB


@pytest.fixture(scope="module")
def engine() -> list[EngineRow]:
    return engine_rows()


def test_weights_cache_and_output_are_what_the_engine_allocates(engine: list[EngineRow]) -> None:
    assert len(engine) > 200
    for row in engine:
        for part in ("weights", "kv", "output"):
            assert abs(row.errors[part]) <= 0.002, (row.model, row.settings, part)


def test_compute_buffers_are_met_class_by_class(engine: list[EngineRow]) -> None:
    errors: defaultdict[str, list[float]] = defaultdict(list)
    for row in engine:
        errors[row.kind].append(abs(row.errors["compute"]))
    for kind, found in errors.items():
        # Without flash attention, which nothing here turns off by itself, the forms are coarser; and one hybrid with
        # 2,048 tokens a micro-batch takes 11 % more than the widest step.
        median, worst = (0.04, 0.12) if "no flash" in kind else (0.001, 0.12 if "hybrid" in kind else 0.02)
        if kind.startswith("held out"):
            # Models and settings that had no part in finding the forms; the worst are 11, 47 and 177 MiB.
            median, worst = 0.01, 0.2 if "hybrid" in kind or "sliding" in kind else 0.02
        assert statistics.median(found) <= median, kind
        assert max(found) <= worst, kind


def test_the_sum_is_met_on_a_running_engine(engine: list[EngineRow]) -> None:
    sums = [abs(row.errors["sum"]) for row in engine]
    assert statistics.median(sums) <= 0.0005
    assert percentile(sums, 0.9) <= 0.005
    assert max(sums) <= 0.05


def test_what_a_processor_rearranges_is_what_the_engine_says(engine: list[EngineRow]) -> None:
    assert sum(row.repack_mib > 0 for row in engine) > 50
    for row in engine:
        assert repacked_bytes(row.arch, row.quant) / MIB == pytest.approx(row.repack_mib, rel=0.001, abs=0.01)


def test_the_sum_is_met_on_published_logs() -> None:
    sums = [abs(error) for error in sum_errors()]
    assert len(sums) > 80
    assert statistics.median(sums) <= 0.001
    assert max(sums) <= 0.005


def test_todays_rule_on_logs_of_old_builds_is_within_the_target_too() -> None:
    sums = [abs(error) for error in sum_errors(todays=True)]
    assert statistics.median(sums) <= 0.005
    assert percentile(sums, 0.9) <= 0.02


def test_the_cache_is_exact_on_every_log_that_can_be_scored() -> None:
    rows = [row for row in log_rows() if row.told("kv_gpu_mib", "kv_host_mib")]
    assert len(rows) > 140
    for row in rows:
        told = row.told("kv_gpu_mib", "kv_host_mib")
        assert row.estimate()["kv"] == pytest.approx(told, rel=0.001), row.line["id"]


@pytest.mark.parametrize("backend", ["peak, HIP", "peak, Vulkan"])
def test_peaks_of_a_device_that_shares_the_hosts_memory_are_near(backend: str) -> None:
    errors = [abs(error) for error in peak_errors()[backend]]
    assert len(errors) > 100
    assert statistics.median(errors) <= 0.02
    assert percentile(errors, 0.9) <= 0.09


def test_what_ran_is_placed_and_what_did_not_is_not() -> None:
    found = decisions()
    assert len(found) == 170
    assert sum(decision.right for decision in found) / len(found) >= 0.98


def test_a_row_that_is_left_out_says_why() -> None:
    left_out = [line for line in read_csv("memory_logs.csv") if line["left_out"]]
    assert 0 < len(left_out) < 15
