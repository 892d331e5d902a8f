"""Rent or run, beside the plans of `planner recommend`: for people and as a document."""

import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from planner.cli.columns import wrapped
from planner.cli.market import find_market, say_problems
from planner.cli.session import Session
from planner.core.costs.cost import Job, Spread
from planner.core.costs.market import Market
from planner.core.costs.own_device import Own
from planner.core.costs.priced import Priced
from planner.core.costs.rent_or_run import RentOrRun, rent_or_run
from planner.core.costs.renting import RENTED_RAM_BYTES
from planner.core.machines.hardware import Hardware
from planner.core.memory.workload import Workload
from planner.core.models.model import Role
from planner.core.pages.cost_view import origin_view, own_view, priced_view
from planner.core.pages.offer_view import TIERS, provider_name, usd, usd_range
from planner.core.pages.offer_words import age_words, gpu_words
from planner.core.pairs.recommendation import Recommendation
from planner.prices.parsing import epoch
from planner.prices.provider import Provider, Wanted
from planner.units import format_gib


class Costs(msgspec.Struct, frozen=True):
    """By a plan's rank what renting and running it cost, in the market as it was at `now` (seconds since 1970)."""

    by_rank: dict[int, RentOrRun]
    market: Market
    names: Mapping[str, str]
    now: float


def find_costs(
    session: Session,
    plans: Sequence[Recommendation],
    hardware: Hardware,
    workload: Workload,
    *,
    ask: bool,
    sources: Sequence[Provider] | None = None,
) -> Costs | None:
    """The costs of the plans. Without `ask` nobody is asked, and None where no price is less than an hour old.

    `sources` are the providers to ask, all that are known when None.
    """
    specs, now = session.catalog.devices, time.time()
    market = find_market(session, specs, Wanted(), ask=ask, now=now, sources=sources)
    if ask:
        say_problems(session, market)
    elif not any(origin.status in {"fresh", "partial"} for origin in market.origins):
        return None
    least, calibration = workload.min_speed, session.catalog.speed
    found = {
        plan.rank: rent_or_run(plan, hardware, market, specs, min_speed=least, calibration=calibration)
        for plan in plans
    }
    return Costs(found, market, {spec.slug: spec.name for spec in specs}, now)


def cost_texts(costs: Costs) -> dict[int, str]:
    """By a plan's rank a sentence on what renting and running it cost."""
    return {rank: f"{_rent(found.rental, costs)}; {_yours(found.own)}" for rank, found in costs.by_rank.items()}


def _rent(row: Priced | None, costs: Costs) -> str:
    if row is None:
        return f"rent: none of {len(costs.market.offers):,} offers known holds it whole"
    offer, quote = row.offer, row.offer.quote
    where = f"{gpu_words(offer, dict(costs.names))} at {provider_name(quote.provider)} ({TIERS[quote.tier].lower()})"
    seen = epoch(quote.observed_at)
    age = "" if offer.staleness == "snapshot" or seen is None else age_words(costs.now - seen)
    when = f"seen {quote.observed_at[:10]}" if not age else f"seen {age if age == 'now' else age + ' ago'}"
    return f"rent: {where} {usd(quote.price_hour_usd)}/h{_tokens(row.generated, row.embedded)}, {when}"


def _yours(own: Own) -> str:
    if own.hour_usd is None:
        return "yours: electricity not known, for what it draws is not"
    tokens = _tokens(own.per_million(Role.GENERATION), own.per_million(Role.EMBEDDING))
    return f"yours: {usd(own.hour_usd)}/h of electricity{tokens}"


def _tokens(generated: Spread | None, embedded: Spread | None) -> str:
    main = generated or embedded
    return "" if main is None else f", {usd_range(main)}/M tokens"


def terms_lines(costs: Costs, workload: Workload, width: int | None) -> Iterator[str]:
    """What the costs rest on."""
    own = next(iter(costs.by_rank.values())).own
    power = "" if own.watts is None else f" at {float(own.watts):g} W ({own.watts_source})"
    generates = workload.role not in {Role.EMBEDDING, Role.RERANKER}
    kind = "embedded"
    if generates:
        kind = f"generated, {workload.parallel} answer{'s' * (workload.parallel > 1)} at a time"
    yield from wrapped(
        f"Rent or run, per million tokens {kind}, tokens all the time: rent is the cheapest per hour that holds the "
        f"plan whole with the same contexts, beside {format_gib(RENTED_RAM_BYTES)} of host memory (assumed), storage "
        f"and traffic not counted; electricity is {usd(own.kwh_usd)} a kWh (assumed){power}. --with-prices asks the "
        "providers; planner prices --where --model … reckons with other terms.",
        width,
    )


def prices_view(costs: Costs) -> dict[str, object]:
    """The market that was looked at, and what all costs rest on, for scripts (docs/json.md)."""
    market = costs.market
    return {
        "as_of": market.as_of,
        "considered": len(market.offers),
        "providers": [origin_view(origin) for origin in market.origins],
        "host_memory_bytes": RENTED_RAM_BYTES,
        "utilisation": 1.0,
    }


def costs_view(found: RentOrRun) -> dict[str, object]:
    """What a plan costs, for scripts (docs/json.md)."""
    return {
        "rental": None if found.rental is None else priced_view(found.rental, loaded=True),
        "own": own_view(found.own, Job(), wants_job=False),
    }
