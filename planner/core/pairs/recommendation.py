"""A recommendation: a choice per role, the memory they take together, and why. Value types only."""

import msgspec

from planner.core.memory.estimate import Estimate, Seconds
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Variant
from planner.core.pairs.score import Terms


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a recommendation, with the settings its estimate was made for.

    `quality` holds named figures, e.g. `{"mtr_percent": 13.9, "pool": …}`.
    """

    model: Model
    variant: Variant
    settings: Settings
    estimate: Estimate
    quality: dict[str, float | str | None] = {}


class BudgetUse(msgspec.Struct, frozen=True):
    """Bytes of one device: what all processes take and what may be taken."""

    device: str
    total_bytes: int
    budget_bytes: int | None


class MemoryPlan(msgspec.Struct, frozen=True):
    """All processes together against the budget (after the comfort margin)."""

    total_bytes: int
    budget_bytes: int
    headroom_bytes: int
    devices: tuple[BudgetUse, ...]


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One plan. `score` in 0..100 is comparable across budgets: it does not look at unused memory.

    `terms` are what it is the weighted sum of. `relatives` are the models that were folded into this one: variants of
    its family of the same size. `changes` say what would make another plan possible. `indexing_s` is the time to
    index all documents, `first_word_s` the wait for an answer's first word after a prompt with all chunks.
    """

    rank: int
    label: str
    embedding: Choice | None
    generation: Choice | None
    reranker: Choice | None = None
    memory: MemoryPlan
    score: float
    terms: Terms | None = None
    relatives: tuple[str, ...] = ()
    reasons: tuple[str, ...]
    changes: tuple[str, ...] = ()
    indexing_s: Seconds | None = None
    first_word_s: Seconds | None = None
    warnings: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The choices there are, embedder first."""
        return tuple(c for c in (self.embedding, self.generation, self.reranker) if c is not None)
