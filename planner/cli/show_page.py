"""A model's page for people: what `planner show` prints."""

from collections.abc import Iterable, Iterator, Sequence

from planner.cli.columns import Cell, Column, wrapped
from planner.cli.show_tables import device_lines, here_lines, note_lines, quant_lines, table_lines
from planner.core.fits.device_grid import REFERENCE_NAME
from planner.core.models.model import Model, Role
from planner.core.pages.alternatives import KIND_WORDS
from planner.core.pages.difference import difference_words
from planner.core.pages.model_page import Page
from planner.core.pages.model_words import (
    architecture_words,
    language_words,
    licence_words,
    parameter_words,
    pooling_words,
    prompt_words,
    summary,
)
from planner.core.scores.evals import Category
from planner.core.scores.quality import quality
from planner.core.scores.standing import other_scores

_LABEL = 16
_CATEGORY = {
    Category.CLUSTERING: "CLUSTER",
    Category.RERANKING: "RERANK",
    Category.RETRIEVAL: "RETRIEVE",
    Category.STS: "STS",
}


def page(found: Page, *, described: bool, width: int | None, rentals: Iterable[str] = ()) -> Iterator[str]:
    """The page in lines of at most `width` cells. `described`: the machine was described, it is not this one.

    `rentals` are lines that come ready.
    """
    model = found.model
    yield f"{model.id}"
    yield from wrapped(summary(model), width)
    if not model.deployable:
        yield ""
        yield from wrapped(f"Cannot be run here: {model.deploy_note.rstrip('.')}.", width)
    yield ""
    yield from _facts(model, width)
    if found.quants:
        yield ""
        yield from quant_lines(found, width)
    if found.here is not None:
        yield ""
        yield from here_lines(found, found.here, described=described, width=width)
    if found.devices:
        yield ""
        yield from device_lines(found, width)
    offered = list(rentals)
    if offered:
        yield ""
        yield from offered
    scores = list(_scores(found, width))
    if scores:
        yield ""
        yield from scores
    if found.alternatives:
        yield ""
        yield from _alternatives(found, width)
    if found.quick_start:
        yield ""
        yield from _quick_start(found, width)
    if model.sources:
        yield ""
        yield from _sources(model, width)


def _facts(model: Model, width: int | None) -> Iterator[str]:
    facts = [("parameters", parameter_words(model))]
    if model.architecture is not None:
        facts.append(("architecture", "; ".join(architecture_words(model.architecture))))
    facts.append(("context", f"{model.context_length:,} tokens (trained)"))
    if model.role is Role.EMBEDDING:
        length = "not known" if model.embedding_length is None else f"{model.embedding_length:,} numbers"
        if model.matryoshka:
            length += f"; may be cut to {', '.join(f'{size:,}' for size in model.matryoshka)} (Matryoshka)"
        facts.append(("vector", length))
    if model.role is not Role.GENERATION:
        facts.append(("pooling", pooling_words(model)))
        prompts = prompt_words(model)
        note = " ({task} stands for an instruction)" if "{task}" in "".join(prompts) else ""
        facts.append(
            (
                "prompts",
                "; ".join(prompts) + note if prompts else "none" if "prompts" in model.sources else "none known",
            )
        )
    facts += [
        ("languages", language_words(model)),
        ("licence", licence_words(model)),
        ("released", model.release_date or "not known"),
    ]
    if model.builds_on:
        facts.append(("built on", ", then ".join(model.builds_on)))
    if model.aliases:
        facts.append(("also called", ", ".join(model.aliases)))
    facts += [("note", text) for text in model.notes]
    for label, text in facts:
        yield from wrapped(text, width, first=label.ljust(_LABEL), indent=" " * _LABEL)


def _scores(found: Page, width: int | None) -> Iterator[str]:
    model = found.model
    if found.standings:
        yield from wrapped("Scores: RAG mean task rank within each pool (MTR %, lower is better), averages", width)
        columns = [
            Column("POOL"),
            Column("DATE", leaves=2),
            Column("MTR %", right=True),
            Column("RANK", right=True),
            Column("MODELS", right=True, leaves=1),
            Column("AVERAGE", right=True, short_title="AVG"),
            *(
                Column(_CATEGORY[category], right=True, leaves=0 if index == 2 else 3)
                for index, category in enumerate(Category)
            ),
        ]
        rows: list[Sequence[Cell]] = []
        for item in found.standings:
            averages = [item.averages.get(category.value) for category in Category]
            rows.append(
                (
                    item.pool,
                    item.date,
                    f"{item.mtr_percent:.2f}",
                    "-" if item.rank is None else f"{item.rank} of {item.ranked}",
                    "-" if item.models is None else str(item.models),
                    *("-" if value is None else f"{value:.2f}" for value in (item.average, *averages)),
                )
            )
        yield from table_lines(columns, rows, width)
        for item in found.standings:
            yield from note_lines(f"{item.pool}: {item.source}", width)
    elif found.unranked or (model.role is Role.EMBEDDING and not other_scores(model)):
        yield "Scores: no rank; no pool has all of its scores"
    for missing in found.unranked:
        yield from note_lines(
            f"no rank in {missing.pool} ({missing.date}): {missing.scored} of {missing.tasks} scores are there", width
        )
    others = other_scores(model)
    if found.variant is not None and model.role is Role.GENERATION:
        good = quality(model, found.variant.quant)
        yield from wrapped(
            f"Quality score of {found.variant.quant}: {100 * good.score:.0f} of 100 ({good.evidence})",
            width,
            indent="  ",
        )
    if others:
        yield "Other published figures"
        for score in others:
            yield from note_lines(f"{score.name}: {score.value:g} ({score.date}; {score.source})", width)


def _alternatives(found: Page, width: int | None) -> Iterator[str]:
    title = "Alternatives"
    if found.variant is not None and found.quants:
        title += f" to {found.model.name} {found.variant.quant} (memory and speed on an {REFERENCE_NAME} with room)"
    yield from wrapped(title, width)
    for item in found.alternatives:
        model = item.side.model
        words = [*difference_words(item.difference), licence_words(model)]
        if not model.deployable:
            words.append(f"cannot be run here: {model.deploy_note.rstrip('.')}")
        kinds = ", ".join(KIND_WORDS[kind] for kind in item.kinds)
        yield from note_lines(f"{kinds}: {item.side.name}, {'; '.join(words)}", width)


def _quick_start(found: Page, width: int | None) -> Iterator[str]:
    yield "Quick start"
    for step in found.quick_start:
        yield from wrapped(f"# {step.does}", width, first="  ", indent="  # ")
        *most, last = step.parts
        for index, part in enumerate(most):
            yield f"  {'  ' * bool(index)}{part} \\"
        yield f"  {'  ' * bool(most)}{last}"


def _sources(model: Model, width: int | None) -> Iterator[str]:
    yield "Where these facts come from"
    fields: dict[str, list[str]] = {}
    for field, source in model.sources.items():
        fields.setdefault(source, []).append(field)
    for source, names in fields.items():
        yield from note_lines(f"{', '.join(names)}: {source}", width)
