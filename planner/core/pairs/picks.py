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
from planner.core.models.model import Model, Role
from planner.core.models.relatives import are_relatives
from planner.core.pairs.plans import Pick, Plan, Rated, score_of, total_bytes
from planner.core.pairs.score import READING_TOKENS_PER_S, weighted

_EXPECTED = 2
"""So many of the places are usually taken by what is better, faster or smaller: the search need not look for more."""
_TIE = 0.5e-4
"""Sums that are nearer than this may be the same score when it is rounded."""
_FIRST = {"balanced": "balanced", "quality": "best for quality", "speed": "best for speed"}


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
    return _labelled([Pick(plan, relatives=finder.relatives(plan)) for plan in lightest], workload)


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


def _labelled(chosen: Sequence[Pick], workload: Workload) -> list[Pick]:
    """Name what each plan is the best of among those shown. No figures tell rerankers apart by their quality."""
    if not chosen:
        return []
    places = range(len(chosen))
    found = {
        "best quality": max(places, key=lambda i: _quality(chosen[i].plan)),
        "fastest": max(places, key=lambda i: _speed(chosen[i].plan)),
        "smallest": min(places, key=lambda i: total_bytes(chosen[i].plan)),
    }
    if _main(chosen[0].plan).candidate.model.role is Role.RERANKER:
        del found["best quality"]
    names = [[label for label, place in found.items() if place == i and len(chosen) > 1] for i in places]
    first = _FIRST[workload.prefer]
    if workload.prefer == "quality" and found.get("best quality") == 0:
        first = "best quality"  # the weighted sum and the quality alone may prefer different plans
    names[0] = [first, *(label for label in names[0] if label != first)]
    return [pick._replace(labels=tuple(labels)) for pick, labels in zip(chosen, names, strict=True)]


def _usable(plan: Plan) -> bool:
    """Whether neither answers nor indexing keep people waiting longer than they would stay."""
    return all(r.terms.generation_speed >= 0 and r.terms.indexing_speed >= 0 for r in plan)


def _part(plan: Plan) -> float:
    """What the score is rounded from."""
    return sum(rated.part for rated in plan)


def _main(plan: Plan) -> Rated:
    """The generator, or the model of the one role that was asked for."""
    return plan[-1]


def _related(one: Plan, other: Plan) -> bool:
    """Whether the main models of two plans are variants of each other."""
    return are_relatives(_main(one).candidate.model, _main(other).candidate.model)


def _beats(one: Plan, other: Plan, workload: Workload) -> bool:
    """At least as good, as fast and as small, and better in one of them; never a plan of a higher score."""
    if one is other or score_of(one, workload) < score_of(other, workload):
        return False
    a, b = (_quality(one), _speed(one), -total_bytes(one)), (_quality(other), _speed(other), -total_bytes(other))
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def _quality(plan: Plan) -> float:
    """Retrieval and answers, weighed as by somebody who wants nothing else."""
    return sum(
        weighted(msgspec.structs.replace(r.terms, generation_speed=0.0, indexing_speed=0.0, context=0.0), "quality")
        for r in plan
    )


def _speed(plan: Plan) -> float:
    """Tokens per second of the main model."""
    rate = _main(plan).rate
    return rate.mid if rate else 0.0


def _half(machine: Machine) -> Machine:
    """A machine with half of every budget."""

    def halved(pool: Pool) -> Pool:
        budget = pool.budget_bytes
        return msgspec.structs.replace(pool, budget_bytes=None if budget is None else budget // 2)

    return Machine(gpus=tuple(map(halved, machine.gpus)), host=halved(machine.host), unified=machine.unified)
