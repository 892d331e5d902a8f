"""The pair planner: embedder, quant, placement and generator, quant, context under one memory budget.

Exact on the catalog: a score is the sum of an embedder's part and a generator's part. A part never grows when memory
shrinks, so that on the empty machine bounds it, and `bounds` bounds that from the file's size alone. Only what cannot
come among the plans asked for is skipped. The best plan of each generator counts, or of each embedder alone.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from planner.core.bounds import Bounds
from planner.core.candidates import Candidate, Pin, candidates_for
from planner.core.estimate import Verdict
from planner.core.estimator import Outlook, outlook
from planner.core.finder import CandidateFinder
from planner.core.hardware import Hardware
from planner.core.model import Model, Role
from planner.core.nearest import no_room_beside, nothing_fits, nothing_matches
from planner.core.picks import picks
from planner.core.placement import Machine, machine_of
from planner.core.plans import Pick, Rated, recommendations
from planner.core.recommendation import Recommendation
from planner.core.reranking import reranker_beside
from planner.core.score import Terms, context_term, generation_speed_term, indexing_speed_term, weighted
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.throughput import check_speeds
from planner.core.workload import Workload

DOWNLOAD = "download"
"""Where a limited download stands among the devices of which a plan takes bytes."""
COMFORT_MARGIN = 0.05
"""Share of every device kept free in a recommendation: drivers, a browser, fragmentation."""
_TIE = 0.5e-4
"""Parts of a score that are nearer than this may be the same score when it is rounded."""


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
    candidates = {role: candidates_for(role, models, workload, machine, pins) for role in wanted}
    for role, found in candidates.items():
        if not found:
            raise nothing_matches(role, models, workload)
    rerankers = candidates.pop(Role.RERANKER) if beside else []
    check_speeds(hardware)

    def searches(where: Machine, wish: Workload) -> _Search:
        return _Search(where, hardware, wish, calibration)

    finder = CandidateFinder(searches, candidates, machine, workload)
    chosen = picks(finder, workload, machine)
    if not chosen:
        raise nothing_fits(candidates, finder, machine, hardware, workload)
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


class _Bounded(NamedTuple):
    """A candidate with the most that it can add to a score."""

    candidate: Candidate
    most: float


class _Best:
    """The best totals of models, and what a plan must reach to come among the first `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._totals: dict[str, float] = {}

    def known(self, model: str) -> float:
        """The best total of a model so far."""
        return self._totals.get(model, float("-inf"))

    def add(self, model: str, total: float) -> None:
        """A plan of a model that is better than those before it."""
        self._totals[model] = total

    def least(self) -> float:
        """Plans whose total stays below this cannot be among the first."""
        if len(self._totals) < self._limit:
            return float("-inf")
        return heapq.nlargest(self._limit, self._totals.values())[-1] - _TIE


class _Search:
    """One question: a machine, a workload, and what speed is calculated with."""

    def __init__(self, machine: Machine, hardware: Hardware, workload: Workload, calibration: Calibration) -> None:
        self._machine = machine
        self._hardware = hardware
        self._workload = workload
        self._calibration = calibration
        self._bounds = Bounds(machine, hardware, workload, calibration)
        self._download = workload.max_download_bytes

    def singles(self, candidates: Iterable[Candidate]) -> list[tuple[Rated, ...]]:
        """The best way to run each model, of those that come first."""
        best = _Best(self._workload.limit)
        found: dict[str, Rated] = {}
        for bounded in self._bounded(candidates):
            key = bounded.candidate.model.id
            if bounded.most < max(best.known(key) - _TIE, best.least()):
                continue
            rated = self.rate(bounded.candidate, self._machine)
            if rated is not None and (key not in found or _prefer(rated, found[key])):
                found[key] = rated
                best.add(key, rated.part)
        return [(rated,) for rated in found.values()]

    def pairs(self, embedders: Sequence[Rated], generators: Iterable[Candidate]) -> list[tuple[Rated, ...]]:
        """The best pair of each generator model, of those that come first; `embedders` are worth it, best first."""
        if not embedders:
            return []
        beside = [(embedder, self._machine.less(embedder.memory)) for embedder in embedders]
        best = _Best(self._workload.limit)
        found: dict[str, tuple[Rated, ...]] = {}
        for bounded in self._bounded(generators):
            if bounded.most + embedders[0].part < best.least():
                break
            key = bounded.candidate.model.id
            if bounded.most + embedders[0].part > best.known(key):
                for pair in self._better_pairs(bounded, beside, best):
                    found[key] = pair
        return list(found.values())

    def _better_pairs(
        self, bounded: _Bounded, beside: Iterable[tuple[Rated, Machine]], best: _Best
    ) -> Iterator[tuple[Rated, ...]]:
        """Pairs of a generator, each better than what was known of its model and entered into `best`.

        `beside` has the embedders, best first, and what each leaves of the machine.
        """
        candidate, bounds = bounded.candidate, self._bounds
        key = candidate.model.id
        process = candidate.process
        if process is None or process.least_bytes > self._machine.total_bytes:
            return
        most, alone = bounds.part_on(candidate, self._machine), False
        for embedder, rest in beside:
            wanted = max(best.known(key), best.least())
            if embedder.part + most <= wanted:
                return
            if not self._may_fetch(candidate, embedder.candidate):
                continue
            if process.least_bytes > rest.total_bytes or embedder.part + bounds.part_on(candidate, rest) <= wanted:
                continue
            generator = self.rate(candidate, rest)
            if generator is not None and embedder.part + generator.part > best.known(key):
                best.add(key, embedder.part + generator.part)
                yield embedder, generator
            if generator is not None and generator.part >= most:
                return  # no later embedder is better, and this generator can do no better
            if not alone:
                # What it does on the whole machine is the nearest bound there is.
                whole = self.rate(candidate, self._machine)
                if whole is None:
                    return
                most, alone = whole.part, True

    def _bounded(self, candidates: Iterable[Candidate]) -> list[_Bounded]:
        """The candidates that may run here, those that may add most first."""
        least = self._workload.min_speed or 0.0
        found = []
        for candidate in candidates:
            if not self._may_fetch(candidate):
                continue
            rate = self._bounds.rate(candidate)
            if candidate.model.role is Role.GENERATION and rate is not None and rate < least:
                continue
            if self._bounds.may_fit(candidate):
                found.append(_Bounded(candidate, self._bounds.part(candidate, rate)))
        found.sort(key=lambda bounded: -bounded.most)
        return found

    def worth_pairing(self, candidates: Iterable[Candidate]) -> list[Rated]:
        """The embedders that are worth pairing, best first: no better one takes no more of any device."""
        rated: list[Rated] = []
        for bounded in self._bounded(candidates):
            least = self._bounds.least_usage(bounded.candidate)
            if least is not None and self._download is not None:
                least[DOWNLOAD] = bounded.candidate.variant.file_bytes or 0
            if least is not None and any(
                other.part >= bounded.most and _takes_no_more(other.usage, least) for other in rated
            ):
                continue
            found = self.rate(bounded.candidate, self._machine)
            if found is not None:
                rated.append(found)
        rated.sort(key=lambda r: (-r.part, r.memory.total_bytes, r.candidate.model.id))
        return list(_kept(rated))

    def _may_fetch(self, *candidates: Candidate) -> bool:
        """Whether the files together are within the wished download; a file of unknown size is not known to be."""
        if self._download is None:
            return True
        sizes = [candidate.variant.file_bytes for candidate in candidates]
        return None not in sizes and sum(size or 0 for size in sizes) <= self._download

    def rate(self, candidate: Candidate, machine: Machine) -> Rated | None:
        """Estimate a candidate on what a machine has left; None if it does not run, or not fast enough."""
        size = candidate.variant.file_bytes
        if size is not None and size // 2 > machine.total_bytes:
            return None  # no need to look for a layout
        process = candidate.process
        if process is None or process.least_bytes > machine.total_bytes:
            return None
        workload = self._workload
        found = outlook(
            process,
            candidate.work,
            candidate.placed_settings,
            self._hardware,
            machine,
            quant=candidate.variant.quant,
            calibration=self._calibration,
        )
        if found.placement.verdict is Verdict.NO_FIT:
            return None
        least = workload.min_speed if candidate.model.role is Role.GENERATION else None
        if least and (found.rate is None or found.rate.mid < least):
            return None
        terms = self._terms(candidate, found)
        rated = Rated(candidate, machine, found, weighted(terms, workload.prefer), terms)
        if self._download is not None:  # a plan has room for so many bytes of files, as a device has for memory
            rated.usage[DOWNLOAD] = candidate.variant.file_bytes or 0
        return rated

    def _terms(self, candidate: Candidate, found: Outlook) -> Terms:
        workload = self._workload
        good = candidate.file.quality.score
        if candidate.model.role is Role.RERANKER and workload.role == "rag":
            return Terms()  # beside a pair it changes nothing of the score
        if candidate.model.role is not Role.GENERATION:
            return Terms(
                retrieval=good,
                answers=0.0,
                generation_speed=0.0,
                indexing_speed=indexing_speed_term(found.rate, workload),
                context=0.0,
            )
        return Terms(
            retrieval=0.0,
            answers=good,
            generation_speed=generation_speed_term(found.rate, found.prompt, workload),
            indexing_speed=0.0,
            context=context_term(candidate.context, workload.needed_context),
        )


def _prefer(one: Rated, other: Rated) -> bool:
    """Higher part of the score; among equals the smaller one."""
    return (one.part, -one.memory.total_bytes) > (other.part, -other.memory.total_bytes)


def _kept(rated: Iterable[Rated]) -> Iterator[Rated]:
    """Without those that a better one dominates: it takes no more of any device. `rated` is sorted best first."""
    kept: list[Rated] = []
    for candidate in rated:
        if not any(_takes_no_more(other.usage, candidate.usage) for other in kept):
            kept.append(candidate)
            yield candidate


def _takes_no_more(one: dict[str, int], other: dict[str, int]) -> bool:
    """Whether `one` takes no more of any device than `other`; bytes by device."""
    for device, taken in one.items():  # noqa: SIM110  # a generator takes three times as long, and this runs often
        if taken > other.get(device, -1):
            return False
    return True
