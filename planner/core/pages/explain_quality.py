"""Where a model's quality figure comes from: its source and its date, and what it means, for people."""

from collections.abc import Iterator, Sequence

from planner.core.models.model import Model, Role, Score
from planner.core.scores.answers import (
    ARENA,
    BEST,
    FAITHFUL,
    FAMILY,
    FAMILY_LOW,
    FITTED_BY,
    OPEN_LLM,
    RATING,
    RATING_LOW,
    REPORTED,
    WORST,
    Z80,
    Answers,
    Grade,
    answers,
)
from planner.core.scores.quality import MTR_PREFIX, POOLS, quality
from planner.core.scores.standing import Standing, other_scores, pools_of

_GRADES = {
    Grade.A: "a benchmark of this very model, in one harness for all",
    Grade.B: "the publisher's own report",
    Grade.C: "rated models of its family, with its size and age",
    Grade.D: "its size and age alone: no benchmark of it or of its family",
}
_BASIS = {
    "measured": "measured on Llama-3-8B with llama.cpp and carried over",
    "interpolated": "between measured types of Llama-3-8B (llama.cpp)",
    "assumed": "assumed: no such table exists for this kind of model or type",
}
_TOLD = (RATING, RATING_LOW, FAMILY, FAMILY_LOW)
"""Scores that the grade's own lines tell."""
_NAMES = {
    OPEN_LLM: "average of Open LLM Leaderboard 2 in percent",
    REPORTED: "MMLU-Pro in percent, as its publisher reports it",
    FAITHFUL: "percent of summaries that keep to the text",
}


def explain_quality(model: Model, quant: str, standings: Sequence[Standing] = ()) -> tuple[str, ...]:
    """Sentences: the figure, what it rests on, its date and source, and what the quant takes away.

    `standings` say the rank within each pool where the pools were read; without them the entry's own figures do.
    """
    lines = list(_answers(model) if model.role is Role.GENERATION else _retrieval(model, standings))
    found = quality(model, quant)
    loss, basis = found.figures["quant_loss"], found.figures["quant_loss_basis"]
    if isinstance(loss, float):
        where = _BASIS.get(str(basis), "")
        lines.append(f"{quant} raises perplexity by {100 * loss:.2g} % over F16 ({where}).")
    lines.append(f"Together: {100 * found.score:.0f} of 100.")
    return tuple(lines)


def _retrieval(model: Model, standings: Sequence[Standing]) -> Iterator[str]:
    ranks = {item.pool: item for item in standings}
    pools = sorted(pools_of(model), key=lambda pool: POOLS.index(pool) if pool in POOLS else len(POOLS))
    if not pools:
        yield "No mean task rank: no pool has all of its scores. That says nothing about how good it is."
        yield f"Where a figure is needed it counts as {100 * quality(model, 'F16').score:.0f} of 100."
    for pool in pools:
        score = next(score for score in model.scores if score.name == MTR_PREFIX + pool)
        item = ranks.get(pool)
        place = "" if item is None or item.rank is None else f", rank {item.rank} of {item.ranked}"
        yield f"MTR {score.value:.2f} % in pool {pool}{place}."
        yield f"  date {score.date}; source {score.source}"
    if pools:
        yield (
            "MTR is the mean task rank: on every task of MTEB that matters for RAG the rank among all models scored "
            "there, in percent; the mean over the tasks. Lower is better, and pools cannot be compared."
        )
        yield f"As a score: 100 - MTR of the most trusted pool, {pools[0]}."
    yield from _others(model)


def _others(model: Model) -> Iterator[str]:
    for words, score in published(model):
        yield f"Also published: {words}: {score.value:g}."
        yield f"  date {score.date}; source {score.source}"


def published(model: Model) -> tuple[tuple[str, Score], ...]:
    """Figures beside those that a rank or a grade rests on, with what they are in words."""
    named = [(score.name.partition(":")[0] + ":", score) for score in other_scores(model)]
    return tuple((_NAMES.get(name, score.name), score) for name, score in named if name not in _TOLD)


def _answers(model: Model) -> Iterator[str]:
    found = answers(model)
    if found is None:
        yield "Nothing is known: neither a benchmark nor the size."
        return
    yield f"Grade {found.grade}: {_GRADES[found.grade]}."
    if found.value is not None:
        unit = "" if found.benchmark == ARENA else " %"
        yield f"{found.benchmark}: {found.value:g}{unit}."
    yield f"  date {found.date}; source {found.source}"
    yield from _points(found)
    yield from _others(model)


def _points(found: Answers) -> Iterator[str]:
    yield f"On the scale of {ARENA}: {found.points:.0f} ± {Z80 * found.error:.0f} points (80 %)."
    yield (
        f"As a score: the lower end, {found.low:.0f}, between the worst rated model ({WORST:.0f}) and the best "
        f"({BEST:.0f}): {100 * found.score:.0f} of 100. 400 points are odds of ten to one."
    )
    if found.source == FITTED_BY or found.benchmark != ARENA:
        yield f"The translation is fitted: {FITTED_BY}."
