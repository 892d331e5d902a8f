"""Mean task rank: how far up a model stands among all models of a pool, averaged over the datasets.

Metrics of different tasks have no common unit, ranks do (Demsar, Statistical Comparisons of Classifiers over
Multiple Data Sets, JMLR 7, 2006, section 3.2.2).
"""

import difflib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from planner.core.scores.evals import Category, Pool, Task
from planner.errors import UsageError


@dataclass(frozen=True)
class Ranked:
    """A model with a score on every task that was asked for.

    `rank` 1 is the best; equal mean ranks share a rank. `mtr_percent` is 100 times the mean of rank / number of
    models scored, per task: lower is better. `average` and `categories` are plain means of `scores` (percent);
    `scores` are in the order of the ranking's tasks.
    """

    rank: int
    name: str
    id: str | None
    mtr_percent: float
    average: float
    categories: dict[Category, float]
    scores: tuple[float, ...]

    @property
    def identity(self) -> str:
        """The Hub id as far as it is known, else the source's name."""
        return self.id or self.name


@dataclass(frozen=True)
class Incomplete:
    """A model that counts in the others' ranks and has none itself: `scored` of the tasks have its score."""

    name: str
    id: str | None
    scored: int

    @property
    def identity(self) -> str:
        """The Hub id as far as it is known, else the source's name."""
        return self.id or self.name


@dataclass(frozen=True)
class Ranking:
    """A pool ranked on `tasks`. `models` of it have a score on at least one of them; `rows` have all, best first."""

    pool: Pool
    tasks: tuple[Task, ...]
    rows: tuple[Ranked, ...]
    incomplete: tuple[Incomplete, ...]

    @property
    def models(self) -> int:
        """Models with a score on any of the tasks."""
        return len(self.rows) + len(self.incomplete)


def average_ranks(scores: Sequence[float]) -> list[float]:
    """The rank of each score, 1 for the highest; equal scores share the mean of their ranks."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    ranks = [0.0] * len(scores)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks


def rank_pool(pool: Pool, tasks: Sequence[Task] | None = None) -> Ranking:
    """Rank a pool on some of its tasks, all of them when None.

    On each task every model with a score is ranked; only models with all scores get a mean.
    """
    chosen = tuple(pool.tasks if tasks is None else tasks)
    columns = [pool.tasks.index(task) for task in chosen]
    shares: dict[str, list[float]] = {model.name: [] for model in pool.models}
    for column in columns:
        scored = [(model.name, score) for model in pool.models if (score := model.scores[column]) is not None]
        for (name, _), rank in zip(scored, average_ranks([score for _, score in scored]), strict=True):
            shares[name].append(rank / len(scored))
    # Rounded so that equal ranks summed in another order stay equal.
    means = {name: round(100 * statistics.fmean(of), 9) for name, of in shares.items() if len(of) == len(chosen)}
    complete = [model for model in pool.models if model.name in means]
    complete.sort(key=lambda model: (means[model.name], model.name.casefold()))
    rows: list[Ranked] = []
    for place, model in enumerate(complete, start=1):
        mean = means[model.name]
        scores = tuple(score for column in columns if (score := model.scores[column]) is not None)
        rows.append(
            Ranked(
                rank=rows[-1].rank if rows and rows[-1].mtr_percent == mean else place,
                name=model.name,
                id=model.id,
                mtr_percent=mean,
                average=_mean(scores),
                categories=_by_category(chosen, scores),
                scores=scores,
            )
        )
    return Ranking(
        pool=pool,
        tasks=chosen,
        rows=tuple(rows),
        incomplete=tuple(
            Incomplete(model.name, model.id, len(shares[model.name]))
            for model in pool.models
            if 0 < len(shares[model.name]) < len(chosen)
        ),
    )


def _by_category(tasks: Sequence[Task], scores: Sequence[float]) -> dict[Category, float]:
    groups: dict[Category, list[float]] = {}
    for task, score in zip(tasks, scores, strict=True):
        groups.setdefault(task.category, []).append(score)
    return {category: _mean(values) for category, values in groups.items()}


def _mean(scores: Sequence[float]) -> float:
    """The mean in percent, made of fractions: MTEB's own numbers are fractions.

    The article's table rounds 84.545 down and 60.085 up; binary fractions do the same in all its 50 averages.
    """
    return 100 * (sum(score / 100 for score in scores) / len(scores))


def choose_tasks(pool: Pool, wanted: Sequence[str]) -> tuple[Task, ...]:
    """The tasks that categories and dataset names mean, without case, each once, in the pool's order.

    A category that the pool lacks is unknown. Raises UsageError `unknown-task` with the nearest names.
    """
    names = {task.name.casefold(): task.name for task in pool.tasks}
    categories = {task.category.value: task.category for task in pool.tasks}
    chosen: set[str] = set()
    for word in wanted:
        key = word.strip().casefold()
        if key in categories:
            chosen |= {task.name for task in pool.tasks if task.category is categories[key]}
        elif key in names:
            chosen.add(names[key])
        else:
            known = {**{name: name for name in categories}, **names}
            near = [known[name] for name in difflib.get_close_matches(key[:200], known, n=3, cutoff=0.5)]
            near += [name for low, name in names.items() if len(key) >= 3 and key in low and name not in near]
            raise UsageError(
                f"There is no task or category “{word.strip()[:80]}” in pool {pool.name}.",
                hint=f"Did you mean {' or '.join(near[:4])}?"
                if near
                else f"Categories: {', '.join(categories)}; datasets: {', '.join(names.values())}.",
                reference="unknown-task",
            )
    return tuple(task for task in pool.tasks if task.name in chosen)
