"""The pair planner: embedder, quant, placement and generator, quant, context under one memory budget.

The best plan of each generator counts, or of each embedder alone. How it is found: `planner.core.pairs.search`.
"""

from collections.abc import Callable, Hashable, Sequence

import msgspec

from planner.core.estimates.estimator import Outlook
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import Machine, machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.candidates import Candidate, Option, Pin, options_for
from planner.core.pairs.finder import CandidateFinder
from planner.core.pairs.nearest import no_room_beside, nothing_fits, nothing_matches
from planner.core.pairs.picks import picks
from planner.core.pairs.plans import Pick, Rated, recommendations
from planner.core.pairs.reach import Reach
from planner.core.pairs.recommendation import Recommendation
from planner.core.pairs.reranking import reranker_beside
from planner.core.pairs.search import Search
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.speed.throughput import check_speeds

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
    return Planner(models, hardware, live=live, calibration=calibration).recommend(workload, pins=pins)


class Planner:
    """Plans for one machine. Keeps what it found out about files, so that the next question is answered faster."""

    def __init__(
        self, models: Sequence[Model], hardware: Hardware, *, live: bool = False, calibration: Calibration = GENERIC
    ) -> None:
        self._models = models
        self._hardware = hardware
        self._calibration = calibration
        self._machine = machine_of(hardware, live=live, margin=COMFORT_MARGIN)
        self._options: dict[Hashable, Option] = {}
        self._reaches: dict[Machine, Reach] = {}
        self._outlooks: dict[tuple[Candidate, Machine], Outlook] = {}
        check_speeds(hardware)

    def recommend(self, workload: Workload, *, pins: Sequence[Pin] = ()) -> tuple[Recommendation, ...]:
        """See the function of that name."""
        machine, hardware = self._machine, self._hardware
        pinned = any(pin.model.role is Role.RERANKER for pin in pins)
        beside = workload.role == "rag" and (workload.reranker or pinned)
        wanted = msgspec.structs.replace(workload, reranker=beside).roles
        options = {role: self._options_for(role, workload, pins) for role in wanted}
        rerankers = [candidate for option in options.pop(Role.RERANKER) for candidate in option] if beside else []
        finder = CandidateFinder(self._search, options, machine, workload)
        chosen = picks(finder, workload, machine)
        if not chosen:
            raise nothing_fits(options, finder, machine, hardware, workload)
        if rerankers:
            rate = self._search(machine, msgspec.structs.replace(workload, max_download_bytes=None)).rate
            chosen = [_reranked(pick, rerankers, machine, workload, rate=rate, pinned=pinned) for pick in chosen]
        return recommendations(chosen, machine, hardware, workload, self._calibration)

    def _options_for(self, role: Role, workload: Workload, pins: Sequence[Pin]) -> list[Option]:
        """The models that may fill a role, each with what was found out about it before."""
        found = options_for(role, self._models, workload, self._machine, pins, known=self._options)
        if not found:
            raise nothing_matches(role, self._models, workload)
        return found

    def _search(self, machine: Machine, wish: Workload) -> Search:
        if machine not in self._reaches:
            self._reaches[machine] = Reach(machine, self._hardware, self._calibration)
        return Search(self._reaches[machine], self._hardware, wish, self._calibration, self._outlooks)


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
