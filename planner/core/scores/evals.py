"""Published scores of embedding models: a pool is one dated source, and a model never mixes sources.

These types are the schema of `catalog/evals/*.json`: unknown fields are refused where a file is read.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from planner.core.models.model import Name

Points = Annotated[float, msgspec.Meta(ge=-100, le=100)]
"""A score in percent. A random encoder has negative correlations."""


class Category(StrEnum):
    """What a dataset tests; those of MTEB that resemble retrieval for answers."""

    CLUSTERING = "clustering"
    RERANKING = "reranking"
    RETRIEVAL = "retrieval"
    STS = "sts"


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset with its category and the metric of its scores."""

    name: Name
    category: Category
    metric: Name


class ModelScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of a pool as the source spells it, with a score for every task in the pool's order; None is missing.

    `id` is the Hub id, where the source does not use it as the name and it is known.
    """

    name: Name
    scores: tuple[Points | None, ...]
    id: Name | None = None

    @property
    def identity(self) -> str:
        """The Hub id as far as it is known, else the source's name."""
        return self.id or self.name


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One dated source of scores: every model on it, complete or not, because every one counts in the ranks."""

    name: str
    date: str
    benchmark: str
    source: str
    licence: str
    tasks: tuple[Task, ...]
    models: tuple[ModelScores, ...]
    notes: tuple[str, ...] = ()
