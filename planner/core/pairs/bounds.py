"""The most that a model, a file of it, or a way to run that can add to a score.

Never below what the estimate would give: `planner.core.pairs.search` looks no closer at what cannot win even so. A
test holds it to brute force.
"""

from planner.core.memory.placement import Machine
from planner.core.memory.workload import Settings, Workload
from planner.core.models.model import Architecture, Role
from planner.core.pairs.candidates import Candidate, File, OnHost, Option
from planner.core.pairs.reach import Reach, Speed
from planner.core.pairs.score import (
    WEIGHTS,
    answering,
    context_term,
    indexing_target,
    prompt_target,
    reading_target,
)


class Bounds:
    """Bounds for one question. None stands for what cannot be an answer to it."""

    def __init__(self, reach: Reach, workload: Workload) -> None:
        self._reach = reach
        self._most_bytes = reach.machine.total_bytes
        self._weights = WEIGHTS[workload.prefer]
        self._contexts: dict[int, float] = {}
        self._needed = workload.needed_context
        self._least_speed = workload.min_speed or 0.0
        self._reading_target = reading_target(workload.prefer)
        self._prompt_target = prompt_target(workload)
        self._indexing_target = indexing_target(workload)

    def of_score(self, role: Role, score: float) -> float:
        """The most that a model of a score can add, whatever its size."""
        if role is not Role.GENERATION:
            return self._weights.retrieval * score + self._weights.indexing_speed
        return self._weights.answers * score + self._weights.generation_speed + self._weights.context

    def of_option(self, option: Option) -> float | None:
        """The most that any file of a model can add."""
        layers = option.least_layers
        if layers is not None and layers > self._most_bytes:
            return None
        rate = self._reach.rate(option.model, option.architecture, layers, on_cpu=False)
        return self._best(option, option.score, rate, self._reach.is_offloaded(layers))

    def of_file(self, file: File) -> float | None:
        """The most that any way to run a file can add."""
        least, option = file.least, file.option
        if least is not None and least.tensors > self._most_bytes:
            return None
        rate = self._reach.rate_of(file, on_cpu=False)
        return self._best(option, file.score, rate, least is not None and self._reach.is_offloaded(least.layers))

    def of_candidate(self, candidate: Candidate) -> float | None:
        """The most that one way to run a file can add."""
        file, on_cpu = candidate.file, candidate.way.on_cpu
        if candidate.way.one_layer:
            return self._on_host(file, candidate.context, one_layer=True)
        rate = self._reach.rate_of(file, on_cpu=on_cpu)
        if self._too_slow(file.option, rate):
            return None
        if file.model.role is not Role.GENERATION:
            return self._indexing(file.score, rate)
        offloaded = file.least is not None and self._reach.is_offloaded(file.least.layers)
        return self._generation(
            file.architecture, file.score, rate, candidate.context, on_cpu=on_cpu, offloaded=offloaded
        )

    def on_host(self, node: OnHost) -> float | None:
        """The most that a generator can add on the CPU, or with one layer on a card."""
        context = max(map(_context, node.option.settings))
        most = self._on_host(node.file, context, one_layer=False)
        lent = self._on_host(node.file, context, one_layer=True) if self.lends(node) else None
        return most if lent is None or most is None else max(most, lent)

    def lends(self, node: OnHost) -> bool:
        """Whether it may be best to have no more than one layer of a generator on a card."""
        ways = node.option.ways.on_host
        return any(way.one_layer for way in ways) and self._reach.may_slow_down(node.option)

    def _on_host(self, file: File, context: int, *, one_layer: bool) -> float | None:
        """The one layer is that of the output, so that the host reads all others; a card does the prompts."""
        rate = self._reach.rate_of(file, on_cpu=True)
        if self._too_slow(file.option, rate):
            return None
        return self._generation(
            file.architecture, file.score, rate, context, on_cpu=not one_layer, offloaded=one_layer
        )

    def on(self, candidate: Candidate, rest: Machine) -> float | None:
        """The most that a generator whose layers are known can add on what a machine has left."""
        process = candidate.process
        if process is None or process.least_bytes > rest.total_bytes:
            return None
        beside = None if candidate.way.one_layer else self._reach.beside(candidate, process, rest)
        if beside is None:
            return self.of_candidate(candidate)
        if self._too_slow(candidate.option, beside.rate):
            return None
        file = candidate.file
        return self._generation(
            file.architecture, file.score, beside.rate, candidate.context,
            on_cpu=False, offloaded=beside.on_host, host_s=beside.host_s,
        )  # fmt: skip

    def _too_slow(self, option: Option, rate: Speed | None) -> bool:
        return option.model.role is Role.GENERATION and rate is not None and rate.rate < self._least_speed

    def _best(self, option: Option, good: float, rate: Speed | None, offloaded: bool) -> float | None:
        """With the longest context, on whatever device is faster: `rate` is that of the faster one.

        The wait for the first word is left out: to know its bound takes longer than to look at a file.
        """
        if self._too_slow(option, rate):
            return None
        if option.model.role is not Role.GENERATION:
            return self._indexing(good, rate)
        reading = 1.0
        if rate is not None:
            arch, lows = option.architecture, self._reach.lows
            low, _ = lows(arch, on_cpu=False, offloaded=offloaded)
            if option.ways.on_host:
                low = max(low, lows(arch, on_cpu=True, offloaded=False)[0])
            reading = self._reading_target.value(rate.low(low))
        return self._answers(good, reading, 1.0, max(map(_context, option.settings)))

    def _indexing(self, good: float, rate: Speed | None) -> float:
        speed = 1.0 if rate is None else self._indexing_target.value(rate.rate)
        return self._weights.retrieval * good + self._weights.indexing_speed * speed

    def _generation(
        self, arch: Architecture, good: float, rate: Speed | None, context: int, *, on_cpu: bool, offloaded: bool,
        host_s: float = 0.0,
    ) -> float:  # fmt: skip
        reach = self._reach
        low, prompt_low = reach.lows(arch, on_cpu=on_cpu, offloaded=offloaded)
        reading = 1.0 if rate is None else self._reading_target.value(rate.low(low))
        prompt = reach.prompt(arch, on_cpu=on_cpu, host_s=host_s)
        waiting = 1.0 if prompt is None else self._prompt_target.value(prompt.low(prompt_low))
        return self._answers(good, reading, waiting, context)

    def _answers(self, good: float, reading: float, waiting: float, context: int) -> float:
        weights, speed = self._weights, answering(reading, waiting)
        if context not in self._contexts:
            self._contexts[context] = weights.context * context_term(context, self._needed)
        return weights.answers * good + weights.generation_speed * speed + self._contexts[context]


def _context(settings: Settings) -> int:
    return settings.context // settings.parallel
