"""What would make another plan possible: computed for the plans that are shown, never guessed.

For a generator: the memory that is missing for all of it on the GPU, for its next better quant and for the next
better model; the context that would have to be given up. For an embedder: what moving it to the CPU would allow.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from planner.core.estimates.estimator import estimate, settings_for, weights_of
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Estimate, Memory, Placement, Rate, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, place
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role, Variant
from planner.core.models.variants import default_variant, is_fetchable
from planner.core.pairs.candidates import CONTEXTS, EMBED_CONTEXT, matches
from planner.core.pairs.larger import Growth, Larger, is_whole
from planner.core.pairs.reasons import rate_text
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.core.pairs.score import READING_TOKENS_PER_S, indexing_target
from planner.core.scores.quality import base_score, quality, quantised_score
from planner.core.speed.calibration import Calibration
from planner.units import format_gib

_BETTER = 0.02
"""Answers that are better by less (11 rating points) are no reason for more memory."""
_TRIED = 6
"""Better models that are looked at, the smallest first."""


class _Room(NamedTuple):
    """What the others of a plan leave to its generator: memory, and bytes of files where these are limited."""

    machine: Machine
    download_bytes: int | None

    def holds(self, variant: Variant) -> bool:
        """Whether a file may be fetched; one of unknown size is not known to be."""
        limit, size = self.download_bytes, variant.file_bytes
        return limit is None or (size is not None and size <= limit)


class Changes:
    """Finds what would change plans on one machine.

    `margin` is the share of a device that is kept free, `live`: `machine` is what is free now. No change is named
    that the wishes of `workload` forbid: a larger download, slower answers.
    """

    def __init__(
        self,
        models: Sequence[Model],
        machine: Machine,
        hardware: Hardware,
        workload: Workload,
        calibration: Calibration,
        *,
        margin: float,
        live: bool = False,
    ) -> None:
        self._models = models
        self._machine = machine
        self._hardware = hardware
        self._workload = workload
        self._calibration = calibration
        self._growth = Growth(hardware, machine, margin=margin, live=live)

    def of(self, plan: Recommendation) -> tuple[str, ...]:
        """What would change a plan, most useful first. The next better model is told beside the first plan."""
        choice = plan.generation or plan.choices[0]
        room = self._room(*(other for other in plan.choices if other is not choice))
        found = [self._whole(choice, room), self._better_quant(choice, room)]
        if plan.rank == 1:
            found.append(self._better_model(choice, room))
        if plan.generation is not None:
            found.append(self._shorter(choice, room))
        if plan.generation is not None and plan.embedding is not None:
            found.append(self._embedder_on_cpu(plan, plan.embedding, choice, room))
        return tuple(line for line in found if line)

    def _room(self, *others: Choice) -> _Room:
        """What the other models of a plan leave."""
        rest, limit = self._machine, self._workload.max_download_bytes
        for other in others:
            rest = rest.less(other.estimate.memory)
            limit = None if limit is None else limit - (other.variant.file_bytes or 0)
        return _Room(rest, limit)

    def _whole(self, choice: Choice, room: _Room) -> str | None:
        """What an offloaded model lacks to be on the GPU with all of its layers, and what that would give."""
        if not _offloaded(choice):
            return None
        now = _rate(choice.estimate)
        faster = [
            (each, rate)
            for each in self._larger(choice, choice.variant, room)
            if (rate := _rate(self._estimate(choice, choice.variant, each.rest, each.hardware))) is None
            or now is None
            or rate.mid > now.mid  # on a slow card it may be whole and no faster
        ]
        if not faster:
            return None
        rates = dict.fromkeys(rate_text(rate) for _, rate in faster if rate is not None)
        gain = "" if not rates or now is None else f": {' or '.join(rates)} instead of {rate_text(now)}"
        words = _words([each for each, _ in faster])
        return f"{words} would hold all of {choice.model.name} {choice.variant.quant}{gain}"

    def _better_quant(self, choice: Choice, room: _Room) -> str | None:
        """The memory that the next better quant lacks."""
        for variant in self._better(choice, room):
            larger = self._larger(choice, variant, room)
            if larger:
                return f"{_words(larger)} would allow {variant.quant} of {choice.model.name}"
        return None

    def _better_models(self, role: Role, score: float) -> Iterator[Model]:
        """Those that match the wishes, can be fetched, and have such a score before quantisation takes its part."""
        for model in self._models:
            if model.role is not role or not matches(model, self._workload) or base_score(model) < score:
                continue
            if any(is_fetchable(model, variant) for variant in model.variants):
                yield model

    def _better_model(self, choice: Choice, room: _Room) -> str | None:
        """The memory that the smallest better model lacks. No scores are published that compare rerankers."""
        if choice.model.role is Role.RERANKER:
            return None
        found: list[tuple[int, str, Model, Variant]] = []
        better = _score(choice.model, choice.variant) + _BETTER
        for model in self._better_models(choice.model.role, better):
            variant = default_variant(model)
            size = variant.file_bytes
            if size and room.holds(variant) and _score(model, variant) >= better:
                found.append((size, model.id, model, variant))
        for _, _, model, variant in sorted(found, key=lambda each: each[:2])[:_TRIED]:
            context = min(self._context(choice), model.context_length)
            if self._workload.context is not None and context < self._workload.context:
                continue
            other = msgspec.structs.replace(
                choice, model=model, variant=variant, settings=settings_for(model, self._workload, context)
            )
            larger = tuple(
                each
                for each in self._larger(other, variant, room)
                if (rate := _rate(self._estimate(other, variant, each.rest, each.hardware))) is None
                or rate.low >= self._least(choice.model.role)
            )
            if larger:
                return f"{_words(larger)} would allow {model.name} {variant.quant}{_gain(other, choice)}"
        return None

    def _context(self, choice: Choice) -> int:
        """What the plan's own model is started for, or a longer one where that was all it could."""
        context = choice.settings.context // choice.settings.parallel
        return (
            context
            if choice.model.role is Role.GENERATION
            else max(context, EMBED_CONTEXT, 2 * self._workload.chunk_tokens)
        )

    def _least(self, role: Role) -> float:
        """Tokens per second below which nobody waits: for words as they come, for all documents in a night."""
        return READING_TOKENS_PER_S if role is Role.GENERATION else indexing_target(self._workload).slow

    def _shorter(self, choice: Choice, room: _Room) -> str | None:
        """The best quant that a shorter context would make room for."""
        context = choice.settings.context // choice.settings.parallel
        shorter = max((c for c in CONTEXTS if self._workload.needed_context <= c < context), default=None)
        if shorter is None or self._workload.context is not None:
            return None
        other = msgspec.structs.replace(choice, settings=settings_for(choice.model, self._workload, shorter))
        for variant in reversed(self._better(choice, room)):
            if (
                not self._fits(choice, variant, room.machine)
                and self._fits(other, variant, room.machine)
                and self._fast_enough(other, variant, room.machine)
            ):
                name = f"{variant.quant} of {choice.model.name}"
                return f"{shorter} instead of {context} tokens of context would allow {name}"
        return None

    def _embedder_on_cpu(self, plan: Recommendation, embedder: Choice, choice: Choice, room: _Room) -> str | None:
        """What the generator would gain from an embedder on the CPU, where that indexes all documents in a night."""
        if self._machine.unified or not embedder.estimate.placement.n_gpu_layers:
            return None
        moved = estimate(
            embedder.model,
            embedder.variant,
            msgspec.structs.replace(embedder.settings, n_gpu_layers=0),
            self._hardware,
            self._machine,
            calibration=self._calibration,
        )
        rate, now = moved.throughput.embed, embedder.estimate.throughput.embed
        slow = indexing_target(self._workload).slow
        if moved.placement.verdict is Verdict.NO_FIT or rate is None or rate.mid < slow:
            return None
        beside = [msgspec.structs.replace(embedder, estimate=moved), *([plan.reranker] if plan.reranker else [])]
        rest, freer = room.machine, self._room(*beside).machine
        gained = None
        if _offloaded(choice) and self._fits(choice, choice.variant, freer):
            gained = f"all of {choice.model.name} on the GPU"
        for variant in reversed(self._better(choice, room)):
            if (
                self._fits(choice, variant, freer)
                and not self._fits(choice, variant, rest)
                and self._fast_enough(choice, variant, freer)
            ):
                gained = f"{variant.quant} of {choice.model.name}"
                break
        if gained is None:
            return None
        freed = sum(
            row.total_bytes
            for row in embedder.estimate.memory.devices
            if row.device in {pool.id for pool in self._machine.gpus}
        )
        was = "" if now is None else f" instead of {rate_text(now)}"
        return (
            f"{embedder.model.name} on the CPU would free {format_gib(freed)} of the GPU for {gained}, and index at "
            f"{rate_text(rate)}{was}"
        )

    def _better(self, choice: Choice, room: _Room) -> list[Variant]:
        """Quants of the same model that may be fetched and lose less, the nearest first; of equals the smallest."""
        own, size = _score(choice.model, choice.variant), choice.variant.file_bytes or 0
        found: dict[float, Variant] = {}
        for variant in sorted(choice.model.variants, key=lambda v: -(v.file_bytes or 0)):
            score = _score(choice.model, variant)
            larger = (variant.file_bytes or 0) > size and room.holds(variant)
            if is_fetchable(choice.model, variant) and larger and score > own:
                found[score] = variant
        return [found[score] for score in sorted(found)]

    def _larger(self, choice: Choice, variant: Variant, room: _Room) -> tuple[Larger, ...]:
        """The machines that hold all of a model and answer as fast as was asked for; none where this one does."""
        found = self._growth.enough(room.machine, functools.partial(self._placed, choice, variant))
        return tuple(each for each in found if self._fast_enough(choice, variant, each.rest, each.hardware))

    def _fast_enough(
        self, choice: Choice, variant: Variant, machine: Machine, hardware: Hardware | None = None
    ) -> bool:
        """Whether answers come as fast as was asked for."""
        least = self._workload.min_speed
        if not least or choice.model.role is not Role.GENERATION:
            return True
        rate = self._estimate(choice, variant, machine, hardware).throughput.tg
        return rate is not None and rate.mid >= least

    def _fits(self, choice: Choice, variant: Variant, rest: Machine) -> bool:
        return is_whole(self._placed(choice, variant, rest)[0])

    def _placed(self, choice: Choice, variant: Variant, machine: Machine) -> tuple[Placement, Memory]:
        """Where another file of the model would be."""
        assert choice.model.architecture is not None, "a choice has one"
        process = ProcessMemory(choice.model.architecture, weights_of(choice.model, variant), choice.settings)
        return place(process, machine)

    def _estimate(
        self, choice: Choice, variant: Variant, machine: Machine, hardware: Hardware | None = None
    ) -> Estimate:
        return estimate(
            choice.model,
            variant,
            choice.settings,
            hardware or self._hardware,
            machine,
            calibration=self._calibration,
        )


def _score(model: Model, variant: Variant) -> float:
    return quantised_score(base_score(model), variant.quant, model.parameters)


def _words(larger: Sequence[Larger]) -> str:
    return " or ".join(each.words for each in larger)


def _rate(found: Estimate) -> Rate | None:
    """Tokens that a generator writes, or that another model reads."""
    return found.throughput.tg or found.throughput.embed


def _gain(better: Choice, now: Choice) -> str:
    """What the figures of two models say, where both have them."""
    figure = "points_low" if now.model.role is Role.GENERATION else "mtr_percent"
    new, old = (quality(c.model, c.variant.quant).figures.get(figure) for c in (better, now))
    if new is None or old is None:
        return ""
    if now.model.role is Role.GENERATION:
        return f", whose answers are worth {new:.0f} points or more instead of {old:.0f}"
    return f", whose mean task rank is {new:.2f} % instead of {old:.2f} %"


def _offloaded(choice: Choice) -> bool:
    """Whether a part of a model is on the host that could be on a GPU."""
    placement = choice.estimate.placement
    return bool(placement.n_gpu_layers) and (placement.verdict is Verdict.OFFLOAD or bool(placement.n_cpu_moe))


def with_changes(plans: Sequence[Recommendation], changes: Changes) -> tuple[Recommendation, ...]:
    """The plans with what would change them."""
    return tuple(msgspec.structs.replace(plan, changes=changes.of(plan)) for plan in plans)
