"""Devices described by figures beside the same ones by name."""

import json
from typing import Any

import pytest

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate
from planner.core.machines.hardware import Device, DeviceSpec, Hardware
from planner.core.machines.overrides import Overrides, described_hardware, device_from_json, virtual_hardware
from planner.core.memory.estimate import Estimate, Rate
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Variant
from planner.errors import BadDataError
from planner.units import GIB
from tests.core.shapes import LLAMA_8B, make_model

CATALOG = load()
SPECS: tuple[DeviceSpec, ...] = CATALOG.devices
MODEL = make_model("Llama-3-8B", LLAMA_8B, 8_030_261_248)
Q4 = Variant(quant="Q4_K_M", artifacts=(), file_bytes=4_920_739_232)

CARDS = (
    "Tesla V100 PCIe 32 GB", "GeForce RTX 2080 Ti", "A100 PCIe 80 GB", "GeForce RTX 3060 12 GB", "GeForce RTX 4090",
    "RTX 4000 Ada Generation", "H100 PCIe 80 GB", "GeForce RTX 5090", "Tesla P40", "Radeon RX 7900 XTX",
    "Radeon RX 6800 XT", "Radeon RX 9070 XT", "Arc A770", "Arc B580", "Apple M2 Max (38c GPU)", "Apple M4 (10c GPU)",
)  # fmt: skip


def answer(hardware: Hardware) -> Estimate:
    machine = machine_of(hardware, live=False)
    return estimate(MODEL, Q4, Settings(context=4096), hardware, machine, calibration=CATALOG.speed)


def by_name(name: str) -> Hardware:
    return virtual_hardware(Overrides(gpu=name, ram_bytes=32 * GIB), SPECS)


def figures(device: Device, **changes: Any) -> dict[str, Any]:
    """What a person would write of a device: no slug, no power, nothing that planner alone knows."""
    fields = (
        "name", "vendor", "backend", "kind", "memory_total_bytes", "memory_bandwidth_gbps", "fp32_tflops",
        "fp16_tflops", "compute_capability",
    )  # fmt: skip
    return {field: getattr(device, field) for field in fields} | changes


def read(fields: dict[str, Any]) -> Device:
    return device_from_json(json.dumps(fields).encode(), SPECS)


def described(fields: dict[str, Any]) -> Estimate:
    return answer(described_hardware(read(fields), 32 * GIB))


def width(rate: Rate | None) -> float:
    assert rate is not None
    return rate.high / rate.low


def middle(rate: Rate | None) -> float:
    assert rate is not None
    return rate.mid


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("changes", [{}, {"fp16_tflops": None}, {"compute_capability": None}])
def test_a_device_of_an_unknown_name_is_near_the_same_one_by_name_and_less_sure(
    name: str, changes: dict[str, Any]
) -> None:
    known = by_name(name)
    if changes and known.devices[0].compute_capability == "6.1":
        pytest.skip("without its compute capability Pascal looks like a card whose vector rate was given")
    named = answer(known).throughput
    unknown = described(figures(known.devices[0], name="Home-made 1", **changes)).throughput
    assert 1 / 1.3 < middle(unknown.tg) / middle(named.tg) < 1.3
    assert 1 / 1.6 < middle(unknown.pp) / middle(named.pp) < 1.6
    assert width(unknown.tg) > width(named.tg)
    assert width(unknown.pp) > width(named.pp)


@pytest.mark.parametrize("name", [card for card in CARDS if card.startswith(("Tesla V", "Ge", "A1", "RTX", "H1"))])
@pytest.mark.parametrize("given", [1.0, None])
def test_the_rate_of_vector_units_is_no_peak_of_tensor_cores(name: str, given: float | None) -> None:
    known = by_name(name)
    device = known.devices[0]
    half = device.fp32_tflops if given else None
    same = described(figures(device, fp16_tflops=half))
    assert same.throughput == answer(known).throughput
    unknown = described(figures(device, fp16_tflops=half, name="Home-made 1")).throughput
    assert 1 / 1.6 < middle(unknown.pp) / middle(answer(known).throughput.pp) < 1.6
    assert unknown.pp is not None
    assert unknown.pp.basis == "estimated"


@pytest.mark.parametrize("name", CARDS)
def test_a_device_by_its_figures_and_a_known_name_is_the_one_by_name(name: str) -> None:
    known = by_name(name)
    fields = figures(known.devices[0], tdp_w=None, fp16_tflops=None)
    found = read(fields)
    assert (found.slug, found.listed) == (known.devices[0].slug, True)
    assert found.tdp_w == known.devices[0].tdp_w
    assert described(fields).throughput == answer(known).throughput


def test_what_is_given_stays_and_a_card_with_other_figures_is_not_the_one_of_that_name() -> None:
    device = by_name("GeForce RTX 4090").devices[0]
    faster = read(figures(device, fp16_tflops=400.0))
    assert (faster.fp16_tflops, faster.listed) == (400.0, True)
    halved = read(figures(device, memory_bandwidth_gbps=500.0, compute_capability=None))
    assert (halved.memory_bandwidth_gbps, halved.listed) == (500.0, False)
    assert halved.compute_capability == "8.9"


def test_a_slug_of_the_catalog_is_enough() -> None:
    found = read({"slug": "geforce-rtx-3090"})
    assert (found.memory_total_bytes, found.memory_bandwidth_gbps) == (24 * GIB, 936.2)
    assert found.listed


def test_a_graphics_card_without_tensor_cores_is_given_none() -> None:
    plain = by_name("GeForce GTX 1660 SUPER")
    fields = figures(plain.devices[0], fp16_tflops=2 * (plain.devices[0].fp32_tflops or 0))
    found = read(fields)
    assert found.fp16_range_tflops is None
    assert found.listed


def test_an_unknown_device_of_a_known_family_is_calibrated_and_one_without_is_not() -> None:
    ada = by_name("GeForce RTX 4090").devices[0]
    related = described(figures(ada, name="Home-made 1")).throughput.tg
    stranger = described(figures(ada, name="Home-made 1", compute_capability=None)).throughput.tg
    assert related is not None
    assert stranger is not None
    assert (related.basis, stranger.basis) == ("calibrated", "estimated")


def test_an_apple_chip_by_figures_has_the_memory_it_says() -> None:
    fields = {"name": "M9", "backend": "metal", "memory_total_bytes": 192 * GIB, "memory_bandwidth_gbps": 800.0}
    hardware = described_hardware(read(fields), None)
    assert (hardware.host.memory_total_bytes, hardware.host.memory_bandwidth_gbps) == (192 * GIB, 800.0)
    assert machine_of(hardware, live=False).unified


@pytest.mark.parametrize("field", ["memory_budget_bytes", "memory_free_bytes"])
@pytest.mark.parametrize("name", ["GeForce RTX 3060 12 GB", "Home-made 1"])
def test_a_budget_that_is_given_is_the_limit(field: str, name: str) -> None:
    card = by_name("GeForce RTX 3060 12 GB").devices[0]
    found = described(figures(card, name=name, **{field: 4 * GIB}))
    assert found.placement.verdict == "offload"
    assert found.memory.devices[0].budget_bytes == 4 * GIB
    assert found.memory.devices[0].total_bytes <= 4 * GIB


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "Odd"}, ("device.memory_total_bytes", "not given")),
        ({"name": "Odd", "backend": "opencl"}, ("device.backend", "cuda, rocm, vulkan, metal, cpu")),
        ({"name": "Odd", "vendor": "3dfx"}, ("device.vendor", "nvidia, amd, intel, apple")),
        ({"name": "Odd", "memory_bandwidth_gbps": 1e30}, ("device.memory_bandwidth_gbps", "at most 1,000,000")),
        ({"name": 7}, ("device.name",)),
    ],
)
def test_what_is_wrong_with_a_device_is_said_by_field_of_the_request(
    fields: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(BadDataError) as caught:
        read(fields)
    assert all(word in caught.value.message for word in words)
    assert "file" not in caught.value.message
