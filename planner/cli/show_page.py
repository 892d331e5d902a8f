"""A model's page for people: what `planner show` prints."""

from collections.abc import Iterable, Iterator, Sequence

from planner.cli.columns import Cell, Column, wrapped
from planner.cli.show_tables import device_lines, here_lines, note_lines, quant_lines, table_lines
from planner.core.fits.device_grid import REFERENCE_NAME
from planner.core.models.model import Model, Role
from planner.core.pages.alternatives import KIND_WORDS
from planner.core.pages.difference import difference_words
from planner.core.pages.model_facts import CATEGORY_NAMES, model_facts, source_words, unranked_words
from planner.core.pages.model_page import Page
from planner.core.pages.model_words import licence_words, summary
from planner.core.scores.evals import Category
from planner.core.scores.quality import quality
from planner.core.scores.standing import other_scores

_LABEL = 16


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
    for label, text in model_facts(model):
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
                Column(CATEGORY_NAMES[category].upper(), right=True, leaves=0 if index == 2 else 3)
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
        yield from note_lines(unranked_words(missing), width)
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
    for words in source_words(model):
        yield from note_lines(words, width)
