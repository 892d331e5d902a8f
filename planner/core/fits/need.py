"""The reverse question: what a model needs, by quant, and which devices have it at a wanted context and speed.

Every figure is an estimate of the same kind as `planner estimate` gives, asked for many machines. Cards are in a
usual desktop (`need_answer.DESKTOP`); one that holds everything does not notice it.
"""

from collections.abc import Sequence

from planner.core.fits.device_market import DeviceClass, folded, generation
from planner.core.fits.fitting import file_bytes_of, shown_variants
from planner.core.fits.model_list import usual_variant
from planner.core.fits.need_answer import CpuOnly, DeviceNeed, Need, Question
from planner.core.fits.need_picks import best_picks
from planner.core.fits.need_search import COUNTS, Search
from planner.core.machines.hardware import DeviceSpec
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Model, Role, Variant
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import NoResultError, UsageError
from planner.units import format_rate

_USUAL_PREDICTED = {Role.GENERATION: "Q4_K_M", Role.EMBEDDING: "Q8_0", Role.RERANKER: "Q8_0"}
"""The quant meant of a model without a known file."""


def wanted_variant(model: Model, quant: str | None) -> Variant:
    """The quant meant: the one named, else the usual one of those that are shown.

    Raises UsageError `unknown-quant`; NoResultError `no-architecture` or `size-unknown` for a model of which nothing
    can be said.
    """
    if model.architecture is None:
        why = f" {model.deploy_note.rstrip('.')}." if model.deploy_note else ""
        raise NoResultError(
            f"What {model.id} needs is not known: the catalog has no architecture of it.{why}",
            hint="planner show tells what is known; planner models --deployable lists what can be run.",
            reference="no-architecture",
        )
    shown = sized_variants(model)
    if not shown:
        raise NoResultError(
            f"What {model.id} needs is not known: no size of a file of it is.",
            hint="planner show tells what is known.",
            reference="size-unknown",
        )
    if quant is None:
        usual = usual_variant(model)
        name = _USUAL_PREDICTED[model.role] if usual is None else usual.quant
        return next((variant for variant in shown if variant.quant == name), shown[-1])
    found = next((variant for variant in shown if variant.quant.casefold() == quant.casefold()), None)
    if found is None:
        raise UsageError(
            f"{model.id} has no variant “{quant[:40]}” of known size.",
            hint=f"There are: {', '.join(variant.quant for variant in shown)}.",
            reference="unknown-quant",
        )
    return found


def sized_variants(model: Model) -> tuple[Variant, ...]:
    """The quants whose memory can be told, the largest file first."""
    return tuple(variant for variant in shown_variants(model) if file_bytes_of(model, variant) is not None)


def need(
    question: Question, specs: Sequence[DeviceSpec], *, calibration: Calibration = GENERIC, everything: bool = False
) -> Need:
    """What the model needs. `everything`: all devices of the table, else a few of each class that serve.

    Raises NoResultError `too-slow` where a speed is wanted and nothing reaches it, `nothing-fits` where no number of
    devices that is tried holds the model, both with what comes nearest; also `size-unknown`, `no-architecture`.
    """
    search = Search(question, specs, calibration)
    quants = tuple(search.quant_need(variant) for variant in question.variants)
    # What is no longer on sale is neither named nor faster than what is.
    chips = [chip for chip in folded(specs) if everything or generation(chip.spec) is not None]
    found = [search.device_need(chip) for chip in chips]
    _check(question, found, search.cpu)
    shown = found if everything else best_picks(found, partial=search.partial_wanted)
    ordered = sorted(shown, key=_order)
    return Need(question, quants, tuple(search.with_largest(device) for device in ordered), everything)


def _order(device: DeviceNeed) -> tuple[object, ...]:
    classes = list(DeviceClass)
    verdicts = list(Verdict)
    return (
        classes.index(device.kind),
        verdicts.index(device.verdict),
        device.count * device.memory_gib,
        device.chip.spec.memory_bandwidth_gbps or 0.0,
        device.chip.spec.slug,
    )


def _check(question: Question, found: Sequence[DeviceNeed], cpu: CpuOnly) -> None:
    """Refuse an answer without a device; say what comes nearest."""
    name = f"{question.model.name} {question.variant.quant}"
    wanted = question.workload.min_speed
    runs = [device for device in found if device.verdict is not Verdict.NO_FIT]
    if not runs and cpu.host is None:
        largest = max(found, key=lambda device: device.count * device.memory_gib, default=None)
        nearest = "" if largest is None else f" The largest is {largest.chip.spec.name}, {largest.memory_gib:g} GiB."
        raise NoResultError(
            f"No device of the table holds {name} with {question.context:,} tokens, nor {COUNTS[-1]} of one."
            + nearest,
            hint="Ask for a smaller quant (--quant), less context (--context) or a smaller cache (--kv-type q8_0).",
        )
    if wanted is None or (cpu.rate is not None and cpu.rate.mid >= wanted) or any(device.reaches for device in runs):
        return
    rated = [(device.rate.mid, device) for device in runs if device.rate is not None]
    if not rated:
        raise NoResultError(f"The speed of {name} is known of no device.", reference="too-slow")
    _, fastest = max(rated, key=lambda item: item[0])
    assert fastest.rate is not None
    verb = "writes" if question.model.role is Role.GENERATION else "reads"
    many = f"{fastest.count}x " if fastest.count > 1 else ""
    raise NoResultError(
        f"Nothing {verb} {format_rate(wanted)} tok/s with {name}. The nearest is {many}{fastest.chip.spec.name}, "
        f"about {format_rate(fastest.rate.mid)} ({format_rate(fastest.rate.low)} to "
        f"{format_rate(fastest.rate.high)}) tok/s.",
        hint="A smaller quant (--quant) or a smaller model is faster; or ask for less.",
        reference="too-slow",
    )
