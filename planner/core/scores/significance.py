"""Which differences between ranked models mean something: Friedman's test with Nemenyi's critical difference.

After Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7 (2006), sections 3.2.2 and
3.2.4; the correction for ties is Conover's, as scipy.stats.friedmanchisquare has it.
"""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from planner.core.scores.distributions import chi_square_tail, f_tail, studentized_range_quantile
from planner.core.scores.ranking import average_ranks

ALPHA = 0.05
"""The chance one is willing to take that equal models are called different."""


@dataclass(frozen=True)
class Friedman:
    """Are all the models equal? Friedman's chi-square, and the less timid F of Iman and Davenport.

    `f` is infinite when all tasks agree on one order, and then `f_p` is 0.
    """

    chi_square: float
    degrees: int
    p: float
    f: float
    f_degrees: tuple[int, int]
    f_p: float


@dataclass(frozen=True)
class Comparison:
    """Models compared with each other alone, on the same tasks.

    `mean_ranks` (1 is best) are in the order the models were given; two of them that are less than
    `critical_difference` apart do not differ significantly. `groups` are the largest sets of positions without a
    significant difference, the best first: a model may be in several.
    """

    tasks: int
    alpha: float
    mean_ranks: tuple[float, ...]
    friedman: Friedman
    critical_difference: float
    groups: tuple[tuple[int, ...], ...]

    @property
    def differ(self) -> bool:
        """Whether the models differ at all; if not, no single difference should be read into the ranks."""
        return self.friedman.f_p < self.alpha

    def equal_to_best(self) -> tuple[int, ...]:
        """Positions of the models that are not significantly worse than the best."""
        best = min(self.mean_ranks)
        return tuple(i for i, rank in enumerate(self.mean_ranks) if rank - best < self.critical_difference)


def compare(scores: Sequence[Sequence[float]], *, alpha: float = ALPHA) -> Comparison | None:
    """Compare models by their scores, one row per model, one column per task; higher is better.

    None where there is nothing to test: fewer than two models or two tasks, or all scores of every task equal.
    """
    models, tasks = len(scores), len(scores[0]) if scores else 0
    if models < 2 or tasks < 2:
        return None
    columns = list(zip(*scores, strict=True))
    ranks = [average_ranks(column) for column in columns]
    mean_ranks = tuple(statistics.fmean(column[model] for column in ranks) for model in range(models))
    friedman = _friedman(mean_ranks, columns)
    if friedman is None:
        return None
    difference = critical_difference(models, tasks, alpha=alpha)
    return Comparison(
        tasks=tasks,
        alpha=alpha,
        mean_ranks=mean_ranks,
        friedman=friedman,
        critical_difference=difference,
        groups=_groups(mean_ranks, difference),
    )


def critical_difference(models: int, tasks: int, *, alpha: float = ALPHA) -> float:
    """Nemenyi: q / √2 · √(k (k + 1) / 6 N), q of the studentized range with infinite degrees of freedom."""
    q = studentized_range_quantile(1 - alpha, models)
    return q / math.sqrt(2) * math.sqrt(models * (models + 1) / (6 * tasks))


def _friedman(mean_ranks: Sequence[float], columns: Sequence[Sequence[float]]) -> Friedman | None:
    k, n = len(mean_ranks), len(columns)
    # Σ R² - k (k+1)² / 4, written so that near-equal mean ranks keep their digits.
    spread = math.fsum((rank - (k + 1) / 2) ** 2 for rank in mean_ranks)
    ties = sum(count**3 - count for column in columns for count in Counter(column).values())
    left = 1 - ties / (n * k * (k * k - 1))
    if left <= 0:
        return None
    chi_square = min(12 * n / (k * (k + 1)) * spread / left, float(n * (k - 1)))
    rest = n * (k - 1) - chi_square
    f = (n - 1) * chi_square / rest if rest > 1e-9 * n * k else math.inf
    degrees = (k - 1, (k - 1) * (n - 1))
    return Friedman(
        chi_square=chi_square,
        degrees=k - 1,
        p=chi_square_tail(chi_square, k - 1),
        f=f,
        f_degrees=degrees,
        f_p=f_tail(f, *degrees),
    )


def _groups(mean_ranks: Sequence[float], difference: float) -> tuple[tuple[int, ...], ...]:
    order = sorted(range(len(mean_ranks)), key=lambda index: mean_ranks[index])
    found: list[tuple[int, ...]] = []
    reached = 0
    for start, first in enumerate(order):
        end = start
        while end < len(order) and mean_ranks[order[end]] - mean_ranks[first] < difference:
            end += 1
        if end > reached:
            found.append(tuple(order[start:end]))
            reached = end
    return tuple(found)
