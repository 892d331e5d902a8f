"""From rated candidates to recommendations: labels, memory, reasons, and the command that starts them."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from planner.core.candidates import Candidate
from planner.core.estimate import HOST, Placement
from planner.core.estimator import Outlook, estimate
from planner.core.hardware import Hardware
from planner.core.model import Role
from planner.core.placement import Machine
from planner.core.reasons import reasons_of, warnings_of
from planner.core.recommendation import BudgetUse, Choice, MemoryPlan, Recommendation
from planner.core.score import Terms, combine
from planner.core.speed.calibration import Calibration
from planner.core.workload import Workload
from planner.errors import NoResultError
from planner.units import format_gib


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
        if candidate.on_cpu:
            found = msgspec.structs.replace(found, placement=_deliberate(found.placement, self.machine))
        return Choice(
            model=candidate.model,
            variant=candidate.variant,
            settings=candidate.settings,
            estimate=found,
            quality=candidate.file.quality.figures,
        )


def _deliberate(placement: Placement, machine: Machine) -> Placement:
    why = "which may use more of the shared memory" if machine.unified else "which leaves the GPU to the generator"
    return msgspec.structs.replace(placement, reason=f"on the CPU, {why}")


def recommendations(
    plans: Sequence[tuple[Rated, ...]],
    machine: Machine,
    hardware: Hardware,
    workload: Workload,
    calibration: Calibration,
) -> tuple[Recommendation, ...]:
    """The plans as they are told, in their order."""
    told = []
    for rank, (plan, labels) in enumerate(_labelled(plans, workload), start=1):
        choices = tuple(rated.choice(hardware, calibration) for rated in plan)
        told.append(_recommendation(rank, score_of(plan, workload), choices, machine, workload, labels=labels))
    return tuple(told)


def score_of(plan: tuple[Rated, ...], workload: Workload) -> float:
    """The score of a plan, 0 to 100."""
    terms = Terms(*(sum(getattr(r.terms, name) for r in plan) for name in Terms.__struct_fields__))
    return combine(terms, workload.prefer)


def _labelled(
    plans: Sequence[tuple[Rated, ...]], workload: Workload
) -> list[tuple[tuple[Rated, ...], tuple[str, ...]]]:
    """Name what each plan is the best of among those shown."""
    first = {"balanced": "balanced", "quality": "best quality", "speed": "best for speed"}[workload.prefer]
    if len(plans) < 2:
        return [(plan, (first,)) for plan in plans]

    def main(plan: tuple[Rated, ...]) -> Rated:
        return plan[-1]

    def speed(plan: tuple[Rated, ...]) -> float:
        rate = main(plan).rate
        return rate.mid if rate else 0.0

    def size(plan: tuple[Rated, ...]) -> int:
        return sum(r.memory.total_bytes for r in plan)

    def good(plan: tuple[Rated, ...]) -> float:
        return main(plan).terms.answers + sum(r.terms.retrieval for r in plan)

    names: dict[int, list[str]] = {0: [first]}
    for label, index in (
        ("best quality", max(range(len(plans)), key=lambda i: good(plans[i]))),
        ("fastest", max(range(len(plans)), key=lambda i: speed(plans[i]))),
        ("smallest", min(range(len(plans)), key=lambda i: size(plans[i]))),
    ):
        if label not in names.setdefault(index, []):
            names[index].append(label)
    return [(plan, tuple(names.get(i, ()))) for i, plan in enumerate(plans)]


def _recommendation(
    rank: int,
    score: float,
    choices: tuple[Choice, ...],
    machine: Machine,
    workload: Workload,
    *,
    labels: tuple[str, ...],
) -> Recommendation:
    by_role = {choice.model.role: choice for choice in choices}
    memory = memory_plan(choices, machine)
    return Recommendation(
        rank=rank,
        label=", ".join(labels) or "alternative",
        embedding=by_role.get(Role.EMBEDDING),
        generation=by_role.get(Role.GENERATION),
        reranker=by_role.get(Role.RERANKER),
        memory=memory,
        score=score,
        reasons=reasons_of(choices, memory, workload.needed_context, workload),
        warnings=warnings_of(choices),
        command=_command(choices, workload),
    )


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


def _command(choices: tuple[Choice, ...], workload: Workload) -> tuple[str, ...]:
    argv = ["planner", "up", *(f"{c.model.id}:{c.variant.quant}" for c in choices)]
    generation = next((c for c in choices if c.model.role is Role.GENERATION), None)
    if generation is not None:
        argv += ["--context", str(generation.settings.context // generation.settings.parallel)]
    if workload.kv_type != "f16":
        argv += ["--kv-type", workload.kv_type]
    if workload.parallel != 1:
        argv += ["--parallel", str(workload.parallel)]
    return tuple(argv)


def nothing_fits(
    candidates: Mapping[Role, Iterable[Candidate]], machine: Machine, hardware: Hardware, workload: Workload
) -> NoResultError:
    """The error that says what the smallest plan would need."""
    least = 0
    names = []
    for found in candidates.values():
        size, name = _smallest(found, machine, hardware)
        least += size
        names.append(name)
    wish = f" at {workload.min_speed:g} tok/s or more" if workload.min_speed else ""
    return NoResultError(
        f"Nothing fits{wish}: the smallest plan ({' + '.join(names)}) takes {format_gib(least)}, "
        f"and {format_gib(machine.total_bytes)} may be used here.",
        hint="A smaller --context, a lower --min-speed, or more memory (try --vram or --ram) would change that.",
        reference="nothing-fits",
    )


def _smallest(candidates: Iterable[Candidate], machine: Machine, hardware: Hardware) -> tuple[int, str]:
    """Bytes and name of the candidate that takes least; files are looked at by size, until none can be smaller."""
    unlimited = Machine(gpus=(), host=msgspec.structs.replace(machine.host, budget_bytes=None), unified=False)
    best: tuple[int, str, str] | None = None
    for candidate in sorted(candidates, key=lambda c: (c.variant.file_bytes or 0, c.model.id, c.settings.context)):
        if best is not None and (candidate.variant.file_bytes or 0) // 2 > best[0]:
            break
        if candidate.process is None:
            continue
        memory = estimate(
            candidate.model, candidate.variant, candidate.settings, hardware, unlimited, process=candidate.process
        ).memory
        known = (memory.total_bytes, candidate.model.id, f"{candidate.model.name} {candidate.variant.quant}")
        best = known if best is None else min(best, known)
    return (0, "none of known size") if best is None else (best[0], best[2])
