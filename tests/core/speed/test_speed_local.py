import math
from typing import Any

import msgspec
import pytest

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Rate
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.speed.calibration import Calibration, Deviation, device_key
from planner.core.speed.local import LocalPoint, with_local
from planner.errors import BadDataError
from tests.core.shapes import LLAMA_8B, gpu, machine, make_model

MODEL = make_model("big", LLAMA_8B, 8030261248, quants={"Q8_0": 8_540_000_000, "Q4_K_M": 4_920_739_232})
CARD = machine(gpu(0, 24))
SHIPPED = load().speed


def generation(calibration: Calibration, quant: str = "Q4_K_M", *, on: Hardware = CARD, **settings: object) -> Rate:
    made = Settings(**{"context": 8192, **settings})  # type: ignore[arg-type]  # named by the caller
    variant = MODEL.variant(quant)
    assert variant is not None
    rate = estimate(MODEL, variant, made, on, machine_of(on, live=False), calibration=calibration).throughput.tg
    assert rate is not None
    return rate


def point(ratio: float, quant: str = "Q4_K_M", **changes: object) -> LocalPoint:
    """A measurement that is `ratio` times what was predicted."""
    predicted = generation(SHIPPED, quant).mid
    made = LocalPoint(
        device=device_key(CARD.devices[0]),
        quantity="tg",
        arch=LLAMA_8B,
        quant=quant,
        settings=Settings(context=8192),
        measured_tokens_per_s=predicted * ratio,
        predicted_tokens_per_s=predicted,
    )
    return msgspec.structs.replace(made, **changes)


def width(rate: Rate) -> float:
    return math.log(rate.high / rate.low)


def test_what_was_measured_is_the_answer() -> None:
    before, after = generation(SHIPPED), generation(with_local(SHIPPED, [point(0.6)]))
    assert after.basis == "measured"
    assert after.mid == pytest.approx(0.6 * before.mid, rel=0.01)
    assert width(after) < width(before) / 2


def test_a_measurement_is_carried_to_other_depths_by_the_formula() -> None:
    local = with_local(SHIPPED, [point(0.6)])
    deep = generation(local, depth=7000)
    assert deep.basis == "measured"
    assert deep.mid == pytest.approx(0.6 * generation(SHIPPED, depth=7000).mid, rel=0.02)
    assert width(deep) > width(generation(local))


def test_one_point_moves_the_other_predictions_of_the_device_most_of_the_way() -> None:
    local = with_local(SHIPPED, [point(0.6)])
    before, after = generation(SHIPPED, "Q8_0"), generation(local, "Q8_0")
    assert after.basis == before.basis
    assert 0.6 < after.mid / before.mid < 0.75
    assert width(after) < width(before)


def test_more_points_move_them_further() -> None:
    def moved(points: list[LocalPoint]) -> float:
        return generation(with_local(SHIPPED, points), "Q8_0").mid

    few, many = [point(0.6)], [point(0.6, settings=Settings(context=8192, depth=depth)) for depth in range(6)]
    assert 0.6 * generation(SHIPPED, "Q8_0").mid <= moved(many) < moved(few)


@pytest.mark.parametrize("change", [{"device": "other/cuda"}, {"quantity": "pp"}, {"device": "cpu"}])
def test_points_of_another_device_or_quantity_change_nothing(change: dict[str, Any]) -> None:
    local = with_local(SHIPPED, [point(0.6, **change)])
    assert generation(local, "Q8_0") == generation(SHIPPED, "Q8_0")


def test_other_cache_types_are_not_the_measurement() -> None:
    local = with_local(SHIPPED, [point(0.6)])
    assert generation(local, kv_type_k="q8_0", kv_type_v="q8_0").basis != "measured"


def test_layers_on_the_cpu_are_not_the_measurement_of_the_whole_on_the_gpu() -> None:
    local = with_local(SHIPPED, [point(0.6)])
    assert generation(local, n_gpu_layers=10) == generation(SHIPPED, n_gpu_layers=10)


def test_the_weight_of_a_point_follows_from_how_much_devices_and_rows_differ() -> None:
    def moved(deviation: Deviation) -> float:
        base = msgspec.structs.replace(SHIPPED, generation_deviation=deviation)
        return generation(with_local(base, [point(0.5)]), "Q8_0").mid / generation(SHIPPED, "Q8_0").mid

    assert moved(Deviation(between=1.0, within=0.01)) == pytest.approx(0.5, rel=0.02)
    assert moved(Deviation(between=0.01, within=1.0)) == pytest.approx(1.0, rel=0.02)
    assert moved(Deviation(between=0.2, within=0.2)) == pytest.approx(math.sqrt(0.5), rel=0.02)


def test_measurements_on_the_cpu_count_for_the_cpu() -> None:
    host = machine()
    predicted = generation(SHIPPED, on=host).mid
    local = with_local(
        SHIPPED, [point(1, device="cpu", measured_tokens_per_s=2 * predicted, predicted_tokens_per_s=predicted)]
    )
    assert generation(local, on=host).mid == pytest.approx(2 * predicted, rel=0.01)
    assert generation(local, "Q8_0", on=host).mid > 1.5 * generation(SHIPPED, "Q8_0", on=host).mid


def test_no_points_change_nothing() -> None:
    assert generation(with_local(SHIPPED, [])) == generation(SHIPPED)


@pytest.mark.parametrize("rate", [0.0, -3.0, math.nan, math.inf])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(BadDataError, match="tg on card-0/cuda") as caught:
        with_local(SHIPPED, [point(1, measured_tokens_per_s=rate)])
    assert caught.value.reference == "bad-measurement"
