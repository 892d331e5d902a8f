"""Measured speeds beside predicted ones, and what they do to the next estimate."""

import msgspec
import pytest

from planner.core.estimates.estimator import estimate
from planner.core.estimates.measurements import Measurement, local_points
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Throughput
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Model
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.speed.local import with_local
from tests.core.shapes import GEMMA3_270M, LLAMA_8B, machine, make_model

WRITER = make_model("writer", LLAMA_8B, 8_030_261_248, quants={"Q4_K_M": 4_920_739_232, "Q8_0": 8_540_775_840})
OTHER = make_model("other", GEMMA3_270M, 268_098_176, quants={"Q8_0": 290_000_000})
HOST = machine(ram_gib=64)
SETTINGS = Settings(context=4096, n_gpu_layers=0, depth=400)


def measurement(**fields: object) -> Measurement:
    point = Measurement(
        device="cpu",
        quantity="tg",
        model=WRITER.id,
        quant="Q4_K_M",
        settings=SETTINGS,
        tokens_per_s=3.0,
        engine="test",
        measured_on="2026-11-03",
    )
    return msgspec.structs.replace(point, **fields)


def find(name: str) -> Model | None:
    return {WRITER.id: WRITER, OTHER.id: OTHER}.get(name)


def speeds(model: Model, quant: str, calibration: Calibration, hardware: Hardware = HOST) -> Throughput:
    variant = model.variant(quant)
    assert variant is not None
    found = estimate(model, variant, SETTINGS, hardware, machine_of(hardware, live=False), calibration=calibration)
    return found.throughput


def test_a_measured_model_is_predicted_as_measured() -> None:
    local = with_local(GENERIC, local_points([measurement()], find, HOST, GENERIC))
    rate = speeds(WRITER, "Q4_K_M", local).tg
    assert rate is not None
    assert rate.basis == "measured"
    assert rate.mid == pytest.approx(3.0, rel=0.02)
    before = speeds(WRITER, "Q4_K_M", GENERIC).tg
    assert before is not None
    assert rate.high / rate.low < before.high / before.low


def test_others_on_the_same_device_move_with_it_and_do_not_become_measured() -> None:
    before = speeds(OTHER, "Q8_0", GENERIC).tg
    expected = speeds(WRITER, "Q4_K_M", GENERIC).tg
    assert before is not None
    assert expected is not None
    slow = measurement(tokens_per_s=expected.mid / 2)
    after = speeds(OTHER, "Q8_0", with_local(GENERIC, local_points([slow], find, HOST, GENERIC))).tg
    assert after is not None
    assert before.mid / 2 <= after.mid < before.mid
    assert after.basis != "measured"


@pytest.mark.parametrize("fields", [{"model": "gone/model"}, {"quant": "Q2_K"}, {"quantity": "embed"}])
def test_what_cannot_be_predicted_any_more_is_left_out(fields: dict[str, object]) -> None:
    assert local_points([measurement(**fields)], find, HOST, GENERIC) == ()
