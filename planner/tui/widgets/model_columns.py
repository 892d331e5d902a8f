"""The columns of the list of models, and what stands in them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from rich.cells import cell_len
from textual.content import Content

from planner.core.fits.fitting import rate_of
from planner.core.fits.model_fit import Fitted
from planner.core.memory.estimate import Verdict
from planner.core.models.languages import language_names
from planner.core.models.model import Commercial, Model, Role
from planner.tui.columns import MUTED, Cell, Column, hanging, lines
from planner.tui.data.listing import Listing
from planner.tui.data.models import Filters, Row, sort_title
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.widgets.filter_bar import Filter
from planner.units import format_count, format_gb, format_gib, format_rates, format_tokens

ROLES = {Role.EMBEDDING: "embed", Role.GENERATION: "gen", Role.RERANKER: "rerank"}
_WIDE = 128
"""Cells from which on MTR and grade have a column each."""
_LICENCE_STYLES = {Commercial.YES: "", Commercial.NO: "$text-error", Commercial.CONDITIONAL: "$text-warning"}
_LICENCE_SIGNS = {Commercial.YES: "", Commercial.NO: " no", Commercial.CONDITIONAL: " ?"}


class Drawn(NamedTuple):
    """A row as it is to be drawn. `looked`: whether it is known by now how the model runs."""

    row: Row
    fitted: Fitted | None
    looked: bool


class Known(NamedTuple):
    """A column, its key in `SORTS` ("" for none), how wide its cells are at most, and what stands in one."""

    key: str
    column: Column
    natural: int
    cell: Callable[[Drawn, Marks], Cell | str]


def columns_for(width: int, rows: Sequence[Row], filters: Filters) -> tuple[Known, ...]:
    """Those that make sense in a width of `width` cells; what is left out then is the table's own affair."""
    wide = width >= _WIDE
    names = max((cell_len(row.name) for row in rows), default=8)
    licences = max((cell_len(row.licence) + 2 for row in rows), default=8)
    found = [
        Known("name", Column("model", minimum=32 if width >= 100 else 20, middle=True), names, _name),
    ]
    if filters.role is None:
        found.append(Known("role", Column("role"), 6, lambda drawn, _: Cell(ROLES[drawn.row.model.role], MUTED)))
    found += [
        Known("params", Column("params", right=True, leaves=7), 11, _parameters),
        Known("verdict", Column("here"), 9, verdict_cell),
        Known("speed", Column("tok/s", right=True), 9, _speed),
        Known("context", Column("context", right=True, leaves=1), 9, _context),
    ]
    if not wide:
        found.append(Known("quality" if _writes(filters) else "mtr", Column("quality", right=True), 7, _quality))
    else:
        if filters.role is not Role.GENERATION:
            found.append(Known("mtr", Column("MTR %", right=True), 6, _mtr))
        if filters.role in {None, Role.GENERATION}:
            found.append(Known("quality", Column("grade", right=True), 5, _grade))
    return (
        *found,
        Known("memory", Column("memory", right=True, leaves=4), 9, _memory),
        Known("quant", Column("quant", leaves=5), 9, _quant),
        Known("size", Column("file", right=True, leaves=6), 9, _size),
        Known("licence", Column("licence", minimum=12, leaves=3), min(licences, 24), _licence),
        Known(
            "date", Column("released", leaves=8), 10, lambda drawn, marks: _or(drawn.row.model.release_date, marks)
        ),
        Known("installed", Column("disk", leaves=2), 4, _installed),
    )


def _writes(filters: Filters) -> bool:
    return filters.role is Role.GENERATION


def cells(known: Sequence[Known], drawn: Drawn, marks: Marks) -> list[Cell | str]:
    """A row."""
    return [item.cell(drawn, marks) for item in known]


def titled(known: Sequence[Known], sort: str, *, descending: bool) -> list[Column]:
    """The columns, with the direction behind the title of the one that decides the order."""
    arrow = "↓" if descending else "↑"
    return [
        item.column
        if item.key != sort
        else Column(f"{item.column.title} {arrow}", item.column.right, item.column.minimum, item.column.leaves)
        for item in known
    ]


def model_filters(filters: Filters) -> tuple[Filter, ...]:
    """The filters of the list, each with its key."""
    role = "any role" if filters.role is None else filters.role.value
    role_short = "role" if filters.role is None else ROLES[filters.role]
    code = filters.language
    language = "any language" if code is None else language_names().get(code, code)
    return (
        Filter("o", "role", role, role_short, filters.role is not None),
        Filter("f", "switch('fits')", "fits here", "fits", filters.fits),
        Filter("m", "switch('commercial')", "commercial use", "commercial", filters.commercial),
        Filter("l", "language", language, "language" if code is None else code, code is not None),
        Filter("i", "switch('installed')", "on disk", "disk", filters.installed),
        Filter("d", "switch('runnable')", "can be run", "runs", filters.runnable),
        *((Filter("x", "clear", "clear", "clear", False),) if filters.any else ()),
    )


def counted(listing: Listing) -> Content:
    """How many are marked, how many are listed, in which order."""
    shown, whole = len(listing.shown), len(listing.rows)
    return Content.assemble(
        (f"{len(listing.marked)} marked  " if listing.marked else "", "$text-accent"),
        (f"{shown} of {whole}" if listing.filters.any else f"{whole} models", "bold"),
        (f"  by {sort_title(listing.sort)} {'↓' if listing.descending else '↑'}", MUTED),
    )


def nothing_listed(listing: Listing, problem: Problem | None, marks: Marks, width: int) -> Content:
    """Why no model is listed, and what to do about it, in lines of `width` cells."""
    if problem is not None and (listing.filters.fits or not listing.rows):
        hint = f"{problem.hint} " if problem.hint else ""
        words = hanging(marks.failed, problem.message, width, "$text-error")
        return lines([words, hanging(marks.arrow, f"{hint}Press r to try again.", width)])
    if not listing.rows:
        return Content.styled(f"reading the catalog {marks.ellipsis}", MUTED)
    if listing.filters.fits and listing.unknown:
        return Content.styled(f"looking what fits {marks.ellipsis}", MUTED)
    search = listing.filters.search
    what = f"No model matches “{search}”" if search else "No model matches"
    others = " with these filters" if replace(listing.filters, search="").any else ""
    way = f"{marks.arrow} Press x to see all {len(listing.rows)}."
    return Content.assemble(f"{what}{others}.\n", (way, MUTED))


def _or(text: str | None, marks: Marks) -> Cell | str:
    return text or Cell(marks.none, MUTED)


def _name(drawn: Drawn, marks: Marks) -> str:
    del marks
    return drawn.row.name


def _parameters(drawn: Drawn, marks: Marks) -> Cell | str:
    model = drawn.row.model
    if model.parameters is None:
        return Cell(marks.none, MUTED)
    active = "" if model.active_parameters is None else f"/{format_count(model.active_parameters)}"
    return format_count(model.parameters) + active


def verdict_cell(drawn: Drawn, marks: Marks) -> Cell:
    """Whether it runs here: a sign and a word."""
    if not drawn.row.model.deployable:
        return Cell(f"{marks.none} closed" if _closed(drawn.row.model) else f"{marks.none} cannot", MUTED)
    if not drawn.looked:
        return Cell(marks.ellipsis, MUTED)
    if drawn.fitted is None:
        return Cell(f"{marks.none} no file", MUTED)
    match drawn.fitted.fit.verdict:
        case Verdict.FITS:
            return Cell(f"{marks.done} fits", "$text-success")
        case Verdict.OFFLOAD:
            return Cell(f"{marks.degraded} offload", "$text-warning")
        case Verdict.NO_FIT:
            return Cell(f"{marks.failed} too big", "$text-error")


def _closed(model: Model) -> bool:
    return model.licence.spdx == "LicenseRef-proprietary"


def _speed(drawn: Drawn, marks: Marks) -> Cell | str:
    rate = None if drawn.fitted is None else rate_of(drawn.row.model, drawn.fitted.fit.estimate)
    return Cell(marks.none if drawn.looked else "", MUTED) if rate is None else format_rates(rate.low, rate.high)


def _context(drawn: Drawn, marks: Marks) -> Cell | str:
    """`128k→40k`: trained, and what fits whole here."""
    trained = format_tokens(drawn.row.model.context_length)
    if drawn.fitted is None or drawn.fitted.fit.verdict is Verdict.NO_FIT:
        return Cell(trained, MUTED)
    usable = drawn.fitted.usable_context
    if usable is None:
        return f"{trained}{marks.arrow}{marks.none}"
    return trained if format_tokens(usable) == trained else f"{trained}{marks.arrow}{format_tokens(usable)}"


def _mtr(drawn: Drawn, marks: Marks) -> Cell | str:
    value = drawn.row.mtr
    blank = "" if drawn.row.model.role is Role.GENERATION else marks.none
    return Cell(blank, MUTED) if value is None else f"{value:.2f}"


def _grade(drawn: Drawn, marks: Marks) -> Cell | str:
    value = drawn.row.quality
    blank = "" if drawn.row.model.role is not Role.GENERATION else marks.none
    return Cell(blank, MUTED) if value is None else f"{drawn.row.grade} {value:3.0f}"


def _quality(drawn: Drawn, marks: Marks) -> Cell | str:
    """What there is: MTR in percent, or grade and score of 100."""
    row = drawn.row
    if row.mtr is not None:
        return f"{row.mtr:.1f} %"
    return Cell(marks.none, MUTED) if row.quality is None else f"{row.grade} {row.quality:3.0f}"


def _memory(drawn: Drawn, marks: Marks) -> Cell | str:
    if drawn.fitted is None:
        return Cell(marks.none if drawn.looked else "", MUTED)
    return format_gib(drawn.fitted.fit.estimate.memory.total_bytes)


def _quant(drawn: Drawn, marks: Marks) -> Cell | str:
    if drawn.fitted is None:
        return Cell(marks.none if drawn.looked else "", MUTED)
    return drawn.fitted.fit.variant.quant


def _size(drawn: Drawn, marks: Marks) -> Cell | str:
    """The file that would be fetched."""
    size = drawn.row.file_bytes
    if drawn.fitted is not None and drawn.fitted.fit.variant.file_bytes is not None:
        size = drawn.fitted.fit.variant.file_bytes
    return Cell(marks.none, MUTED) if size is None else format_gb(size)


def _licence(drawn: Drawn, marks: Marks) -> Cell | str:
    del marks
    commercial = drawn.row.model.licence.commercial
    return Cell(drawn.row.licence + _LICENCE_SIGNS.get(commercial, " ?"), _LICENCE_STYLES.get(commercial, MUTED))


def _installed(drawn: Drawn, marks: Marks) -> Cell | str:
    return Cell(marks.done, "$text-success") if drawn.row.installed else ""
