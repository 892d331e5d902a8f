"""GPUs for rent: the market, what the tokens of a pair cost there and here, and what of it is wanted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import TYPE_CHECKING

from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.machine import Situation

if TYPE_CHECKING:
    from planner.core.costs.market import Market
    from planner.core.costs.own_device import Own
    from planner.core.costs.priced import Priced
    from planner.core.costs.running import Load
    from planner.core.costs.where import Place
    from planner.core.machines.hardware import DeviceSpec

SHORTLIST = 8
"""Rentals in the table that has devices too."""
MOST = Decimal(10**6)
"""Of USD or watts that can be entered."""


@dataclass(frozen=True)
class Listing:
    """The market as it was found at `now_s` (seconds since 1970), with the devices to recognise and name GPUs by.

    `asked`: whether providers were asked for it, or only cache and snapshot read. `offline`: they may not be asked.
    """

    market: "Market"
    specs: "tuple[DeviceSpec, ...]"
    now_s: float
    asked: bool = False
    offline: bool = False
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Device → name."""
        return {spec.slug: spec.name for spec in self.specs}


@dataclass(frozen=True)
class Inputs:
    """What costs are reckoned with; None: the usual, or what the data sheet says. USD, watts, a share of the time."""

    kwh_usd: Decimal | None = None
    watts: Decimal | None = None
    device_usd: Decimal | None = None
    utilisation: Decimal = Decimal(1)

    @classmethod
    def read(cls, kept: object) -> "Inputs":
        """From what was kept; what is no such number is left out."""
        if not isinstance(kept, dict):
            return cls()
        most = {"utilisation": Decimal(1)}
        found = {
            field.name: amount
            for field in fields(cls)
            if isinstance(text := kept.get(field.name), str)
            and (amount := read_amount(text, most=most.get(field.name, MOST))) is not None
        }
        return cls(**found)

    def kept(self) -> dict[str, str]:
        """What to keep."""
        return {name: f"{value:f}" for name, value in vars(self).items() if value is not None and value != 1}


def read_amount(text: str, *, most: Decimal) -> Decimal | None:
    """A number above 0 and at most `most` as the decimal that was typed; None for anything else."""
    try:
        found = Decimal(text.strip().removeprefix("$").replace(",", "."))
    except ArithmeticError:
        return None
    return found if found.is_finite() and 0 < found <= most else None


@dataclass(frozen=True)
class Reckoning:
    """Every offer with its costs, in the market's order, and where the pair should run. Without a pair: prices alone.

    `own` is this machine, None where it was not looked at.
    """

    rows: "tuple[Priced, ...]"
    places: "tuple[Place, ...]" = ()
    own: "Own | None" = None
    load: "Load | None" = None
    inputs: Inputs = field(default_factory=Inputs)


def read_market(*, ask: bool, refresh: bool = False) -> Listing:
    """The market: without `ask` from cache and snapshot at once, else from the providers within their deadline.

    `refresh` asks for prices that are fresh too. Raises PlannerError for settings or a catalog that cannot be read.
    """
    import time

    from planner.catalog.loader import Catalog
    from planner.catalog.location import data_dir
    from planner.catalog.prices import load_snapshot
    from planner.config import load_config
    from planner.errors import CatalogError
    from planner.prices.market import the_market
    from planner.prices.provider import Wanted

    config = load_config()
    specs = Catalog(models=(), folder=data_dir()).devices
    notes: list[str] = []
    try:
        snapshot = load_snapshot()
    except CatalogError as error:
        snapshot = None
        notes.append(f"{error.message} No dated prices are known.")
    now = time.time()
    market = the_market(
        config,
        specs,
        Wanted(),
        dated=() if snapshot is None else snapshot.offers,
        dated_note="" if snapshot is None else snapshot.note,
        ask=ask,
        refresh=refresh,
        note=notes.append,
        now=now,
    )
    return Listing(market, specs, now, asked=ask and not config.offline, offline=config.offline, notes=tuple(notes))


def load_of(plan: Recommendation) -> "Load":
    """The pair of a plan, with the context and the slots of its generator."""
    from planner.core.costs.running import Load

    settings = plan.generation.settings if plan.generation is not None else None
    return Load(
        models=tuple((choice.model, choice.variant) for choice in plan.choices),
        context=None if settings is None else settings.context // settings.parallel,
        parallel=1 if settings is None else settings.parallel,
    )


def reckon(listing: Listing, plan: Recommendation | None, situation: Situation | None, inputs: Inputs) -> Reckoning:
    """What the pair of a plan costs at every offer and on this machine. Estimates each kind of machine once."""
    from planner.core.costs.cost import Job
    from planner.core.costs.own_device import KWH_USD
    from planner.core.costs.priced import Priced, Pricing
    from planner.core.costs.renting import Rented
    from planner.core.costs.where import places
    from planner.core.speed.calibration import GENERIC

    offers = listing.market.offers
    if plan is None:
        return Reckoning(tuple(Priced(offer=offer) for offer in offers), inputs=inputs)
    load = load_of(plan)
    general = situation.catalog.speed if situation is not None and situation.catalog is not None else GENERIC
    kwh_usd = KWH_USD if inputs.kwh_usd is None else inputs.kwh_usd
    pricing = Pricing(
        load=load,
        rented=Rented(load, listing.specs, calibration=general),
        job=Job(utilisation=inputs.utilisation),
        own=None if situation is None else _own(load, situation, inputs, kwh_usd),
    )
    held, _ = pricing.priced(offers)
    by_offer = {id(row.offer): row for row in held}
    found = places(pricing, shortlist(held), listing.specs, kwh_usd=kwh_usd, calibration=general)
    return Reckoning(
        tuple(by_offer.get(id(offer)) or Priced(offer=offer) for offer in offers),
        tuple(found),
        pricing.own,
        load,
        inputs,
    )


def shortlist(rows: "Sequence[Priced]") -> "list[Priced]":
    """The rentals with the cheapest tokens, one of each GPU and tier at a provider, none in doubt."""
    from planner.core.costs.offers import DOUBTFUL
    from planner.core.costs.priced import one_of_each

    dear = Decimal("Infinity")
    sound = sorted(
        (row for row in rows if not DOUBTFUL & set(row.offer.flags)),
        key=lambda row: (dear if row.per_million is None else row.per_million.mid, row.offer.quote.price_hour_usd),
    )
    return [row for row, _ in one_of_each(sound)][:SHORTLIST]


def _own(load: "Load", situation: Situation, inputs: Inputs, kwh_usd: Decimal) -> "Own":
    from planner.core.costs.own_device import Own, idle_watts_of, machine_name, watts_of
    from planner.core.costs.renting import running_on
    from planner.core.memory.readings import at_capacity

    hardware = at_capacity(situation.hardware)
    watts, source = watts_of(hardware)
    if watts is None:
        source = "not known"
    if inputs.watts is not None:
        watts, source = inputs.watts, "as entered"
    return Own(
        name=machine_name(hardware),
        running=running_on(load, hardware, calibration=situation.speed),
        watts=watts,
        watts_source=source,
        kwh_usd=kwh_usd,
        kwh_assumed=inputs.kwh_usd is None,
        price_usd=inputs.device_usd,
        idle_watts=idle_watts_of(watts),
        idle_source="a tenth of that while it waits (assumed)",
    )
