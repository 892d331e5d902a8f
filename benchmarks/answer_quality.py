"""The constants of `planner.core.scores.answers`, fitted on the published benchmarks in catalog/evals: with errors.

Run: python benchmarks/answer_quality.py

Errors are root mean squares of what is left when a model is predicted by a fit without it (leave one out).
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.catalog.answers import AnswersFile, Row, answer_files, read_answers
from planner.catalog.location import data_dir
from planner.core.scores.answers import decimal_year

SINCE = "2023-09-01"
"""Models released before, and so before the oldest generators of the catalog (Mistral 7B), are not fitted on."""
POWERS = tuple(round(0.05 * step, 2) for step in range(1, 11))
NOT_LIKE_OTHERS = re.compile(r"codellama|-preview", re.IGNORECASE)
"""Made for code alone, or withdrawn unfinished: not what a catalog offers for answers."""

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Fit:
    """Coefficients of a linear fit and its errors when predicting what it saw and what it did not see."""

    coefficients: Vector
    seen: float
    unseen: float
    residuals: Vector


def fit(rows: Sequence[Vector], targets: Sequence[float]) -> Fit:
    """Ordinary least squares, by the normal equations."""
    found = _solve(rows, targets)
    left = []
    for index, (row, target) in enumerate(zip(rows, targets, strict=True)):
        without = _solve([*rows[:index], *rows[index + 1 :]], [*targets[:index], *targets[index + 1 :]])
        left.append(target - _dot(row, without))
    seen = [target - _dot(row, found) for row, target in zip(rows, targets, strict=True)]
    return Fit(found, _rms(seen), _rms(left), tuple(seen))


def _solve(rows: Sequence[Vector], targets: Sequence[float]) -> Vector:
    size = len(rows[0])
    table = [
        [sum(row[i] * row[j] for row in rows) for j in range(size)]
        + [sum(row[i] * target for row, target in zip(rows, targets, strict=True))]
        for i in range(size)
    ]
    for i in range(size):
        best = max(range(i, size), key=lambda k: abs(table[k][i]))
        table[i], table[best] = table[best], table[i]
        for k in range(size):
            if k != i:
                factor = table[k][i] / table[i][i]
                table[k] = [a - factor * b for a, b in zip(table[k], table[i], strict=True)]
    return tuple(table[i][size] / table[i][i] for i in range(size))


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


@dataclass(frozen=True)
class Translation:
    """How a benchmark's figures become rating points."""

    table: AnswersFile
    models: int
    line: Fit
    low: float
    high: float


@dataclass(frozen=True)
class Guess:
    """The curve for models without a benchmark, and how much families differ from it."""

    models: int
    power: float
    curve: Fit
    by_power: dict[float, float]
    active: float
    newest: str
    within: float
    between: float
    families: int


@dataclass(frozen=True)
class Result:
    """Everything that planner/core/scores/answers.py takes from here."""

    worst: float
    best: float
    translations: tuple[Translation, ...]
    guess: Guess


def tables(folder: Path | None = None) -> dict[str, AnswersFile]:
    """The shipped tables by figure."""
    return {table.figure: table for table in map(read_answers, answer_files(folder or data_dir()))}


def translate(table: AnswersFile, rated: dict[str, Row]) -> Translation:
    """A line from a benchmark to rating points, on the models that have both and are no older than the catalog's."""
    pairs = [
        ((1.0, row.value, decimal_year(rated[key].released or "") - 2025.0), rated[key].value)
        for row in table.models
        if (key := row.identity.casefold()) in rated and _recent(rated[key])
    ]
    line = fit([features for features, _ in pairs], [points for _, points in pairs])
    values = [features[1] for features, _ in pairs]
    return Translation(table, len(pairs), line, min(values), max(values))


def _recent(row: Row) -> bool:
    return row.released is not None and row.released >= SINCE and not NOT_LIKE_OTHERS.search(row.name)


def guess(rated: AnswersFile) -> Guess:
    """The curve of size and age, on rated models alone: a translated figure would bring its own floor and errors."""
    models = [row for row in rated.models if row.parameters and _recent(row)]
    targets = [row.value for row in models]
    fits = {power: fit([_features(row, power) for row in models], targets) for power in POWERS}
    power = min(fits, key=lambda key: fits[key].unseen)
    active = fit([_features(row, power, active=True) for row in models], targets)
    within, between, families = _families(models, fits[power].residuals)
    return Guess(
        models=len(models),
        power=power,
        curve=fits[power],
        by_power={key: value.unseen for key, value in fits.items()},
        active=active.unseen,
        newest=max(row.released or "" for row in models),
        within=within,
        between=between,
        families=families,
    )


def _features(row: Row, power: float, *, active: bool = False) -> Vector:
    billions = (row.parameters or 0) / 1e9
    named = re.search(r"-a(\d+(?:\.\d+)?)b", row.name, re.IGNORECASE)
    if active and named:
        billions = float(named[1])
    return (1.0, -(billions**-power), decimal_year(row.released or "") - 2025.0)


def series(name: str) -> str:
    """The family that a name tells: its letters and the version's first number."""
    found = re.match(r"[a-z]+-?\d*", name.rsplit("/", 1)[-1].casefold())
    return found[0] if found else name


def _families(models: Sequence[Row], residuals: Sequence[float]) -> tuple[float, float, int]:
    """Standard deviations within families and of their means (one-way random effects, by moments)."""
    pairs = sorted((series(row.name), residual) for row, residual in zip(models, residuals, strict=True))
    groups = [[residual for _, residual in group] for _, group in itertools.groupby(pairs, key=lambda pair: pair[0])]
    count, mean = len(residuals), sum(residuals) / len(residuals)
    inner = sum((value - sum(group) / len(group)) ** 2 for group in groups for value in group)
    outer = sum(len(group) * (sum(group) / len(group) - mean) ** 2 for group in groups)
    within = inner / (count - len(groups))
    per_family = (count - sum(len(group) ** 2 for group in groups) / count) / (len(groups) - 1)
    between = max(0.0, (outer / (len(groups) - 1) - within) / per_family)
    return math.sqrt(within), math.sqrt(between), len(groups)


def compute() -> Result:
    """All constants from the shipped tables."""
    known = tables()
    rated = {row.identity.casefold(): row for row in known["rating"].models}
    translations = tuple(translate(known[figure], rated) for figure in ("average", "mmlu_pro"))
    values = [row.value for row in known["rating"].models]
    return Result(min(values), max(values), translations, guess(known["rating"]))


def main() -> None:
    """Print the constants with their errors."""
    result = compute()
    print(f"scale: WORST, BEST = {result.worst:.1f}, {result.best:.1f}")
    for translation in result.translations:
        line = translation.line
        intercept, slope, per_year = line.coefficients
        print(
            f"{translation.table.figure}: {translation.models} models, values {translation.low} to {translation.high}"
        )
        print(f"  points = {intercept:.0f} + {slope:.2f} · value + {per_year:.0f} · years since 2025")
        print(f"  error {line.unseen:.1f} (seen {line.seen:.1f})")
    found = result.guess
    level, size, per_year = found.curve.coefficients
    print(f"size and age: {found.models} models, the newest of {found.newest}")
    print(f"  LEVEL, SIZE, POWER, PER_YEAR = {level:.0f}, {size:.0f}, {found.power}, {per_year:.0f}")
    print(f"  error {found.curve.unseen:.1f} (seen {found.curve.seen:.1f}); by power:", end=" ")
    print(", ".join(f"{power} {error:.1f}" for power, error in found.by_power.items()))
    print(f"  error with active parameters in place of all: {found.active:.1f}")
    print(f"  {found.families} families: WITHIN, BETWEEN = {found.within:.0f}, {found.between:.0f}")


if __name__ == "__main__":
    main()
