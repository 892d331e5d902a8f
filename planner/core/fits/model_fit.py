"""The best quant of a model on a machine, as a list of models shows it."""

from typing import NamedTuple

from planner.core.fits.fitting import Fit, best_fit, fit_on, shown_context, shown_variants, usable_context
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Model
from planner.core.models.variants import is_fetchable
from planner.core.speed.calibration import GENERIC, Calibration


class Fitted(NamedTuple):
    """The best quant of a model on a machine, and the longest context with which it fits whole (None: with none)."""

    fit: Fit
    usable_context: int | None


def fitted(
    model: Model, hardware: Hardware, context: int | None = None, *, calibration: Calibration = GENERIC
) -> Fitted | None:
    """The best quant that runs, else the smallest one with what keeps it from running.

    None where nothing can be said: the model cannot be run at all, no file of it can be had, or its size or
    architecture is not known. `context` in tokens, None: 8192 at most.
    """
    if not model.deployable:
        return None
    tokens = shown_context(model, context)
    found = [
        fit_on(model, variant, hardware, tokens, calibration=calibration)
        for variant in shown_variants(model)
        if is_fetchable(model, variant)
    ]
    fits = [fit for fit in found if fit is not None]
    best = best_fit(model, fits)
    if best is not None and best.verdict is not Verdict.NO_FIT:
        return Fitted(best, usable_context(model, best.variant, hardware))
    smallest = min(fits, key=lambda fit: fit.estimate.memory.total_bytes, default=None)
    return None if smallest is None else Fitted(smallest, None)
