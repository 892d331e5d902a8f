"""A ranking as `planner rank` shows it: lines for people, and the document of docs/json.md."""

import math
from collections.abc import Iterator, Sequence
from string import ascii_letters
from typing import NamedTuple

from planner.cli.columns import Cell, Column, lay_out, wrapped
from planner.cli.output import table
from planner.core.models.model import Commercial, Model
from planner.core.scores.evals import Category, Pool
from planner.core.scores.ranking import Ranked, Ranking
from planner.core.scores.significance import Comparison
from planner.units import format_count

_HEADINGS = {
    Category.CLUSTERING: "CLUSTER",
    Category.RERANKING: "RERANK",
    Category.RETRIEVAL: "RETRIEVE",
    Category.STS: "STS",
}
_SHORT = {Category.CLUSTERING: "CLUST", Category.RERANKING: "RERNK", Category.RETRIEVAL: "RETR", Category.STS: "STS"}
_COMMERCIAL = {
    Commercial.YES: "",
    Commercial.NO: ", not commercial",
    Commercial.CONDITIONAL: ", conditions",
    Commercial.UNKNOWN: ", terms unknown",
}

_NAMED = 12
"""How many models a sentence names before it counts the rest."""


class Entry(NamedTuple):
    """A row of a ranking, and the catalog's entry of that model where there is one."""

    row: Ranked
    model: Model | None

    @property
    def name(self) -> str:
        """The catalog's id, else what the pool calls it."""
        return self.model.id if self.model is not None else self.row.name


def page(
    ranking: Ranking,
    entries: Sequence[Entry],
    unranked: Sequence[tuple[str, int]],
    comparison: Comparison | None,
    *,
    limit: int | None,
    width: int | None,
) -> Iterator[str]:
    """The pool, the table, and what has no rank, in lines of at most `width` cells.

    With `comparison` also what the differences mean.
    """
    for line in _prose(ranking, entries, unranked, comparison, limit=limit):
        if line is None:
            yield from _table(ranking, entries[:limit], comparison, width)
        else:
            yield from wrapped(line, width) or [""]


def _prose(
    ranking: Ranking,
    entries: Sequence[Entry],
    unranked: Sequence[tuple[str, int]],
    comparison: Comparison | None,
    *,
    limit: int | None,
) -> Iterator[str | None]:
    """All sentences of the page; None where the table stands."""
    yield from _head(ranking)
    yield ""
    yield None
    if limit is not None and limit < len(entries):
        yield f"… and {len(entries) - limit} more"
    if any(entry.model is not None and not entry.model.deployable for entry in entries[:limit]):
        yield "RUN no: ranked, but cannot be run here; `planner models --role embedding` says why"
    if comparison is not None:
        yield ""
        yield from _significance(entries, comparison)
    if unranked:
        yield ""
        yield from _missing(unranked, len(ranking.tasks))


def _head(ranking: Ranking) -> Iterator[str]:
    pool, scores = ranking.pool, "all scores"
    yield f"pool {pool.name}, {pool.date}: {len(pool.models)} models, {len(pool.tasks)} tasks; {pool.benchmark}"
    if len(ranking.tasks) < len(pool.tasks):
        yield f"ranked anew on {len(ranking.tasks)} of the tasks: {', '.join(task.name for task in ranking.tasks)}"
        scores = "all of these scores"
    yield (
        f"{len(ranking.rows)} models have {scores} and thus a rank; MTR %: rank among all models scored on a task, "
        "as a percent of their number, averaged over the tasks; lower is better"
    )


def _table(ranking: Ranking, shown: Sequence[Entry], comparison: Comparison | None, width: int | None) -> list[str]:
    categories = [category for category in Category if any(task.category is category for task in ranking.tasks)]
    letters = _letters(comparison)
    columns = [
        Column("RANK", right=True),
        Column("MODEL", minimum=28),
        Column("MTR %", right=True),
        Column("AVERAGE", right=True, leaves=2),
        *(Column(_HEADINGS[category], right=True, leaves=3, short_title=_SHORT[category]) for category in categories),
        *[Column("MEAN RANK", right=True, short_title="MEAN")] * (comparison is not None),
        *[Column("GROUPS", minimum=6)] * bool(letters),
        Column("PARAMS", right=True, leaves=5),
        Column("RUN", leaves=4),
        Column("LICENCE", minimum=12, leaves=6),
    ]
    rows: list[tuple[Cell, ...]] = []
    for index, (row, model) in enumerate(shown):
        name = shown[index].name
        cells: list[Cell] = [
            str(row.rank), (name, name.rpartition("/")[2]), f"{row.mtr_percent:.2f}", f"{row.average:.2f}"
        ]  # fmt: skip
        cells += [f"{row.categories[category]:.2f}" for category in categories]
        if comparison is not None:
            cells += [f"{comparison.mean_ranks[index]:.1f}", *letters[index : index + 1]]
        rows.append((*cells, *_catalog_cells(model)))
    return lay_out(columns, rows, width)


def _missing(unranked: Sequence[tuple[str, int]], tasks: int) -> Iterator[str]:
    some = [f"{name} ({scored} of {tasks})" for name, scored in unranked if scored]
    none = [name for name, scored in unranked if not scored]
    if some:
        yield f"no rank here, because scores are missing: {_some(some)}"
    if none:
        yield f"not scored here: {_some(none)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more (--json names all)" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _catalog_cells(model: Model | None) -> list[str]:
    if model is None:
        return ["", "", "not in the catalog"]
    licence = model.licence.spdx.removeprefix("LicenseRef-") + _COMMERCIAL[model.licence.commercial]
    size = "?" if model.parameters is None else format_count(model.parameters)
    return [size, "yes" if model.deployable else "no", licence]


def _letters(comparison: Comparison | None) -> list[str]:
    """The groups of each model as letters; none where there are more groups than letters."""
    if comparison is None or len(comparison.groups) > len(ascii_letters):
        return []
    return [
        "".join(letter for letter, group in zip(ascii_letters, comparison.groups, strict=False) if index in group)
        for index in range(len(comparison.mean_ranks))
    ]


def _significance(entries: Sequence[Entry], comparison: Comparison) -> Iterator[str]:
    test, models, risk = comparison.friedman, len(entries), f"{comparison.alpha:.0%}".replace("%", " %")
    f = "infinite" if math.isinf(test.f) else f"{test.f:.4g}"
    yield (
        f"Friedman test of these {models} models on {comparison.tasks} tasks: chi-square {test.chi_square:.4g}, "
        f"{test.degrees} degrees of freedom, {_probability(test.p)}; Iman-Davenport F {f}, {_probability(test.f_p)}."
    )
    if not comparison.differ:
        yield "The models do not differ significantly: read nothing into their order."
        return
    yield (
        f"Nemenyi test at {risk}: two models differ where their mean ranks among these {models} are at least "
        f"{comparison.critical_difference:.2f} apart; less may be chance."
    )
    if _letters(comparison):
        yield "Models that share a letter in GROUPS do not differ significantly."
    else:
        yield f"There are {len(comparison.groups)} groups without a significant difference: --json lists them."
    best = min(range(models), key=lambda index: comparison.mean_ranks[index])
    equals = [entries[index].name for index in comparison.equal_to_best() if index != best]
    more = f" and {len(equals) - _NAMED} more" if len(equals) > _NAMED else ""
    yield (
        f"Not significantly worse than {entries[best].name}: {', '.join(equals[:_NAMED])}{more}."
        if equals
        else f"{entries[best].name} is significantly better than all the others."
    )


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def document(
    ranking: Ranking,
    entries: Sequence[Entry],
    unranked: Sequence[tuple[str, int]],
    comparison: Comparison | None,
    *,
    limit: int | None,
) -> dict[str, object]:
    """The JSON document of a ranking."""
    return {
        "schema": 1,
        "pool": _pool(ranking.pool),
        "tasks": [task.name for task in ranking.tasks],
        "ranked": len(ranking.rows),
        "ranking": [_entry(entry) for entry in entries[:limit]],
        "unranked": [{"model": name, "scored": scored} for name, scored in unranked],
        "significance": None if comparison is None else _comparison(entries, comparison),
    }


def _pool(pool: Pool) -> dict[str, object]:
    return {
        "name": pool.name,
        "date": pool.date,
        "models": len(pool.models),
        "tasks": len(pool.tasks),
        "benchmark": pool.benchmark,
        "source": pool.source,
        "licence": pool.licence,
        "notes": pool.notes,
    }


def _entry(entry: Entry) -> dict[str, object]:
    row, model = entry
    return {
        "rank": row.rank,
        "model": entry.name,
        "mtr_percent": row.mtr_percent,
        "rag_average": row.average,
        **{category.value: row.categories.get(category) for category in Category},
        "deployable": None if model is None else model.deployable,
        "licence": None
        if model is None
        else {"spdx": model.licence.spdx, "commercial": model.licence.commercial.value},
        "parameters": None if model is None else model.parameters,
        "pool_name": row.name,
        "in_catalog": model is not None,
    }


def _comparison(entries: Sequence[Entry], comparison: Comparison) -> dict[str, object]:
    test = comparison.friedman
    return {
        "alpha": comparison.alpha,
        "models": len(entries),
        "tasks": comparison.tasks,
        "friedman": {"chi_square": test.chi_square, "degrees": test.degrees, "p": test.p},
        "iman_davenport": {"f": test.f, "degrees": test.f_degrees, "p": test.f_p},
        "critical_difference": comparison.critical_difference,
        "mean_ranks": [
            {"model": entry.name, "mean_rank": mean}
            for entry, mean in zip(entries, comparison.mean_ranks, strict=True)
        ],
        "groups": [[entries[index].name for index in group] for group in comparison.groups],
    }


def pool_view(ranking: Ranking, *, default: str) -> dict[str, object]:
    """A pool in the list of pools."""
    pool = ranking.pool
    return {**_pool(pool), "ranked": len(ranking.rows), "default": pool.name == default}


def pools_page(rankings: Sequence[Ranking], *, default: str) -> Iterator[str]:
    """The pools with their size and source, and what to know about each."""
    rows = [
        (
            ranking.pool.name + (" (default)" if ranking.pool.name == default else ""),
            ranking.pool.date,
            str(len(ranking.pool.models)),
            str(len(ranking.rows)),
            str(len(ranking.pool.tasks)),
            ranking.pool.benchmark,
        )
        for ranking in rankings
    ]
    yield from table(("POOL", "DATE", "MODELS", "RANKED", "TASKS", "BENCHMARK"), rows, right=frozenset({2, 3, 4}))
    for ranking in rankings:
        yield ""
        yield f"{ranking.pool.name}: {ranking.pool.source} ({ranking.pool.licence})"
        for text in ranking.pool.notes:
            yield f"  {text}"
