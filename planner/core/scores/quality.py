"""How good a model is at its job, as a number in 0..1 with its evidence, and what quantisation takes away.

Retrieval is the share of a pool that a model beats, answers are a place between the worst and the best rated model
(`planner.core.scores.answers`). A quant keeps a share of the score: the inverse of its perplexity ratio, and so the
share of the probability of the right next token that is left. It is measured on text generation; for embedding models
nobody published a table, so theirs is assumed to be the same.
"""

import msgspec

from planner.core.models.model import Model, Role, Score
from planner.core.models.quants import LossBasis, loss_basis, perplexity_increase
from planner.core.scores.answers import FAITHFUL, answers

MTR_PREFIX = "rag_mtr_percent:"
POOLS = ("results_2026-08-20", "board_2024-07-06")
"""Pools of MTEB scores in order of trust: maintained re-runs first, then the self-reported board."""

_UNRANKED = 0.40
_UNSEEN = 1e-3
"""A rise of perplexity that counts as none: it is less than a step of 0.1 of any score, Q8_0's among them."""


class Quality(msgspec.Struct, frozen=True):
    """`score` in 0..1 for ranking; `evidence` says in words what it rests on; `figures` are the facts behind it."""

    score: float
    evidence: str
    figures: dict[str, float | str | None]


def quality(model: Model, quant: str) -> Quality:
    """Quality of a model in a quant type, for its role.

    `quant_loss` among the figures is the relative rise of perplexity.
    """
    generating = model.role is Role.GENERATION
    base = _answers(model) if generating else _retrieval(model)
    loss = perplexity_increase(quant, model.parameters)
    basis = loss_basis(quant) if generating else LossBasis.ASSUMED
    score = quantised_score(base.score, quant, model.parameters)
    return Quality(
        score=score,
        evidence=base.evidence,
        figures={
            "score": round(score, 4),
            "evidence": base.evidence,
            **base.figures,
            "quant_loss": round(loss, 4),
            "quant_loss_basis": basis.value,
        },
    )


def base_score(model: Model) -> float:
    """The score of `quality` before quantisation takes its part: no quant's is higher."""
    if model.role is Role.GENERATION:
        found = answers(model)
        return 0.0 if found is None else found.score
    task_rank = _task_rank(model)
    return _UNRANKED if task_rank is None else _rank_score(task_rank[1])


def quantised_score(base: float, quant: str, parameters: int | None) -> float:
    """What a quant type leaves of a `base_score`."""
    loss = perplexity_increase(quant, parameters)
    return base if loss < _UNSEEN else base / (1.0 + loss)


def _task_rank(model: Model) -> tuple[str, Score] | None:
    """The pool that is trusted most of those that rank the model, and its score there."""
    scores = {score.name: score for score in model.scores}
    return next(((pool, scores[name]) for pool in POOLS if (name := MTR_PREFIX + pool) in scores), None)


def _rank_score(task_rank: Score) -> float:
    return 1.0 - task_rank.value / 100.0


def _retrieval(model: Model) -> Quality:
    """RAG mean task rank over MTEB: the mean percent rank among a dated pool of models, lower is better."""
    task_rank = _task_rank(model)
    if task_rank is not None:
        pool, score = task_rank
        return Quality(
            score=_rank_score(score),
            evidence=f"RAG mean task rank {score.value:.2f} % in pool {pool} (lower is better)",
            figures={"mtr_percent": score.value, "pool": pool, "date": score.date},
        )
    return Quality(
        score=_UNRANKED,
        evidence="unranked: no complete MTEB score set is published",
        figures={"mtr_percent": None, "pool": None, "date": None},
    )


def _answers(model: Model) -> Quality:
    """Where the answers stand between the worst and the best rated model, by the lower end of what is known."""
    found = answers(model)
    if found is None:
        return Quality(score=0.0, evidence="size unknown", figures={"grade": None})
    faithful = next((score for score in model.scores if score.name.startswith(FAITHFUL)), None)
    evidence = f"answers, grade {found.grade}: {found.basis} ({found.benchmark}, {found.date})"
    if faithful is not None:
        evidence += f"; {faithful.value:.1f} % of its summaries keep to the text (Vectara, {faithful.date})"
    return Quality(
        score=found.score,
        evidence=evidence,
        figures={
            "grade": found.grade.value,
            "benchmark": found.benchmark,
            "value": found.value,
            "points": round(found.points, 1),
            "points_low": round(found.low, 1),
            "date": found.date,
            "source": found.source,
            "faithful_percent": None if faithful is None else faithful.value,
        },
    )
