"""The pair planner: embedder, quant, placement and generator, quant, context under one memory budget.

Exact on the catalog: the score is a sum of an embedder's part and a generator's part, the generator's part never
grows when memory shrinks, so its part on the empty machine bounds it, and only what cannot win is skipped.
"""

from collections.abc import Iterable, Sequence

import msgspec

from planner.core.estimate import HOST, Estimate, Placement, Verdict
from planner.core.estimator import estimate, settings_for, weights_of
from planner.core.hardware import Hardware
from planner.core.memory import ProcessMemory
from planner.core.model import Commercial, Model, Role, Variant
from planner.core.placement import Machine, machine_of
from planner.core.quality import quality
from planner.core.reasons import reasons_of, warnings_of
from planner.core.recommendation import BudgetUse, Choice, MemoryPlan, Recommendation
from planner.core.score import Terms, combine, context_term, generation_speed_term, indexing_speed_term, weighted
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.variants import is_fetchable
from planner.core.workload import Settings, Workload
from planner.errors import NoResultError
from planner.units import format_gib

COMFORT_MARGIN = 0.05
"""Share of every device kept free in a recommendation: drivers, a browser, fragmentation."""
CONTEXTS = (4096, 8192, 16384, 32768)
EMBED_CONTEXT = 2048
"""Longest text an embedder is started for, unless its trained context is shorter: four retrieved chunks."""


class Pin(msgspec.Struct, frozen=True):
    """A model the user named, and the quant if that was named too."""

    model: Model
    variant: Variant | None = None


class _Candidate(msgspec.Struct, frozen=True):
    """One way to run one model, with everything about it that does not depend on the other processes."""

    model: Model
    variant: Variant
    settings: Settings
    process: ProcessMemory
    calibration: Calibration
    on_cpu: bool = False


class _Rated(msgspec.Struct, frozen=True):
    """A candidate with an estimate on a given machine, and its part of the score."""

    candidate: _Candidate
    estimate: Estimate
    part: float
    terms: Terms

    def choice(self) -> Choice:
        """The public form."""
        candidate = self.candidate
        return Choice(
            model=candidate.model,
            variant=candidate.variant,
            settings=candidate.settings,
            estimate=self.estimate,
            quality=quality(candidate.model, candidate.variant.quant).figures,
        )


def recommend(
    models: Sequence[Model],
    hardware: Hardware,
    workload: Workload,
    *,
    pins: Sequence[Pin] = (),
    live: bool = False,
    calibration: Calibration = GENERIC,
) -> tuple[Recommendation, ...]:
    """The best plans, best first, one per generator (or per embedder when only that is wanted).

    `pins` replace the free choice for their roles. `live` plans with what is free now instead of the capacity.
    `calibration` holds the constants of speed.
    Raises NoResultError when nothing fits or nothing matches the wishes.
    """
    machine = machine_of(hardware, live=live, margin=COMFORT_MARGIN)
    wanted = (Role.EMBEDDING, Role.GENERATION) if workload.role == "rag" else (workload.role,)
    candidates = {
        role: _candidates(role, models, workload, machine, pins, calibration=calibration) for role in wanted
    }
    for role, found in candidates.items():
        if not found:
            raise NoResultError(
                f"No {role} model in the catalog matches these wishes.",
                hint="Loosen --licence, --language or --context; `planner models` lists what there is.",
                reference="nothing-matches",
            )
    if len(wanted) == 2:
        plans = _pairs(candidates[Role.EMBEDDING], candidates[Role.GENERATION], machine, hardware, workload)
    else:
        plans = [(rated,) for rated in _singles(candidates[wanted[0]], machine, hardware, workload)]
    if not plans:
        raise _nothing_fits(candidates, machine, hardware, workload)
    best = sorted(plans, key=lambda plan: (-_score(plan, workload), [r.candidate.model.id for r in plan]))
    return tuple(
        _recommendation(rank, plan, machine, workload, labels)
        for rank, (plan, labels) in enumerate(_labelled(best[: workload.limit], workload), start=1)
    )


def needed_context(workload: Workload) -> int:
    """Tokens an answer needs: the retrieved chunks, the question with its instructions, the answer."""
    return workload.chunks * workload.chunk_tokens + 512 + workload.answer_tokens


def _matches(model: Model, workload: Workload) -> bool:
    if not model.deployable or model.architecture is None:
        return False
    if workload.licence == "commercial" and model.licence.commercial is not Commercial.YES:
        return False
    wanted = workload.language
    return wanted is None or not model.languages or wanted in model.languages or "multilingual" in model.languages


def _candidates(
    role: Role,
    models: Iterable[Model],
    workload: Workload,
    machine: Machine,
    pins: Sequence[Pin],
    *,
    calibration: Calibration,
) -> list[_Candidate]:
    pinned = [pin for pin in pins if pin.model.role is role]
    chosen = pinned or [Pin(model) for model in models if model.role is role and _matches(model, workload)]
    found: list[_Candidate] = []
    for pin in chosen:
        variants = (pin.variant,) if pin.variant else pin.model.variants
        for variant in variants:
            if not is_fetchable(pin.model, variant):
                continue
            try:
                table = weights_of(pin.model, variant)
            except NoResultError:
                continue
            architecture = pin.model.architecture
            assert architecture is not None
            for context in _contexts(pin.model, role, workload):
                settings = settings_for(pin.model, workload, context)
                process = ProcessMemory(architecture, table, settings)
                found.append(_Candidate(pin.model, variant, settings, process, calibration))
                # An embedder on the CPU leaves a card to the generator; a generator on the CPU may use more of a
                # memory that both share.
                if machine.gpus and role is (Role.GENERATION if machine.unified else Role.EMBEDDING):
                    found.append(_Candidate(pin.model, variant, settings, process, calibration, on_cpu=True))
    return found


def _contexts(model: Model, role: Role, workload: Workload) -> tuple[int, ...]:
    """Contexts worth trying: the user's alone if given (and the model can), else the ladder up to the trained one."""
    if role is not Role.GENERATION:
        return (min(model.context_length, max(EMBED_CONTEXT, 2 * workload.chunk_tokens)),)
    if workload.context is not None:
        return (workload.context,) if workload.context <= model.context_length else ()
    ladder = tuple(context for context in CONTEXTS if context <= model.context_length)
    return ladder or (model.context_length,)


def _rate(candidate: _Candidate, machine: Machine, hardware: Hardware, workload: Workload) -> _Rated | None:
    """Estimate a candidate on what a machine has left; None if it does not run, or not fast enough."""
    if candidate.process.table.tensor_bytes > machine.total_bytes:
        return None  # the weights alone are more than there is: no need to look for a layout
    settings = candidate.settings
    if candidate.on_cpu:
        settings = msgspec.structs.replace(settings, n_gpu_layers=0)
    found = estimate(
        candidate.model,
        candidate.variant,
        settings,
        hardware,
        machine,
        process=candidate.process,
        calibration=candidate.calibration,
    )
    if found.placement.verdict is Verdict.NO_FIT:
        return None
    if candidate.on_cpu:
        found = msgspec.structs.replace(found, placement=_deliberate(found.placement, machine))
    generating = candidate.model.role is Role.GENERATION
    rate = found.throughput.tg
    if generating and workload.min_speed and (rate is None or rate.mid < workload.min_speed):
        return None
    good = quality(candidate.model, candidate.variant.quant).score
    per_slot = candidate.settings.context // candidate.settings.parallel
    terms = Terms(
        retrieval=0.0 if generating else good,
        answers=good if generating else 0.0,
        generation_speed=generation_speed_term(rate, workload.prefer) if generating else 0.0,
        indexing_speed=0.0 if generating else indexing_speed_term(found.throughput.embed),
        context=context_term(per_slot, needed_context(workload)) if generating else 0.0,
    )
    return _Rated(candidate, found, weighted(terms, workload.prefer), terms)


def _deliberate(placement: Placement, machine: Machine) -> Placement:
    why = "which may use more of the shared memory" if machine.unified else "which leaves the GPU to the generator"
    return msgspec.structs.replace(placement, reason=f"on the CPU, {why}")


def _singles(candidates: list[_Candidate], machine: Machine, hardware: Hardware, workload: Workload) -> list[_Rated]:
    best: dict[str, _Rated] = {}
    for candidate in candidates:
        rated = _rate(candidate, machine, hardware, workload)
        if rated and (candidate.model.id not in best or _prefer(rated, best[candidate.model.id])):
            best[candidate.model.id] = rated
    return list(best.values())


def _prefer(one: _Rated, other: _Rated) -> bool:
    """Higher part of the score; among equals the smaller one."""
    return (one.part, -one.estimate.memory.total_bytes) > (other.part, -other.estimate.memory.total_bytes)


def _pairs(
    embedders: list[_Candidate],
    generators: list[_Candidate],
    machine: Machine,
    hardware: Hardware,
    workload: Workload,
) -> list[tuple[_Rated, ...]]:
    """The best pair for every generator model."""
    rated = [r for r in (_rate(c, machine, hardware, workload) for c in embedders) if r is not None]
    rated.sort(key=lambda r: (-r.part, r.estimate.memory.total_bytes, r.candidate.model.id))
    rated = _undominated(rated)
    bounds = [(bound, c) for c in generators if (bound := _rate(c, machine, hardware, workload)) is not None]
    bounds.sort(key=lambda item: -item[0].part)
    left = [machine.less(embedder.estimate.memory) for embedder in rated]
    best: dict[str, tuple[float, _Rated, _Rated]] = {}
    for bound, candidate in bounds:
        key = candidate.model.id
        for embedder, rest in zip(rated, left, strict=True):
            known = best.get(key)
            if known is not None and embedder.part + bound.part <= known[0]:
                break
            generator = _rate(candidate, rest, hardware, workload)
            if generator is None:
                continue
            total = embedder.part + generator.part
            if known is None or total > known[0]:
                best[key] = (total, embedder, generator)
            if generator.part >= bound.part:
                break  # no later embedder is better, and this generator can do no better
    return [(embedder, generator) for _, embedder, generator in best.values()]


def _undominated(rated: list[_Rated]) -> list[_Rated]:
    """Drop an embedder if a better one takes no more of any device. `rated` is sorted best first."""
    kept: list[tuple[dict[str, int], _Rated]] = []
    for candidate in rated:
        usage = {row.device: row.total_bytes for row in candidate.estimate.memory.devices}
        devices = usage.keys()
        if not any(
            all(other.get(device, 0) <= usage[device] for device in devices) and other.keys() <= devices
            for other, _ in kept
        ):
            kept.append((usage, candidate))
    return [candidate for _, candidate in kept]


def _score(plan: tuple[_Rated, ...], workload: Workload) -> float:
    terms = Terms(*(sum(getattr(r.terms, name) for r in plan) for name in Terms.__struct_fields__))
    return combine(terms, workload.prefer)


def _labelled(
    plans: list[tuple[_Rated, ...]], workload: Workload
) -> list[tuple[tuple[_Rated, ...], tuple[str, ...]]]:
    """Name what each plan is the best of among those shown."""
    first = {"balanced": "balanced", "quality": "best quality", "speed": "best for speed"}[workload.prefer]
    if len(plans) < 2:
        return [(plan, (first,)) for plan in plans]

    def main(plan: tuple[_Rated, ...]) -> _Rated:
        return plan[-1]

    def speed(plan: tuple[_Rated, ...]) -> float:
        throughput = main(plan).estimate.throughput
        rate = throughput.tg or throughput.embed
        return rate.mid if rate else 0.0

    def size(plan: tuple[_Rated, ...]) -> int:
        return sum(r.estimate.memory.total_bytes for r in plan)

    def good(plan: tuple[_Rated, ...]) -> float:
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
    rank: int, plan: tuple[_Rated, ...], machine: Machine, workload: Workload, labels: tuple[str, ...]
) -> Recommendation:
    choices = {r.candidate.model.role: r.choice() for r in plan}
    memory = memory_plan(tuple(choices.values()), machine)
    ordered = tuple(choices.values())
    return Recommendation(
        rank=rank,
        label=", ".join(labels) or "alternative",
        embedding=choices.get(Role.EMBEDDING),
        generation=choices.get(Role.GENERATION),
        reranker=choices.get(Role.RERANKER),
        memory=memory,
        score=_score(plan, workload),
        reasons=reasons_of(ordered, memory, needed_context(workload), workload),
        warnings=warnings_of(ordered),
        command=_command(ordered, workload),
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


def _nothing_fits(
    candidates: dict[Role, list[_Candidate]], machine: Machine, hardware: Hardware, workload: Workload
) -> NoResultError:
    """Say what the smallest plan would need."""
    unlimited = Machine(gpus=(), host=msgspec.structs.replace(machine.host, budget_bytes=None), unified=False)
    least = 0
    names = []
    for found in candidates.values():
        sized = [
            (estimate(c.model, c.variant, c.settings, hardware, unlimited, process=c.process).memory.total_bytes, c)
            for c in found
        ]
        size, candidate = min(sized, key=lambda item: (item[0], item[1].model.id))
        least += size
        names.append(f"{candidate.model.name} {candidate.variant.quant}")
    wish = f" at {workload.min_speed:g} tok/s or more" if workload.min_speed else ""
    return NoResultError(
        f"Nothing fits{wish}: the smallest plan ({' + '.join(names)}) takes {format_gib(least)}, "
        f"and {format_gib(machine.total_bytes)} may be used here.",
        hint="A smaller --context, a lower --min-speed, or more memory (try --vram or --ram) would change that.",
        reference="nothing-fits",
    )
