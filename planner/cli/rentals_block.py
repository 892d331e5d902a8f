"""The rentals on a model's page, for people and as a document. Nobody is asked: cache or snapshot answer."""

from collections.abc import Iterator, Sequence

from planner.cli.columns import Cell, Column, lay_out, wrapped
from planner.cli.session import Session
from planner.core.cheapest import Rental, Rentals, cheapest
from planner.core.model import Model, Role, Variant
from planner.core.offer_view import TIERS, offer_view, provider_name, usd
from planner.core.running import Load
from planner.core.views import rate_view
from planner.errors import CatalogError


def find_rentals(
    session: Session,
    model: Model,
    variant: Variant | None,
    *,
    context: int | None,
    parallel: int = 1,
    min_speed: float | None = None,
) -> Rentals | None:
    """The cheapest rentals that hold the model; None where what it takes is not known. Never waits for the network.

    A document has dated prices alone, for the same question has the same bytes; people see the cache's too.
    """
    from planner.cli.market import find_market
    from planner.core.renting import Rented
    from planner.prices.provider import Wanted

    if variant is None or model.architecture is None:
        return None
    try:
        market = find_market(session, session.catalog.devices, Wanted(), ask=False, dated_only=session.as_json)
    except CatalogError as error:
        session.note(f"{error.message} No rentals are shown.")
        return None
    load = Load(models=((model, variant),), context=context, parallel=parallel)
    rented = Rented(load, session.catalog.devices, calibration=session.catalog.speed)
    return cheapest(market, rented, min_speed=min_speed)


def rental_lines(
    found: Rentals, model: Model, variant: Variant, names: dict[str, str], width: int | None
) -> Iterator[str]:
    """The block in lines of at most `width` cells."""
    word = "generated" if model.role is Role.GENERATION else "read"
    yield from wrapped(f"Cheapest rentals that hold {variant.quant} whole, with USD per million tokens {word}", width)
    if not found.rows:
        yield from wrapped(f"None of {found.considered} offers known.", width, first="  ", indent="    ")
        return
    columns = [
        Column("GPU", minimum=12),
        Column("PROVIDER", minimum=8),
        Column("TIER"),
        Column("$/H", right=True),
        Column("TOK/S", right=True),
        Column("$/M TOKENS", right=True, short_title="$/M TOK"),
        Column("SEEN"),
    ]
    for line in lay_out(columns, [_cells(row, names) for row in found.rows], None if width is None else width - 2):
        yield f"  {line}"
    yield from wrapped(
        "As collected last, else dated. The providers are asked by: planner prices --model …",
        width,
        first="  ",
        indent="    ",
    )


def _cells(row: Rental, names: dict[str, str]) -> Sequence[Cell]:
    from planner.cli.models_page import range_cell
    from planner.core.offer_words import gpu_words, spread_cell

    quote = row.offer.quote
    return (
        gpu_words(row.offer, names),
        provider_name(quote.provider),
        TIERS[quote.tier],
        usd(quote.price_hour_usd),
        range_cell(row.rate),
        spread_cell(row.per_million),
        quote.observed_at[:10],
    )


def rentals_view(found: Rentals | None) -> dict[str, object] | None:
    """The block for scripts (docs/json.md)."""
    if found is None:
        return None
    return {
        "as_of": found.market.as_of,
        "considered": found.considered,
        "offers": [{**offer_view(row.offer, row.per_million), "rate": rate_view(row.rate)} for row in found.rows],
    }
