"""Which plans are shown: the best one, and beside it real choices instead of its relatives.

The best plan is exact. Others come from the same search and from one search each for what somebody may want
instead: better answers, more speed, half of the memory. Variants of one family are one choice; a plan that another
one beats in quality, speed and memory is none.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from planner.core.memory.memory import Pool
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Workload
from planner.core.models.model import Model
from planner.core.models.relatives import are_relatives
from planner.core.pairs.plans import Pick, Plan, main_of, quality_of, score_of, speed_of, total_bytes
from planner.core.pairs.score import READING_TOKENS_PER_S

_EXPECTED = 2
"""So many of the places are usually taken by what is better, faster or smaller: the search need not look for more."""
_TIE = 0.5e-4
"""Sums that are nearer than this may be the same score when it is rounded."""


class Finder(Protocol):
    """The searches behind a list of plans, over one set of candidates."""

    def best(self, wish: Workload, machine: Machine) -> Iterator[Plan]:
        """Plans on a machine, best first: one of all models that are relatives of each other."""

    def around(self, plan: Plan) -> Plan | None:
        """The best plan with the main model of another, in its file and at its context, for what was asked."""

    def lighter(self, plan: Plan) -> Plan:
        """The same models in the smallest files that have the same score."""

    def relatives(self, plan: Plan) -> tuple[Model, ...]:
        """Other models that match the wishes and for which the main model of a plan stands."""


def picks(finder: Finder, workload: Workload, machine: Machine) -> list[Pick]:
    """The plans to be shown, by score: the best one first. Empty when nothing fits."""
    ranking = _Ranking(finder.best(workload, machine), workload)
    if workload.limit == 1:
        chosen = ranking.first(1)
    else:
        found = ranking.first(max(1, workload.limit - _EXPECTED))
        if not found:
            return []
        usable = _usable(found[0])
        others = [plan for plan in _extremes(finder, workload, machine) if plan and _usable(plan) >= usable]
        chosen = _chosen(found, others, workload)
        if len(chosen) < workload.limit:
            chosen = _chosen(ranking.first(workload.limit), others, workload)
    lightest = _ranked([finder.lighter(plan) for plan in chosen], workload)
    return [Pick(plan, finder.relatives(plan)) for plan in lightest]


def _chosen(found: Sequence[Plan], others: Iterable[Plan], workload: Workload) -> list[Plan]:
    """The best plan, extremes that are no relatives of each other, what no other plan beats, and then the rest."""
    chosen = [found[0]]
    for plan in _ranked(others, workload):
        if not any(_related(plan, other) for other in chosen):
            chosen.append(next((own for own in found if _related(plan, own)), plan))
    rest = [plan for plan in found if not any(_related(plan, other) for other in chosen)]
    front = [plan for plan in rest if not any(_beats(other, plan, workload) for other in (*chosen, *rest))]
    dominated = [plan for plan in rest if plan not in front]
    return [*chosen, *front, *dominated][: workload.limit]


class _Ranking:
    """Plans by score, taken from a search as far as they are asked for."""

    def __init__(self, found: Iterator[Plan], workload: Workload) -> None:
        self._found = found
        self._workload = workload
        self._taken: list[Plan] = []

    def first(self, count: int) -> list[Plan]:
        """The first plans: those that may have the same score when it is rounded are compared by their memory."""
        while len(self._taken) < count or _part(self._taken[-1]) >= _part(self._taken[count - 1]) - _TIE:
            following = next(self._found, None)
            if following is None:
                break
            self._taken.append(following)
        return _ranked(self._taken, self._workload)[:count]


def _extremes(finder: Finder, workload: Workload, machine: Machine) -> Iterable[Plan | None]:
    """The best for answers that can be read as they come, for speed, and in half of the memory."""
    wishes: list[tuple[Workload, Machine]] = []
    if workload.prefer != "quality":
        least = max(workload.min_speed or 0.0, READING_TOKENS_PER_S)
        wishes.append((msgspec.structs.replace(workload, prefer="quality", min_speed=least), machine))
    if workload.prefer != "speed":
        wishes.append((msgspec.structs.replace(workload, prefer="speed"), machine))
    wishes.append((workload, _half(machine)))
    for wish, where in wishes:
        best = next(finder.best(wish, where), None)
        if best is not None:
            yield finder.around(best)


def _ranked(plans: Iterable[Plan], workload: Workload) -> list[Plan]:
    """By score; of equals the one that takes less memory first. Names only make the order certain."""
    return sorted(
        plans, key=lambda plan: (-score_of(plan, workload), total_bytes(plan), [r.candidate.model.id for r in plan])
    )


def _usable(plan: Plan) -> bool:
    """Whether neither answers nor indexing keep people waiting longer than they would stay."""
    return all(r.terms.generation_speed >= 0 and r.terms.indexing_speed >= 0 for r in plan)


def _part(plan: Plan) -> float:
    """What the score is rounded from."""
    return sum(rated.part for rated in plan)


def _related(one: Plan, other: Plan) -> bool:
    """Whether the main models of two plans are variants of each other."""
    return are_relatives(main_of(one).candidate.model, main_of(other).candidate.model)


def _beats(one: Plan, other: Plan, workload: Workload) -> bool:
    """At least as good, as fast and as small, and better in one of them; never a plan of a higher score."""
    if one is other or score_of(one, workload) < score_of(other, workload):
        return False
    a, b = (
        (quality_of(one), speed_of(one), -total_bytes(one)),
        (quality_of(other), speed_of(other), -total_bytes(other)),
    )
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def _half(machine: Machine) -> Machine:
    """A machine with half of every budget."""

    def halved(pool: Pool) -> Pool:
        budget = pool.budget_bytes
        return msgspec.structs.replace(pool, budget_bytes=None if budget is None else budget // 2)

    return Machine(gpus=tuple(map(halved, machine.gpus)), host=halved(machine.host), unified=machine.unified)
