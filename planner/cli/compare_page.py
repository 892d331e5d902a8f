"""Models side by side, as `planner compare` shows them: lines for people, and the document of docs/json.md."""

import textwrap
from collections.abc import Iterator, Sequence

from planner.cli.columns import cells, wrapped
from planner.cli.show_document import difference_view, memory_view
from planner.core.costs.own_device import machine_name
from planner.core.fits.fitting import rate_of
from planner.core.machines.hardware import Hardware
from planner.core.pages.comparison_words import sentences
from planner.core.pages.difference import Side
from planner.core.pages.side_by_side import Fact, SideBySide
from planner.core.pages.views import hardware_view, model_view, rate_view
from planner.core.scores.significance import Comparison
from planner.units import printable

_GAP = 2
_LEAST = 20
"""Cells of a model's column; where they do not all fit, models go below each other."""
_MOST = 34


def page(found: SideBySide, machine: Hardware | None, *, width: int | None) -> Iterator[str]:
    """The comparison in lines of at most `width` cells; without a `machine` the reference card's figures."""
    where = "an RTX 4090 with room for all" if machine is None else machine_name(machine)
    quant = "" if found.quant is None else f" in {found.quant}"
    yield from wrapped(f"Memory and speed{quant} on {where}, context {found.context:,} tokens", width)
    label = max(cells(fact.label) for fact in found.facts)
    room = 10**6 if width is None else width - label
    each = max(1, min(len(found.sides), room // (_LEAST + _GAP)))
    size = min(_MOST, max(1, room // each - _GAP))
    for start in range(0, len(found.sides), each):
        yield ""
        yield from _block(found, range(start, min(start + each, len(found.sides))), label, size)
    if any(fact.best for fact in found.facts):
        yield "* the better value"
    yield ""
    for line in sentences(found):
        yield from wrapped(line, width)
    if found.notes:
        yield ""
    for text in found.notes:
        yield from wrapped(text, width, indent="  ")


def _block(found: SideBySide, columns: range, label: int, size: int) -> Iterator[str]:
    names = [found.sides[i].model.id for i in columns]
    yield from _row("", names, label, size)
    for fact in found.facts:
        yield from _row(fact.label, [_marked(fact, i) for i in columns], label, size)


def _marked(fact: Fact, index: int) -> str:
    return fact.texts[index] + (" *" if index in fact.best else "")


def _row(label: str, texts: Sequence[str], label_size: int, size: int) -> Iterator[str]:
    parts = [textwrap.wrap(" ".join(printable(text).split()), size, break_on_hyphens=True) or ["-"] for text in texts]
    for line in range(max(map(len, parts))):
        row = [label if line == 0 else ""] + [part[line] if line < len(part) else "" for part in parts]
        widths = [label_size] + [size] * len(parts)
        padded = [text + " " * (size - cells(text)) for text, size in zip(row, widths, strict=True)]
        yield (" " * _GAP).join(padded).rstrip()


def document(found: SideBySide, machine: Hardware | None) -> dict[str, object]:
    """The comparison for scripts. `hardware` is null where no machine was asked about."""
    return {
        "schema": 1,
        "hardware": None if machine is None else hardware_view(machine),
        "context": found.context,
        "quant": found.quant,
        "pool": found.pool,
        "models": [_model(side, usable) for side, usable in zip(found.sides, found.usable, strict=True)],
        "facts": [
            {"name": fact.name, "values": list(fact.values), "better": fact.better, "best": list(fact.best)}
            for fact in found.facts
        ],
        "differences": [
            {"model": found.sides[0].model.id, "than": other.model.id, **difference_view(item)}
            for item, other in zip(found.differences, found.sides[1:], strict=True)
        ],
        "significance": None if found.comparison is None else _significance(found, found.comparison),
        "text": list(sentences(found)),
        "notes": list(found.notes),
    }


def _model(side: Side, usable: int | None) -> dict[str, object]:
    fit = side.fit
    return {
        **model_view(side.model),
        "variant": None if fit is None else fit.variant.quant,
        "verdict": None if fit is None else fit.verdict.value,
        "memory": None if fit is None else memory_view(fit),
        "rate": None if fit is None else rate_view(rate_of(side.model, fit.estimate)),
        "usable_context": usable,
    }


def _significance(found: SideBySide, comparison: Comparison) -> dict[str, object]:
    test = comparison.friedman
    return {
        "alpha": comparison.alpha,
        "tasks": comparison.tasks,
        "differ": comparison.differ,
        "friedman": {"chi_square": test.chi_square, "degrees": test.degrees, "p": test.p},
        "iman_davenport": {"f": test.f, "degrees": list(test.f_degrees), "p": test.f_p},
        "critical_difference": comparison.critical_difference,
        "mean_ranks": [
            {"model": found.sides[index].model.id, "mean_rank": rank}
            for index, rank in zip(found.tested, comparison.mean_ranks, strict=True)
        ],
        "groups": [[found.sides[found.tested[index]].model.id for index in group] for group in comparison.groups],
    }
