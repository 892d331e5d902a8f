"""The best quant of a model on a machine, for a list of models."""

import msgspec

from planner.core.fits.model_fit import fitted
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Role
from planner.units import GIB
from tests.core.shapes import LLAMA_8B, gpu, machine, make_model

WRITER = make_model(
    "writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000, "Q8_0": 8_540_000_000}, context=131072
)


def test_the_best_quant_that_runs_is_shown_with_the_context_that_stays_whole() -> None:
    best = fitted(WRITER, machine(gpu(0, 8.0), ram_gib=32))
    assert best is not None
    assert (best.fit.variant.quant, best.fit.verdict) == ("Q4_K_M", Verdict.FITS)
    assert best.usable_context is not None
    assert 8192 <= best.usable_context < 131072


def test_what_runs_nowhere_is_shown_by_its_smallest_quant() -> None:
    found = fitted(WRITER, machine(ram_gib=2))
    assert found is not None
    assert (found.fit.variant.quant, found.fit.verdict) == ("Q4_K_M", Verdict.NO_FIT)
    assert found.usable_context is None
    assert found.fit.estimate.memory.total_bytes > 4 * GIB


def test_nothing_is_said_of_what_cannot_be_run_has_no_file_or_no_known_size() -> None:
    here = machine(gpu(0, 24.0))
    assert fitted(msgspec.structs.replace(WRITER, deployable=False), here) is None
    assert fitted(msgspec.structs.replace(WRITER, variants=(), gguf_repos=()), here) is None
    assert fitted(msgspec.structs.replace(WRITER, architecture=None, role=Role.GENERATION), here) is None
