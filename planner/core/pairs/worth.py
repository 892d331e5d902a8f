"""The embedders that are worth pairing: no better one takes no more memory of any device."""

import itertools
from collections.abc import Callable, Iterable, Iterator

from planner.core.memory.placement import Machine
from planner.core.pairs.bundles import Bundle
from planner.core.pairs.candidates import Candidate, Option
from planner.core.pairs.plans import Rated


class Worth:
    """Those that are worth it on one machine, found as far as they are asked for: no better one takes no more.

    `halves` looks closer at one that stands for a bundle.
    """

    def __init__(self, found: Iterator[Rated], halves: Callable[[Rated], Iterable[Rated]]) -> None:
        self._known: list[Rated] = []
        self._found = found
        self.halves = halves

    @property
    def known(self) -> int:
        """How many have been found so far."""
        return len(self._known)

    def at(self, place: int) -> Rated | None:
        """The one at that place; None when there are no more."""
        while len(self._known) <= place:
            following = next(self._found, None)
            if following is None:
                return None
            self._known.append(following)
        return self._known[place]

    def on(self, machine: Machine) -> "Worth":
        """Those that a smaller machine holds as they were found."""
        every = itertools.takewhile(lambda rated: rated is not None, map(self.at, itertools.count()))

        def held(found: Iterable[Rated | None]) -> Iterator[Rated]:
            return (rated for rated in found if rated is not None and _holds(machine, rated))

        return Worth(held(every), lambda rated: held(self.halves(rated)))


class Kept:
    """Those that others have to beat, on one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._kept: list[Rated] = []

    def add(self, *found: Rated) -> None:
        """Some that really run so, no bundles."""
        self._kept += found

    def beats(self, rated: Rated) -> bool:
        """Whether one is no worse and takes no more of any device; for a bundle, than any of its members does."""
        if isinstance(rated.candidate.option, Bundle) and not self._takes_the_least(rated):
            return False
        return self.beats_usage(rated.usage, rated.part)

    def beats_usage(self, usage: dict[str, int], part: float) -> bool:
        """Whether one adds that much and takes no more than these bytes by device."""
        return any(other.part >= part and _takes_no_more(other.usage, usage) for other in self._kept)

    def _takes_the_least(self, rated: Rated) -> bool:
        """Whether all members of a bundle lie on the same devices as it does, and so take no less of any."""
        candidate, gpus = rated.candidate, self._machine.gpus
        bundle = candidate.option
        if not isinstance(bundle, Bundle) or len(gpus) > 1:
            return False
        if candidate.way.on_cpu or not gpus or self._machine.unified:
            return True
        more = bundle.most_more_bytes(candidate.variant)
        return more is not None and more <= (gpus[0].budget_bytes or 0) - rated.usage.get(gpus[0].id, 0)


def alike(option: Option, rated: Rated) -> Iterator[Candidate]:
    """The ways to run a model that are like one that was rated: of its quant type, on the same kind of device."""
    like = rated.candidate
    for file in option.files:
        if file.variant.quant == like.variant.quant:
            yield from (c for c in file.candidates if c.way == like.way and c.settings == like.settings)


def _takes_no_more(one: dict[str, int], other: dict[str, int]) -> bool:
    for device, taken in one.items():  # noqa: SIM110  # a generator takes three times as long, and this runs often
        if taken > other.get(device, -1):
            return False
    return True


def _holds(machine: Machine, rated: Rated) -> bool:
    """Whether a machine has the memory that was rated on a larger one."""
    rest = machine.less(rated.memory)
    return all(pool.budget_bytes is None or pool.budget_bytes >= 0 for pool in (*rest.gpus, rest.host))
