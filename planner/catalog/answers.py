"""`catalog/evals/answers_*.json`: published benchmarks of generation models, attached to the models they are of."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from planner.catalog.reading import read_file, read_shipped
from planner.catalog.rules import is_date
from planner.core.models.model import Model, Name, Role, Score, Size
from planner.core.scores.answers import family_scores
from planner.errors import CatalogError

PREFIX = "answers_"
"""What the names of these files begin with, so that nobody takes them for pools of embedding models."""
Text = Annotated[str, msgspec.Meta(min_length=1)]
Figure = Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A model as the source spells it, with its figure; `low` is the lower end of the source's 95 % interval.

    Written as a list in the order of the fields, which loads faster; what follows the last known one is left out.

    `id` is the Hub id, where the source does not use it as the name and it is known. `parameters` and `released`
    serve the fit of the guess for models without a benchmark. `source` is where a publisher says it.
    """

    name: Name
    value: Figure
    low: Figure | None = None
    id: Name | None = None
    parameters: Size | None = None
    released: str | None = None
    source: Text | None = None

    @property
    def identity(self) -> str:
        """The Hub id as far as it is known, else the source's name."""
        return self.id or self.name


class AnswersFile(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag="answers"
):
    """One benchmark of generation models, from one source on one day. `name` is the file's.

    `figure` is what the number is called, `reported` says that publishers measured their own models.
    """

    schema: Literal[1]
    name: Name
    date: str
    benchmark: Text
    figure: Annotated[str, msgspec.Meta(pattern="^[a-z][a-z_]*$")]
    unit: Text
    reported: bool
    source: Text
    licence: Text
    notes: tuple[Text, ...] = ()
    models: Annotated[tuple[Row, ...], msgspec.Meta(min_length=1, max_length=10_000)]


def answer_files(folder: Path) -> list[Path]:
    """The tables of a data folder, in a fixed order."""
    return sorted((folder / "evals").glob(f"{PREFIX}*.json"))


def read_answers(path: Path, *, shipped: bool = False) -> AnswersFile:
    """One table. Raises CatalogError for a file that is broken or contradicts itself.

    `shipped` ones are ours, which `planner catalog check` and the tests look at for contradictions.
    """
    if shipped:
        return read_shipped(path, AnswersFile)
    content = read_file(path, AnswersFile)
    for problem in _contradictions(path, content):
        raise CatalogError(f"{path} cannot be used: {problem}.", hint="Correct the file; see catalog/README.md.")
    return content


def _contradictions(path: Path, content: AnswersFile) -> Iterator[str]:
    if content.name != path.stem:
        yield f"name: “{content.name}” in a file called {path.name}"
    if not is_date(content.date):
        yield f"date: “{content.date}” is not a date of the form YYYY-MM-DD"
    seen: set[str] = set()
    for index, row in enumerate(content.models):
        key = row.identity.casefold()
        if key in seen:
            yield f"models[{index}]: {row.identity} is there twice"
        seen.add(key)
        if row.low is not None and row.low > row.value:
            yield f"models[{index}].low ({row.name}): {row.low:g} is above the figure itself, {row.value:g}"


def with_answers(models: Sequence[Model], tables: Iterable[AnswersFile]) -> tuple[Model, ...]:
    """The models with the figures of the tables among their scores, and with what their families tell.

    Scores are called `answers_<figure>:<table>`. One that an entry has already is not replaced.
    """
    wanted = {model.id.casefold() for model in models if model.role is Role.GENERATION}
    known: dict[str, list[Score]] = {}
    for table in tables:
        for row in table.models:
            key = row.identity.casefold()
            if key in wanted:
                known.setdefault(key, []).extend(_scores(table, row))
    rated = [_extended(model, known.get(model.id.casefold(), ())) for model in models]
    relatives = family_scores(rated)
    return tuple(_extended(model, relatives.get(model.id, ())) for model in rated)


def without_answers(model: Model) -> Model:
    """The model as its entry has it, without what the tables added: what may be written to a file."""
    return msgspec.structs.replace(
        model, scores=tuple(score for score in model.scores if not score.name.startswith(PREFIX))
    )


def _scores(table: AnswersFile, row: Row) -> Iterator[Score]:
    source = row.source or table.source
    yield Score(name=f"{PREFIX}{table.figure}:{table.name}", value=row.value, date=table.date, source=source)
    if row.low is not None:
        yield Score(name=f"{PREFIX}{table.figure}_low:{table.name}", value=row.low, date=table.date, source=source)


def _extended(model: Model, scores: Sequence[Score]) -> Model:
    if not scores or model.role is not Role.GENERATION:
        return model
    have = {score.name.partition(":")[0] for score in model.scores}
    new = tuple(score for score in scores if score.name.partition(":")[0] not in have)
    return msgspec.structs.replace(model, scores=(*model.scores, *new)) if new else model
