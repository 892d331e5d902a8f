"""What would make another plan possible: computed for the plans that are shown, never guessed.

For a generator: the memory that is missing for all of it on the GPU, for its next better quant and for the next
better model; the context that would have to be given up. For an embedder: what moving it to the CPU would allow.
"""

import math
from collections.abc import Sequence

import msgspec

from planner.core.estimates.estimator import estimate, settings_for, weights_of
from planner.core.machines.hardware import DeviceKind, Hardware
from planner.core.memory.estimate import HOST, Estimate, Memory, Placement, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, place
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Variant
from planner.core.models.variants import default_variant, is_fetchable
from planner.core.pairs.candidates import CONTEXTS, matches
from planner.core.pairs.reasons import rate_text
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.core.pairs.score import READING_TOKENS_PER_S, indexing_target
from planner.core.scores.quality import base_score, quality, quantised_score
from planner.core.speed.calibration import Calibration
from planner.units import GIB, format_gib

_BETTER = 0.02
"""Answers that are better by less (11 rating points) are no reason for more memory."""
_TRIED = 6
"""Better models that are looked at, the smallest first."""
_AMPLE_BYTES = 1 << 50
_STEP_BYTES = GIB // 2
"""Memory is missing in steps of this size: nobody buys less."""


class Changes:
    """Finds what would change plans on one machine. `margin` is the share of a device that is kept free."""

    def __init__(
        self,
        models: Sequence[Model],
        machine: Machine,
        hardware: Hardware,
        workload: Workload,
        calibration: Calibration,
        *,
        margin: float,
    ) -> None:
        self._models = models
        self._machine = machine
        self._hardware = hardware
        self._workload = workload
        self._calibration = calibration
        self._margin = margin

    def of(self, plan: Recommendation) -> tuple[str, ...]:
        """What would change a plan, most useful first. The next better model is told beside the first plan."""
        choice = plan.generation
        if choice is None:
            return ()
        rest = self._machine
        for other in (plan.embedding, plan.reranker):
            rest = rest if other is None else rest.less(other.estimate.memory)
        found = [self._whole(choice, rest), self._better_quant(choice, rest)]
        if plan.rank == 1:
            found.append(self._better_model(choice, rest))
        found.append(self._shorter(choice, rest))
        if plan.embedding is not None:
            found.append(self._embedder_on_cpu(plan.embedding, choice, rest))
        return tuple(line for line in found if line)

    def _whole(self, choice: Choice, rest: Machine) -> str | None:
        """What an offloaded generator lacks to be on the GPU with all of its layers, and what that would give."""
        if not _offloaded(choice):
            return None
        missing = self._missing(choice, choice.variant, rest)
        if not missing:
            return None
        faster = self._estimate(choice, choice.variant, self._with(rest, missing)).throughput.tg
        now = choice.estimate.throughput.tg
        gain = "" if faster is None or now is None else f": {rate_text(faster)} instead of {rate_text(now)}"
        return f"{self._more(missing)} would hold all of {choice.model.name} {choice.variant.quant}{gain}"

    def _better_quant(self, choice: Choice, rest: Machine) -> str | None:
        """The memory that the next better quant lacks."""
        for variant in self._better(choice):
            missing = self._missing(choice, variant, rest)
            if missing:
                return f"{self._more(missing)} would allow {variant.quant} of {choice.model.name}"
        return None

    def _better_model(self, choice: Choice, rest: Machine) -> str | None:
        """The memory that the smallest model with better answers lacks."""
        pair = choice.model, choice.variant
        own = _score(choice.model, choice.variant)
        found: list[tuple[int, str, Model, Variant]] = []
        for model in self._models:
            if model.role is choice.model.role and matches(model, self._workload) and model.gguf_repos:
                variant = default_variant(model)
                if variant.file_bytes and _score(model, variant) >= own + _BETTER:
                    found.append((variant.file_bytes, model.id, model, variant))
        for _, _, model, variant in sorted(found, key=lambda each: each[:2])[:_TRIED]:
            context = min(choice.settings.context // choice.settings.parallel, model.context_length)
            other = msgspec.structs.replace(
                choice, model=model, variant=variant, settings=settings_for(model, self._workload, context)
            )
            missing = self._missing(other, variant, rest)
            if not missing:
                continue
            rate = self._estimate(other, variant, self._with(rest, missing)).throughput.tg
            if rate is None or rate.low >= READING_TOKENS_PER_S:
                points = [quality(m, v.quant).figures.get("points_low") for m, v in ((model, variant), pair)]
                gain = f", whose answers are worth {points[0]:.0f} points or more instead of {points[1]:.0f}"
                return f"{self._more(missing)} would allow {model.name} {variant.quant}{gain if all(points) else ''}"
        return None

    def _shorter(self, choice: Choice, rest: Machine) -> str | None:
        """The best quant that a shorter context would make room for."""
        context = choice.settings.context // choice.settings.parallel
        shorter = max((c for c in CONTEXTS if self._workload.needed_context <= c < context), default=None)
        if shorter is None or self._workload.context is not None:
            return None
        settings = settings_for(choice.model, self._workload, shorter)
        for variant in reversed(self._better(choice)):
            if not self._fits(choice, variant, rest) and self._fits(choice, variant, rest, settings.context):
                name = f"{variant.quant} of {choice.model.name}"
                return f"{shorter} instead of {context} tokens of context would allow {name}"
        return None

    def _embedder_on_cpu(self, embedder: Choice, choice: Choice, rest: Machine) -> str | None:
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
        room = self._machine.less(moved.memory)
        gained = None
        if _offloaded(choice) and self._fits(choice, choice.variant, room):
            gained = f"all of {choice.model.name} on the GPU"
        for variant in reversed(self._better(choice)):
            if self._fits(choice, variant, room) and not self._fits(choice, variant, rest):
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

    def _better(self, choice: Choice) -> list[Variant]:
        """Quants of the same model that lose less, the nearest first; of equals the smallest file."""
        own, size = _score(choice.model, choice.variant), choice.variant.file_bytes or 0
        found: dict[float, Variant] = {}
        for variant in sorted(choice.model.variants, key=lambda v: -(v.file_bytes or 0)):
            score = _score(choice.model, variant)
            if is_fetchable(choice.model, variant) and (variant.file_bytes or 0) > size and score > own:
                found[score] = variant
        return [found[score] for score in sorted(found)]

    def _missing(self, choice: Choice, variant: Variant, rest: Machine) -> int | None:
        """Bytes that are missing for all of a generator on the one GPU, or on a host without any; 0: none.

        None on several GPUs, where it depends on which of them grows.
        """
        if len(rest.gpus) > 1:
            return None
        placement, memory = self._placed(choice, variant, self._with(rest, _AMPLE_BYTES))
        pool = rest.gpus[0] if rest.gpus else rest.host
        if placement.verdict is Verdict.NO_FIT or pool.budget_bytes is None:
            return None
        name = HOST if rest.unified else pool.id
        taken = sum(row.total_bytes for row in memory.devices if row.device == name)
        lacking = (taken - pool.budget_bytes) / (1.0 - self._margin) / self._share()
        return 0 if lacking <= 0 else math.ceil(lacking / _STEP_BYTES) * _STEP_BYTES

    def _share(self) -> float:
        """What a GPU may take of a memory that it shares with the host; 1 of a memory of its own."""
        shared = [d for d in self._hardware.devices if d.kind is DeviceKind.UNIFIED and d.memory_total_bytes]
        if not self._machine.unified or not shared:
            return 1.0
        return (shared[0].memory_budget_bytes or 0) / (shared[0].memory_total_bytes or 1) or 1.0

    def _fits(self, choice: Choice, variant: Variant, rest: Machine, context: int | None = None) -> bool:
        found, _ = self._placed(choice, variant, rest, context)
        return found.verdict is Verdict.FITS and not found.n_cpu_moe

    def _placed(
        self, choice: Choice, variant: Variant, machine: Machine, context: int | None = None
    ) -> tuple[Placement, Memory]:
        """Where another file of the model would be, at another context."""
        settings = choice.settings
        if context is not None:
            settings = msgspec.structs.replace(settings, context=context)
        assert choice.model.architecture is not None, "a choice has one"
        process = ProcessMemory(choice.model.architecture, weights_of(choice.model, variant), settings)
        return place(process, machine)

    def _estimate(self, choice: Choice, variant: Variant, machine: Machine) -> Estimate:
        return estimate(
            choice.model, variant, choice.settings, self._hardware, machine, calibration=self._calibration
        )

    def _with(self, machine: Machine, more_bytes: int) -> Machine:
        """The machine with more memory on its first GPU, or in its host where that is what counts."""
        first, host = machine.gpus[:1], machine.host
        grown = [msgspec.structs.replace(p, budget_bytes=(p.budget_bytes or 0) + more_bytes) for p in first]
        if not first or machine.unified:
            host = msgspec.structs.replace(host, budget_bytes=(host.budget_bytes or 0) + more_bytes)
        return Machine(gpus=(*grown, *machine.gpus[1:]), host=host, unified=machine.unified)

    def _more(self, missing_bytes: int) -> str:
        kind = "memory" if self._machine.unified or not self._machine.gpus else "GPU memory"
        return f"{missing_bytes / GIB:.1f} GiB more {kind}"


def _score(model: Model, variant: Variant) -> float:
    return quantised_score(base_score(model), variant.quant, model.parameters)


def _offloaded(choice: Choice) -> bool:
    """Whether a part of a model is on the host that could be on a GPU."""
    placement = choice.estimate.placement
    return bool(placement.n_gpu_layers) and (placement.verdict is Verdict.OFFLOAD or bool(placement.n_cpu_moe))


def with_changes(plans: Sequence[Recommendation], changes: Changes) -> tuple[Recommendation, ...]:
    """The plans with what would change them."""
    return tuple(msgspec.structs.replace(plan, changes=changes.of(plan)) for plan in plans)
