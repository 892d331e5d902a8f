"""The offers as a table: what they are, what they cost, how old that is, what is odd about them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from planner.core.estimate import Verdict
from planner.core.offer_view import TIERS, provider_name, usd, usd_range
from planner.core.offer_words import flag_words, gpu_words, seen_words, vram_words
from planner.core.offers import DOUBTFUL, Offer
from planner.core.priced import Priced
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


def draw(rows: Sequence[tuple[Priced, int]], listing: Listing, *, paired: bool, width: int, marks: Marks) -> Drawn:
    """The table for a width in cells. Without a pair there is no cost per token and no speed."""
    several = any(row.offer.quote.gpu_count > 1 for row, _ in rows)
    told = any(row.offer.quote.reliability is not None for row, _ in rows)
    names = listing.names
    ranges, small = width >= WIDE, width < NARROW
    parts = [
        (Column("GPU", minimum=10 if small else 16), ""),
        (Column("GiB", right=True, leaves=1), "vram"),
        (Column("provider", minimum=8 if small else 13), "provider"),
        (Column("tier", minimum=6 if small else 11, leaves=2), ""),
        (Column("$/h", right=True), "total"),
        *(((Column("$/GPU/h", right=True, leaves=7), "price"),) * several),
        *(((Column("$/M tokens", right=True), "tokens"), (Column("tok/s", right=True, leaves=4), "")) * paired),
        (Column("seen"), ""),
        *(((Column("reliable", right=True, leaves=8), "reliability"),) * told),
        (Column("region", minimum=6, leaves=9), ""),
        (Column("more", right=True, leaves=6), ""),
        (Column("notes", minimum=9, leaves=3), ""),
    ]
    columns = tuple(column for column, _ in parts)
    drawn: list[Row] = []
    for row, others in rows:
        offer, quote = row.offer, row.offer.quote
        drawn.append(
            (
                gpu_words(offer, names),
                vram_words(offer),
                provider_name(quote.provider),
                TIERS[quote.tier],
                usd(quote.price_hour_usd),
                *((usd(offer.price_gpu_hour_usd),) * several),
                *(_paired(row, marks, ranges=ranges) if paired else ()),
                _seen(offer, listing),
                *((_reliability(quote.reliability, marks),) * told),
                quote.region or marks.none,
                f"+{others}" if others else "",
                _notes(offer),
            )
        )
    natural = tuple(
        max([cell_len(column.title), *(cell_len(_text(row[i])) for row in drawn)]) for i, column in enumerate(columns)
    )
    keys = tuple(key for _, key in parts)
    return Drawn(columns, keys, tuple(drawn), natural)


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


def _seen(offer: Offer, listing: Listing) -> Cell:
    words = seen_words(offer, age_s(offer, listing))
    style = {"fresh": "$text-success", "stale": "$text-warning"}.get(offer.staleness, MUTED)
    return Cell(words if offer.staleness == "snapshot" or words == "now" else f"{words} ago", style)


def _notes(offer: Offer) -> Cell:
    return Cell(flag_words(offer)[0], "$text-warning" if DOUBTFUL & set(offer.flags) else MUTED)


def _reliability(share: float | None, marks: Marks) -> str:
    return marks.none if share is None else f"{share:.1%}"


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text
