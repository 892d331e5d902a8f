"""The list of models as `planner models` shows it: which columns there are, and what stands in them."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from planner.cli.columns import Cell, Column, lay_out
from planner.core.fits.fitting import rate_of
from planner.core.fits.model_fit import Fitted
from planner.core.fits.model_list import mtr_percent, quality_score, score_of, usual_file_bytes
from planner.core.memory.estimate import Rate, Verdict
from planner.core.models.model import Commercial, Model, Role
from planner.core.pages.model_words import COMMERCIAL_SHORT, licence_name
from planner.core.pages.views import estimate_view, model_view
from planner.core.scores.quality import POOLS
from planner.errors import UsageError
from planner.units import format_count, format_gb, format_gib, format_rate, format_rates, format_tokens

_ROLE_SHORT = {Role.EMBEDDING: "embed", Role.GENERATION: "gen", Role.RERANKER: "rerank"}
VERDICTS = {Verdict.FITS: "fits", Verdict.OFFLOAD: "offload", Verdict.NO_FIT: "no"}
UNKNOWN = "-"


class Shown(NamedTuple):
    """A model in the list; `unique` says that its name without the owner is no other model's."""

    model: Model
    fitted: Fitted | None
    unique: bool


class _Known(NamedTuple):
    column: Column
    cell: Callable[[Shown], Cell]


def _tokens(tokens: int | None) -> Cell:
    return UNKNOWN if tokens is None else (f"{tokens:,}", format_tokens(tokens))


def _name(shown: Shown) -> Cell:
    return shown.model.id, shown.model.name if shown.unique else shown.model.id


def _parameters(shown: Shown) -> Cell:
    model = shown.model
    if model.parameters is None:
        return "?"
    text = format_count(model.parameters)
    if model.active_parameters is None:
        return text
    active = format_count(model.active_parameters)
    return f"{text} ({active} active)", f"{text}/{active}"


def _licence(shown: Shown) -> Cell:
    name, commercial = licence_name(shown.model), shown.model.licence.commercial
    mark = {Commercial.YES: "", Commercial.NO: " no"}.get(commercial, " ?")
    return name + COMMERCIAL_SHORT[commercial], name + mark


def _quants(shown: Shown) -> Cell:
    model = shown.model
    if not model.deployable:
        return f"cannot be run: {model.deploy_note}", "cannot be run"
    return " ".join(variant.quant for variant in model.variants) or UNKNOWN


def _number(value: float | None, form: str = ".2f") -> str:
    return UNKNOWN if value is None else format(value, form)


def _size(shown: Shown) -> str:
    size = usual_file_bytes(shown.model)
    return UNKNOWN if size is None else format_gb(size)


def _speed(shown: Shown) -> Cell:
    rate = None if shown.fitted is None else rate_of(shown.model, shown.fitted.fit.estimate)
    return range_cell(rate)


def range_cell(rate: Rate | None) -> Cell:
    """`5840 to 37700`, or shorter `5.8k-38k`: tokens per second."""
    if rate is None:
        return UNKNOWN
    return f"{format_rate(rate.low)} to {format_rate(rate.high)}", format_rates(rate.low, rate.high)


def _of_fit(text: Callable[[Fitted], Cell]) -> Callable[[Shown], Cell]:
    return lambda shown: UNKNOWN if shown.fitted is None else text(shown.fitted)


_COLUMNS: dict[str, _Known] = {
    "name": _Known(Column("MODEL", minimum=26), _name),
    "role": _Known(Column("ROLE", leaves=2), lambda s: (s.model.role.value, _ROLE_SHORT[s.model.role])),
    "params": _Known(Column("PARAMETERS", right=True, leaves=3, short_title="PARAMS"), _parameters),
    "verdict": _Known(Column("VERDICT", leaves=1), _of_fit(lambda f: VERDICTS[f.fit.verdict])),
    "quant": _Known(Column("QUANT", leaves=1), _of_fit(lambda f: f.fit.variant.quant)),
    "memory": _Known(
        Column("MEMORY", right=True, leaves=5), _of_fit(lambda f: format_gib(f.fit.estimate.memory.total_bytes))
    ),
    "context": _Known(
        Column("CONTEXT", right=True, leaves=4, short_title="CTX"), lambda s: _tokens(s.model.context_length)
    ),
    "usable": _Known(
        Column("USABLE CONTEXT", right=True, leaves=2, short_title="USABLE"),
        _of_fit(lambda f: _tokens(f.usable_context)),
    ),
    "speed": _Known(Column("TOK/S (80 %)", right=True, leaves=1, short_title="TOK/S"), _speed),
    "vector": _Known(
        Column("VECTOR", right=True, leaves=7),
        lambda s: UNKNOWN if s.model.embedding_length is None else str(s.model.embedding_length),
    ),
    "matryoshka": _Known(Column("CUT TO", leaves=9), lambda s: " ".join(map(str, s.model.matryoshka)) or UNKNOWN),
    "pooling": _Known(
        Column("POOLING", leaves=9), lambda s: UNKNOWN if s.model.pooling is None else s.model.pooling.value
    ),
    "mtr": _Known(Column("MTR %", right=True, leaves=5), lambda s: _number(mtr_percent(s.model))),
    "average": _Known(
        Column("RAG AVG", right=True, leaves=8), lambda s: _number(score_of(s.model, f"rag_average:{POOLS[0]}"))
    ),
    "quality": _Known(Column("QUALITY", right=True, leaves=8), lambda s: _number(quality_score(s.model))),
    "size": _Known(Column("FILE", right=True, leaves=6), _size),
    "licence": _Known(Column("LICENCE", minimum=12, leaves=6), _licence),
    "languages": _Known(Column("LANGUAGES", minimum=9, leaves=9), lambda s: " ".join(s.model.languages) or UNKNOWN),
    "date": _Known(Column("RELEASED", leaves=8), lambda s: s.model.release_date or UNKNOWN),
    "family": _Known(Column("FAMILY", minimum=8, leaves=9), lambda s: s.model.family),
    "lineage": _Known(Column("BUILT ON", minimum=12, leaves=9), lambda s: ", ".join(s.model.builds_on) or UNKNOWN),
    "run": _Known(Column("RUN", leaves=4), lambda s: "yes" if s.model.deployable else "no"),
    "quants": _Known(Column("QUANTS", minimum=8, leaves=7), _quants),
}
"""In the order of the help; what is left out first where room is short has the highest number."""
COLUMN_NAMES = tuple(_COLUMNS)
FIT_COLUMNS = frozenset({"verdict", "quant", "memory", "usable", "speed"})
"""Columns that say nothing without a machine."""
USUAL = ("name", "role", "params", "context", "mtr", "licence", "run", "quants")
USUAL_FITS = ("name", "role", "params", "verdict", "quant", "memory", "context", "usable", "speed", "mtr", "licence")
"""What is shown unless columns are named."""


def chosen_columns(text: str | None, *, fits: bool) -> tuple[str, ...]:
    """The columns named in a list separated by commas. Raises UsageError `unknown-column` with the nearest names."""
    if text is None:
        return USUAL_FITS if fits else USUAL
    names = [word.strip().casefold() for word in text.split(",") if word.strip()]
    for name in names:
        if name not in _COLUMNS:
            near = difflib.get_close_matches(name[:100], _COLUMNS, n=3, cutoff=0.5)
            raise UsageError(
                f"There is no column “{name[:40]}”.",
                hint=f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(COLUMN_NAMES)}.",
                reference="unknown-column",
            )
    if not names:
        raise UsageError(
            "--columns names no column.", hint=f"There are: {', '.join(COLUMN_NAMES)}.", reference="unknown-column"
        )
    if not fits and (needs := [name for name in names if name in FIT_COLUMNS]):
        raise UsageError(
            f"Column “{needs[0]}” is about a machine, and none was asked about.",
            hint="Add --fits for this machine, or describe one: --vram 8.",
            reference="no-machine",
        )
    return tuple(dict.fromkeys(names))


def page(
    models: Sequence[Model],
    fits: Mapping[str, Fitted],
    columns: Sequence[str],
    unique: frozenset[str],
    width: int | None,
) -> list[str]:
    """The table. `unique` are the names without owner that only one model of the whole catalog has."""
    shown = [Shown(model, fits.get(model.id), model.name.casefold() in unique) for model in models]
    known = [_COLUMNS[name] for name in columns]
    return lay_out([item.column for item in known], [[item.cell(row) for item in known] for row in shown], width)


def view(model: Model, fitted: Fitted | None, *, with_fit: bool) -> dict[str, object]:
    """A model in the document; with a machine asked about also how it runs there."""
    found = model_view(model)
    if with_fit:
        found["fit"] = None if fitted is None else fit_view(fitted)
    return found


def fit_view(fitted: Fitted) -> dict[str, object]:
    """How a model runs on a machine."""
    return {
        "quant": fitted.fit.variant.quant,
        "verdict": fitted.fit.verdict.value,
        "context": fitted.fit.context,
        "usable_context": fitted.usable_context,
        "estimate": estimate_view(fitted.fit.estimate),
    }
