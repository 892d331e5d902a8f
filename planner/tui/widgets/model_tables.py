"""The two tables of a model's page that can be walked through: its quants, and its alternatives."""

from collections.abc import Sequence

from rich.cells import cell_len

from planner.core.fits.fitting import best_fit, rate_of
from planner.core.memory.estimate import Verdict
from planner.core.pages.alternatives import KIND_WORDS, Alternative
from planner.core.pages.model_page import HereRow, QuantRow, where_from
from planner.core.pages.model_words import licence_name
from planner.tui.columns import MUTED, Cell, Column, Row
from planner.tui.data.details import Details
from planner.tui.marks import Marks
from planner.units import format_gb, format_gib, format_rates, format_tokens

QUANT_COLUMNS = (
    Column("quant"),
    Column("file", right=True),
    Column("loss", right=True),
    Column("here"),
    Column("memory", right=True, leaves=2),
    Column("context", right=True, leaves=1),
    Column("tok/s", right=True),
    Column("bits", right=True, leaves=4),
    Column("disk", leaves=3),
    Column("where from", minimum=16, leaves=5),
)
ALTERNATIVE_COLUMNS = (
    Column("model", minimum=20, middle=True),
    Column("why", minimum=12),
    Column("memory", right=True, leaves=1),
    Column("speed", right=True, leaves=2),
    Column("quality", right=True),
    Column("licence", minimum=8, leaves=3),
)


def verdict(row: HereRow | None, marks: Marks) -> Cell:
    """A sign and a word."""
    if row is None:
        return Cell(marks.none, MUTED)
    match row.fit.verdict:
        case Verdict.FITS:
            return Cell(f"{marks.done} fits", "$text-success")
        case Verdict.OFFLOAD:
            return Cell(f"{marks.degraded} offload", "$text-warning")
        case Verdict.NO_FIT:
            return Cell(f"{marks.failed} too big", "$text-error")


def quant_rows(details: Details, marks: Marks) -> list[Row]:
    """Every quant: its file, what it costs in quality, how it runs here."""
    return [_quant(details, row, marks) for row in details.page.quants]


def _quant(details: Details, row: QuantRow, marks: Marks) -> Row:
    model, none = details.page.model, Cell(marks.none, MUTED)
    here = details.here(row.variant.quant)
    rate = None if here is None else rate_of(model, here.fit.estimate)
    rounded = row.variant.file_bytes is None or row.variant.file_bytes_source != "exact"
    usable = None if here is None else here.usable_context
    return (
        row.variant.quant,
        none if row.file_bytes is None else ("~" if rounded else "") + format_gb(row.file_bytes),
        none if row.loss is None else f"{100 * row.loss:.1f} %",
        verdict(here, marks),
        none if here is None else format_gib(here.fit.estimate.memory.total_bytes),
        none if usable is None else format_tokens(usable),
        none if rate is None else format_rates(rate.low, rate.high),
        none if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}",
        Cell(marks.done, "$text-success") if row.variant.quant in details.installed else "",
        Cell(where_from(model, row), MUTED),
    )


def best_quant(details: Details) -> int:
    """The place of the quant that is best here, else of the one that the page is about."""
    page = details.page
    names = [row.variant.quant for row in page.quants]
    best = best_fit(page.model, [] if page.here is None else [row.fit for row in page.here.rows])
    variant = page.variant if best is None else best.variant
    return names.index(variant.quant) if variant is not None and variant.quant in names else 0


def alternative_rows(found: Sequence[Alternative], marks: Marks) -> list[Row]:
    """Each with why it is one, and what it has more or less than the model of the page."""
    return [_alternative(item, marks) for item in found]


def _alternative(item: Alternative, marks: Marks) -> Row:
    none, apart = Cell(marks.none, MUTED), item.difference
    points: Row = (none,)
    if apart.mtr_points is not None:
        better = apart.mtr_points < 0
        points = (Cell(_mtr_words(apart.mtr_points), _style(better=better, alike=not apart.mtr_points)),)
    elif apart.quality_points is not None:
        whole = round(apart.quality_points)
        points = (Cell(f"{whole:+d} points", _style(better=whole > 0, alike=not whole)),)
    memory = apart.memory_bytes
    less = memory is not None and memory < 0
    return (
        item.side.name,
        ", ".join(KIND_WORDS[kind] for kind in item.kinds),
        none
        if memory is None
        else Cell(("-" if less else "+") + format_gib(abs(memory)), _style(better=less, alike=not memory)),
        none if apart.speed_ratio is None else f"{apart.speed_ratio:.2g} times",
        *points,
        licence_name(item.side.model),
    )


def _mtr_words(points: float) -> str:
    """Lower is better, so a sign would be misread."""
    return f"{abs(points):.2f} {'better' if points < 0 else 'worse'}" if points else "alike"


def _style(*, better: bool, alike: bool) -> str:
    return "" if alike else "$text-success" if better else "$text-warning"


def natural(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """How wide the cells are."""
    texts = [[cell if isinstance(cell, str) else cell.text for cell in row] for row in rows]
    return [max((cell_len(row[i]) for row in texts), default=0) for i in range(len(columns))]
