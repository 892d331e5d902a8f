"""Speeds of cards of which only the memory is known: honest about the others of that size, never worse for more."""

import itertools

import pytest
from msgspec.structs import replace

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate, settings_for
from planner.core.machines.device_names import same_memory
from planner.core.machines.devices import device_from_spec
from planner.core.machines.hardware import Device, DeviceKind, Vendor
from planner.core.machines.typical_device import anonymous_device
from planner.core.memory.estimate import Rate, Throughput
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.pair import recommend
from planner.units import GIB
from tests.core.shapes import machine

CATALOG = load()
MODELS = {model.name: model for model in CATALOG.models}
FILES = [
    ("Qwen3-4B-Instruct-2507", "Q4_K_M"),
    ("Qwen3-30B-A3B-Instruct-2507", "Q4_K_M"),
    ("gemma-3-270m-it", "Q8_0"),
    ("Qwen3-Embedding-0.6B", "Q8_0"),
    ("bge-m3", "F16"),
]
SIZES_GIB = [0.5 * half for half in range(1, 600)]
QUANTITIES = ("tg", "pp", "embed")


def unknown(gib: float) -> Device:
    return anonymous_device(int(gib * GIB), CATALOG.devices, 0)


def speeds(model: Model, quant: str, device: Device) -> Throughput:
    """With room for all of the model, so that its speed is the card's."""
    ample = 400 * GIB
    device = replace(device, memory_total_bytes=ample, memory_free_bytes=ample, memory_budget_bytes=ample)
    hardware = machine(device)
    variant = model.variant(quant)
    assert variant is not None
    settings = settings_for(model, Workload(), 4096 if model.role is Role.GENERATION else 512)
    where = machine_of(hardware, live=False)
    return estimate(model, variant, settings, hardware, where, calibration=CATALOG.speed).throughput


def rates(throughput: Throughput) -> dict[str, Rate]:
    return {quantity: rate for quantity in QUANTITIES if (rate := getattr(throughput, quantity)) is not None}


@pytest.mark.parametrize(("name", "quant"), FILES)
def test_a_larger_unknown_card_is_never_expected_to_be_slower(name: str, quant: str) -> None:
    found = [rates(speeds(MODELS[name], quant, unknown(gib))) for gib in SIZES_GIB]
    for (gib, small), (_, large) in itertools.pairwise(zip(SIZES_GIB, found, strict=True)):
        for quantity, rate in small.items():
            assert large[quantity].low >= rate.low, (gib, quantity)
            assert large[quantity].mid >= rate.mid, (gib, quantity)


@pytest.mark.parametrize(("name", "quant"), FILES)
def test_what_is_said_of_an_unknown_card_holds_for_four_of_five_cards_of_its_size(name: str, quant: str) -> None:
    cards = [
        spec
        for spec in CATALOG.devices
        if spec.vendor is Vendor.NVIDIA
        and spec.kind is DeviceKind.DISCRETE
        and spec.fp16_tflops
        and float(spec.compute_capability or 0) >= 7.5
    ]
    for gib in (4, 6, 8, 12, 16, 24, 48, 80, 96):
        told = rates(speeds(MODELS[name], quant, unknown(gib)))
        own = [
            rates(speeds(MODELS[name], quant, device_from_spec(spec, index=0, host_memory_bytes=16 * GIB)))
            for spec in cards
            if same_memory(spec.memory_gib or 0.0, gib, 0.05)
        ]
        assert len(own) >= 5
        for quantity, rate in told.items():
            inside = sum(rate.low <= each[quantity].mid <= rate.high for each in own)
            assert inside >= 0.8 * len(own), (gib, quantity, inside, len(own))


def test_the_best_score_does_not_fall_while_an_unknown_card_grows_to_where_bandwidths_jump() -> None:
    wish = Workload(docs=10_000, limit=1)
    scores = [
        recommend(CATALOG.models, machine(unknown(gib)), wish, calibration=CATALOG.speed)[0].score
        for gib in (80, 84, 86, 88, 90, 92, 94, 96)
    ]
    assert scores == sorted(scores)


def test_a_bandwidth_that_is_told_leaves_the_speed_of_prompts_as_unknown_as_it_was() -> None:
    device = unknown(16)
    told = replace(device, memory_bandwidth_range_gbps=None)
    model = MODELS["Qwen3-4B-Instruct-2507"]
    before, after = (rates(speeds(model, "Q4_K_M", each)) for each in (device, told))
    assert after["tg"].low > before["tg"].low
    assert after["pp"].low == pytest.approx(before["pp"].low, rel=0.05)
    assert after["pp"].high == pytest.approx(before["pp"].high, rel=0.05)
