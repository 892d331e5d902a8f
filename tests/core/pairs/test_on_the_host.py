"""A generator may be left to the host of a machine with cards: where that is better, it is found."""

import pytest
from msgspec.structs import replace

from planner.catalog.loader import load
from planner.core.machines.devices import device_from_spec
from planner.core.machines.hardware import DeviceKind, DeviceSpec, Hardware
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Role
from planner.core.pairs.pair import recommend
from planner.units import GIB
from tests.core.shapes import machine

CATALOG = load()
CARDS = [spec for spec in CATALOG.devices if spec.kind is DeviceKind.DISCRETE and spec.memory_bandwidth_gbps]
HOSTS = {
    "a desktop": (50.0, 8, ()),
    "many cores that read slowly": (80.0, 96, ("avx2", "avx512")),
    "a server": (460.0, 64, ("avx2", "avx512")),
}
"""Bandwidth in GB/s, cores, instruction sets."""
TRIED = ["Qwen3-30B-A3B-Instruct-2507", "gemma-3-4b-it", "granite-4.0-h-tiny", "Qwen3.5-0.8B", "gemma-3-27b-it"]
MODELS = [model for model in CATALOG.models if model.name in TRIED]


def with_host(host: str, *specs: DeviceSpec) -> Hardware:
    bandwidth, cores, isa = HOSTS[host]
    devices = [device_from_spec(spec, index=n, host_memory_bytes=64 * GIB) for n, spec in enumerate(specs)]
    made = machine(*devices, ram_gib=64, cores=cores)
    cpu = replace(made.host.cpu, isa=isa)
    return replace(made, host=replace(made.host, memory_bandwidth_gbps=bandwidth, cpu=cpu))


def best(hardware: Hardware, prefer: Prefer) -> float:
    wish = Workload(role=Role.GENERATION, prefer=prefer, limit=1)
    return recommend(MODELS, hardware, wish, calibration=CATALOG.speed)[0].score


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("prefer", ["balanced", "quality", "speed"])
def test_no_card_of_the_table_makes_a_host_worse_than_it_is_alone(host: str, prefer: Prefer) -> None:
    alone = best(with_host(host), prefer)
    worse = [spec.name for spec in CARDS[::4] if best(with_host(host, spec), prefer) < alone]
    assert not worse


def test_a_card_that_reads_many_times_as_fast_is_left_alone_where_its_prompts_are_slower() -> None:
    card = next(spec for spec in CARDS if spec.name == "GeForce GTX 1660")
    hardware = with_host("many cores that read slowly", card)
    plan = recommend(MODELS, hardware, Workload(role=Role.GENERATION, limit=1), calibration=CATALOG.speed)[0]
    placement = plan.choices[0].estimate.placement
    assert placement.n_gpu_layers == 0
    assert placement.reason == "on the CPU, which a part of it on the GPU would slow down"


def test_what_no_card_has_room_for_was_not_left_to_the_cpu() -> None:
    card = next(spec for spec in CARDS if spec.name == "GeForce GTX 1660")
    hardware = with_host("a desktop", card)
    tiny = replace(hardware.devices[0], memory_total_bytes=GIB // 5, memory_budget_bytes=GIB // 5)
    plan = recommend(
        MODELS, replace(hardware, devices=(tiny,)), Workload(role=Role.GENERATION, limit=1), calibration=CATALOG.speed
    )[0]
    placement = plan.choices[0].estimate.placement
    assert placement.n_gpu_layers == 0
    assert "the rest does not fit" in placement.reason
