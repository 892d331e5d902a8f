"""How good a model is at its job, as a number in 0..1 with its evidence, and what quantisation takes away."""

import math

import msgspec

from planner.core.model import Model, Role
from planner.core.quants import perplexity_increase

MTR_PREFIX = "rag_mtr_percent:"
POOLS = ("results_2026-08-20", "board_2024-07-06")
"""Pools of MTEB scores in order of trust: maintained re-runs first, then the self-reported board."""

_UNRANKED = 0.40


class Quality(msgspec.Struct, frozen=True):
    """`score` in 0..1 for ranking; `evidence` says in words what it rests on; `figures` are the facts behind it."""

    score: float
    evidence: str
    figures: dict[str, float | str | None]


def quality(model: Model, quant: str) -> Quality:
    """Quality of a model in a quant type, for its role."""
    base = _retrieval(model) if model.role is not Role.GENERATION else _answers(model)
    loss = perplexity_increase(quant)
    return Quality(
        score=max(0.0, base.score - loss),
        evidence=base.evidence,
        figures={**base.figures, "quant_loss": round(loss, 4)},
    )


def _retrieval(model: Model) -> Quality:
    """RAG mean task rank over MTEB: the mean percent rank among a dated pool of models, lower is better."""
    scores = {score.name: score for score in model.scores}
    for pool in POOLS:
        score = scores.get(MTR_PREFIX + pool)
        if score is not None:
            return Quality(
                score=1.0 - score.value / 100.0,
                evidence=f"RAG mean task rank {score.value:.2f} % in pool {pool} (lower is better)",
                figures={"mtr_percent": score.value, "pool": pool, "date": score.date},
            )
    return Quality(
        score=_UNRANKED,
        evidence="unranked: no complete MTEB score set is published",
        figures={"mtr_percent": None, "pool": None, "date": None},
    )


def _answers(model: Model) -> Quality:
    """A prior, not a measurement: answers get better with the logarithm of the size, and with the years.

    Size is the geometric mean of total and active parameters (a rule of thumb for MoE); a year of progress counts
    as 1.4 times the size. 0.5 B scores about 0.1, 8 B about 0.5, 70 B about 0.8 (all of early 2024).
    """
    total = model.parameters or 0
    if not total:
        return Quality(score=0.0, evidence="size unknown", figures={"effective_parameters": None})
    size = math.sqrt(total * (model.active_parameters or total)) / 1e9
    years = _year(model.release_date) - 2024.0
    effective = size * 1.4 ** max(-2.0, years)
    return Quality(
        score=min(1.0, max(0.0, 0.2 + 0.1 * math.log2(max(effective, 0.05)))),
        evidence=f"a prior from size and age (as {effective:.1f} B dense of early 2024), no benchmark",
        figures={"effective_parameters": round(effective * 1e9)},
    )


def _year(date: str | None) -> float:
    """A date as a decimal year; unknown counts as early 2024."""
    try:
        year, month = (int(part) for part in (date or "").split("-")[:2])
    except ValueError:
        return 2024.0
    return year + (month - 1) / 12
