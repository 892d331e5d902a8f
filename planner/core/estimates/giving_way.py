"""What gives way when a model does not fit, in an order that is chosen, and never what was fixed."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from planner.core.estimates.context_table import longest_context
from planner.core.estimates.estimator import weights_of
from planner.core.memory.estimate import Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, place
from planner.core.memory.workload import KvType, Settings
from planner.core.models.model import Model, Variant
from planner.core.models.weights import WeightTable

LEAST_CONTEXT = 2048
"""Tokens a slot below which a context is not shortened by itself."""
_KV_STEPS: tuple[KvType, ...] = ("q8_0", "q4_0")


class Way(StrEnum):
    """What can be taken less of; `layers` means that some stay on the host."""

    CONTEXT = "context"
    KV_TYPE = "kv-type"
    QUANT = "quant"
    LAYERS = "layers"


class Bent(msgspec.Struct, frozen=True):
    """What was asked for, bent until it fits: `steps` say what gave way, in words; none if nothing had to."""

    variant: Variant
    settings: Settings
    table: WeightTable
    steps: tuple[str, ...]


def give_way(
    model: Model,
    variant: Variant,
    settings: Settings,
    machine: Machine,
    *,
    order: Sequence[Way],
    variants: Iterable[Variant] = (),
    table: WeightTable | None = None,
) -> Bent:
    """Take less of one thing after another, the mildest step that helps, until everything fits where it should.

    `order` names what may give way, first things first; what it does not name stays. `variants` are the smaller
    files there are. With `layers`, or at the end, the placement puts on the host what does not fit. Where a thing
    alone does not help, its furthest step is taken and the next one has its turn.
    """
    bent = Bent(variant, settings, table or weights_of(model, variant), ())
    steps: dict[Way, Callable[[Bent], Iterable[Bent]]] = {
        Way.KV_TYPE: _smaller_cache,
        Way.CONTEXT: lambda now: _shorter_context(model, now, machine),
        Way.QUANT: lambda now: _smaller_files(model, now, variants),
    }
    for way in order:
        if way is Way.LAYERS or _fits(model, bent, machine):
            break
        for candidate in steps[way](bent):
            bent = candidate
            if _fits(model, bent, machine):
                break
    return bent


def _fits(model: Model, bent: Bent, machine: Machine) -> bool:
    assert model.architecture is not None, "weights_of refuses a model without one"
    process = ProcessMemory(model.architecture, bent.table, bent.settings)
    placement, _ = place(process, machine, bent.settings.n_gpu_layers, n_cpu_moe=bent.settings.n_cpu_moe)
    return placement.verdict is Verdict.FITS


def _smaller_cache(now: Bent) -> Iterable[Bent]:
    if not now.settings.flash_attention or now.settings.embedding:
        return
    sizes = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
    for kind in _KV_STEPS:
        if sizes.index(kind) > sizes.index(now.settings.kv_type_k):
            settings = msgspec.structs.replace(now.settings, kv_type_k=kind, kv_type_v=kind)
            yield _changed(now, f"cache {kind} instead of {now.settings.kv_type_k}", settings=settings)


def _shorter_context(model: Model, now: Bent, machine: Machine) -> Iterable[Bent]:
    slots = now.settings.parallel
    per_slot = now.settings.context // slots
    if per_slot <= LEAST_CONTEXT:
        return
    longest = longest_context(model, now.table, now.settings, machine, limit=per_slot)
    context = max(LEAST_CONTEXT * slots, longest or 0)
    settings = msgspec.structs.replace(now.settings, context=context)
    yield _changed(now, f"context {context} instead of {now.settings.context}", settings=settings)


def _smaller_files(model: Model, now: Bent, variants: Iterable[Variant]) -> Iterable[Bent]:
    tables = [(variant, weights_of(model, variant)) for variant in variants]
    for variant, table in sorted(tables, key=lambda pair: -pair[1].tensor_bytes):
        if table.tensor_bytes < now.table.tensor_bytes:
            step = f"{variant.quant} instead of {now.variant.quant}"
            yield msgspec.structs.replace(now, variant=variant, table=table, steps=(*now.steps, step))


def _changed(now: Bent, step: str, *, settings: Settings) -> Bent:
    return msgspec.structs.replace(now, settings=settings, steps=(*now.steps, step))
