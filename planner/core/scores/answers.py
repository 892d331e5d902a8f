"""How good a generation model's answers are, in rating points, and how well that is known.

The scale is that of LMArena's text ratings of 2025-12-11: people compare two answers without knowing whose they are,
and 400 points are odds of ten to one. Other benchmarks are translated to it by lines fitted on the models that have
both. What has no benchmark is guessed from size and age, by a curve fitted on the rated models:

    points = LEVEL - SIZE · (parameters / 10^9)^-POWER + PER_YEAR · (years since 2025)

All weights count, also those of a mixture's experts that rest: active ones alone fit worse. A family's rated models
correct the guess for the others (a random effect: the mean of their residuals, shrunk by how few they are). Every
constant here is printed by `python benchmarks/answer_quality.py` from catalog/evals/answers_*.json, with its
cross-validated error, and a test holds them to it.
"""

import functools
import math
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from planner.core.models.model import Model, Role, Score

DATE = "2025-12-11"
ARENA = "LMArena text"
FITTED_BY = "benchmarks/answer_quality.py"
WORST, BEST = 957.2, 1492.0
"""Points of the worst and the best rated model of the table."""
Z80, Z95 = 1.2816, 1.96
"""Standard errors from the middle to the ends of an interval of 80 % and of 95 %."""


class Grade(StrEnum):
    """What a figure rests on.

    A: a benchmark of this very model, in one harness for all. B: its publisher's own report. C: rated models of its
    family. D: its size and age alone.
    """

    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Line(msgspec.Struct, frozen=True):
    """points = `intercept` + `slope` · value + `per_year` · (years since 2025), ± `error` (cross-validated).

    For values from `low` to `high`. Years count, because newer models please more at equal benchmarks.
    """

    intercept: float
    slope: float
    per_year: float
    error: float
    low: float
    high: float


class Answers(msgspec.Struct, frozen=True):
    """`points` ± `error` (one standard error), and where they come from.

    `value` is the benchmark's own figure, None where there is none; `source` says where it was read.
    """

    grade: Grade
    points: float
    error: float
    benchmark: str
    date: str
    source: str
    value: float | None = None

    @property
    def low(self) -> float:
        """Lower end of the 80 % interval in points."""
        return self.points - Z80 * self.error

    @property
    def score(self) -> float:
        """0 to 1 from the worst to the best of the table, by the lower end: not knowing never makes a model win.

        The same interval that speeds have. Points are logarithms of odds, so equal steps mean equal odds.
        """
        return min(1.0, max(0.0, (self.low - WORST) / (BEST - WORST)))

    @property
    def basis(self) -> str:
        """What the points rest on, in words."""
        points = f"{self.points:.0f} ± {Z80 * self.error:.0f} LMArena points"
        if self.grade is Grade.D:
            return f"{points}, guessed from size and age alone, no benchmark"
        if self.grade is Grade.C or self.value is None:
            return f"{points} from size, age and {self.source}"
        if self.benchmark == ARENA:
            return f"people rate it {self.value:.0f}, of {WORST:.0f} to {BEST:.0f}"
        whose = "by its publisher's own account" if self.grade is Grade.B else "on average"
        return f"{self.value:.1f} % {whose}, worth {points}"


RATING, RATING_LOW = "answers_rating:", "answers_rating_low:"
OPEN_LLM, REPORTED, FAITHFUL = "answers_average:", "answers_mmlu_pro:", "answers_faithful:"
FAMILY, FAMILY_LOW = "answers_family:", "answers_family_low:"
"""Beginnings of the names of scores; a table's name follows. `_low` is the lower end of the source's interval (95 %),
of ours (80 %) for a family."""

LINES: dict[str, Line] = {
    OPEN_LLM: Line(intercept=1090.0, slope=4.64, per_year=25.0, error=31.4, low=7.49, high=47.98),
    REPORTED: Line(intercept=1159.0, slope=2.35, per_year=74.0, error=31.8, low=43.6, high=85.0),
}

LEVEL, SIZE, POWER, PER_YEAR = 1386.0, 252.0, 0.3, 107.0
WITHIN, BETWEEN = 20.0, 25.0
"""Standard deviation of residuals within a family, and of the families' means."""
ALONE = math.hypot(WITHIN, BETWEEN)
"""Error of the curve for a model of a family that nobody rated."""
OLDEST, NEWEST = "2023-09-01", "2025-09-29"
"""Releases that the curve was fitted on; a later one counts as the newest, an unknown one as the oldest."""


def answers(model: Model) -> Answers | None:
    """What is known of a generation model's answers, by the best evidence; None when not even its size is known."""
    scores = {score.name.partition(":")[0] + ":": score for score in model.scores}
    rating, low = scores.get(RATING), scores.get(RATING_LOW)
    if rating is not None:
        error = 0.0 if low is None else (rating.value - low.value) / Z95
        return Answers(Grade.A, rating.value, error, ARENA, rating.date, rating.source, rating.value)
    for name, grade, benchmark in (
        (OPEN_LLM, Grade.A, "Open LLM Leaderboard 2"),
        (REPORTED, Grade.B, "MMLU-Pro"),
    ):
        score, line = scores.get(name), LINES[name]
        if score is not None and line.low <= score.value <= line.high:
            points = line.intercept + line.slope * score.value + line.per_year * _years(model.release_date)
            return Answers(grade, points, line.error, benchmark, score.date, score.source, score.value)
    family, low = scores.get(FAMILY), scores.get(FAMILY_LOW)
    if family is not None and low is not None:
        error = (family.value - low.value) / Z80
        return Answers(Grade.C, family.value, error, ARENA, family.date, family.source)
    alone = guess(model.parameters, model.release_date)
    return None if alone is None else Answers(Grade.D, alone, ALONE, ARENA, DATE, FITTED_BY)


def guess(parameters: int | None, released: str | None) -> float | None:
    """Points by size and age alone; None for an unknown size."""
    if not parameters:
        return None
    return LEVEL - SIZE * math.pow(parameters / 1e9, -POWER) + PER_YEAR * _years(released)


def _years(released: str | None) -> float:
    """Years from the start of 2025 to a release, within those of the models that were fitted on."""
    return decimal_year(min(max(released or OLDEST, OLDEST), NEWEST)) - 2025.0


@functools.lru_cache(maxsize=4096)
def decimal_year(date: str) -> float:
    """`YYYY`, `YYYY-MM` or `YYYY-MM-DD` as a year with a fraction; a missing part counts as the first."""
    year, month, day = (int(part) for part in (*date.split("-"), "1", "1")[:3])
    return year + (month - 1) / 12 + (day - 1) / 365


def family_scores(models: Iterable[Model]) -> dict[str, tuple[Score, Score]]:
    """Scores FAMILY and FAMILY_LOW for generation models without a benchmark but with relatives that have one.

    Model id → the two scores. The correction is n / (n + WITHIN² / BETWEEN²) of the mean residual of n relatives, its
    variance that of the family's mean given n residuals, and WITHIN² for the model itself.
    """
    residuals: dict[str, list[float]] = {}
    unrated: list[tuple[Model, float]] = []
    for model in models:
        if model.role is not Role.GENERATION:
            continue
        points = guess(model.parameters, model.release_date)
        if points is None:
            continue
        known = answers(model) if model.scores else None
        if known is not None and known.grade is Grade.A:
            residuals.setdefault(model.family, []).append(known.points - points)
        elif known is None or known.grade is not Grade.B:
            unrated.append((model, points))
    return {
        model.id: _family(model.family, points, residuals[model.family])
        for model, points in unrated
        if model.family in residuals
    }


def _family(family: str, points: float, residuals: list[float]) -> tuple[Score, Score]:
    count = len(residuals)
    weight = count / (count + (WITHIN / BETWEEN) ** 2)
    points += weight * sum(residuals) / count
    low = points - Z80 * math.sqrt(WITHIN**2 + BETWEEN**2 * (1 - weight))
    source = f"{count} rated {'model' if count == 1 else 'models'} of its family"
    return (
        Score(name=FAMILY + family, value=round(points, 1), date=DATE, source=source),
        Score(name=FAMILY_LOW + family, value=round(low, 1), date=DATE, source=source),
    )
