"""A reranker beside a pair: placed last, in what the pair leaves, so that it never costs the pair anything."""

from collections.abc import Callable, Iterable

from planner.core.memory.placement import Machine
from planner.core.memory.workload import Workload
from planner.core.pairs.candidates import Candidate
from planner.core.pairs.plans import Plan, Rated
from planner.core.pairs.score import RERANKED, SOON_S


def rerank_tokens(workload: Workload) -> int:
    """Tokens that a reranker reads for one question."""
    return RERANKED * workload.chunks * workload.chunk_tokens


def reranker_beside(
    plan: Plan,
    candidates: Iterable[Candidate],
    machine: Machine,
    workload: Workload,
    rate: Callable[[Candidate, Machine], Rated | None],
) -> Rated | None:
    """The largest reranker that reads all found chunks in a moment, in its best file; else the fastest one.

    Larger counts as better, because no scores are published that could be compared. None when none runs beside the
    pair, or none may be fetched. `rate` says how a candidate would run on what is left of a machine.
    """
    left = machine
    for each in plan:
        left = left.less(each.memory)
    fetched = sum(each.candidate.variant.file_bytes or 0 for each in plan)
    limit = workload.max_download_bytes
    best: tuple[tuple[float, ...], Rated] | None = None
    for candidate in candidates:
        size = candidate.variant.file_bytes
        if limit is not None and (size is None or fetched + size > limit):
            continue
        rated = rate(candidate, left)
        if rated is None:
            continue
        speed = rated.rate.low if rated.rate else 0.0
        soon = speed * SOON_S >= rerank_tokens(workload)
        size_or_speed = float(candidate.model.parameters or 0) if soon else speed
        value = (float(soon), size_or_speed, candidate.file.score, -float(rated.memory.total_bytes))
        if best is None or value > best[0]:
            best = value, rated
    return None if best is None else best[1]
