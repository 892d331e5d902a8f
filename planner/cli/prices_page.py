"""Rentals for people: the table that `planner prices` prints, and what it rests on."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from planner.cli.columns import Cell, Column, lay_out, note_lines, wrapped
from planner.cli.pricing import Pricer
from planner.core.costs.market import Market
from planner.core.costs.priced import Priced
from planner.core.models.model import Role
from planner.core.pages.offer_view import TIERS, TIERS_SHORT, provider_name, usd
from planner.core.pages.offer_words import (
    FLAGS,
    age_words,
    flag_words,
    gpu_words,
    seen_words,
    spread_cell,
    vram_words,
)


def page(
    market: Market,
    rows: Sequence[tuple[Priced, int]],
    pricer: Pricer,
    *,
    title: str,
    names: dict[str, str],
    ages_s: dict[str, float],
    left_out: int,
    hidden: int,
    width: int | None,
) -> Iterator[str]:
    """The answer in lines of at most `width` cells. `ages_s`: seconds since an observation, by its time."""
    yield from wrapped(title, width)
    yield from _table(rows, pricer, names, ages_s, width)
    if hidden:
        yield from note_lines(f"{hidden} more; --limit and --all show them.", width)
    if left_out:
        yield from note_lines(
            f"{left_out} offers are left out: the model does not fit there whole, or their GPU is not known.", width
        )
    yield from _legend(rows, width)
    if pricer.load is not None or pricer.wants_job or pricer.own is not None:
        from planner.cli.prices_inputs import input_lines

        yield from input_lines(pricer, [row for row, _ in rows], names, width)
    yield ""
    yield from origin_lines(market, width)


def _table(
    rows: Sequence[tuple[Priced, int]],
    pricer: Pricer,
    names: dict[str, str],
    ages_s: dict[str, float],
    width: int | None,
) -> Iterator[str]:
    model, job = pricer.load is not None, pricer.wants_job
    buying = pricer.own is not None and pricer.own.price_usd is not None
    cut = job and pricer.job.interruptions > 0
    several = any(row.offer.quote.gpu_count > 1 for row, _ in rows)
    both = any(row.generated is not None and row.embedded is not None for row, _ in rows)
    tokens = "$/M EMBEDDED" if pricer.role is Role.EMBEDDING else "$/M GENERATED"
    columns = [
        Column("GPU", minimum=13),
        Column("GiB", right=True),
        Column("PROVIDER", minimum=8),
        Column("TIER"),
        Column("$/GPU/H", right=True, leaves=4 if model else 0),
        *((Column("$/H", right=True, leaves=3 if job else 0 if model else 4),) * several),
        *((Column(tokens, right=True, short_title="$/M TOK", leaves=2 if job else 0),) * model),
        *((Column("$/M EMBEDDED", right=True, short_title="$/M EMB", leaves=3),) * both),
        *((Column("JOB", right=True),) * job),
        *((Column("INTERRUPTED", right=True, short_title="INTERR.", leaves=1),) * cut),
        *((Column("PAID OFF", right=True),) * buying),
        Column("SEEN"),
        Column("REGION", minimum=6, leaves=6),
        Column("MORE", right=True, leaves=7),
        Column("NOTES"),
    ]
    cells: list[Sequence[Cell]] = []
    for row, more in rows:
        offer, quote = row.offer, row.offer.quote
        cells.append(
            [
                gpu_words(offer, names),
                vram_words(offer),
                provider_name(quote.provider),
                (TIERS[quote.tier], TIERS_SHORT[quote.tier]),
                usd(offer.price_gpu_hour_usd),
                *([usd(quote.price_hour_usd)] * several),
                *([spread_cell(row.per_million)] * model),
                *([spread_cell(row.embedded)] * both),
                *([spread_cell(None if row.job is None else row.job.total)] * job),
                *([_interrupted(row)] * cut),
                *([_paid(row.break_even_hours)] * buying),
                seen_words(offer, ages_s.get(quote.observed_at)),
                quote.region or "-",
                str(more) if more else "",
                flag_words(offer),
            ]
        )
    for line in lay_out(columns, cells, None if width is None else width - 2):
        yield f"  {line}"


def _interrupted(row: Priced) -> str:
    return usd(row.job.interrupted.mid) if row.job is not None and row.offer.quote.interruptible else "-"


def _paid(hours: Decimal | None) -> str:
    return "never" if hours is None else f"{hours:,.0f} h"


def _legend(rows: Sequence[tuple[Priced, int]], width: int | None) -> Iterator[str]:
    used = {flag for row, _ in rows for flag in row.offer.flags}
    for flag, (letter, word, meaning) in FLAGS.items():
        if flag in used:
            yield from note_lines(f"{letter} {word}: {meaning}", width)
    unknown = sorted({item for row, _ in rows if row.job is not None for item in row.job.unknown})
    if unknown:
        yield from note_lines(
            f"Not said by some and so not in the job's sum (network speed: assumed): {', '.join(unknown)}.", width
        )


def origin_lines(market: Market, width: int | None) -> Iterator[str]:
    """How old what is, by source."""
    asked = [origin for origin in market.origins if origin.status not in {"snapshot", "none"}]
    for origin in asked:
        age = "" if origin.age_s is None else f", {age_words(origin.age_s)}"
        yield from wrapped(
            f"{provider_name(origin.name)}: {origin.status}{age.replace(', now', ', just now')}", width
        )
    dated = [offer.quote.observed_at[:10] for offer in market.offers if offer.staleness == "snapshot"]
    if dated:
        count = len({offer.quote.provider for offer in market.offers if offer.staleness == "snapshot"})
        yield from wrapped(
            f"Snapshot of {count} providers, seen {min(dated)} to {max(dated)}. {market.snapshot_note}", width
        )
