"""Of cards of unequal speed a plan may leave the slow ones alone; a card never makes a machine worse."""

import pytest

from planner.catalog.loader import load
from planner.core.machines.hardware import Device, Hardware
from planner.core.machines.machine_options import Overrides
from planner.core.machines.more_memory import with_more_memory
from planner.core.machines.overrides import virtual_hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Role
from planner.core.pairs.candidates import Pin
from planner.core.pairs.pair import recommend
from planner.core.pairs.recommendation import Choice
from planner.units import GIB
from tests.core.pairs.test_pair import BIG, MODELS
from tests.core.shapes import gpu, machine

CATALOG = load()
SLOW_AND_FAST = "GeForce MX350, L40"


def described(names: str, ram_gib: float) -> Hardware:
    return virtual_hardware(Overrides(gpu=names, ram_bytes=int(ram_gib * GIB)), CATALOG.devices)


def best(hardware: Hardware, wish: Workload) -> float:
    return recommend(CATALOG.models, hardware, wish, calibration=CATALOG.speed)[0].score


def test_a_slow_card_that_grows_never_lowers_the_best_score() -> None:
    wish = Workload(prefer="quality", context=1000, chunk_tokens=128, limit=1)
    hardware = described(SLOW_AND_FAST, 31.3)
    scores = [best(with_more_memory(hardware, gib * GIB), wish) for gib in (0, 1, 2, 4, 8)]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    "names", [SLOW_AND_FAST, "L40, GeForce MX350", "GeForce GTX 1050 Ti, RTX 4090, RTX 3060 12 GB"]
)
@pytest.mark.parametrize("prefer", ["balanced", "quality", "speed"])
def test_cards_beside_the_fastest_never_lower_the_best_score(names: str, prefer: Prefer) -> None:
    hardware = described(names, 31.3)
    fastest = max(hardware.devices, key=lambda device: device.memory_bandwidth_gbps or 0.0)
    alone = Hardware(host=hardware.host, devices=(fastest,))
    wish = Workload(prefer=prefer, limit=1)
    assert best(hardware, wish) >= best(alone, wish)


@pytest.mark.parametrize("name", ["GeForce MX350", "Quadro P400", "GeForce MX110"])
def test_a_card_that_hardly_helps_never_lowers_the_best_score_by_growing(name: str) -> None:
    scores = []
    for gib in (1, 1.5, 2, 4, 7, 8, 10, 11, 12):
        size = Overrides(gpu=name, vram=(int(gib * GIB),), ram_bytes=32 * GIB)
        hardware = virtual_hardware(size, CATALOG.devices)
        scores.append(best(hardware, Workload(prefer="quality", limit=1)))
    assert scores == sorted(scores)


def test_where_a_card_slows_a_model_down_one_layer_is_on_it_for_the_sake_of_prompts() -> None:
    hardware = virtual_hardware(Overrides(gpu="GeForce MX350", vram=(11 * GIB,), ram_bytes=32 * GIB), CATALOG.devices)
    plan = recommend(CATALOG.models, hardware, Workload(prefer="quality", limit=1), calibration=CATALOG.speed)[0]
    assert plan.generation is not None
    placement = plan.generation.estimate.placement
    assert placement.n_gpu_layers == 1
    assert placement.reason.endswith("on the GPU, which does the prompts; more of them would slow it down")


def generator(*cards: Device) -> Choice:
    """The one generator that is pinned, in a file that no card holds whole."""
    variant = BIG.variant("Q8_0")
    wish = Workload(role=Role.GENERATION)
    found = recommend(MODELS, machine(*cards, ram_gib=32), wish, pins=[Pin(BIG, variant)])[0].generation
    assert found is not None
    return found


def test_what_is_left_alone_has_no_layer_and_the_reason_says_so() -> None:
    placement = generator(gpu(0, 2, bandwidth=20.0), gpu(1, 8, bandwidth=900.0)).estimate.placement
    assert placement.tensor_split is not None
    assert placement.tensor_split[0] == 0 < placement.tensor_split[1]
    assert placement.reason.endswith("; nothing on gpu0, slower than the others")


def test_a_card_of_unknown_speed_is_left_alone_where_nobody_could_say_how_fast_it_would_be() -> None:
    placement = generator(gpu(0, 4, bandwidth=None), gpu(1, 8, bandwidth=900.0)).estimate.placement
    assert placement.reason.endswith("; nothing on gpu0, the speed of which is not known")


def test_cards_of_one_speed_are_used_together() -> None:
    placement = generator(gpu(0, 6), gpu(1, 6)).estimate.placement
    assert placement.reason == "all layers over 2 GPUs"
    assert machine_of(machine(gpu(0, 6), gpu(1, 6)), live=False).steps_of_speed == ()


def test_the_fastest_cards_of_a_machine_are_those_of_its_steps_of_speed() -> None:
    cards = [
        gpu(0, 4, bandwidth=100.0),
        gpu(1, 4, bandwidth=900.0),
        gpu(2, 4, bandwidth=500.0),
        gpu(3, 4, bandwidth=500.0),
    ]
    whole = machine_of(machine(*cards), live=False)
    assert whole.steps_of_speed == (1, 3)
    kept = [{pool.id for pool in whole.fastest(count).gpus if pool.budget_bytes} for count in whole.steps_of_speed]
    assert kept == [{"gpu1"}, {"gpu1", "gpu2", "gpu3"}]
