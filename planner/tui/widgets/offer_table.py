"""The offers as a table: what they are, what they cost, how old that is, what is odd about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from planner.core.costs.offers import DOUBTFUL, Offer
from planner.core.costs.priced import Priced
from planner.core.memory.estimate import Verdict
from planner.core.pages.offer_view import TIERS, provider_name, usd, usd_range
from planner.core.pages.offer_words import flag_words, gpu_words, seen_words, vram_words
from planner.prices.parsing import epoch
from planner.tui.columns import MUTED, Cell, Column, Row
from planner.tui.data.prices import Listing
from planner.tui.marks import Marks
from planner.units import format_rate

WIDE = 132
"""Cells from which costs are shown with their ranges."""
NARROW = 76
"""Cells below which names are shortened rather than columns left out."""


@dataclass(frozen=True)
class Drawn:
    """A table's columns and rows. `keys` name the columns for sorting, `natural` are their widths."""

    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    natural: tuple[int, ...]


class OfferTable:
    """The cells of offers, made once for each: filters and orders only choose among them.

    Without a pair (`paired`) there is no cost per token and no speed. `ranges`: costs with their intervals.
    """

    def __init__(self, rows: Sequence[Priced], listing: Listing, *, paired: bool, ranges: bool, marks: Marks) -> None:
        self.paired, self.ranges = paired, ranges
        self._listing = listing
        self._names = listing.names
        self._marks = marks
        self._several = any(row.offer.quote.gpu_count > 1 for row in rows)
        self._told = any(row.offer.quote.reliability is not None for row in rows)
        self._ages: dict[str, float | None] = {}
        self._known: dict[int, tuple[Row, tuple[int, ...]]] = {}

    def prepare(self, rows: Sequence[Priced]) -> None:
        """Make the cells now, in the background, not when they are first seen."""
        for row in rows:
            self._cells(row)

    def draw(self, rows: Sequence[tuple[Priced, int]], width: int) -> Drawn:
        """The table for a width in cells, with the number of others that each row stands for."""
        parts = self._columns(small=width < NARROW)
        columns = tuple(column for column, _ in parts)
        known = [self._cells(row) for row, _ in rows]
        more = [f"+{others}" if others else "" for _, others in rows]
        drawn = tuple((*cells[:-1], text, cells[-1]) for (cells, _), text in zip(known, more, strict=True))
        widest = [max(widths) for widths in zip(*(widths for _, widths in known), strict=True)] or [0] * len(parts)
        widest.insert(len(parts) - 2, max(map(len, more), default=0))
        natural = tuple(max(cell_len(column.title), cells) for column, cells in zip(columns, widest, strict=False))
        return Drawn(columns, tuple(key for _, key in parts), drawn, natural)

    def _columns(self, *, small: bool) -> list[tuple[Column, str]]:
        """Columns, each with the order that a click on it asks for."""
        return [
            (Column("GPU", minimum=10 if small else 16), ""),
            (Column("GiB", right=True, leaves=1), "vram"),
            (Column("provider", minimum=8 if small else 13), "provider"),
            (Column("tier", minimum=6 if small else 11, leaves=2), ""),
            (Column("$/h", right=True), "total"),
            *(((Column("$/GPU/h", right=True, leaves=7), "price"),) * self._several),
            *(
                ((Column("$/M tokens", right=True), "tokens"), (Column("tok/s", right=True, leaves=4), ""))
                * self.paired
            ),
            (Column("seen"), ""),
            *(((Column("reliable", right=True, leaves=8), "reliability"),) * self._told),
            (Column("region", minimum=6, leaves=9), ""),
            (Column("more", right=True, leaves=6), ""),
            (Column("notes", minimum=9, leaves=3), ""),
        ]

    def _cells(self, row: Priced) -> tuple[Row, tuple[int, ...]]:
        """The cells of an offer but for `more`, and how wide they are."""
        if id(row) not in self._known:
            offer, quote, none = row.offer, row.offer.quote, self._marks.none
            cells = (
                gpu_words(offer, self._names),
                vram_words(offer),
                provider_name(quote.provider),
                TIERS[quote.tier],
                usd(quote.price_hour_usd),
                *((usd(offer.price_gpu_hour_usd),) * self._several),
                *(_paired(row, self._marks, ranges=self.ranges) if self.paired else ()),
                self._seen(offer),
                *((none if quote.reliability is None else f"{quote.reliability:.1%}",) * self._told),
                quote.region or none,
                _notes(offer),
            )
            self._known[id(row)] = cells, tuple(cell_len(_text(cell)) for cell in cells)
        return self._known[id(row)]

    def _seen(self, offer: Offer) -> Cell:
        at = offer.quote.observed_at
        if at not in self._ages:
            self._ages[at] = age_s(offer, self._listing)
        words = seen_words(offer, self._ages[at])
        style = {"fresh": "$text-success", "stale": "$text-warning"}.get(offer.staleness, MUTED)
        return Cell(words if offer.staleness == "snapshot" or words == "now" else f"{words} ago", style)


def _paired(row: Priced, marks: Marks, *, ranges: bool) -> tuple[Cell | str, ...]:
    if row.running is None:
        return Cell("too small", MUTED), Cell(marks.none, MUTED)
    cost = row.per_million
    speed = row.running.speeds.write or row.running.speeds.embed
    if cost is None or speed is None:
        return Cell("unknown", MUTED), Cell("unknown", MUTED)
    part = "" if row.running.verdict is Verdict.FITS else " in part"
    return (
        Cell((usd_range(cost) if ranges else usd(cost.mid)) + part, "bold"),
        f"{format_rate(speed.low)} to {format_rate(speed.high)}",
    )


def age_s(offer: Offer, listing: Listing) -> float | None:
    """Seconds since the price was seen."""
    at = epoch(offer.quote.observed_at)
    return None if at is None else listing.now_s - at


def _notes(offer: Offer) -> Cell:
    return Cell(flag_words(offer)[0], "$text-warning" if DOUBTFUL & set(offer.flags) else MUTED)


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text
