"""The objective of a recommendation: named terms in 0..1 (speed may fall below 0), weighted by what is preferred.

Nothing here looks at unused memory, so a plan scores the same on a larger machine, and more memory never lowers
the best score. Speed counts against what people use it for: answers faster than reading gain nothing more. Like
quality, it counts by the lower end of its 80 % interval, so that a plan never wins by being unknown.
"""

import math

import msgspec

from planner.core.memory.estimate import Rate
from planner.core.memory.workload import Prefer, Workload


class Terms(msgspec.Struct, frozen=True):
    """Retrieval and answer quality, speed of answers and of indexing, room for context."""

    retrieval: float = 0.0
    answers: float = 0.0
    generation_speed: float = 0.0
    indexing_speed: float = 0.0
    context: float = 0.0


WEIGHTS: dict[Prefer, Terms] = {
    "balanced": Terms(retrieval=0.25, answers=0.35, generation_speed=0.20, indexing_speed=0.10, context=0.10),
    "quality": Terms(retrieval=0.33, answers=0.50, generation_speed=0.05, indexing_speed=0.02, context=0.10),
    "speed": Terms(retrieval=0.15, answers=0.20, generation_speed=0.45, indexing_speed=0.15, context=0.05),
}

READING_TOKENS_PER_S = 5.0
"""Reading, at about 225 words a minute (three words are four tokens); below it, every word is waited for."""
COMFORT_TOKENS_PER_S = 20.0
"""900 words a minute: faster than anyone reads."""
SOON_S, LATE_S = 5.0, 120.0
"""Waiting for the first word of an answer: a moment, and longer than people stay."""
RERANKED = 4
"""Chunks that are found and reranked for every one that is kept."""
INDEXED_SOON_S, INDEXED_LATE_S = 600.0, 28_800.0
"""Indexing all documents: ten minutes, and a night (eight hours)."""


class Target:
    """What counts as slow and as fast, in tokens per second."""

    def __init__(self, slow: float, fast: float) -> None:
        self.slow = slow
        self.fast = fast
        self._span = math.log(fast / slow)

    def value(self, tokens_per_s: float) -> float:
        """Logarithmic between `slow` (0) and `fast` (1), down to -1 below."""
        return max(-1.0, min(1.0, math.log(tokens_per_s / self.slow) / self._span))

    def term(self, rate: Rate | None) -> float:
        """The `value` of the low end of a rate; an unknown one counts as a slow one."""
        return -0.5 if rate is None or rate.low <= 0 else self.value(rate.low)


def reading_target(prefer: Prefer) -> Target:
    """Answers: someone who prefers speed gains up to four times comfort."""
    return Target(READING_TOKENS_PER_S, COMFORT_TOKENS_PER_S * (4 if prefer == "speed" else 1))


def prompt_target(workload: Workload) -> Target:
    """Processing of a prompt with the retrieved chunks."""
    return Target(workload.prompt_tokens / LATE_S, workload.prompt_tokens / SOON_S)


def indexing_target(workload: Workload) -> Target:
    """Indexing of all documents."""
    return Target(workload.corpus_tokens / INDEXED_LATE_S, workload.corpus_tokens / INDEXED_SOON_S)


def answering(reading: float, prompt: float) -> float:
    """The speed of answers from that of the words as they come and that of the first: half each."""
    return (reading + prompt) / 2


def generation_speed_term(tg: Rate | None, pp: Rate | None, workload: Workload) -> float:
    """Answers against reading speed, and the wait for their first word: a prompt of retrieved text is long."""
    return answering(reading_target(workload.prefer).term(tg), prompt_target(workload).term(pp))


def indexing_speed_term(rate: Rate | None, workload: Workload) -> float:
    """The time that the embedder takes for all documents."""
    return indexing_target(workload).term(rate)


def context_term(context: int, needed: int) -> float:
    """1 from four times the need on, 0.6 at the need itself, falling to 0 at a quarter of it."""
    ratio = math.log2(max(context, 1) / max(needed, 1))
    if ratio >= 0:
        return min(1.0, 0.6 + 0.2 * ratio)
    return max(0.0, 0.6 + 0.3 * ratio)


def weighted(terms: Terms, prefer: Prefer) -> float:
    """The weighted sum of terms; sums of parts are the sum of the whole."""
    weights = WEIGHTS[prefer]
    return (
        weights.retrieval * terms.retrieval
        + weights.answers * terms.answers
        + weights.generation_speed * terms.generation_speed
        + weights.indexing_speed * terms.indexing_speed
        + weights.context * terms.context
    )


def combine(terms: Terms, prefer: Prefer) -> float:
    """The score in 0..100, in steps of 0.1: nothing that goes into it is known better."""
    return round(100.0 * max(0.0, weighted(terms, prefer)), 1)
