"""Where a model stands in pools of published scores. Figures of different pools are never compared."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from planner.core.models.model import Model, Score
from planner.core.scores.evals import Category
from planner.core.scores.quality import MTR_PREFIX, POOLS
from planner.core.scores.ranking import Ranking

_FIGURES = {
    "rag_average": "average",
    **{f"{category.value}_average": category.value for category in Category},
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a pool: MTR in percent (lower is better) and plain averages in percent, None where not given.

    `rank` among the `ranked` models with all scores, of the `models` with any; None where the pool is not at hand.
    """

    pool: str
    date: str
    source: str
    mtr_percent: float
    average: float | None
    averages: dict[str, float]
    rank: int | None
    ranked: int | None
    models: int | None


class Unranked(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that has some scores of a model, `scored` of `tasks`, and thus no rank."""

    pool: str
    date: str
    scored: int
    tasks: int


def standings(model: Model, rankings: Mapping[str, Ranking]) -> tuple[Standing, ...]:
    """A model's place in every pool its entry quotes, the most trusted first."""
    scores = {score.name: score for score in model.scores}
    found: list[Standing] = []
    for pool in _by_trust(pools_of(model)):
        score, ranking = scores[MTR_PREFIX + pool], rankings.get(pool)
        of_pool = {name: scores[f"{name}:{pool}"].value for name in _FIGURES if f"{name}:{pool}" in scores}
        row = None
        if ranking is not None:
            row = next((row for row in ranking.rows if row.identity.casefold() == model.id.casefold()), None)
        found.append(
            Standing(
                pool=pool,
                date=score.date,
                source=score.source,
                mtr_percent=score.value,
                average=of_pool.pop("rag_average", None),
                averages={_FIGURES[name]: value for name, value in of_pool.items()},
                rank=None if row is None else row.rank,
                ranked=None if ranking is None else len(ranking.rows),
                models=None if ranking is None else len(ranking.pool.models),
            )
        )
    return tuple(found)


def unranked(model: Model, rankings: Mapping[str, Ranking]) -> tuple[Unranked, ...]:
    """Pools with some scores of the model, too few for a rank."""
    return tuple(
        Unranked(pool=ranking.pool.name, date=ranking.pool.date, scored=item.scored, tasks=len(ranking.tasks))
        for ranking in rankings.values()
        for item in ranking.incomplete
        if item.identity.casefold() == model.id.casefold()
    )


def other_scores(model: Model) -> tuple[Score, ...]:
    """Published figures that are not those of a pool with a rank."""
    pools = set(pools_of(model))
    return tuple(score for score in model.scores if score.name.partition(":")[2] not in pools)


def pools_of(model: Model) -> tuple[str, ...]:
    """The pools in which the model has a mean task rank."""
    return tuple(score.name.removeprefix(MTR_PREFIX) for score in model.scores if score.name.startswith(MTR_PREFIX))


def shared_pool(models: Sequence[Model]) -> str | None:
    """The most trusted pool in which all of the models have a mean task rank."""
    shared = set.intersection(*(set(pools_of(model)) for model in models)) if models else set()
    return next(iter(_by_trust(shared)), None)


def _by_trust(pools: Iterable[str]) -> list[str]:
    order = {pool: index for index, pool in enumerate(POOLS)}
    return sorted(pools, key=lambda pool: (order.get(pool, len(order)), pool))
