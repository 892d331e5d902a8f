"""The rentals on a model's page, for people and as a document. Nobody is asked: cache or snapshot answer."""

from collections.abc import Iterator, Sequence

from planner.cli.columns import Cell, Column, lay_out, note_lines, wrapped
from planner.cli.session import Session
from planner.core.costs.cheapest import Rental, Rentals, cheapest
from planner.core.costs.renting import RENTED_RAM_BYTES, Rented
from planner.core.costs.running import Load
from planner.core.fits.fitting import shown_context
from planner.core.memory.workload import KvType
from planner.core.models.model import Model, Role, Variant
from planner.core.pages.offer_view import TIERS, offer_view, provider_name, usd
from planner.core.pages.views import rate_view
from planner.errors import CatalogError
from planner.units import format_gib


def find_rentals(
    session: Session,
    model: Model,
    variant: Variant | None,
    *,
    context: int | None,
    parallel: int = 1,
    kv_type: KvType = "f16",
    min_speed: float | None = None,
) -> Rentals | None:
    """The cheapest rentals that hold the model; None where what it takes is not known. Never waits for the network.

    A document has dated prices alone, for the same question has the same bytes; people see the cache's too.
    """
    from planner.cli.market import find_market
    from planner.prices.provider import Wanted

    if variant is None or model.architecture is None:
        return None
    try:
        market = find_market(session, session.catalog.devices, Wanted(), ask=False, dated_only=session.as_json)
    except CatalogError as error:
        session.note(f"{error.message} No rentals are shown.")
        return None
    load = Load(models=((model, variant),), context=context, parallel=parallel, kv_type=kv_type)
    rented = Rented(load, session.catalog.devices, calibration=session.catalog.speed)
    return cheapest(market, rented, min_speed=min_speed)


def rental_lines(
    found: Rentals, model: Model, variant: Variant, names: dict[str, str], width: int | None
) -> Iterator[str]:
    """The block in lines of at most `width` cells."""
    word = "generated" if model.role is Role.GENERATION else "read"
    yield from wrapped(f"Cheapest rentals that hold {variant.quant} whole, with USD per million tokens {word}", width)
    if not found.rows:
        yield from note_lines(f"None of {found.considered} offers known. {_terms(found.load, model)}.", width)
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
    yield from note_lines(
        f"{_terms(found.load, model)}, beside {format_gib(RENTED_RAM_BYTES)} of host memory (assumed), tokens all "
        "the time; storage and traffic not counted. As collected last, else dated. The providers are asked, and "
        "other terms reckoned with, by: planner prices --model …",
        width,
    )


def _terms(load: Load, model: Model) -> str:
    """What a rental was looked at for: context, answers at a time, cache."""
    context = f"A context of {shown_context(model, load.context):,} tokens"
    if model.role is not Role.GENERATION:
        return context
    answers = "1 answer" if load.parallel == 1 else f"{load.parallel} answers"
    return f"{context} cached in {load.kv_type.upper()}, {answers} at a time"


def _cells(row: Rental, names: dict[str, str]) -> Sequence[Cell]:
    from planner.cli.models_page import range_cell
    from planner.core.pages.offer_words import gpu_words, spread_cell

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
    model = found.load.models[0][0]
    return {
        "as_of": found.market.as_of,
        "context": shown_context(model, found.load.context),
        "parallel": found.load.parallel,
        "kv_type": found.load.kv_type,
        "considered": found.considered,
        "offers": [{**offer_view(row.offer, row.per_million), "rate": rate_view(row.rate)} for row in found.rows],
    }
