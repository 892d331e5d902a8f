"""The parts of a model's page as text: facts, devices, scores, how to run it, rentals, sources."""

import textwrap
from collections.abc import Iterable, Sequence

from textual.content import Content

from planner.core.costs.cheapest import Rentals
from planner.core.fits.device_grid import DeviceRow
from planner.core.fits.fitting import Fit, rate_of
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Model, Role
from planner.core.pages.explain_quality import published
from planner.core.pages.model_facts import CATEGORY_NAMES, model_facts, source_words, unranked_words
from planner.core.pages.model_page import Page
from planner.core.pages.model_words import summary
from planner.core.pages.offer_view import TIERS, provider_name, usd, usd_range
from planner.core.pages.offer_words import gpu_words
from planner.core.scores.quality import quality
from planner.core.scores.standing import other_scores
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.data.details import Details
from planner.tui.marks import Marks
from planner.units import format_rates, printable

_LABEL = 13


def head(model: Model, installed: Sequence[str], width: int, marks: Marks) -> Content:
    """What it is, in a few lines."""
    words = [Content.styled(printable(line), "") for line in textwrap.wrap(summary(model), width)]
    if not model.deployable:
        words.append(
            hanging(marks.warning, f"Cannot be run: {model.deploy_note.rstrip('.')}.", width, "$text-warning")
        )
    if installed:
        words.append(hanging(marks.done, f"On this disk: {', '.join(installed)}", width, "$text-success"))
    return lines([Content.styled(printable(model.id), "bold"), *words])


def facts(model: Model, width: int) -> Content:
    """Label and text, in two columns."""
    return lines([_labelled(label, text, width) for label, text in model_facts(model)])


def _labelled(label: str, text: str, width: int) -> Content:
    rows = textwrap.wrap(" ".join(printable(text).split()), max(20, width - _LABEL), break_on_hyphens=False) or [""]
    return Content.assemble((label.ljust(_LABEL), MUTED), ("\n" + " " * _LABEL).join(rows))


def devices(page: Page, width: int, marks: Marks) -> Content | None:
    """Devices that many people have against quants, the best of each first."""
    if not page.devices:
        return None
    written = "written" if page.model.role is Role.GENERATION else "read"
    note = hanging(
        marks.note,
        f"Tokens {written} per second (80 %), context {page.context:,}. {marks.degraded} some layers on the CPU, "
        f"{marks.failed} does not fit.",
        width,
        MUTED,
    )
    if all(row.best is None for row in page.devices):
        names = ", ".join(row.device.label for row in page.devices)
        return hanging(marks.failed, f"None of these runs it alone: {names}.", width)
    quants = [fit.variant.quant for fit in page.devices[0].fits if fit is not None]
    columns = [Column("device", minimum=12), Column("best"), Column("tok/s", right=True)]
    columns += [Column(quant, right=True, leaves=len(quants) - index) for index, quant in enumerate(quants)]
    table = Table(columns, [_device(page.model, row, marks) for row in page.devices], width, ellipsis=marks.ellipsis)
    return lines([table.header, *table.lines, note])


def _device(model: Model, row: DeviceRow, marks: Marks) -> Row:
    best = row.best
    return (
        row.device.label,
        Cell(marks.none, MUTED) if best is None else best.variant.quant,
        _speed(model, best, marks),
        *(_speed(model, fit, marks, MUTED) for fit in row.fits if fit is not None),
    )


def _speed(model: Model, fit: Fit | None, marks: Marks, style: str = "") -> Cell:
    if fit is None:
        return Cell(marks.none, MUTED)
    if fit.verdict is Verdict.NO_FIT:
        return Cell(marks.failed, MUTED)
    rate = rate_of(model, fit.estimate)
    text = "runs" if rate is None else format_rates(rate.low, rate.high)
    return Cell(text if fit.verdict is Verdict.FITS else f"{marks.degraded} {text}", style)


def scores(page: Page, width: int, marks: Marks) -> Content | None:
    """Ranks in pools of published scores, the grade of a generator, other figures; each with date and source."""
    model = page.model
    found: list[Content] = []
    if page.standings:
        columns = [
            Column("pool", minimum=14),
            Column("date", leaves=2),
            Column("MTR %", right=True),
            Column("rank", right=True),
            Column("average", right=True, leaves=1),
            *(Column(name, right=True, leaves=3) for name in CATEGORY_NAMES.values()),
        ]
        table = Table(columns, [_standing(page, index) for index in range(len(page.standings))], width)
        found += [table.header, *table.lines]
        found += [hanging(marks.note, f"{item.pool}: {item.source}", width, MUTED) for item in page.standings]
    elif model.role is Role.EMBEDDING and not other_scores(model):
        found.append(hanging(marks.note, "No rank: no pool has all of its scores.", width))
    for missing in page.unranked:
        found.append(hanging(marks.note, unranked_words(missing), width, MUTED))
    if model.role is Role.GENERATION and page.variant is not None:
        good = quality(model, page.variant.quant)
        text = f"{100 * good.score:.0f} of 100 as {page.variant.quant}: {good.evidence}"
        found.append(hanging(marks.note, text, width))
    for words, score in published(model):
        text = f"{words}: {score.value:g} ({score.date}; {score.source})"
        found.append(hanging(marks.note, text, width, MUTED))
    return lines(found) if found else None


def _standing(page: Page, index: int) -> Row:
    item = page.standings[index]
    averages = [item.average, *(item.averages.get(category.value) for category in CATEGORY_NAMES)]
    return (
        item.pool,
        item.date,
        f"{item.mtr_percent:.2f}",
        "?" if item.rank is None else f"{item.rank} of {item.ranked}",
        *("?" if value is None else f"{value:.2f}" for value in averages),
    )


def quick_start(page: Page, width: int, marks: Marks) -> Content | None:
    """Commands, each with what it does."""
    found: list[Content] = []
    for step in page.quick_start:
        found.append(hanging(marks.note, step.does, width, MUTED))
        for index, part in enumerate(step.parts):
            more = " \\" if index < len(step.parts) - 1 else ""
            indent = "    " if index else "  "
            rows = textwrap.wrap(printable(part), max(20, width - 6), break_on_hyphens=False, break_long_words=False)
            found += [Content(f"{indent}{row}{more if last else ''}") for row, last in _last(rows or [""])]
    return lines(found) if found else None


def _last(rows: Sequence[str]) -> Iterable[tuple[str, bool]]:
    return ((row, index == len(rows) - 1) for index, row in enumerate(rows))


def rentals(details: Details, found: Rentals | None, width: int, marks: Marks) -> Content | None:
    """The cheapest rentals of which a price is known, without asking anybody."""
    if found is None or not found.rows:
        return None
    model = details.page.model
    word = "written" if model.role is Role.GENERATION else "read"
    columns = [
        Column("GPU", minimum=12),
        Column("provider", minimum=8, leaves=1),
        Column("tier", leaves=2),
        Column("$/h", right=True),
        Column("tok/s", right=True),
        Column(f"$/M {word}", right=True),
        Column("seen", leaves=3),
    ]
    rows: list[Row] = []
    for item in found.rows:
        quote = item.offer.quote
        cost = item.per_million
        rows.append(
            (
                gpu_words(item.offer, details.names or {}),
                provider_name(quote.provider),
                TIERS[quote.tier],
                usd(quote.price_hour_usd),
                "?" if item.rate is None else format_rates(item.rate.low, item.rate.high),
                "?" if cost is None else usd_range(cost) if width >= 90 else usd(cost.mid),
                quote.observed_at[:10],
            )
        )
    table = Table(columns, rows, width, ellipsis=marks.ellipsis)
    note = "Prices as collected last, else dated; the page Prices asks the providers."
    return lines([table.header, *table.lines, hanging(marks.note, note, width, MUTED)])


def sources(model: Model, width: int, marks: Marks) -> Content | None:
    """Where the facts come from."""
    words = source_words(model)
    return lines([hanging(marks.note, text, width, MUTED) for text in words]) if words else None
