import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.estimates.estimator import weights_of
from planner.core.machines.hardware import Backend, Vendor
from planner.core.memory.estimate import Verdict
from planner.core.memory.memory import ProcessMemory, expert_bytes
from planner.core.memory.placement import machine_of, place
from planner.core.memory.workload import Settings
from planner.core.models.model import Variant
from planner.core.models.weights import weight_table
from planner.units import GIB
from tests.core.shapes import DEEPSEEK_V2_LITE, LLAMA_8B, apple, gpu, machine, make_model

_TABLE = weight_table(LLAMA_8B, Variant(quant="Q4_K_M", artifacts=(), file_bytes=4_920_739_232))
assert _TABLE is not None
PROCESS = ProcessMemory(LLAMA_8B, _TABLE, Settings(context=8192))


def test_everything_goes_to_a_card_that_holds_it() -> None:
    placement, memory = place(PROCESS, machine_of(machine(gpu(0, 12)), live=False))
    assert (placement.verdict, placement.n_gpu_layers, placement.n_layers) == (Verdict.FITS, 33, 33)
    assert memory.devices[0].total_bytes < 12 * GIB


def test_one_card_is_preferred_to_two_and_the_roomier_one_is_taken() -> None:
    placement, memory = place(PROCESS, machine_of(machine(gpu(0, 8), gpu(1, 24)), live=False))
    assert placement.tensor_split == (0.0, 33.0)
    assert [row.device for row in memory.devices] == ["gpu1", "host"]


def test_two_cards_are_used_when_one_is_not_enough() -> None:
    placement, memory = place(PROCESS, machine_of(machine(gpu(0, 5), gpu(1, 4)), live=False))
    assert placement.verdict is Verdict.FITS
    assert placement.tensor_split is not None
    assert all(share > 0 for share in placement.tensor_split)
    assert sum(placement.tensor_split) == 33
    assert all(row.total_bytes <= (row.budget_bytes or 0) for row in memory.devices)


@pytest.mark.parametrize("small", [0.3, 0.5, 1.0, 2.0])
def test_a_small_second_card_takes_nothing_away(small: float) -> None:
    alone, _ = place(PROCESS, machine_of(machine(gpu(0, 4)), live=False))
    both, _ = place(PROCESS, machine_of(machine(gpu(0, 4), gpu(1, small)), live=False))
    assert both.n_gpu_layers >= alone.n_gpu_layers


def test_of_two_cards_that_hold_it_the_faster_is_taken() -> None:
    where = machine_of(machine(gpu(0, 12, bandwidth=500), gpu(1, 24, bandwidth=350)), live=False)
    placement, _ = place(PROCESS, where)
    assert placement.tensor_split == (33.0, 0.0)


def test_what_does_not_fit_goes_to_the_host_and_the_reason_says_so() -> None:
    placement, _ = place(PROCESS, machine_of(machine(gpu(0, 4)), live=False))
    assert placement.verdict is Verdict.OFFLOAD
    assert 0 < placement.n_gpu_layers < 33
    assert f"{placement.n_gpu_layers} of 33 layers" in placement.reason


def test_one_more_layer_would_not_have_fitted() -> None:
    where = machine_of(machine(gpu(0, 4)), live=False)
    best, _ = place(PROCESS, where)
    more, _ = place(PROCESS, where, best.n_gpu_layers + 1)
    assert more.verdict is Verdict.NO_FIT


def test_nothing_fits_names_the_shortage() -> None:
    placement, _ = place(PROCESS, machine_of(machine(ram_gib=2), live=False))
    assert placement.verdict is Verdict.NO_FIT
    assert "host" in placement.reason
    assert "short" in placement.reason


def test_a_fixed_number_of_layers_is_never_changed() -> None:
    placement, _ = place(PROCESS, machine_of(machine(gpu(0, 24)), live=False), 10)
    assert (placement.verdict, placement.n_gpu_layers) == (Verdict.OFFLOAD, 10)
    placement, _ = place(PROCESS, machine_of(machine(gpu(0, 24)), live=False), 999)
    assert (placement.verdict, placement.n_gpu_layers) == (Verdict.FITS, 33)
    placement, _ = place(PROCESS, machine_of(machine(gpu(0, 2)), live=False), 33)
    assert placement.verdict is Verdict.NO_FIT


def test_unified_memory_is_bounded_by_the_working_set_limit_not_by_the_ram() -> None:
    fits, memory = place(PROCESS, machine_of(machine(apple(16), ram_gib=16), live=False))
    assert fits.verdict is Verdict.FITS
    assert memory.devices[0].budget_bytes == 12 * GIB
    assert [row.device for row in memory.devices] == ["host"]
    tight, _ = place(PROCESS, machine_of(machine(apple(7), ram_gib=7), live=False))
    assert tight.n_gpu_layers == 0


def test_an_unusable_card_takes_nothing() -> None:
    import msgspec

    broken = msgspec.structs.replace(gpu(0, 24), usable=False, note="driver not loaded")
    placement, memory = place(PROCESS, machine_of(machine(broken), live=False))
    assert placement.n_gpu_layers == 0
    assert [row.device for row in memory.devices] == ["host"]


@given(
    sizes=st.lists(st.floats(0.5, 48), min_size=0, max_size=4),
    ram=st.floats(1, 64),
    extra=st.floats(0, 16),
)
def test_more_memory_never_fits_less(sizes: list[float], ram: float, extra: float) -> None:
    cards = [gpu(i, size) for i, size in enumerate(sizes)]
    grown = [gpu(i, size + extra) for i, size in enumerate(sizes)]
    before, _ = place(PROCESS, machine_of(machine(*cards, ram_gib=ram), live=False))
    after, memory = place(PROCESS, machine_of(machine(*grown, ram_gib=ram + extra), live=False))
    order = [Verdict.NO_FIT, Verdict.OFFLOAD, Verdict.FITS]
    assert order.index(after.verdict) >= order.index(before.verdict)
    if after.verdict is not Verdict.NO_FIT:
        assert all(row.total_bytes <= (row.budget_bytes or 0) for row in memory.devices)


def test_what_is_left_beside_a_process_is_what_it_did_not_take() -> None:
    where = machine_of(machine(gpu(0, 12)), live=False)
    _, memory = place(PROCESS, where)
    rest = where.less(memory)
    taken = {row.device: row.total_bytes for row in memory.devices}
    assert rest.gpus[0].budget_bytes == (where.gpus[0].budget_bytes or 0) - taken["gpu0"]
    assert rest.host.budget_bytes == (where.host.budget_bytes or 0) - taken["host"]


@pytest.mark.parametrize("live", [True, False])
def test_live_plans_with_what_is_free(live: bool) -> None:
    import msgspec

    busy = msgspec.structs.replace(gpu(0, 24), memory_free_bytes=3 * GIB, memory_budget_bytes=3 * GIB)
    budget = machine_of(machine(busy), live=live).gpus[0].budget_bytes
    assert budget == (3 if live else 24) * GIB


def test_memory_set_aside_for_a_shared_gpu_counts_although_the_host_does_not_have_it() -> None:
    chip = msgspec.structs.replace(apple(112), vendor=Vendor.AMD, backend=Backend.ROCM, memory_free_bytes=100 * GIB)
    where = machine(chip, ram_gib=30)
    assert machine_of(where, live=True).gpus[0].budget_bytes == min(chip.memory_budget_bytes or 0, 100 * GIB)
    unread = msgspec.structs.replace(chip, memory_free_bytes=None)
    assert machine_of(machine(unread, ram_gib=30), live=True).gpus[0].budget_bytes == 30 * GIB


_MOE_VARIANT = Variant(quant="Q4_K_M", artifacts=())
_MOE_TABLE = weights_of(make_model("moe", DEEPSEEK_V2_LITE, 15_706_484_224), _MOE_VARIANT)
MOE = ProcessMemory(DEEPSEEK_V2_LITE, _MOE_TABLE, Settings(context=8192))


def test_of_a_mixture_only_experts_go_to_the_host_where_that_makes_it_read_less() -> None:
    where = machine_of(machine(gpu(0, 6), ram_gib=64), live=False)
    placement, memory = place(MOE, where)
    assert placement.verdict is Verdict.OFFLOAD
    assert placement.n_gpu_layers == placement.n_layers
    assert 0 < placement.n_cpu_moe < 27
    assert f"experts of {placement.n_cpu_moe} on the host" in placement.reason
    fewer, _ = place(MOE, where, n_cpu_moe=placement.n_cpu_moe - 1)
    assert fewer.n_gpu_layers < fewer.n_layers
    assert memory.weights_bytes == _MOE_TABLE.tensor_bytes


def test_where_not_even_the_rest_fits_all_experts_and_some_layers_go() -> None:
    placement, memory = place(MOE, machine_of(machine(gpu(0, 1.4), ram_gib=64), live=False))
    assert placement.verdict is Verdict.OFFLOAD
    assert 0 < placement.n_gpu_layers < placement.n_layers
    assert placement.n_cpu_moe == 27
    assert memory.weights_bytes == _MOE_TABLE.tensor_bytes


def test_a_dense_model_has_no_experts_to_move() -> None:
    placement, _ = place(PROCESS, machine_of(machine(gpu(0, 4)), live=False), n_cpu_moe=5)
    assert placement.n_cpu_moe == 0


def test_experts_asked_to_the_host_go_there_although_they_would_fit() -> None:
    placement, memory = place(MOE, machine_of(machine(gpu(0, 80), ram_gib=64), live=False), n_cpu_moe=10)
    assert (placement.verdict, placement.n_cpu_moe) == (Verdict.OFFLOAD, 10)
    # The first layer is dense: nine layers' experts move.
    moved = sum(expert_bytes(DEEPSEEK_V2_LITE, _MOE_TABLE)[:10])
    assert memory.devices[1].weights_bytes == _MOE_TABLE.input_bytes + moved


@given(first=st.floats(1, 24), second=st.floats(1, 24), third=st.floats(1, 24))
def test_cards_of_any_sizes_take_as_many_layers_as_filling_them_one_after_another_does(
    first: float, second: float, third: float
) -> None:
    where = machine_of(machine(gpu(0, first), gpu(1, second), gpu(2, third), ram_gib=64), live=False)
    placement, memory = place(MOE, where, all_gpus=True)
    assert all(row.total_bytes <= (row.budget_bytes or 0) for row in memory.devices)
    room = sum(max(0.0, size - 1.5) for size in (first, second, third))
    if room > 14:
        assert placement.verdict is Verdict.FITS
