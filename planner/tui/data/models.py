"""The list of models: a row for each, how each runs here, which are asked for, and in which order."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from planner.core.fits.model_fit import Fitted, fitted
from planner.core.memory.estimate import Verdict
from planner.core.models.languages import MULTILINGUAL, language_names
from planner.core.models.model import Commercial, Model, Role
from planner.core.pages.model_words import licence_name
from planner.tui.data.machine import Situation

if TYPE_CHECKING:
    from pathlib import Path

Fits = Mapping[str, Fitted | None]
"""By id: how a model runs here, None where nothing can be said. Ids that are not there were not looked at yet."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the list says of a model before it is known how it runs. None: not known.

    `name` is what people type: without the owner where that is enough. `text` is what a search looks into, in one
    case. `quality` is a score of 100 and `grade` what it rests on, for generators; `mtr` a percent, for embedders.
    `installed` are the quants in the store.
    """

    model: Model
    name: str
    text: str
    licence: str
    mtr: float | None = None
    quality: float | None = None
    grade: str = ""
    file_bytes: int | None = None
    installed: tuple[str, ...] = ()


def read_rows(situation: Situation, models_dir: "Path | None" = None) -> tuple[Row, ...]:
    """A row for every model, by name. `models_dir` is the store, that of the settings when None."""
    names = language_names()
    counts = Counter(model.name.casefold() for model in situation.models)
    there = installed(situation.models, models_dir)
    rows = [
        _row(model, unique=counts[model.name.casefold()] == 1, languages=names, quants=there.get(model.id, ()))
        for model in situation.models
    ]
    return tuple(sorted(rows, key=lambda row: row.name.casefold()))


def _row(model: Model, *, unique: bool, languages: Mapping[str, str], quants: tuple[str, ...]) -> Row:
    from planner.core.fits.model_list import mtr_percent, usual_file_bytes, usual_variant
    from planner.core.scores.quality import quality

    licence = licence_name(model)
    words = (model.id, *model.aliases, model.family, licence, *model.languages)
    text = " ".join((*words, *(languages.get(code, "") for code in model.languages))).casefold()
    grade, points = "", None
    if model.role is Role.GENERATION:
        variant = usual_variant(model)
        found = quality(model, "F16" if variant is None else variant.quant)
        given = found.figures.get("grade")
        if isinstance(given, str):
            grade, points = given, 100 * found.score
    return Row(
        model=model,
        name=model.name if unique else model.id,
        text=text,
        licence=licence,
        mtr=mtr_percent(model),
        quality=points,
        grade=grade,
        file_bytes=usual_file_bytes(model),
        installed=quants,
    )


def installed(models: Iterable[Model], models_dir: "Path | None" = None) -> dict[str, tuple[str, ...]]:
    """By model, the quants of which a file is in the store. Nothing is hashed; an unreadable store holds nothing."""
    from planner.config import load_config
    from planner.fetch.places import owners
    from planner.fetch.store import Store

    store = Store(models_dir or load_config().models_dir)
    if not store.root.is_dir():
        return {}
    there = {place.final for place, _ in store.noted() if place.final.is_file()}
    found: dict[str, list[str]] = {}
    for path, (model, variant) in owners(store, models).items() if there else ():
        quants = found.setdefault(model.id, [])
        if path in there and variant.quant not in quants:
            quants.append(variant.quant)
    return {name: tuple(quants) for name, quants in found.items() if quants}


def fits_of(situation: Situation, models: Sequence[Model]) -> dict[str, Fitted | None]:
    """How some models run on this machine with all of its memory free, as `planner models --fits` says it."""
    from planner.core.memory.readings import at_capacity

    here = at_capacity(situation.hardware)
    return {model.id: fitted(model, here, calibration=situation.speed) for model in models}


@dataclass(frozen=True)
class Filters:
    """What a model must be to be listed; the defaults are no condition. `language` is an ISO 639-1 code."""

    search: str = ""
    role: Role | None = None
    fits: bool = False
    commercial: bool = False
    language: str | None = None
    installed: bool = False
    runnable: bool = False

    @property
    def any(self) -> bool:
        """Whether there is any condition."""
        return self != Filters()

    @property
    def kept(self) -> dict[str, Any]:
        """As a JSON value; the search is of the moment and not kept."""
        plain = Filters()
        return {
            name: value for name, value in vars(self).items() if name != "search" and value != getattr(plain, name)
        }

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Filters":
        """Back from what was kept; what makes no sense is no condition."""
        role, language = kept.get("role"), kept.get("language")
        return cls(
            role=Role(role) if role in list(Role) else None,
            fits=kept.get("fits") is True,
            commercial=kept.get("commercial") is True,
            language=language if language in [*language_names(), MULTILINGUAL] else None,
            installed=kept.get("installed") is True,
            runnable=kept.get("runnable") is True,
        )

    def switched(self, name: str) -> "Filters":
        """With one of the conditions that are on or off the other way round."""
        match name:
            case "fits":
                return replace(self, fits=not self.fits)
            case "commercial":
                return replace(self, commercial=not self.commercial)
            case "installed":
                return replace(self, installed=not self.installed)
            case "runnable":
                return replace(self, runnable=not self.runnable)
        return self

    def next_role(self) -> "Filters":
        """The role after this one; after the last, all."""
        roles = (None, *Role)
        return replace(self, role=roles[(roles.index(self.role) + 1) % len(roles)])


def chosen(rows: Sequence[Row], filters: Filters, fits: Fits) -> list[Row]:
    """The rows that meet all conditions, in their order. What is not known of a model meets none."""
    words = filters.search.casefold().split()
    found: Iterable[Row] = rows
    if words:
        first, *more = words
        found = [row for row in found if first in row.text]
        if more:
            found = [row for row in found if all(word in row.text for word in more)]
    if filters.role is not None:
        found = [row for row in found if row.model.role is filters.role]
    if filters.commercial:
        found = [row for row in found if row.model.licence.commercial is Commercial.YES]
    if filters.language is not None:
        code = filters.language
        found = [row for row in found if code in row.model.languages or MULTILINGUAL in row.model.languages]
    if filters.installed:
        found = [row for row in found if row.installed]
    if filters.runnable:
        found = [row for row in found if row.model.deployable]
    if filters.fits:
        found = [row for row in found if _runs(fits.get(row.model.id))]
    return list(found)


def _runs(found: Fitted | None) -> bool:
    return found is not None and found.fit.verdict is not Verdict.NO_FIT


Key = Callable[[Row, Fitted | None], Any]

_VERDICTS = {Verdict.FITS: 0, Verdict.OFFLOAD: 1, Verdict.NO_FIT: 2}
_ROLES = {role: number for number, role in enumerate(Role)}


def _speed(row: Row, found: Fitted | None) -> float | None:
    from planner.core.fits.fitting import rate_of

    rate = None if found is None else rate_of(row.model, found.fit.estimate)
    return None if rate is None else rate.mid


def _verdict(_row: Row, found: Fitted | None) -> int | None:
    return None if found is None else _VERDICTS[found.fit.verdict]


def _usable(row: Row, found: Fitted | None) -> tuple[int, int] | None:
    """By what can be used here, then by what was trained."""
    return None if found is None else (found.usable_context or 0, row.model.context_length)


_KEYS: Mapping[str, tuple[str, Key, bool]] = {
    "name": ("name", lambda row, _: row.name.casefold(), False),
    "role": ("role", lambda row, _: _ROLES[row.model.role], False),
    "params": ("parameters", lambda row, _: row.model.parameters, False),
    "verdict": ("verdict", _verdict, False),
    "speed": ("speed", _speed, True),
    "context": ("context", _usable, True),
    "mtr": ("MTR", lambda row, _: row.mtr, False),
    "quality": ("quality", lambda row, _: row.quality, True),
    "memory": ("memory", lambda _, found: None if found is None else found.fit.estimate.memory.total_bytes, False),
    "quant": ("quant", lambda _, found: None if found is None else found.fit.variant.quant, False),
    "size": ("file size", lambda row, _: row.file_bytes, False),
    "licence": ("licence", lambda row, _: row.licence.casefold(), False),
    "date": ("release", lambda row, _: row.model.release_date, True),
    "installed": ("installed", lambda row, _: len(row.installed) or None, True),
}
"""By name: what people call it, the value, and whether the largest comes first."""
SORTS = tuple(_KEYS)


def sort_title(sort: str) -> str:
    """What people call an order."""
    return _KEYS[sort][0]


def largest_first(sort: str) -> bool:
    """Whether an order begins with the largest value, unless it is turned round."""
    return _KEYS[sort][2]


def ordered(rows: Sequence[Row], sort: str, fits: Fits, *, reverse: bool = False) -> list[Row]:
    """The rows in the order of one of `SORTS`; unknown values come last either way, equal ones stay as they are."""
    _, value, largest = _KEYS[sort]
    pairs = [(value(row, fits.get(row.model.id)), row) for row in rows]
    known = [pair for pair in pairs if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=largest != reverse)
    return [row for _, row in known] + [row for found, row in pairs if found is None]
