"""How long a context a machine holds, and what a model takes by context and quant type."""

from collections.abc import Iterable

import msgspec

from planner.core.estimates.estimator import weights_of
from planner.core.memory.estimate import Memory, Placement, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, place
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Variant
from planner.core.models.weights import WeightTable

CONTEXTS = tuple(2**power for power in range(12, 21))
"""4,096 to 1,048,576 tokens: the columns of a table, up to what the model was trained on."""
_STEP = 256
"""llama.cpp rounds a slot's cells up to this many: smaller steps gain nothing."""


class Cell(msgspec.Struct, frozen=True):
    """A quant with a context on a machine."""

    context: int
    placement: Placement
    memory: Memory


class Row(msgspec.Struct, frozen=True):
    """A quant with every context. `longest` tokens fit with everything in its place, None if not even 256 do."""

    variant: Variant
    cells: tuple[Cell, ...]
    longest: int | None


def longest_context(
    model: Model, table: WeightTable, settings: Settings, machine: Machine, *, limit: int | None = None
) -> int | None:
    """The longest context for which nothing gives way, all slots together; None if there is none.

    A multiple of 256 a slot, or the limit. `limit` in tokens a slot, by default what the model was trained on. Other
    settings stay as they are.
    """
    slots = settings.parallel
    trained = limit or model.context_length

    def fits(per_slot: int) -> bool:
        return _place(model, table, settings, machine, per_slot * slots).placement.verdict is Verdict.FITS

    if fits(trained):
        return trained * slots
    low, high = 0, -(-trained // _STEP)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * _STEP) else (low, middle)
    return low * _STEP * slots or None


def context_table(
    model: Model, variants: Iterable[Variant], settings: Settings, machine: Machine
) -> tuple[tuple[int, ...], tuple[Row, ...]]:
    """The contexts, and a row for every quant. Raises NoResultError for a quant whose size is unknown."""
    contexts = (*(context for context in CONTEXTS if context < model.context_length), model.context_length)
    rows = []
    for variant in variants:
        table = weights_of(model, variant)
        cells = tuple(_place(model, table, settings, machine, context * settings.parallel) for context in contexts)
        rows.append(Row(variant, cells, longest_context(model, table, settings, machine)))
    return contexts, tuple(rows)


def _place(model: Model, table: WeightTable, settings: Settings, machine: Machine, context: int) -> Cell:
    assert model.architecture is not None, "weights_of refuses a model without one"
    changed = msgspec.structs.replace(settings, context=context)
    process = ProcessMemory(model.architecture, table, changed)
    placement, memory = place(process, machine, settings.n_gpu_layers, n_cpu_moe=settings.n_cpu_moe)
    return Cell(context, placement, memory)
