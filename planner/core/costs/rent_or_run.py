"""Rent or run: beside a plan for a machine, what its tokens cost in electricity there and on the cheapest rental."""

from collections.abc import Sequence

import msgspec

from planner.core.costs.cheapest import cheapest
from planner.core.costs.cost import Speeds
from planner.core.costs.market import Market
from planner.core.costs.own_device import IDLE_SOURCE, KWH_USD, Own, idle_watts_of, machine_name, watts_of
from planner.core.costs.priced import Priced, Pricing
from planner.core.costs.renting import Rented
from planner.core.costs.running import Load, Running
from planner.core.machines.hardware import DeviceSpec, Hardware
from planner.core.memory.estimate import Verdict
from planner.core.pairs.recommendation import Recommendation
from planner.core.speed.calibration import GENERIC, Calibration


class RentOrRun(msgspec.Struct, frozen=True):
    """A plan on the machine it was made for (`own`) and on the cheapest rental; None: none holds it whole."""

    own: Own
    rental: Priced | None


def rent_or_run(
    plan: Recommendation,
    hardware: Hardware,
    market: Market,
    specs: Sequence[DeviceSpec],
    *,
    min_speed: float | None = None,
    calibration: Calibration = GENERIC,
) -> RentOrRun:
    """The plan's cost where it was planned, and on the cheapest rental per hour that holds all of it on its GPUs.

    The rental runs the same files with the same contexts and caches. Of two markets the current one counts: dated
    prices stand in where nothing that was seen within a day holds the plan. With a `min_speed` (tokens per second)
    the rental reaches it.
    """
    own = own_of(plan, hardware)
    load = load_of(plan)
    rented = Rented(load, specs, calibration=calibration)
    current = tuple(offer for offer in market.offers if offer.staleness != "snapshot")
    for offers in (current, market.offers):
        found = cheapest(msgspec.structs.replace(market, offers=offers), rented, min_speed=min_speed, shown=1)
        if found.rows:
            rows, _ = Pricing(load=load, rented=rented).priced([found.rows[0].offer])
            return RentOrRun(own, rows[0])
    return RentOrRun(own, None)


def load_of(plan: Recommendation) -> Load:
    """The models of a plan as it starts them."""
    generation = plan.generation
    return Load(
        models=tuple((choice.model, choice.variant) for choice in plan.choices),
        context=None if generation is None else generation.settings.context // generation.settings.parallel,
        parallel=1 if generation is None else generation.settings.parallel,
        kv_type="f16" if generation is None else generation.settings.kv_type_k,
        settings=tuple(choice.settings for choice in plan.choices),
    )


def own_of(plan: Recommendation, hardware: Hardware) -> Own:
    """The machine of a plan with the speeds it was planned with; electricity at the usual price."""
    estimates = tuple(choice.estimate for choice in plan.choices)
    verdicts = list(Verdict)
    worst = max((found.placement.verdict for found in estimates), key=verdicts.index)
    embedding = plan.embedding or plan.reranker
    speeds = Speeds(embed=None if embedding is None else embedding.estimate.throughput.embed)
    if plan.generation is not None:
        rates = plan.generation.estimate.throughput
        speeds = msgspec.structs.replace(speeds, write=rates.tg_slots or rates.tg, read=rates.pp)
    watts, source = watts_of(hardware)
    return Own(
        name=machine_name(hardware),
        running=Running(estimates, worst, speeds),
        watts=watts,
        watts_source=source,
        kwh_usd=KWH_USD,
        kwh_assumed=True,
        price_usd=None,
        idle_watts=idle_watts_of(watts),
        idle_source="" if watts is None else IDLE_SOURCE,
    )
