"""The rentals on a model's page: the cheapest that hold it whole, a few of different kinds."""

import msgspec

from planner.core.costs.cost import Spread, usd_per_million
from planner.core.costs.market import Market
from planner.core.costs.offers import DOUBTFUL, Offer, ordered
from planner.core.costs.renting import Rented
from planner.core.costs.running import Load, Running
from planner.core.memory.estimate import Rate
from planner.core.models.model import Role

SHOWN = 5


class Rental(msgspec.Struct, frozen=True):
    """An offer that holds the model whole, its speed there (tokens generated or read), and what its tokens cost."""

    offer: Offer
    rate: Rate | None
    per_million: Spread | None


class Rentals(msgspec.Struct, frozen=True):
    """The cheapest of a market for a load, per hour; `considered` offers were looked at."""

    rows: tuple[Rental, ...]
    considered: int
    market: Market
    load: Load


def cheapest(market: Market, rented: Rented, *, min_speed: float | None = None, shown: int = SHOWN) -> Rentals:
    """The cheapest offers per hour that hold the load whole, one of each provider and GPU, none in doubt or in part.

    With a `min_speed` (tokens per second) only those whose middle speed reaches it.
    """
    roles = [model.role for model, _ in rented.load.models]
    role = Role.GENERATION if Role.GENERATION in roles else roles[0]
    rows: list[Rental] = []
    seen: set[object] = set()
    for offer in ordered(market.offers, "total"):
        key = (offer.quote.provider, *offer.same_gpu)
        if len(rows) == shown:
            break
        if key in seen or DOUBTFUL & set(offer.flags):
            continue
        running = rented.on(offer)
        rate = None if running is None else _rate(running, role)
        if running is None or (min_speed is not None and (rate is None or rate.mid < min_speed)):
            continue
        seen.add(key)
        rows.append(Rental(offer, rate, usd_per_million(offer.quote.price_hour_usd, rate)))
    return Rentals(tuple(rows), len(market.offers), market, rented.load)


def _rate(running: Running, role: Role) -> Rate | None:
    return running.speeds.write if role is Role.GENERATION else running.speeds.embed
