"""The cheapest rental, where nothing fits on the machine that was asked about."""

from planner.cli.market import find_market
from planner.cli.session import Session
from planner.core.costs.instead import rent_instead
from planner.core.memory.workload import Workload
from planner.core.pages.offer_view import TIERS, provider_name, usd
from planner.core.pages.offer_words import gpu_words
from planner.errors import CatalogError, NoResultError
from planner.prices.provider import Wanted


def with_rental(session: Session, error: NoResultError, workload: Workload) -> NoResultError:
    """The error with what may be rented instead, by dated prices: the same question has the same answer."""
    catalog = session.catalog
    try:
        market = find_market(session, catalog.devices, Wanted(), ask=False, dated_only=True)
    except CatalogError:
        return error
    found = rent_instead(catalog.models, market, catalog.devices, workload, catalog.speed)
    if found is None:
        return error
    quote = found.offer.quote
    gpu = gpu_words(found.offer, {spec.slug: spec.name for spec in catalog.devices})
    hint = (
        f"Rented, {' + '.join(found.models)} would do: {gpu} at {provider_name(quote.provider)} "
        f"({TIERS[quote.tier].lower()}), {usd(quote.price_hour_usd)}/h on {quote.observed_at[:10]} (planner prices)."
    )
    return NoResultError(error.message, hint=f"{error.hint} {hint}", reference=error.reference)
