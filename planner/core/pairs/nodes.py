"""What may become a plan, and the order in which it is looked at."""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from planner.core.pairs.bundles import Bundle
from planner.core.pairs.candidates import Candidate, File, OnHost, Option
from planner.core.pairs.pairing import Beside, Trial
from planner.core.pairs.plans import Plan, Rated, total_bytes
from planner.core.pairs.ways import ALL


class Rest:
    """The options of a list from a place on, the best first."""

    def __init__(self, options: Sequence[Option], place: int = 0) -> None:
        self.options = options
        self.place = place
        self.option = None


Node = Rest | Option | File | OnHost | Candidate | Beside | Trial
"""What may become a plan."""
Starts = Sequence[Option] | Sequence[Candidate]
"""Models, the best first; or the ways to run one."""
Bounded = tuple[float, Node | Plan]
"""The most that a node can add, or what a plan does."""


def best_first(
    starts: Iterable[Bounded],
    opened: Callable[[Node | Plan], Iterable[Bounded]],
    *,
    closed: Callable[[Node | Plan], bool] = lambda _node: False,
    bundles: bool = False,
) -> Iterator[Plan]:
    """Plans in the order of what they add; among equals the smaller first, then what leaves no card alone.

    `opened` looks closer at a node, and at what would be the plan of a bundle, unless `bundles` are wanted.
    """
    order = itertools.count()

    def entry(bounded: Bounded) -> tuple[float, bool, int, bool, int, Node | Plan]:
        most, node = bounded
        if isinstance(node, tuple):
            return -most, True, total_bytes(node), node[-1].candidate.way != ALL, next(order), node
        return -most, False, 0, False, next(order), node

    heap = [entry(bounded) for bounded in starts]
    heapq.heapify(heap)
    halved: set[Bundle] = set()
    while heap:
        node = heapq.heappop(heap)[-1]
        option = option_of(node)
        if option in halved or closed(node):
            continue
        if isinstance(node, tuple) and (bundles or not any(map(is_bundled, node))):
            yield node
            continue
        closer = [entry(bounded) for bounded in opened(node)]
        if closer and isinstance(node, tuple) and isinstance(option, Bundle):
            halved.add(option)
        for each in closer:
            heapq.heappush(heap, each)


def option_of(node: Node | Plan) -> Option | None:
    """The main model that a node is about."""
    if isinstance(node, tuple):
        return node[-1].candidate.option
    return node if isinstance(node, Option) else node.option


def is_bundled(rated: Rated) -> bool:
    """Whether it stands for a bundle of models."""
    return isinstance(rated.candidate.option, Bundle)
