"""What somebody may rent whose own machine cannot do what was asked: the cheapest on which there is a plan."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import msgspec

from planner.core.costs.market import Market
from planner.core.costs.offers import DOUBTFUL, Offer, ordered
from planner.core.costs.renting import rented_machine
from planner.core.machines.hardware import DeviceSpec, Hardware
from planner.core.memory.placement import Machine, machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.candidates import Option, options_for
from planner.core.pairs.finder import CandidateFinder
from planner.core.pairs.pair import COMFORT_MARGIN
from planner.core.pairs.picks import picks
from planner.core.pairs.reach import Reach
from planner.core.pairs.search import Search
from planner.core.speed.calibration import Calibration


class Instead(NamedTuple):
    """An offer, and the names and quants of the best plan there."""

    offer: Offer
    models: tuple[str, ...]


def rent_instead(
    models: Sequence[Model],
    market: Market,
    specs: Sequence[DeviceSpec],
    workload: Workload,
    calibration: Calibration,
) -> Instead | None:
    """The cheapest offer per hour, none in doubt, on which a plan meets the same wishes; None where none does."""
    by_slug = {spec.slug: spec for spec in specs}
    known: dict[Hashable, Option] = {}
    found: dict[tuple[str, float, int], tuple[str, ...]] = {}

    def planned(offer: Offer) -> tuple[str, ...]:
        if offer.device is None or offer.vram_each_gib is None:
            return ()
        key = (offer.device, offer.vram_each_gib, offer.quote.gpu_count)
        if key not in found:
            hardware = rented_machine(by_slug[offer.device], offer.vram_each_gib, offer.quote.gpu_count)
            found[key] = () if hardware is None else _planned(models, hardware, workload, calibration, known)
        return found[key]

    offers = [offer for offer in ordered(market.offers, "total") if not DOUBTFUL & set(offer.flags) and offer.device]
    fastest = max(offers, key=lambda o: by_slug[o.device or ""].memory_bandwidth_gbps or 0.0, default=None)
    if fastest is None or (workload.min_speed and not planned(fastest)):
        return None  # what is too fast for the fastest need not be asked of all
    return next((Instead(offer, names) for offer in offers if (names := planned(offer))), None)


def _planned(
    models: Sequence[Model],
    hardware: Hardware,
    workload: Workload,
    calibration: Calibration,
    known: dict[Hashable, Option],
) -> tuple[str, ...]:
    """The models of the best plan on a machine; none where there is no plan."""
    machine = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    wanted = (Role.EMBEDDING, Role.GENERATION) if workload.role == "rag" else (workload.role,)
    options = {role: options_for(role, models, workload, machine, (), known=known) for role in wanted}
    reaches: dict[Machine, Reach] = {}

    def search(where: Machine, wish: Workload) -> Search:
        if where not in reaches:
            reaches[where] = Reach(where, hardware, calibration)
        return Search(reaches[where], hardware, wish, calibration, {})

    finder = CandidateFinder(search, options, machine, workload)
    found = picks(finder, msgspec.structs.replace(workload, limit=1), machine)
    return tuple(f"{r.candidate.model.name} {r.candidate.variant.quant}" for pick in found for r in pick.plan)
