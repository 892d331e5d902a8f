"""Where should this run? One table of this machine, common devices and rentals: `planner prices --where`."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from planner.cli.columns import Cell, Column, lay_out, note_lines, wrapped
from planner.cli.models_page import range_cell
from planner.core.costs.running import Load
from planner.core.costs.where import Place
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Role
from planner.core.pages.offer_view import TIERS, number, offer_view, provider_name, spread_view, usd
from planner.core.pages.offer_words import gpu_words, spread_cell
from planner.core.pages.views import rate_view

_KINDS = {"here": "yours", "device": "to own", "rental": "to rent"}


def where_lines(
    places: Sequence[Place], load: Load, names: dict[str, str], *, kwh_usd: Decimal, width: int | None
) -> Iterator[str]:
    """The table and what it rests on, in lines of at most `width` cells."""
    both = len(load.models) > 1
    writes = any(model.role is Role.GENERATION for model, _ in load.models)
    what = " and ".join(f"{model.name} {variant.quant}" for model, variant in load.models)
    yield from wrapped(f"Where to run {what}, the cheapest {'written' if writes else 'read'} token first", width)
    columns = [
        Column("WHERE", minimum=20),
        Column("", minimum=5),
        Column("FITS", leaves=2),
        *((Column("TOK/S", right=True),) * writes),
        *((Column("EMBED/S", right=True, leaves=1 if writes else 0),) * (both or not writes)),
        Column("$/H", right=True),
        *((Column("$/M GENERATED", right=True, short_title="$/M GEN"),) * writes),
        *((Column("$/M EMBEDDED", right=True, short_title="$/M EMB"),) * (both or not writes)),
        Column("SEEN"),
    ]
    cells: list[Sequence[Cell]] = []
    for item in places:
        quote = None if item.offer is None else item.offer.quote
        name = item.name
        if item.offer is not None and quote is not None:
            name = f"{gpu_words(item.offer, names)}, {provider_name(quote.provider)} {TIERS[quote.tier].lower()}"
        cells.append(
            [
                name,
                _KINDS[item.kind],
                "whole" if item.verdict is Verdict.FITS else "in part",
                *([range_cell(item.speeds.write)] * writes),
                *([range_cell(item.speeds.embed)] * (both or not writes)),
                "?" if item.hour_usd is None else usd(item.hour_usd),
                *([spread_cell(item.generated)] * writes),
                *([spread_cell(item.embedded)] * (both or not writes)),
                "" if quote is None else quote.observed_at[:10],
            ]
        )
    for line in lay_out(columns, cells, None if width is None else width - 2):
        yield f"  {line}"
    yield from note_lines(
        f"What is yours or to own costs its electricity alone here: the GPU's power by data sheet at {usd(kwh_usd)} "
        "a kWh (--kwh-price), a tenth of it while it waits; ? where no power is known. Buying it: --device NAME "
        "--device-price USD. In part: with layers on the CPU. SEEN: when the rent was; its marks: planner prices.",
        width,
    )


def place_view(item: Place) -> dict[str, object]:
    """A place for scripts (docs/json.md)."""
    return {
        "kind": item.kind,
        "name": item.name or None,
        "verdict": item.verdict.value,
        "hour_usd": number(item.hour_usd),
        "watts": number(item.watts),
        "tg": rate_view(item.speeds.write),
        "pp": rate_view(item.speeds.read),
        "embed": rate_view(item.speeds.embed),
        "usd_per_million_generated": spread_view(item.generated),
        "usd_per_million_embedded": spread_view(item.embedded),
        "offer": None if item.offer is None else offer_view(item.offer, item.per_million),
    }
