"""What gives way, in the order that was chosen, and how long a context fits."""

import msgspec
import pytest

from planner.core.estimates.context_table import context_table, longest_context
from planner.core.estimates.estimator import weights_of
from planner.core.estimates.giving_way import LEAST_CONTEXT, Bent, Way, give_way
from planner.core.memory.estimate import Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, machine_of, place
from planner.core.memory.workload import Settings
from tests.core.shapes import LLAMA_8B, gpu, machine, make_model

MODEL = make_model(
    "llama", LLAMA_8B, 8_030_261_248, quants={"Q8_0": 8_540_775_840, "Q4_K_M": 4_920_739_232}, context=131_072
)
LARGE, SMALL = MODEL.variants
WANTED = Settings(context=65_536)


def card(gib: float) -> Machine:
    return machine_of(machine(gpu(0, gib), ram_gib=64), live=False)


def bent(gib: float, *order: Way, settings: Settings = WANTED) -> Bent:
    return give_way(MODEL, LARGE, settings, card(gib), order=order, variants=MODEL.variants)


def verdict(found: Bent, gib: float) -> Verdict:
    return place(ProcessMemory(LLAMA_8B, found.table, found.settings), card(gib))[0].verdict


def test_nothing_gives_way_where_everything_fits() -> None:
    assert bent(48, Way.QUANT, Way.CONTEXT, Way.KV_TYPE).steps == ()


@pytest.mark.parametrize(
    ("order", "step"),
    [
        ((Way.KV_TYPE, Way.CONTEXT), "cache q8_0 instead of f16"),
        ((Way.QUANT, Way.CONTEXT), "Q4_K_M instead of Q8_0"),
        ((Way.CONTEXT, Way.QUANT), "context 4"),
    ],
)
def test_the_first_thing_named_gives_way_first_and_no_more_than_needed(order: tuple[Way, ...], step: str) -> None:
    found = bent(14, *order)
    assert len(found.steps) == 1
    assert found.steps[0].startswith(step)
    assert verdict(found, 14) is Verdict.FITS


def test_what_is_not_named_stays() -> None:
    found = bent(8, Way.QUANT)
    assert found.settings == WANTED
    found = bent(8, Way.CONTEXT)
    assert (found.variant, found.settings.kv_type_k) == (LARGE, "f16")
    assert found.settings.context == LEAST_CONTEXT


def test_where_one_thing_does_not_help_the_next_has_its_turn() -> None:
    found = bent(6.5, Way.KV_TYPE, Way.QUANT, Way.CONTEXT)
    assert [step.split()[0] for step in found.steps] == ["cache", "Q4_K_M", "context"]
    assert verdict(found, 6.5) is Verdict.FITS


def test_after_layers_nothing_else_gives_way() -> None:
    assert bent(8, Way.LAYERS, Way.QUANT).steps == ()


def test_a_cache_that_cannot_be_coarser_stays() -> None:
    plain = msgspec.structs.replace(WANTED, flash_attention=False)
    assert bent(9, Way.KV_TYPE, settings=plain).settings == plain


@pytest.mark.parametrize("gib", [7, 8, 10, 12])
@pytest.mark.parametrize("parallel", [1, 3])
def test_the_longest_context_fits_and_one_step_more_does_not(gib: float, parallel: int) -> None:
    table = weights_of(MODEL, SMALL)
    settings = Settings(context=4096, parallel=parallel)
    longest = longest_context(MODEL, table, settings, card(gib))
    assert longest is not None
    assert longest % (256 * parallel) == 0

    def fits(context: int) -> bool:
        process = ProcessMemory(LLAMA_8B, table, msgspec.structs.replace(settings, context=context))
        return place(process, card(gib))[0].verdict is Verdict.FITS

    assert fits(longest)
    assert not fits(longest + 256 * parallel)


def test_there_is_no_longest_context_where_the_weights_alone_are_too_large() -> None:
    assert longest_context(MODEL, weights_of(MODEL, LARGE), WANTED, card(4)) is None
    trained = longest_context(MODEL, weights_of(MODEL, SMALL), WANTED, card(80))
    assert trained == MODEL.context_length


def test_the_table_grows_along_its_rows_and_ends_at_the_trained_context() -> None:
    contexts, rows = context_table(MODEL, MODEL.variants, WANTED, card(12))
    assert contexts[-1] == MODEL.context_length
    assert [row.variant.quant for row in rows] == ["Q8_0", "Q4_K_M"]
    for row in rows:
        sizes = [cell.memory.total_bytes for cell in row.cells]
        assert sizes == sorted(sizes)
        fitting = [cell.context for cell in row.cells if cell.placement.verdict is Verdict.FITS]
        assert max(fitting, default=0) <= (row.longest or 0)
