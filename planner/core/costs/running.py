"""A model, or an embedder and a generator together, on some machine: the question and the answer, as values."""

import msgspec

from planner.core.costs.cost import Speeds
from planner.core.memory.estimate import Estimate, Verdict
from planner.core.memory.workload import KvType, Settings
from planner.core.models.model import Model, Variant


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run: models with their quants, at most one of a role, and tokens of context for each slot.

    `settings` are what each is started with, in the order of `models`; empty: the usual ones for the other fields.
    """

    models: tuple[tuple[Model, Variant], ...]
    context: int | None = None
    parallel: int = 1
    kv_type: KvType = "f16"
    settings: tuple[Settings, ...] = ()


class Running(msgspec.Struct, frozen=True):
    """The load on a machine: how each model sits, the worst of the verdicts, and speeds."""

    estimates: tuple[Estimate, ...]
    verdict: Verdict
    speeds: Speeds
