"""A small search with a known outcome: three questions, nine passages, and one right passage for each question.

The passages of a question's own subject are near it too, and other words than the question's carry the answer: a
model whose pooling or prompts are wrong mixes them up, however well-formed its vectors are.
"""

import math
from collections.abc import Sequence

import msgspec

PASSAGES = (
    "Honey keeps for years because it holds so little water that bacteria cannot live in it.",
    "Bees tell each other where flowers are by a dance on the comb.",
    "A hive of bees needs about fifteen kilograms of stores to get through the winter.",
    "The night train to Vienna leaves from platform seven at a quarter past nine.",
    "A lost suitcase is kept at the station's counter for thirty days.",
    "Bicycles travel free of charge on regional lines after nine in the morning.",
    "Rust forms when iron meets oxygen and moisture; a coat of paint keeps both away.",
    "Copper roofs turn green over decades as the metal reacts with the air.",
    "Aluminium is won from bauxite by electrolysis, which takes a great deal of power.",
)
QUESTIONS = (
    ("Why does honey not go bad?", 0),
    ("What happens to luggage that somebody left behind?", 4),
    ("How can I stop a steel gate from corroding?", 6),
)


class Found(msgspec.Struct, frozen=True):
    """One question: which passage came first, whether it is the right one, and by how much it won or lost.

    `margin` is the cosine of the right passage less that of the best other one.
    """

    question: str
    first: int
    right: bool
    margin: float


def judge(questions: Sequence[Sequence[float]], passages: Sequence[Sequence[float]]) -> tuple[Found, ...]:
    """What vectors of QUESTIONS and PASSAGES, in their order, find."""
    found: list[Found] = []
    for (question, wanted), vector in zip(QUESTIONS, questions, strict=True):
        scores = [cosine(vector, passage) for passage in passages]
        best_other = max(score for index, score in enumerate(scores) if index != wanted)
        margin = scores[wanted] - best_other
        found.append(Found(question, scores.index(max(scores)), right=margin > 0, margin=margin))
    return tuple(found)


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of the angle between two vectors of one length; 0 when one of them is zero."""
    product = sum(x * y for x, y in zip(a, b, strict=True))
    norms = math.hypot(*a) * math.hypot(*b)
    return product / norms if norms else 0.0
