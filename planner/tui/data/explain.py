"""Where a number comes from: the arithmetic of an estimate, the source and date of a score. Pure, but not quick."""

from collections.abc import Iterator
from dataclasses import dataclass

from planner.core.fits.model_fit import Fitted
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Estimate
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Variant
from planner.core.pairs.recommendation import Recommendation
from planner.core.scores.standing import Standing
from planner.core.speed.calibration import Calibration
from planner.tui.data.machine import Situation


@dataclass(frozen=True)
class Part:
    """Lines under a heading. `prose`: sentences, which may be broken anywhere; else lines of at most 80 cells."""

    heading: str
    lines: tuple[str, ...]
    prose: bool = False


@dataclass(frozen=True)
class Explanation:
    """What the overlay shows."""

    title: str
    parts: tuple[Part, ...]


def explain_model(situation: Situation, model: Model, found: Fitted | None) -> Explanation:
    """A model in its best quant on this machine with all memory free, and its quality."""
    if found is None:
        why = model.deploy_note if not model.deployable else "No file of it is known by its size."
        parts: tuple[Part, ...] = (Part("memory and speed", (why or "Nothing is known.",), prose=True),)
        return Explanation(model.name, (*parts, quality_part(model, "F16", ranked(situation, model))))
    return explain_variant(situation, model, found.fit.variant, found.fit.context)


def explain_variant(situation: Situation, model: Model, variant: Variant, context: int) -> Explanation:
    """A quant on this machine with all memory free. `context` in tokens."""
    from planner.core.estimates.estimator import estimate, settings_for
    from planner.core.memory.placement import machine_of
    from planner.core.memory.readings import at_capacity
    from planner.core.memory.workload import Workload
    from planner.errors import NoResultError

    here = at_capacity(situation.hardware)
    settings = settings_for(model, Workload(), context)
    quality = quality_part(model, variant.quant, ranked(situation, model))
    title = f"{model.name} {variant.quant}, context {context:,}"
    try:
        answer = estimate(model, variant, settings, here, machine_of(here, live=False), calibration=situation.speed)
    except NoResultError as error:
        why = Part("memory and speed", (error.message, error.hint), prose=True)
        return Explanation(title, (why, quality))
    return Explanation(
        title,
        (*estimate_parts(model, variant, settings, answer, hardware=here, calibration=situation.speed), quality),
    )


def explain_plan(situation: Situation, plan: Recommendation) -> Explanation:
    """A recommendation: every model of it with its memory, speed and quality."""
    parts: list[Part] = []
    for choice in plan.choices:
        name = f"{choice.model.name} {choice.variant.quant}"
        found = (
            *estimate_parts(
                choice.model,
                choice.variant,
                choice.settings,
                choice.estimate,
                hardware=situation.hardware,
                calibration=situation.speed,
            ),
            quality_part(choice.model, choice.variant.quant, ranked(situation, choice.model)),
        )
        parts += [Part(f"{name}: {part.heading}", part.lines, part.prose) for part in found]
    return Explanation(f"Plan {plan.rank} ({plan.label})", tuple(parts))


def estimate_parts(
    model: Model,
    variant: Variant,
    settings: Settings,
    answer: Estimate,
    *,
    hardware: Hardware,
    calibration: Calibration,
) -> tuple[Part, ...]:
    """Memory by component and speed by term, in numbers. Empty where size or architecture is not known."""
    from planner.core.estimates.estimator import weights_of
    from planner.core.memory.memory import ProcessMemory
    from planner.core.pages.explain import explain_memory
    from planner.core.pages.explain_speed import explain_speed
    from planner.core.speed.work import run_of, work_per_token
    from planner.errors import NoResultError

    if model.architecture is None:
        return ()
    try:
        table = weights_of(model, variant)
    except NoResultError:
        return ()
    process = ProcessMemory(model.architecture, table, settings)
    run = run_of(
        model.architecture,
        work_per_token(model.architecture, table, settings),
        settings=settings,
        hardware=hardware,
        placement=answer.placement,
        memory=answer.memory,
        quant=variant.quant,
        calibration=calibration,
    )
    return (
        Part("where it goes", tuple(_placement(answer))),
        Part("memory", explain_memory(process, answer.placement, answer.memory)),
        Part("speed", explain_speed(run, answer.throughput)),
    )


def _placement(answer: Estimate) -> Iterator[str]:
    from planner.units import format_gib

    yield answer.placement.reason
    for row in answer.memory.devices:
        has = "" if row.budget_bytes is None else f" of {format_gib(row.budget_bytes)}"
        yield f"  {row.device}: {format_gib(row.total_bytes)}{has}"
    for warning in answer.warnings:
        yield f"! {warning}"


def quality_part(model: Model, quant: str, standings: tuple[Standing, ...] = ()) -> Part:
    """Source and date of its scores."""
    from planner.core.pages.explain_quality import explain_quality

    return Part("quality", explain_quality(model, quant, standings), prose=True)


def ranked(situation: Situation, model: Model) -> tuple[Standing, ...]:
    """A model's rank in each pool of scores; reads the pools."""
    from planner.catalog.evals import rankings_of
    from planner.core.scores.standing import standings

    folder = None if situation.catalog is None else situation.catalog.folder
    return standings(model, rankings_of([model], folder, note=_unheard))


def _unheard(_text: str) -> None:
    """The catalog's own notes say what is broken."""
