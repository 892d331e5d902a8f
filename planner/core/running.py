"""A model, or an embedder and a generator together, on some machine: the question and the answer, as values."""

import msgspec

from planner.core.cost import Speeds
from planner.core.estimate import Estimate, Verdict
from planner.core.model import Model, Variant


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is to run: models with their quants, at most one of a role, and tokens of context for each slot."""

    models: tuple[tuple[Model, Variant], ...]
    context: int | None = None
    parallel: int = 1


class Running(msgspec.Struct, frozen=True):
    """The load on a machine: how each model sits, the worst of the verdicts, and speeds."""

    estimates: tuple[Estimate, ...]
    verdict: Verdict
    speeds: Speeds
