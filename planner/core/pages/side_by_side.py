"""Models side by side: one fact a row, the better value marked, and what the differences come to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from planner.core.fits.fitting import file_bytes_of, fit_on, rate_of, shown_context, shown_variants, usable_context
from planner.core.fits.model_list import mtr_percent, score_of, usual_variant
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Model, Role, Variant
from planner.core.pages.difference import ALIKE_BYTES, ALIKE_SPEED, Difference, Side, difference
from planner.core.pages.model_words import language_words, licence_words, parameter_words, pooling_words
from planner.core.pairs.reasons import rate_text
from planner.core.scores.quality import quality
from planner.core.scores.ranking import Ranking
from planner.core.scores.significance import Comparison, compare
from planner.core.scores.standing import pools_of, shared_pool
from planner.core.speed.calibration import GENERIC, Calibration
from planner.units import format_gb, format_gib

Value = float | str | None
Better = Literal["higher", "lower"]
Asked = tuple[Model, Variant | None]

_GENERATION = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "MXFP4", "Q8_0")
_OTHERS = ("Q8_0", "F16", "Q4_K_M")
_FIGURES = {
    "rag_average": "RAG average",
    "clustering_average": "clustering",
    "reranking_average": "reranking",
    "retrieval_average": "retrieval",
    "sts_average": "STS",
}


class Fact(msgspec.Struct, frozen=True):
    """A row: a value for every model (None: not known or not there), as text too, and which are the best of them.

    `better` is None where neither more nor less is; `best` is empty then, and where all are alike.
    """

    name: str
    label: str
    values: tuple[Value, ...]
    texts: tuple[str, ...]
    better: Better | None = None
    best: tuple[int, ...] = ()


class SideBySide(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison. `quant` is the one all are compared in, None where they differ; `pool` that of the scores.

    `differences` are those of the first model to each of the others. `comparison` is that of the models at the
    positions `tested`, which have all scores of the pool; None where there is nothing to test.
    """

    sides: tuple[Side, ...]
    usable: tuple[int | None, ...]
    context: int
    quant: str | None
    pool: str | None
    facts: tuple[Fact, ...]
    differences: tuple[Difference, ...]
    tested: tuple[int, ...]
    comparison: Comparison | None
    notes: tuple[str, ...]


def side_by_side(
    asked: Sequence[Asked],
    hardware: Hardware,
    rankings: Mapping[str, Ranking],
    *,
    context: int | None,
    limited: bool,
    calibration: Calibration = GENERIC,
) -> SideBySide:
    """Compare models at one context and, as far as the catalog has it of all, in one quant.

    `limited`: `hardware` is somebody's machine and its memory counts; else it has room for everything.
    """
    models = [model for model, _ in asked]
    tokens = min(shown_context(model, context) for model in models)
    variants = compared_variants(asked)
    sides = tuple(
        Side(model, None if variant is None else fit_on(model, variant, hardware, tokens, calibration=calibration))
        for model, variant in zip(models, variants, strict=True)
    )
    usable = tuple(
        usable_context(side.model, side.fit.variant, hardware) if limited and side.fit is not None else None
        for side in sides
    )
    quants = {variant.quant for variant in variants if variant is not None}
    one_role = len({model.role for model in models}) == 1
    placed = [model for model in models if pools_of(model)]
    pool = shared_pool(placed) if placed and one_role else None
    tested, comparison = _significance(models, rankings.get(pool) if pool is not None else None)
    return SideBySide(
        sides=sides,
        usable=usable,
        context=tokens,
        quant=quants.pop() if len(quants) == 1 and None not in variants else None,
        pool=pool,
        facts=tuple(_facts(sides, variants, usable, pool, one_role=one_role, limited=limited)),
        differences=tuple(difference(sides[0], other) for other in sides[1:]),
        tested=tested,
        comparison=comparison,
        notes=tuple(_notes(models, variants, pool, context, tokens)),
    )


def compared_variants(asked: Sequence[Asked]) -> tuple[Variant | None, ...]:
    """The quant of each: the one named, else one that all have, else the one taken when none is named."""
    named = [variant.quant for _, variant in asked if variant is not None]
    offered = [{variant.quant: variant for variant in shown_variants(model)} for model, _ in asked]
    wanted = named[:1]
    if not named:
        shared = set.intersection(*(set(quants) for quants in offered))
        order = _GENERATION if asked[0][0].role is Role.GENERATION else _OTHERS
        wanted = [quant for quant in (*order, *offered[0]) if quant in shared]
    taken = {(model.id, variant.quant) for model, variant in asked if variant is not None}
    return tuple(
        variant
        or next((quants[quant] for quant in wanted if quant in quants and (model.id, quant) not in taken), None)
        or _usual(model)
        for (model, variant), quants in zip(asked, offered, strict=True)
    )


def _usual(model: Model) -> Variant | None:
    return usual_variant(model) or next(iter(shown_variants(model)), None)


def _facts(
    sides: Sequence[Side],
    variants: Sequence[Variant | None],
    usable: Sequence[int | None],
    pool: str | None,
    *,
    one_role: bool,
    limited: bool,
) -> list[Fact]:
    models = [side.model for side in sides]

    def row(name: str, label: str, text: Callable[[Model], str]) -> Fact:
        texts = tuple(text(model) for model in models)
        return Fact(name, label, texts, texts)

    def figures(
        name: str, label: str, values: Sequence[float | None], text: Callable[[float], str], better: Better | None
    ) -> Fact:
        texts = tuple("-" if value is None else text(value) for value in values)
        chosen = better if one_role else None
        tolerance = ALIKE_BYTES if name.endswith("_bytes") else 0.0
        return Fact(name, label, tuple(values), texts, chosen, _best(values, chosen, tolerance))

    found = [row("role", "role", lambda model: model.role.value), row("parameters", "parameters", parameter_words)]
    found.append(
        figures(
            "context_length", "trained context", [m.context_length for m in models], lambda n: f"{n:,.0f}", "higher"
        )
    )
    if any(model.embedding_length for model in models):
        lengths = [model.embedding_length for model in models]
        found.append(figures("embedding_length", "vector length", lengths, lambda n: f"{n:,.0f}", None))
    if any(model.matryoshka for model in models):
        found.append(row("matryoshka", "may be cut to", lambda m: " ".join(map(str, m.matryoshka)) or "-"))
    if any(model.pooling for model in models):
        found.append(row("pooling", "pooling", lambda m: pooling_words(m).partition(" (--")[0] if m.pooling else "-"))
    found += _score_facts(models, pool, figures, row)
    found.append(row_of_texts("quant", "quant", ["-" if v is None else v.quant for v in variants]))
    sizes = [None if v is None else file_bytes_of(m, v) for m, v in zip(models, variants, strict=True)]
    found.append(figures("file_bytes", "file", sizes, lambda n: format_gb(round(n)), "lower"))
    memory = [None if side.fit is None else side.fit.estimate.memory.total_bytes for side in sides]
    found.append(figures("memory_bytes", "memory", memory, lambda n: format_gib(round(n)), "lower"))
    if limited:
        verdicts = ["-" if side.fit is None else side.fit.estimate.placement.reason for side in sides]
        found.append(row_of_texts("placement", "runs how", verdicts))
        found.append(figures("usable_context", "usable context", usable, lambda n: f"{n:,.0f}", "higher"))
    found.append(_speed(sides, one_role=one_role))
    found += [
        row("licence", "licence", licence_words),
        row("languages", "languages", language_words),
        row("release_date", "released", lambda model: model.release_date or "not known"),
    ]
    if any(model.builds_on for model in models):
        found.append(row("builds_on", "built on", lambda model: ", ".join(model.builds_on) or "-"))
    found.append(
        row(
            "deployable", "runs with planner", lambda m: "yes" if m.deployable else f"no: {m.deploy_note.rstrip('.')}"
        )
    )
    return found


def row_of_texts(name: str, label: str, texts: Sequence[str]) -> Fact:
    """A row whose values are words."""
    return Fact(name, label, tuple(texts), tuple(texts))


def _score_facts(
    models: Sequence[Model],
    pool: str | None,
    figures: Callable[..., Fact],
    row: Callable[[str, str, Callable[[Model], str]], Fact],
) -> list[Fact]:
    """Scores of the shared pool; without one each with the pool it is of, and none better than the other."""

    def two_digits(value: float) -> str:
        return f"{value:.2f}"

    if pool is not None:
        ranks = [mtr_percent(model, pool) for model in models]
        return [figures("mtr_percent", "MTR %", ranks, two_digits, "lower")] + [
            figures(name, label, [score_of(model, f"{name}:{pool}") for model in models], two_digits, "higher")
            for name, label in _FIGURES.items()
        ]
    if any(pools_of(model) for model in models):
        return [row("mtr_percent", "MTR %", _own_rank)]
    if all(model.role is Role.GENERATION for model in models):
        values = [100 * quality(model, "F16").score for model in models]
        return [figures("quality", "quality score", values, lambda value: f"{value:.0f} of 100", "higher")]
    return []


def _own_rank(model: Model) -> str:
    pools = pools_of(model)
    return f"{mtr_percent(model, pools[0]):.2f} in {pools[0]}" if pools else "no rank"


def _best(values: Sequence[float | None], better: Better | None, tolerance: float = 0.0) -> tuple[int, ...]:
    """Positions of the best values and of those within a relative `tolerance` of them; none where all are."""
    known = [value for value in values if value is not None]
    if better is None or len(known) < 2:
        return ()
    best = max(known) if better == "higher" else min(known)
    found = [i for i, value in enumerate(values) if value is not None and abs(value - best) <= tolerance * abs(best)]
    return tuple(found) if len(found) < len(known) else ()


def _speed(sides: Sequence[Side], *, one_role: bool) -> Fact:
    rates = [None if side.fit is None else rate_of(side.model, side.fit.estimate) for side in sides]
    mids = [None if rate is None else rate.mid for rate in rates]
    texts = ["-" if rate is None else rate_text(rate) for rate in rates]
    for index, side in enumerate(sides):
        if side.fit is not None and side.fit.verdict is Verdict.NO_FIT:
            texts[index] = "does not fit"
    better: Better | None = "higher" if one_role else None
    return Fact("tokens_per_s", "speed", tuple(mids), tuple(texts), better, _best(mids, better, ALIKE_SPEED))


def _significance(models: Sequence[Model], ranking: Ranking | None) -> tuple[tuple[int, ...], Comparison | None]:
    """Which models have all scores of the pool, and whether they differ on its tasks among each other."""
    if ranking is None:
        return (), None
    scores = {row.identity.casefold(): row.scores for row in ranking.rows}
    seen: dict[str, int] = {}
    for index, model in enumerate(models):
        if model.id.casefold() in scores:
            seen.setdefault(model.id.casefold(), index)  # a model in two quants is one model
    found = compare([scores[name] for name in seen]) if len(seen) > 1 else None
    return (() if found is None else tuple(seen.values())), found


def _notes(
    models: Sequence[Model], variants: Sequence[Variant | None], pool: str | None, asked: int | None, context: int
) -> list[str]:
    notes: list[str] = []
    if len({model.role for model in models}) > 1:
        notes.append("These models are for different purposes, so no value is called the better one.")
    elif any(pools_of(model) for model in models):
        if pool is None:
            notes.append("No pool has a rank of all of them; ranks of different pools are not compared.")
        notes += [
            f"{name} has no rank: no pool has all of its scores. That says nothing about how good it is."
            for name in dict.fromkeys(model.name for model in models if not pools_of(model))
        ]
    if models[0].role is Role.GENERATION and len({model.role for model in models}) == 1:
        notes += [f"Quality of {model.name}: {quality(model, 'F16').evidence}." for model in models]
    if len({variant.quant for variant in variants if variant is not None}) > 1:
        notes.append("The quants differ, and with them memory and speed.")
    for model, variant in zip(models, variants, strict=True):
        if variant is not None and variant not in model.variants:
            notes.append(f"{model.name}: no file is known, sizes are predicted from its architecture.")
    if asked is not None and context < asked:
        notes.append(f"Compared with {context:,} tokens of context, the most that all were trained on.")
    return notes
