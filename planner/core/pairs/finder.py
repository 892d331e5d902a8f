"""The searches that one list of plans takes, over one set of models."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from planner.core.memory.placement import Machine
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Model, Role
from planner.core.models.relatives import are_relatives
from planner.core.pairs.bundles import bundled
from planner.core.pairs.candidates import Candidate, Option
from planner.core.pairs.plans import Plan, Rated, score_of, total_bytes
from planner.core.pairs.score import WEIGHTS
from planner.core.pairs.search import Search
from planner.core.pairs.ways import ALL
from planner.core.pairs.worth import Worth


class CandidateFinder:
    """A `planner.core.pairs.picks.Finder`. `searches` makes a search for a machine and a wish."""

    def __init__(
        self,
        searches: Callable[[Machine, Workload], Search],
        options: Mapping[Role, Sequence[Option]],
        machine: Machine,
        workload: Workload,
    ) -> None:
        self._searches = searches
        self._options = options
        self._machine = machine
        self._workload = workload
        self._starts = {role: bundled(found, workload) for role, found in options.items()}
        self._worth: dict[Prefer, Worth] = {}
        self._families: dict[tuple[Role, str], list[Model]] = {}

    def best(self, wish: Workload, machine: Machine) -> Iterator[Plan]:
        """Plans, best first, one of all models that are relatives of each other.

        On a smaller machine embedders run as on the whole one, or not at all.
        """
        search = self._searches(machine, wish)
        if len(self._starts) == 1:
            (found,) = self._starts.values()
            return search.singles(found)
        embedders = self._embedders(wish.prefer)
        if machine != self._machine:
            embedders = embedders.on(machine)
        return search.pairs(embedders, self._starts[Role.GENERATION])

    def _embedders(self, prefer: Prefer) -> Worth:
        if prefer not in self._worth:
            search = self._searches(self._machine, msgspec.structs.replace(self._workload, prefer=prefer))
            self._worth[prefer] = search.worth_pairing(self._starts[Role.EMBEDDING])
        return self._worth[prefer]

    def around(self, plan: Plan) -> Plan | None:
        """The best plan with the main model of another, in its file and at its context, for what was asked."""
        main = _ways(plan[-1].candidate)
        if len(plan) == 1:
            return self._of([main])
        search = self._searches(self._machine, self._workload)
        return next(search.pairs(self._embedders(self._workload.prefer), main), None)

    def lighter(self, plan: Plan) -> Plan:
        """The same models in the smallest files that have the same score: nobody could tell them apart."""
        score = score_of(plan, self._workload)
        for place, rated in enumerate(plan):
            for candidate in _smaller(rated, self._workload.prefer):
                other = self._of([_ways(candidate if i == place else r.candidate) for i, r in enumerate(plan)])
                if other and score_of(other, self._workload) == score and total_bytes(other) < total_bytes(plan):
                    plan = other
                    break
        return plan

    def relatives(self, plan: Plan) -> tuple[Model, ...]:
        """Other models that match the wishes and for which the main model of a plan stands."""
        main = plan[-1].candidate.model
        if not self._families:
            for options in self._options.values():
                for option in options:
                    for each in (option, *option.twins):
                        self._families.setdefault((each.model.role, each.model.family), []).append(each.model)
        family = self._families[main.role, main.family]
        return tuple(model for model in family if model is not main and are_relatives(main, model))

    def _of(self, ways: Sequence[Sequence[Candidate]]) -> Plan | None:
        search = self._searches(self._machine, self._workload)
        found = search.pairs(search.worth_pairing(ways[0]), ways[1]) if len(ways) == 2 else search.singles(ways[0])
        return next(found, None)


def _ways(candidate: Candidate) -> list[Candidate]:
    """On a GPU and on the CPU, the file and context of a candidate."""
    alike = (each for each in candidate.file.candidates if each.settings == candidate.settings)
    return [each for each in alike if each.way == candidate.way or not each.way.one_layer]


def _smaller(rated: Rated, prefer: Prefer) -> list[Candidate]:
    """Smaller files of the same model that lose less than a step of the score, the smallest first."""
    own, weights = rated.candidate, WEIGHTS[prefer]
    weight = weights.answers if own.model.role is Role.GENERATION else weights.retrieval
    size = own.variant.file_bytes or 0
    files = [
        file
        for file in own.file.option.files
        if 0 < (file.variant.file_bytes or 0) < size and weight * (own.file.score - file.score) < _STEP
    ]
    files.sort(key=lambda file: file.variant.file_bytes or 0)
    return [c for file in files for c in file.candidates if c.settings == own.settings and c.way == ALL]


_STEP = 1e-3
"""What a step of 0.1 in the score is of the weighted sum."""
