"""From rated candidates to recommendations: labels, memory, reasons, and the command that starts them."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from planner.core.estimates.estimator import Outlook, estimate
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import HOST, Seconds
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.candidates import Candidate, Option
from planner.core.pairs.reasons import reasons_of, warnings_of
from planner.core.pairs.recommendation import BudgetUse, Choice, MemoryPlan, Recommendation
from planner.core.pairs.score import Terms, combine, weighted
from planner.core.scores.quality import quality
from planner.core.speed.calibration import Calibration


class Rated:
    """A candidate as it would run on what `machine` has left, and its part of the score."""

    def __init__(self, candidate: Candidate, machine: Machine, found: Outlook, part: float, terms: Terms) -> None:
        self.candidate = candidate
        self.machine = machine
        self.memory = found.memory
        self.rate = found.rate
        self.part = part
        self.terms = terms
        self.usage = {row.device: row.total_bytes for row in found.memory.devices}
        """Bytes by device."""

    def of_twin(self, option: Option) -> "Rated":
        """The same of a model of which nothing differs that it was rated by."""
        other = copy.copy(self)
        other.candidate = option.like(self.candidate)
        return other

    def choice(self, hardware: Hardware, calibration: Calibration) -> Choice:
        """The public form, with the whole estimate."""
        candidate = self.candidate
        found = estimate(
            candidate.model,
            candidate.variant,
            candidate.placed_settings,
            hardware,
            self.machine,
            process=candidate.process,
            calibration=calibration,
        )
        placement = candidate.way.told(found.placement, self.machine, candidate.model.role)
        return Choice(
            model=candidate.model,
            variant=candidate.variant,
            settings=candidate.settings,
            estimate=msgspec.structs.replace(found, placement=placement),
            quality=quality(candidate.model, candidate.variant.quant).figures,
        )


Plan = tuple[Rated, ...]
"""The models that run together, the generator after the embedder."""


class Pick(NamedTuple):
    """A plan to be shown, and the models that it stands for."""

    plan: Plan
    relatives: tuple[Model, ...] = ()


def terms_of(plan: Plan) -> Terms:
    """The terms of a plan: every one is of one role."""
    return Terms(*(sum(getattr(r.terms, name) for r in plan) for name in Terms.__struct_fields__))


def score_of(plan: Plan, workload: Workload) -> float:
    """The score of a plan, 0 to 100."""
    return combine(terms_of(plan), workload.prefer)


def total_bytes(plan: Plan) -> int:
    """Memory of all processes together."""
    return sum(r.memory.total_bytes for r in plan)


def main_of(plan: Plan) -> Rated:
    """The generator, or the model of the one role that was asked for."""
    return next((rated for rated in plan if rated.candidate.model.role is Role.GENERATION), plan[0])


def quality_of(plan: Plan) -> float:
    """Retrieval and answers, weighed as by somebody who wants nothing else."""
    return sum(
        weighted(msgspec.structs.replace(r.terms, generation_speed=0.0, indexing_speed=0.0, context=0.0), "quality")
        for r in plan
    )


def speed_of(plan: Plan) -> float:
    """Tokens per second of the main model."""
    rate = main_of(plan).rate
    return rate.mid if rate else 0.0


_FIRST = {"balanced": "balanced", "quality": "best for quality", "speed": "best for speed"}


def labels_of(plans: Sequence[Plan], prefer: Prefer) -> list[tuple[str, ...]]:
    """What each plan is the best of among those shown. No figures tell rerankers apart by their quality."""
    if not plans:
        return []
    places = range(len(plans))
    found = {
        "best quality": max(places, key=lambda i: quality_of(plans[i])),
        "fastest": max(places, key=lambda i: speed_of(plans[i])),
        "smallest": min(places, key=lambda i: total_bytes(plans[i])),
    }
    if main_of(plans[0]).candidate.model.role is Role.RERANKER:
        del found["best quality"]
    names = [[label for label, place in found.items() if place == i and len(plans) > 1] for i in places]
    first = _FIRST[prefer]
    if prefer == "quality" and found.get("best quality") == 0:
        first = "best quality"  # the weighted sum and the quality alone may prefer different plans
    names[0] = [first, *(label for label in names[0] if label != first)]
    return [tuple(labels) for labels in names]


def recommendations(
    picks: Sequence[Pick],
    machine: Machine,
    hardware: Hardware,
    workload: Workload,
    calibration: Calibration,
) -> tuple[Recommendation, ...]:
    """The plans as they are told, in their order."""
    told: list[Recommendation] = []
    labels = labels_of([pick.plan for pick in picks], workload.prefer)
    for rank, pick in enumerate(picks, start=1):
        choices = tuple(rated.choice(hardware, calibration) for rated in pick.plan)
        score = score_of(pick.plan, workload)
        equal = next((other.rank for other in told if other.score == score), None)
        label = ", ".join(labels[rank - 1]) or "alternative"
        told.append(_recommendation(rank, pick, choices, machine, workload, label=label, equal=equal))
    return tuple(told)


def _recommendation(
    rank: int,
    pick: Pick,
    choices: tuple[Choice, ...],
    machine: Machine,
    workload: Workload,
    *,
    label: str,
    equal: int | None,
) -> Recommendation:
    by_role = {choice.model.role: choice for choice in choices}
    memory = memory_plan(choices, machine)
    return Recommendation(
        rank=rank,
        label=label,
        embedding=by_role.get(Role.EMBEDDING),
        generation=by_role.get(Role.GENERATION),
        reranker=by_role.get(Role.RERANKER),
        memory=memory,
        score=score_of(pick.plan, workload),
        terms=terms_of(pick.plan),
        relatives=tuple(model.id for model in pick.relatives),
        reasons=(*_standing(pick, equal, workload), *reasons_of(choices, memory, workload)),
        warnings=warnings_of(choices),
        command=_command(choices, workload),
        indexing_s=_seconds(by_role.get(Role.EMBEDDING), workload.corpus_tokens),
        first_word_s=_seconds(by_role.get(Role.GENERATION), workload.prompt_tokens),
    )


def _seconds(choice: Choice | None, tokens: int) -> Seconds | None:
    """The time for so many tokens that are read, with its 80 % interval."""
    rate = None if choice is None else choice.estimate.throughput.embed or choice.estimate.throughput.pp
    if rate is None or rate.low <= 0:
        return None
    low, mid, high = (float(f"{tokens / speed:.3g}") for speed in (rate.high, rate.mid, rate.low))
    return Seconds(low=low, mid=mid, high=high)


_NAMED = 6
"""So many relatives are named."""


def _standing(pick: Pick, equal: int | None, workload: Workload) -> tuple[str, ...]:
    """What is to be said of a plan beside the others."""
    found = []
    if equal is not None:
        smaller = "pair" if workload.reranker else "one"
        found.append(
            f"as good as plan {equal} by its score; of equals the {smaller} that takes less memory comes first"
        )
    if pick.relatives:
        names = [model.name for model in pick.relatives[:_NAMED]]
        more = len(pick.relatives) - len(names)
        found.append(
            f"stands for its relatives of the same size too: {', '.join(names)}{f' and {more} more' if more else ''}"
        )
    if workload.reranker and len(pick.plan) < len(Role):
        found.append("no reranker fits beside it")
    return tuple(found)


def memory_plan(choices: tuple[Choice, ...], machine: Machine) -> MemoryPlan:
    """All processes together against the machine's budget, per device and in total."""
    used: dict[str, int] = {}
    for choice in choices:
        for row in choice.estimate.memory.devices:
            used[row.device] = used.get(row.device, 0) + row.total_bytes
    pools = machine.gpus if machine.unified else (*machine.gpus, machine.host)
    # A process on the CPU is not bound by what the GPU may take of a shared memory.
    shared = machine.total_bytes if any(not c.estimate.placement.n_gpu_layers for c in choices) else None
    devices = tuple(
        BudgetUse(
            device=HOST if machine.unified else pool.id,
            total_bytes=used.get(HOST if machine.unified else pool.id, 0),
            budget_bytes=shared if machine.unified and shared is not None else pool.budget_bytes,
        )
        for pool in pools
    )
    total = sum(used.values())
    budget = sum(device.budget_bytes or 0 for device in devices)
    return MemoryPlan(total_bytes=total, budget_bytes=budget, headroom_bytes=budget - total, devices=devices)


_COMMAND_OPTIONS = (
    ("--prefer", "prefer"),
    ("--docs", "docs"),
    ("--doc-tokens", "doc_tokens"),
    ("--chunk-tokens", "chunk_tokens"),
    ("--kv-type", "kv_type"),
    ("--parallel", "parallel"),
)
"""What else decides how the named files are run."""
_OF_PAIRS = 3
"""So many of them only decide between the models of a pair."""


def _command(choices: tuple[Choice, ...], workload: Workload) -> tuple[str, ...]:
    """What starts the plan and no more: `up` would look for a partner of a single model."""
    verb = "up" if len(choices) > 1 else "launch"
    argv = ["planner", verb, *(f"{c.model.id}:{c.variant.quant}" for c in choices)]
    generation = next((c for c in choices if c.model.role is Role.GENERATION), None)
    if generation is not None:
        argv += ["--context", str(generation.settings.context // generation.settings.parallel)]
        if workload.min_speed:  # it may be why the embedder is on the CPU
            argv += ["--min-speed", f"{workload.min_speed:.15g}"]
    plain = Workload()
    for option, name in _COMMAND_OPTIONS[0 if len(choices) > 1 else _OF_PAIRS :]:
        if getattr(workload, name) != getattr(plain, name):
            argv += [option, str(getattr(workload, name))]
    return tuple(argv)
