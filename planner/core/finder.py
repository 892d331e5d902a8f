"""The searches that one list of plans takes, over one set of candidates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from planner.core.candidates import Candidate
from planner.core.model import Role
from planner.core.placement import Machine
from planner.core.plans import Plan, Rated, score_of, total_bytes
from planner.core.score import WEIGHTS
from planner.core.workload import Prefer, Workload


class Search(Protocol):
    """One question: a machine and a workload."""

    def worth_pairing(self, candidates: Sequence[Candidate]) -> list[Rated]:
        """The embedders that a pair may have, best first."""

    def pairs(self, embedders: Sequence[Rated], generators: Sequence[Candidate]) -> list[Plan]:
        """The best pair of each generator model, of those that come first."""

    def singles(self, candidates: Sequence[Candidate]) -> list[Plan]:
        """The best way to run each model, of those that come first."""


class CandidateFinder:
    """A `planner.core.picks.Finder`. `searches` makes a search for a machine and a wish."""

    def __init__(
        self,
        searches: Callable[[Machine, Workload], Search],
        candidates: Mapping[Role, Sequence[Candidate]],
        machine: Machine,
        workload: Workload,
    ) -> None:
        self._searches = searches
        self._candidates = candidates
        self._machine = machine
        self._workload = workload
        self._worth: list[Rated] | None = None

    def best(self, wish: Workload, machine: Machine) -> list[Plan]:
        """Plans of different models; exact for what was asked, on the machine itself.

        For another wish the embedders are those that were worth pairing for what was asked.
        """
        search = self._searches(machine, wish)
        if len(self._candidates) == 1:
            (found,) = self._candidates.values()
            return search.singles(found)
        if self._worth is None:
            own = search if machine is self._machine else self._searches(self._machine, self._workload)
            self._worth = own.worth_pairing(self._candidates[Role.EMBEDDING])
        embedders = [rated.weighed(wish.prefer) for rated in self._worth if _holds(machine, rated)]
        embedders.sort(key=lambda rated: (-rated.part, rated.memory.total_bytes, rated.candidate.model.id))
        return search.pairs(embedders, self._candidates[Role.GENERATION])

    def around(self, plan: Plan) -> Plan | None:
        """The best plan with the main model of another, in its file and at its context, for what was asked."""
        main = self._ways(plan[-1].candidate)
        if len(plan) == 1:
            return self._of([main])
        search = self._searches(self._machine, msgspec.structs.replace(self._workload, limit=1))
        return _first(search.pairs(self._worth or [], main))

    def lighter(self, plan: Plan) -> Plan:
        """The same models in the smallest files that have the same score: nobody could tell them apart."""
        score = score_of(plan, self._workload)
        for place, rated in enumerate(plan):
            for candidate in self._smaller(rated, self._workload.prefer):
                other = self._of([self._ways(candidate if i == place else r.candidate) for i, r in enumerate(plan)])
                if other and score_of(other, self._workload) == score and total_bytes(other) < total_bytes(plan):
                    plan = other
                    break
        return plan

    def _of(self, ways: Sequence[Sequence[Candidate]]) -> Plan | None:
        search = self._searches(self._machine, msgspec.structs.replace(self._workload, limit=1))
        found = search.pairs(search.worth_pairing(ways[0]), ways[1]) if len(ways) == 2 else search.singles(ways[0])
        return _first(found)

    def _ways(self, candidate: Candidate) -> list[Candidate]:
        """On a GPU and on the CPU, the file and context of a candidate."""
        return [
            c
            for c in self._candidates[candidate.model.role]
            if c.file is candidate.file and c.settings == candidate.settings
        ]

    def _smaller(self, rated: Rated, prefer: Prefer) -> list[Candidate]:
        """Smaller files of the same model that lose less than a step of the score, the smallest first."""
        own, weights = rated.candidate, WEIGHTS[prefer]
        weight = weights.answers if own.model.role is Role.GENERATION else weights.retrieval
        size = own.variant.file_bytes or 0
        found = [
            c
            for c in self._candidates[own.model.role]
            if c.model.id == own.model.id
            and c.settings == own.settings
            and not c.on_cpu
            and 0 < (c.variant.file_bytes or 0) < size
            and weight * (own.file.quality.score - c.file.quality.score) < _STEP
        ]
        return sorted(found, key=lambda c: c.variant.file_bytes or 0)


_STEP = 1e-3
"""What a step of 0.1 in the score is of the weighted sum."""


def _first(found: Sequence[Plan]) -> Plan | None:
    return max(found, key=lambda plan: sum(r.part for r in plan), default=None)


def _holds(machine: Machine, rated: Rated) -> bool:
    """Whether a machine has the memory that was rated on a larger one."""
    rest = machine.less(rated.memory)
    return all(pool.budget_bytes is None or pool.budget_bytes >= 0 for pool in (*rest.gpus, rest.host))
