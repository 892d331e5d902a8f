"""`catalog/evals/`: pools of published scores, one file each, read only when models are ranked.

A pool is either scores as a source had them on a day, or a selection: another pool without some of its models.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from planner.catalog.answers import PREFIX
from planner.catalog.location import data_dir
from planner.catalog.reading import read_file
from planner.catalog.rules import is_date
from planner.core.models.model import Model, Name, Role
from planner.core.scores.evals import ModelScores, Pool, Task
from planner.core.scores.quality import POOLS
from planner.core.scores.ranking import Ranking, rank_pool
from planner.core.scores.standing import pools_of
from planner.errors import CatalogError, PlannerError, UsageError

Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=10_000)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class ScoresFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="scores"
):
    """Scores of one source on one day, a row per model: `scores` in the order of `tasks`, null where there is none.

    `name` is the file's. Models without all scores belong in it too: they count when ranks are made.
    """

    schema: Literal[1]
    name: Name
    date: str
    benchmark: Text
    source: Text
    licence: Text
    notes: tuple[Text, ...] = ()
    tasks: Annotated[tuple[Task, ...], msgspec.Meta(min_length=1, max_length=1000)]
    models: Annotated[tuple[ModelScores, ...], msgspec.Meta(min_length=1, max_length=10_000)]


class SelectionFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="selection"
):
    """The pool `base` without the models `exclude`, for the reason that `notes` give."""

    schema: Literal[1]
    name: Name
    base: Name
    exclude: Names
    notes: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]


EvalFile = ScoresFile | SelectionFile

_ROUNDING = 0.005 + 1e-9
"""Scores are quoted with two decimals; an exact half may go either way."""


def pool_files(folder: Path | None = None) -> dict[str, Path]:
    """Pool name → file, in a fixed order. `folder`: the data folder, found by `data_dir` when None."""
    files = {path.stem: path for path in ((folder or data_dir()) / "evals").glob("*.json")}
    return {name: files[name] for name in sorted(files) if not name.startswith(PREFIX)}


def load_pool(name: str, folder: Path | None = None) -> Pool:
    """The pool of that name, compared without case.

    Raises UsageError `unknown-pool` with the nearest names, CatalogError for a file that is broken or contradicts
    itself or its base.
    """
    files = pool_files(folder)
    names = {known.casefold(): known for known in files}
    known = names.get(name.strip().casefold())
    if known is None:
        near = difflib.get_close_matches(name.strip().casefold()[:200], names, n=3, cutoff=0.5)
        raise UsageError(
            f"There is no pool “{name.strip()[:80]}” of scores.",
            hint=f"Did you mean {' or '.join(names[key] for key in near)}?"
            if near
            else f"There are: {', '.join(files) or 'none, the catalog has no evals folder'}.",
            reference="unknown-pool",
        )
    return read_pool(files[known])


def read_pool(path: Path) -> Pool:
    """The pool of one file, with the base it selects from. Raises CatalogError."""
    content = _read(path)
    base: ScoresFile | None = None
    if isinstance(content, SelectionFile):
        base = _base(path, content)
    for problem in _contradictions(path, content, base):
        raise CatalogError(f"{path} cannot be used: {problem}.", hint="Correct the file; see catalog/README.md.")
    if isinstance(content, ScoresFile):
        return _pool(content)
    assert base is not None
    excluded = set(content.exclude)
    pool = _pool(base)
    return msgspec.structs.replace(
        pool,
        name=content.name,
        models=tuple(model for model in pool.models if model.name not in excluded),
        notes=(*content.notes, *pool.notes),
    )


def _read(path: Path) -> EvalFile:
    kind: Any = EvalFile  # a union is no class, and msgspec takes it all the same
    content = read_file(path, kind)
    assert isinstance(content, EvalFile)
    return content


def _pool(content: ScoresFile) -> Pool:
    return Pool(**{field: getattr(content, field) for field in Pool.__struct_fields__})


def _base(path: Path, content: SelectionFile) -> ScoresFile:
    file = {known.stem: known for known in path.parent.glob("*.json") if known != path}.get(content.base)
    if file is None:
        raise CatalogError(
            f"{path} cannot be used: base: there is no other pool “{content.base}” beside it.",
            hint="Name a pool of scores in the same folder.",
        )
    base = _read(file)
    if isinstance(base, SelectionFile):
        raise CatalogError(
            f"{path} cannot be used: base: “{content.base}” is a selection itself.",
            hint="Select from a pool of scores.",
        )
    for problem in _contradictions(file, base, None):
        raise CatalogError(f"{file} cannot be used: {problem}.", hint="Correct the file; see catalog/README.md.")
    return base


def _contradictions(path: Path, content: EvalFile, base: ScoresFile | None) -> Iterator[str]:
    if content.name != path.stem:
        yield f"name: “{content.name}” in a file called {path.name}"
    if isinstance(content, ScoresFile):
        yield from _bad_scores(content)
        return
    known = {model.name for model in base.models} if base else set()
    for name in _twice(content.exclude):
        yield f"exclude: {name} is there twice"
    for name in content.exclude:
        if name not in known:
            yield f"exclude: {name} is not in {content.base}"
    if len(content.exclude) >= len(known):
        yield "exclude: no model is left"


def _bad_scores(content: ScoresFile) -> Iterator[str]:
    if not is_date(content.date):
        yield f"date: “{content.date}” is not a date of the form YYYY-MM-DD"
    for name in _twice([task.name for task in content.tasks]):
        yield f"tasks: {name} is there twice"
    for name in _twice([model.name for model in content.models]):
        yield f"models: {name} is there twice"
    for name in _twice([model.identity for model in content.models]):
        yield f"models: two of them have the id {name}"
    for index, model in enumerate(content.models):
        if len(model.scores) != len(content.tasks):
            yield f"models[{index}].scores ({model.name}): {len(model.scores)} for {len(content.tasks)} tasks"
        elif all(score is None for score in model.scores):
            yield f"models[{index}].scores ({model.name}): there is none"


def _twice(names: Sequence[str]) -> list[str]:
    """The names that are equal to an earlier one, without case."""
    counts = Counter(name.casefold() for name in names)
    return sorted(name for name, count in counts.items() if count > 1)


Figures = dict[str, dict[str, float]]
"""Case-folded model identity → figure → value: what entries quote of a pool as `<figure>:<pool>`."""


def figures(ranking: Ranking) -> Figures:
    """The figures of the models that are ranked."""
    return {
        row.identity.casefold(): {
            "rag_mtr_percent": row.mtr_percent,
            "rag_average": row.average,
            **{f"{category.value}_average": value for category, value in row.categories.items()},
        }
        for row in ranking.rows
    }


def wrong_scores(model: Model, pools: dict[str, Figures]) -> Iterator[str]:
    """Scores of an entry that are not what their pool gives, to two decimals; those of other pools are not judged."""
    for score in model.scores:
        figure, _, pool = score.name.partition(":")
        if pool not in pools:
            continue
        known = pools[pool].get(model.id.casefold(), {}).get(figure)
        if known is None:
            yield f"scores: {score.name}: the pool gives no such figure for this model"
        elif abs(score.value - known) > _ROUNDING:
            yield f"scores: {score.name}: {score.value:g}, where the pool gives {known:.2f}"


def all_figures(folder: Path) -> tuple[dict[str, Figures], dict[Path, CatalogError]]:
    """The figures of every pool of a data folder by name, and what is wrong with the files that are broken."""
    found: dict[str, Figures] = {}
    broken: dict[Path, CatalogError] = {}
    for name, path in pool_files(folder).items():
        try:
            found[name] = figures(rank_pool(read_pool(path)))
        except CatalogError as error:
            broken[path] = error
    return found, broken


def rankings_of(models: Iterable[Model], folder: Path | None, *, note: Callable[[str], None]) -> dict[str, Ranking]:
    """The pools that embedders among the models quote, and those that are trusted most, ranked.

    One that is broken is left out, and `note` hears why. Without a `folder` there is none.
    """
    embedders = [model for model in models if model.role is Role.EMBEDDING]
    wanted = dict.fromkeys(POOLS if embedders else ())
    wanted.update(dict.fromkeys(pool for model in embedders for pool in pools_of(model)))
    known = pool_files(folder) if folder is not None else {}
    found: dict[str, Ranking] = {}
    for name in wanted:
        if name not in known:
            continue
        try:
            found[name] = rank_pool(load_pool(name, folder))
        except PlannerError as error:
            note(f"{error.message} It is left out.")
    return found
