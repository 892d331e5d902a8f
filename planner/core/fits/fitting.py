"""One model on one machine: which of its quants run there, how fast, with how much context, and which is best."""

from collections.abc import Callable, Sequence

import msgspec

from planner.core.estimates.estimator import default_context, estimate, settings_for, weights_of
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Estimate, Rate, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import machine_of, place
from planner.core.memory.workload import Workload
from planner.core.models.file_size import file_size
from planner.core.models.model import Model, Role, Variant
from planner.core.models.weights import predicted_file_bytes
from planner.core.scores.quality import quality
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import NoResultError

PREDICTED_QUANTS = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
"""What a model without a known file is shown in: the usual types of llama.cpp's quantize, largest first."""
LOSS_TOLERANCE = 0.005
"""Quants this near in quality loss (a relative rise of perplexity) count as equally good: speed decides."""
SPEED_TOLERANCE = 0.1
"""Speeds this near, relatively, count as alike: quality decides."""
NEARLY_AS_FAST = 0.75
"""Of quants that run with layers on the CPU, those of this share of the best speed count as equally fast."""
_STEP = 256
"""llama.cpp rounds a sequence's cells up to this many, so smaller steps of context gain nothing."""


class Fit(msgspec.Struct, frozen=True):
    """A quant on a machine, with `context` tokens (fewer where the model was trained on fewer)."""

    variant: Variant
    context: int
    estimate: Estimate

    @property
    def verdict(self) -> Verdict:
        """Does it run there, and where its layers go."""
        return self.estimate.placement.verdict


def shown_variants(model: Model) -> tuple[Variant, ...]:
    """The quants to show, largest file first: those of the catalog; without any, the usual ones with predicted sizes.

    Empty where the architecture is not known either.
    """
    known = [variant for variant in model.variants if file_bytes_of(model, variant) is not None]
    if model.variants:
        unsized = [variant for variant in model.variants if variant not in known]
        return (*sorted(known, key=lambda variant: -(file_bytes_of(model, variant) or 0)), *unsized)
    arch = model.architecture
    if arch is None:
        return ()
    return tuple(
        Variant(quant=quant, artifacts=(), file_bytes=size.file_bytes, file_bytes_source="computed")
        for quant in PREDICTED_QUANTS
        if (size := file_size(arch, quant)) is not None
    )


def file_bytes_of(model: Model, variant: Variant) -> int | None:
    """The size of a variant's file: the catalog's, else predicted from the architecture; None where neither is."""
    if variant.file_bytes is not None or model.architecture is None:
        return variant.file_bytes
    return predicted_file_bytes(model.architecture, variant.quant)


def shown_context(model: Model, context: int | None) -> int:
    """The context a page is made for: the one asked for, at most what the model was trained on."""
    return default_context(model) if context is None else min(context, model.context_length)


def fit_on(
    model: Model, variant: Variant, hardware: Hardware, context: int, *, calibration: Calibration = GENERIC
) -> Fit | None:
    """A quant on a machine at its capacity; None where size or architecture are unknown."""
    settings, machine = settings_for(model, Workload(), context), machine_of(hardware, live=False)
    try:
        found = estimate(model, variant, settings, hardware, machine, calibration=calibration)
    except NoResultError:
        return None
    return Fit(variant, context, found)


def rate_of(model: Model, found: Estimate) -> Rate | None:
    """The speed people ask about: generated tokens, for embedders and rerankers tokens read."""
    return found.throughput.tg if model.role is Role.GENERATION else found.throughput.embed


def quant_loss(model: Model, quant: str) -> float | None:
    """What quantisation takes away, as a relative rise of perplexity over F16 (0.028 = 2.8 %)."""
    loss = quality(model, quant).figures.get("quant_loss")
    return float(loss) if isinstance(loss, int | float) else None


def quant_loss_basis(model: Model, quant: str) -> str | None:
    """How that is known: `measured`, `interpolated` or `assumed`; None where it is not said."""
    basis = quality(model, quant).figures.get("quant_loss_basis")
    return basis if isinstance(basis, str) else None


def best_fit(model: Model, fits: Sequence[Fit]) -> Fit | None:
    """The quant to take on a machine, None if none runs.

    Of those that fit whole, those within `LOSS_TOLERANCE` of the least quality loss; of these the least lossy that is
    not slower than the fastest by more than `SPEED_TOLERANCE`. Where none fits whole, of those with layers on the CPU
    the least lossy that reaches `NEARLY_AS_FAST` of the fastest.
    """

    def speed(fit: Fit) -> float:
        rate = rate_of(model, fit.estimate)
        return 0.0 if rate is None else rate.mid

    def loss(fit: Fit) -> float:
        return quant_loss(model, fit.variant.quant) or 0.0

    whole = [fit for fit in fits if fit.verdict is Verdict.FITS]
    if whole:
        least = min(map(loss, whole))
        good = [fit for fit in whole if loss(fit) <= least + LOSS_TOLERANCE]
        share = 1 - SPEED_TOLERANCE
    else:
        good = [fit for fit in fits if fit.verdict is Verdict.OFFLOAD]
        share = NEARLY_AS_FAST
    fastest = max(map(speed, good), default=0.0)
    quick = [fit for fit in good if speed(fit) >= share * fastest]
    return min(quick, key=lambda fit: (loss(fit), -speed(fit), fit.estimate.memory.total_bytes), default=None)


def usable_context(model: Model, variant: Variant, hardware: Hardware) -> int | None:
    """The longest context with which the quant fits whole, in tokens, at most the trained one; None if none does."""
    try:
        table = weights_of(model, variant)
    except NoResultError:
        return None
    arch = model.architecture
    assert arch is not None, "weights_of refuses a model without one"
    machine = machine_of(hardware, live=False)

    def fits(context: int) -> bool:
        process = ProcessMemory(arch, table, settings_for(model, Workload(), context))
        return place(process, machine)[0].verdict is Verdict.FITS

    return longest_context(model, fits)


def longest_context(model: Model, fits: Callable[[int], bool]) -> int | None:
    """The longest context in tokens, at most the trained one, of which `fits` is true; None if of none."""
    if fits(model.context_length):
        return model.context_length
    # Steps `low` fit, steps `high` do not.
    low, high = 0, -(-model.context_length // _STEP)
    while low + 1 < high:
        middle = (low + high) // 2
        if fits(middle * _STEP):
            low = middle
        else:
            high = middle
    return low * _STEP or None
