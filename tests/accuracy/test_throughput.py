"""Speeds against published measurements: the bounds that docs/estimates.md promises."""

import statistics

import pytest

from benchmarks.fit_speed import fitted
from benchmarks.throughput_rows import Row, core_rows
from planner.catalog.loader import load
from planner.core.speed.calibration import Calibration

SHIPPED = load().speed


def errors(rows: list[Row], calibration: Calibration = SHIPPED) -> list[float]:
    return [abs(row.predict(calibration)[1] / row.rate - 1) for row in rows]


def ninth(values: list[float]) -> float:
    return sorted(values)[int(0.9 * len(values))]


def test_generation_is_near_what_was_measured() -> None:
    found = errors(list(core_rows("tg")))
    assert len(found) > 450
    assert statistics.median(found) <= 0.10
    assert ninth(found) <= 0.30


def test_generation_is_within_its_interval_as_often_as_it_says() -> None:
    inside = []
    for row in core_rows("tg"):
        low, _, high = row.predict(SHIPPED)
        inside.append(low <= row.rate <= high)
    assert 0.75 <= statistics.mean(inside) <= 0.92


def test_prompts_on_apple_are_near_what_was_measured() -> None:
    rows = [row for row in core_rows("pp") if row.backend == "apple metal" and not row.arch.is_moe]
    assert statistics.median(errors(rows)) <= 0.07


def test_prompts_elsewhere_are_as_near_as_documented() -> None:
    rows = [row for row in core_rows("pp") if row.backend == "nvidia cuda" and not row.arch.is_moe]
    assert statistics.median(errors(rows)) <= 0.12


@pytest.mark.parametrize("family", ["nvidia 8.9", "apple m4", "amd gfx1151"])
def test_an_architecture_that_was_left_out_is_still_met(family: str) -> None:
    rows = core_rows("tg")
    without = fitted([row for row in rows if row.family != family])
    assert statistics.median(errors([row for row in rows if row.family == family], without)) <= 0.20


def test_the_shipped_constants_are_those_that_the_command_fits() -> None:
    again = fitted([*core_rows("tg"), *core_rows("pp")])
    for row in (*core_rows("tg")[::7], *core_rows("pp")[::7]):
        assert row.predict(SHIPPED)[1] == pytest.approx(row.predict(again)[1], rel=0.015), row.id
