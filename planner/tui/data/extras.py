"""What is worth knowing about the plans once they stand: what would change them, and what their tokens cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.machine import Situation

if TYPE_CHECKING:
    from planner.core.costs.own_device import Own
    from planner.core.costs.priced import Priced
    from planner.tui.data.prices import Listing

Command = tuple[str, ...]
"""What tells plans apart."""


@dataclass(frozen=True)
class CostRow:
    """Where a plan may run, what an hour and a million tokens cost there, and how old that price is."""

    kind: str
    where: str
    hour: str
    million: str
    seen: str = ""


@dataclass(frozen=True)
class Extras:
    """By a plan's command. No costs where no prices are kept that were collected within a day."""

    changes: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)
    costs: Mapping[Command, tuple[CostRow, ...]] = field(default_factory=dict)


def find_extras(situation: Situation, plans: Sequence[Recommendation]) -> Extras:
    """For plans of `plan_pairs`. Takes as long as planning; asks nobody. Raises PlannerError."""
    return Extras(_changes(situation, plans), _costs(situation, plans))


def _changes(situation: Situation, plans: Sequence[Recommendation]) -> dict[Command, tuple[str, ...]]:
    from planner.core.memory.placement import machine_of
    from planner.core.memory.readings import steady
    from planner.core.memory.workload import Workload
    from planner.core.pairs.changes import Changes, with_changes
    from planner.core.pairs.pair import COMFORT_MARGIN

    hardware = steady(situation.hardware)
    machine = machine_of(hardware, live=True, margin=COMFORT_MARGIN)
    changes = Changes(
        situation.models, machine, hardware, Workload(), situation.speed, margin=COMFORT_MARGIN, live=True
    )
    return {plan.command: plan.changes for plan in with_changes(tuple(plans), changes) if plan.changes}


def _costs(situation: Situation, plans: Sequence[Recommendation]) -> dict[Command, tuple[CostRow, ...]]:
    from planner.config import load_config

    # Where nothing was ever collected there is nothing to read, and what reads it need not be imported.
    if situation.catalog is None or not (load_config().cache_dir / "prices").is_dir():
        return {}
    from planner.core.costs.rent_or_run import rent_or_run
    from planner.core.memory.readings import steady
    from planner.tui.data.prices import read_market

    listing = read_market(ask=False)
    if all(offer.staleness == "snapshot" for offer in listing.market.offers):
        return {}
    hardware = steady(situation.hardware)
    found: dict[Command, tuple[CostRow, ...]] = {}
    for plan in plans:
        both = rent_or_run(plan, hardware, listing.market, listing.specs, calibration=situation.catalog.speed)
        found[plan.command] = (_rent(both.rental, listing), _own(both.own))
    return found


def _rent(row: "Priced | None", listing: "Listing") -> CostRow:
    from planner.core.pages.offer_view import TIERS, provider_name, usd
    from planner.core.pages.offer_words import age_words, gpu_words
    from planner.prices.parsing import epoch

    if row is None:
        return CostRow("rent", f"none of {len(listing.market.offers):,} offers known holds it whole", "", "")
    offer, quote = row.offer, row.offer.quote
    seen_s = epoch(quote.observed_at)
    age = "" if offer.staleness == "snapshot" or seen_s is None else age_words(listing.now_s - seen_s)
    return CostRow(
        "rent",
        f"{gpu_words(offer, listing.names)} at {provider_name(quote.provider)}, {TIERS[quote.tier].lower()}",
        usd(quote.price_hour_usd),
        _tokens(row.generated or row.embedded),
        quote.observed_at[:10] if not age else age if age == "now" else f"{age} ago",
    )


def _own(own: "Own") -> CostRow:
    from planner.core.models.model import Role
    from planner.core.pages.offer_view import usd

    if own.hour_usd is None:
        return CostRow("yours", "electricity not known, for what it draws is not", "", "")
    tokens = own.per_million(Role.GENERATION) or own.per_million(Role.EMBEDDING)
    return CostRow("yours", "electricity", usd(own.hour_usd), _tokens(tokens))


def _tokens(spread: object) -> str:
    from planner.core.costs.cost import Spread
    from planner.core.pages.offer_view import usd_range

    return usd_range(spread) if isinstance(spread, Spread) else ""
