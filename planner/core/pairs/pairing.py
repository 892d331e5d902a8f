"""Generators beside embedders, the best embedder first: nothing is rated that cannot win.

Embedders are looked at in groups, which grow. A generator never does better on less memory, so that what it does on
the most that any of a group leaves bounds what it does beside each of them; a group that may hold the answer is
halved until it is one embedder.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from planner.core.memory.memory import Pool
from planner.core.memory.placement import Machine
from planner.core.pairs.candidates import Candidate, Option
from planner.core.pairs.plans import Plan, Rated

_LARGEST_GROUP = 64


class Embedders(Protocol):
    """Embedders that are worth pairing, best first."""

    @property
    def known(self) -> int:
        """How many have been found so far."""

    @property
    def halves(self) -> Callable[[Rated], Iterable[Rated]]:
        """Looks closer at one that stands for a bundle."""

    def at(self, place: int) -> Rated | None:
        """The one at that place, looked for if need be; None when there are no more."""


class Way:
    """A generator's candidate, and the most that it adds beside whatever embedder; None: it is known not to run."""

    def __init__(self, candidate: Candidate, most: float) -> None:
        self.candidate = candidate
        self.most: float | None = most
        self.is_exact = False


class Beside:
    """A generator beside the embedders of a group: `count` of them from the place `first` on.

    `most` is the most that the generator adds beside any of them, None where the group has not been looked at.
    `rated`: that is what it does on the most memory that any of them leaves.
    """

    __slots__ = ("count", "first", "most", "rated", "way")

    def __init__(self, way: Way, first: int, count: int, most: float | None = None, *, rated: bool = False) -> None:
        self.way = way
        self.first = first
        self.count = count
        self.most = most
        self.rated = rated

    @property
    def option(self) -> Option:
        """The generator with all its files."""
        return self.way.candidate.option


class Trial:
    """A generator beside one embedder, which is part of a bundle of those that are worth pairing."""

    __slots__ = ("candidate", "embedder")

    def __init__(self, embedder: Rated, candidate: Candidate) -> None:
        self.embedder = embedder
        self.candidate = candidate

    @property
    def option(self) -> Option:
        """The generator with all its files."""
        return self.candidate.option


class Pairing:
    """The pairs of one question. `on` bounds what a generator adds on what is left, `rate` is exact.

    `together`: whether a generator and an embedder may be in one plan.
    """

    def __init__(
        self,
        embedders: Embedders,
        machine: Machine,
        *,
        on: Callable[[Candidate, Machine], float | None],
        rate: Callable[[Candidate, Machine], Rated | None],
        together: Callable[[Candidate, Candidate], bool],
    ) -> None:
        self._embedders = embedders
        self._machine = machine
        self._on = on
        self._rate = rate
        self._together = together
        self._rests: list[Machine] = []
        self._roomiest: dict[tuple[int, int], Machine] = {}

    def starts(self, candidate: Candidate) -> Iterator[tuple[float, Beside]]:
        """A generator beside the best embedder."""
        most = self._on(candidate, self._machine)
        if most is not None:
            yield from self._group(Way(candidate, most), 0, 1)

    def opened(self, node: Beside) -> Iterator[tuple[float, Beside | Plan]]:
        """What a group comes to, looked at closer, with the most that each part adds."""
        way, first, count = node.way, node.first, node.count
        if node.most is None:
            count = self._members(first, count)
            yield from self._group(way, first + count, min(2 * first + 1, _LARGEST_GROUP))
            yield from self._bounded(way, first, count, way.most)
        elif count == 1:
            yield from self._rated(way, first)
        elif node.rated:
            half = count // 2
            yield from self._bounded(way, first, half, node.most)
            yield from self._bounded(way, first + half, count - half, node.most)
        else:
            found = self._rate(way.candidate, self._room(first, count))
            if found is not None:
                yield self._embedder(first).part + found.part, Beside(way, first, count, found.part, rated=True)

    def _group(self, way: Way, first: int, count: int) -> Iterator[tuple[float, Beside]]:
        """A generator beside a group that nobody has looked at, if there are any embedders at that place."""
        embedder = self._embedders.at(first)
        if embedder is not None and way.most is not None:
            yield embedder.part + way.most, Beside(way, first, count)

    def _bounded(self, way: Way, first: int, count: int, most: float | None) -> Iterator[tuple[float, Beside]]:
        here = self._on(way.candidate, self._room(first, count))
        if here is not None and most is not None and way.most is not None:
            most = min(here, most, way.most)
            yield self._embedder(first).part + most, Beside(way, first, count, most)

    def _rated(self, way: Way, place: int) -> Iterator[tuple[float, Plan]]:
        """The pair, where the generator runs. One that adds less than it might is looked at on the whole machine."""
        embedder = self._embedder(place)
        if way.most is None or not self._together(way.candidate, embedder.candidate):
            return
        generator = self._rate(way.candidate, self._room(place, 1))
        if generator is not None:
            yield embedder.part + generator.part, (embedder, generator)
        if not way.is_exact and (generator is None or generator.part < way.most):
            whole = self._rate(way.candidate, self._machine)
            way.most, way.is_exact = None if whole is None else whole.part, True

    def halved(self, plan: Plan) -> Iterator[tuple[float, Trial]]:
        """A generator beside the halves of a bundle of embedders, with the most that it adds there."""
        embedder, generator = plan
        for half in self._embedders.halves(embedder):
            if self._together(generator.candidate, half.candidate):
                yield half.part + generator.part, Trial(half, generator.candidate)

    def tried(self, node: Trial) -> Iterator[tuple[float, Plan]]:
        """The pair, where the generator runs."""
        generator = self._rate(node.candidate, self._machine.less(node.embedder.memory))
        if generator is not None:
            yield node.embedder.part + generator.part, (node.embedder, generator)

    def _embedder(self, place: int) -> Rated:
        found = self._embedders.at(place)
        assert found is not None, "a group has members"
        return found

    def _members(self, first: int, count: int) -> int:
        """How many of a group there are: those that are known, as to find others only to bound them takes long."""
        return max(1, min(count, self._embedders.known - first))

    def _room(self, first: int, count: int) -> Machine:
        """The most that any embedder of a group leaves of every device."""
        while len(self._rests) < first + count:
            self._rests.append(self._machine.less(self._embedder(len(self._rests)).memory))
        if count == 1:
            return self._rests[first]
        if (first, count) not in self._roomiest:
            self._roomiest[first, count] = _roomiest(self._rests[first : first + count])
        return self._roomiest[first, count]


def _roomiest(machines: list[Machine]) -> Machine:
    """A machine with the largest budget of every device."""

    def largest(pools: tuple[Pool, ...]) -> Pool:
        budgets = [pool.budget_bytes for pool in pools]
        known = [budget for budget in budgets if budget is not None]
        return msgspec.structs.replace(pools[0], budget_bytes=max(known) if len(known) == len(budgets) else None)

    return Machine(
        gpus=tuple(largest(pools) for pools in zip(*(machine.gpus for machine in machines), strict=True)),
        host=largest(tuple(machine.host for machine in machines)),
        unified=machines[0].unified,
    )
