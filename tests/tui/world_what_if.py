"""Answers to what-if questions that never change: more memory is a better pair, less is none."""

import msgspec

from planner.core.memory.estimate import Seconds
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.tui.data.machine import Situation
from planner.tui.data.question import FieldError, Question, commands
from planner.tui.data.what_if import Answer
from planner.tui.problem import Problem
from tests.tui.world import PLANS, plan

GPUS = (
    ("GeForce RTX 3090", "24 GiB, 936 GB/s"),
    ("GeForce RTX 4090", "24 GiB, 1010 GB/s"),
    ("GeForce RTX 4090 Mobile", "16 GiB, 576 GB/s"),
    ("Apple M4 Max", "shares the host's memory, 546 GB/s"),
)


def rated(
    base: Recommendation, *, score: float, mtr: float, points: float, seconds: tuple[float, float]
) -> Recommendation:
    """A plan with qualities and times."""

    def with_quality(choice: Choice | None, quality: dict[str, float | str | None]) -> Choice | None:
        return None if choice is None else msgspec.structs.replace(choice, quality=quality)

    low, high = seconds
    return msgspec.structs.replace(
        base,
        score=score,
        embedding=with_quality(base.embedding, {"score": 1 - mtr / 100, "mtr_percent": mtr, "pool": "p"}),
        generation=with_quality(base.generation, {"score": points}),
        first_word_s=Seconds(low=low, mid=(low + high) / 2, high=high),
        indexing_s=Seconds(low=60 * low, mid=30 * (low + high), high=60 * high),
    )


HERE = rated(PLANS[0], score=71.2, mtr=20.95, points=0.55, seconds=(2.0, 6.0))
LARGER = (
    rated(
        plan(1, "acme/writer-32b-instruct-2026", 18.0, label="balanced", embedder="acme/finder-4b-v2"),
        score=84.6, mtr=8.88, points=0.74, seconds=(0.8, 2.4),
    ),
    rated(
        plan(2, "acme/writer-14b-instruct-2026", 9.0, label="fastest", embedder="acme/finder-4b-v2"),
        score=80.3, mtr=8.88, points=0.66, seconds=(0.5, 1.5),
    ),
    rated(plan(3, "acme/writer-1b", 1.0, label="smallest"), score=60.0, mtr=20.95, points=0.3, seconds=(0.2, 0.6)),
)  # fmt: skip


def answer(situation: Situation, question: Question) -> Answer:
    """The fixed answer; as the real one it refuses a GPU that nobody knows."""
    if question.gpu and question.gpu.removeprefix("2x ") not in dict(GPUS):
        raise FieldError("gpu", f"No device named “{question.gpu}” is known.", hint="Press enter for a list.")
    told = commands(question, whole_machine=question.gpu.startswith("Apple"))
    if question.vram in {"4", "6"}:
        nothing = Problem("Nothing fits: the smallest plan takes 9 GiB.", "Add memory.", "nothing-fits")
        return Answer(question, (), HERE, situation.hardware, told, nothing)
    plans = LARGER if question.described else (HERE, *PLANS[1:])
    return Answer(question, plans, HERE, situation.hardware, told)
