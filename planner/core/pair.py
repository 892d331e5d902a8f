"""The pair planner: embedder, quant, placement and generator, quant, context under one memory budget.

The best plan of each generator counts, or of each embedder alone. How it is found: `planner.core.search`.
"""

from collections.abc import Callable, Sequence

import msgspec

from planner.core.candidates import Candidate, Pin, options_for
from planner.core.finder import CandidateFinder
from planner.core.hardware import Hardware
from planner.core.model import Model, Role
from planner.core.nearest import no_room_beside, nothing_fits, nothing_matches
from planner.core.picks import picks
from planner.core.placement import Machine, machine_of
from planner.core.plans import Pick, Rated, recommendations
from planner.core.reach import Reach
from planner.core.recommendation import Recommendation
from planner.core.reranking import reranker_beside
from planner.core.search import Search
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.throughput import check_speeds
from planner.core.workload import Workload

COMFORT_MARGIN = 0.05
"""Share of every device kept free in a recommendation: drivers, a browser, fragmentation."""


def recommend(
    models: Sequence[Model],
    hardware: Hardware,
    workload: Workload,
    *,
    pins: Sequence[Pin] = (),
    live: bool = False,
    calibration: Calibration = GENERIC,
) -> tuple[Recommendation, ...]:
    """The best plan and real choices beside it, best first, one per generator (or per model of the only role).

    `pins` replace the free choice for their roles. `live` plans with what is free now instead of the capacity;
    `calibration` holds the constants of speed. Raises NoResultError when nothing fits or nothing matches the wishes.
    """
    machine = machine_of(hardware, live=live, margin=COMFORT_MARGIN)
    pinned = any(pin.model.role is Role.RERANKER for pin in pins)
    beside = (Role.RERANKER,) if workload.role == "rag" and (workload.reranker or pinned) else ()
    wanted = (Role.EMBEDDING, Role.GENERATION, *beside) if workload.role == "rag" else (workload.role,)
    options = {role: options_for(role, models, workload, machine, pins) for role in wanted}
    for role, found in options.items():
        if not found:
            raise nothing_matches(role, models, workload)
    rerankers = [candidate for option in options.pop(Role.RERANKER) for candidate in option] if beside else []
    check_speeds(hardware)
    reaches: dict[Machine, Reach] = {}

    def searches(where: Machine, wish: Workload) -> Search:
        if where not in reaches:
            reaches[where] = Reach(where, hardware, calibration)
        return Search(reaches[where], hardware, wish, calibration)

    finder = CandidateFinder(searches, options, machine, workload)
    chosen = picks(finder, workload, machine)
    if not chosen:
        raise nothing_fits(options, finder, machine, hardware, workload)
    if rerankers:
        rate = searches(machine, msgspec.structs.replace(workload, max_download_bytes=None)).rate
        chosen = [_reranked(pick, rerankers, machine, workload, rate=rate, pinned=pinned) for pick in chosen]
    return recommendations(chosen, machine, hardware, workload, calibration)


def _reranked(
    pick: Pick,
    rerankers: Sequence[Candidate],
    machine: Machine,
    workload: Workload,
    *,
    rate: Callable[[Candidate, Machine], Rated | None],
    pinned: bool,
) -> Pick:
    """The plan with a reranker beside it; as it is where none fits, unless one was named."""
    extra = reranker_beside(pick.plan, rerankers, machine, workload, rate)
    if extra is not None:
        return pick._replace(plan=(*pick.plan, extra))
    if pinned:
        raise no_room_beside(rerankers[0], pick.plan)
    return pick
