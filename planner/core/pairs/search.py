"""Plans of one question, best first, each made only when somebody asks for one more.

Exact on the catalog: a score is the sum of an embedder's part and a generator's part. A part never grows when memory
shrinks, so that on the empty machine bounds it, and `bounds` bounds that from a file's size, or from the best file of
a model. What may be best is looked at closer (model, file, way to run, beside which embedder) until it is a plan:
then nothing that was left aside can beat it.
"""

from collections.abc import Callable, Iterable, Iterator

from planner.core.estimates.estimator import Outlook, outlook
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role
from planner.core.models.relatives import are_relatives
from planner.core.pairs.bounds import Bounds
from planner.core.pairs.bundles import Bundle
from planner.core.pairs.candidates import Candidate, File, OnHost, Option
from planner.core.pairs.nodes import Bounded, Node, Rest, Starts, best_first, is_bundled, option_of
from planner.core.pairs.pairing import Beside, Embedders, Pairing, Trial
from planner.core.pairs.plans import Plan, Rated
from planner.core.pairs.reach import Reach
from planner.core.pairs.score import Terms, context_term, generation_speed_term, indexing_speed_term, weighted
from planner.core.pairs.worth import Kept, Worth, alike
from planner.core.speed.calibration import Calibration

_AT_ONCE = 8
"""Models that are bounded together, where their score alone does not leave them aside."""
DOWNLOAD = "download"
"""Where a limited download stands among the devices of which a plan takes bytes."""


class Search:
    """One question: a machine, a workload, and what speed is calculated with.

    `known` is what other questions found out about candidates on machines, and is added to.
    """

    def __init__(
        self,
        reach: Reach,
        hardware: Hardware,
        workload: Workload,
        calibration: Calibration,
        known: dict[tuple[Candidate, Machine], Outlook],
    ) -> None:
        self._reach = reach
        self._machine = reach.machine
        self._hardware = hardware
        self._workload = workload
        self._calibration = calibration
        self._known = known
        self._bounds = Bounds(reach, workload)
        self._download = workload.max_download_bytes

    def singles(self, starts: Starts) -> Iterator[Plan]:
        """The best way to run each model, relatives of it left out."""

        def opened(node: Node | Plan) -> Iterator[Bounded]:
            if isinstance(node, Candidate):
                rated = self.rate(node, self._machine)
                if rated is not None:
                    yield rated.part, (rated,)
            else:
                yield from self._opened(node)

        return _one_each(lambda closed: best_first(self._starts(starts), opened, closed=closed))

    def worth_pairing(self, starts: Starts) -> Worth:
        """The embedders of which no better one takes no more of any device."""
        return Worth(self._worth_pairing(starts), self._halves)

    def _worth_pairing(self, starts: Starts) -> Iterator[Rated]:
        kept = Kept(self._machine)

        def opened(node: Node | Plan) -> Iterator[Bounded]:
            if not isinstance(node, Candidate):
                yield from self._opened(node)
                return
            least, most = self._reach.least_usage(node), self._bounds.of_candidate(node)
            if least is not None and self._download is not None:
                least[DOWNLOAD] = node.variant.file_bytes or 0
            if least is None or most is None or not kept.beats_usage(least, most):
                rated = self.rate(node, self._machine)
                if rated is not None:
                    yield rated.part, (rated,)

        for (rated,) in best_first(self._starts(starts), opened, bundles=True):
            if not kept.beats(rated):
                bundle = rated.candidate.option
                # Nobody can run a bundle: whom the others have to beat is its best member.
                runs = self._run_like(rated, bundle.members[0]) if isinstance(bundle, Bundle) else [rated]
                kept.add(*runs)
                yield rated

    def _halves(self, rated: Rated) -> Iterator[Rated]:
        """The halves of a bundle, run as it is."""
        bundle = rated.candidate.option
        for half in bundle.halves if isinstance(bundle, Bundle) else ():
            yield from self._run_like(rated, half)

    def _run_like(self, rated: Rated, option: Option) -> Iterator[Rated]:
        """A model, run as another one of its network is."""
        for way in alike(option, rated):
            found = self.rate(way, self._machine) if self._may_fetch(way) else None
            if found is not None:
                yield found

    def pairs(self, embedders: Embedders, starts: Starts) -> Iterator[Plan]:
        """The best pair of each generator, relatives of it left out."""
        first = embedders.at(0)
        if first is None:
            return iter(())
        pairing = Pairing(embedders, self._machine, on=self._bounds.on, rate=self.rate, together=self._may_fetch)

        def opened(node: Node | Plan) -> Iterator[Bounded]:
            if isinstance(node, Candidate):
                yield from pairing.starts(node)
            elif isinstance(node, Beside):
                yield from pairing.opened(node)
            elif isinstance(node, Trial):
                yield from pairing.tried(node)
            elif isinstance(node, tuple) and not is_bundled(node[-1]):
                yield from pairing.halved(node)
            else:
                yield from shifted(self._opened(node))

        def shifted(found: Iterable[Bounded]) -> Iterator[Bounded]:
            """With what the best embedder adds, so that all nodes can be compared."""
            return ((most + first.part, node) for most, node in found)

        return _one_each(lambda closed: best_first(shifted(self._starts(starts)), opened, closed=closed))

    def _opened(self, node: Node | Plan) -> Iterator[Bounded]:
        """The next models of a list, a model's files, a file's ways to run, the halves of a bundle."""
        if isinstance(node, Rest):
            end = node.place + _AT_ONCE
            yield from self._bounded(node.options[node.place : end])
            yield from self._rest(Rest(node.options, end))
        elif isinstance(node, Option):
            yield from self._bounded(node.files)
        elif isinstance(node, File):
            yield from self._bounded(node.on_cards)
            if node.on_host is not None:
                # A generator has as many ways there as contexts, of which few are worth a closer look.
                several = node.model.role is Role.GENERATION
                yield from self._bounded([node.on_host] if several else node.on_host.candidates)
        elif isinstance(node, OnHost):
            lends = self._bounds.lends(node)
            yield from self._bounded(each for each in node.candidates if lends or not each.way.one_layer)
        elif isinstance(node, tuple) and isinstance(bundle := option_of(node), Bundle):
            yield from self._bounded(bundle.halves)

    def _starts(self, starts: Starts) -> Iterator[Bounded]:
        """All models, or the ways to run one."""
        options = [start for start in starts if isinstance(start, Option)]
        yield from self._rest(Rest(options))
        yield from self._bounded(start for start in starts if isinstance(start, Candidate))

    def _rest(self, rest: Rest) -> Iterator[Bounded]:
        """A list with the most that its best model can add, if there is one."""
        if rest.place < len(rest.options):
            best = rest.options[rest.place]
            yield self._bounds.of_score(best.model.role, best.score), rest

    def _bounded(self, nodes: Iterable[Option | File | OnHost | Candidate]) -> Iterator[Bounded]:
        """Nodes with the most that each can add, without those that cannot be an answer."""
        bounds = self._bounds
        for node in nodes:
            if isinstance(node, Option):
                most = bounds.of_option(node)
            elif isinstance(node, File):
                most = bounds.of_file(node)
            elif isinstance(node, OnHost):
                most = bounds.on_host(node)
            else:
                most = bounds.of_candidate(node) if self._may_fetch(node) else None
            if most is not None:
                yield most, node

    def _may_fetch(self, *candidates: Candidate) -> bool:
        """Whether the files together are within the wished download; a file of unknown size is not known to be."""
        if self._download is None:
            return True
        sizes = [candidate.variant.file_bytes for candidate in candidates]
        return None not in sizes and sum(size or 0 for size in sizes) <= self._download

    def rate(self, candidate: Candidate, machine: Machine) -> Rated | None:
        """Estimate a candidate on what a machine has left; None if it does not run, or not fast enough."""
        size = candidate.variant.file_bytes
        room = machine.total_bytes
        if size is not None and size // 2 > room:
            return None  # no need to look for a layout
        process = candidate.process
        if process is None or process.least_bytes > room:
            return None
        workload, key = self._workload, (candidate, machine)
        machine = candidate.way.room_on(machine)
        if (found := self._known.get(key)) is None:
            found = self._known[key] = outlook(
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
        good = candidate.file.score
        if candidate.model.role is Role.RERANKER and workload.role == "rag":
            return Terms()  # beside a pair it changes nothing of the score
        if candidate.model.role is not Role.GENERATION:
            return Terms(retrieval=good, indexing_speed=indexing_speed_term(found.rate, workload))
        return Terms(
            answers=good,
            generation_speed=generation_speed_term(found.rate, found.prompt, workload),
            context=context_term(candidate.context, workload.needed_context),
        )


def _one_each(search: Callable[[Callable[[Node | Plan], bool]], Iterator[Plan]]) -> Iterator[Plan]:
    """The first plan of all main models that are relatives: once there is one, the others are closed to a search."""
    seen: dict[str, list[Model]] = {}

    def stands_for(model: Model) -> bool:
        return any(are_relatives(model, other) for other in seen.get(model.family, ()))

    def closed(node: Node | Plan) -> bool:
        option = option_of(node)
        if option is None:
            return False
        if not isinstance(option, Bundle):
            return all(stands_for(each.model) for each in (option, *option.twins))
        ends = option.extremes
        return any(
            all(are_relatives(end, other) for end in ends) for other in seen.get(option.model.family, ()) if ends
        )

    for plan in search(closed):
        option = plan[-1].candidate.option
        for each in (option, *option.twins):
            if not stands_for(each.model):
                seen.setdefault(each.model.family, []).append(each.model)
                yield plan if each is option else (*plan[:-1], plan[-1].of_twin(each))
