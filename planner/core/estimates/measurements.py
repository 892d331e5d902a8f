"""Speeds measured on this machine, and what they say of the formulas' errors here."""

from collections.abc import Callable, Iterable

import msgspec

from planner.core.estimates.estimator import estimate
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Model
from planner.core.speed.calibration import Calibration
from planner.core.speed.local import LocalPoint, Quantity
from planner.errors import BadDataError, NoResultError


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A rate in tokens per second: of which model and quant, on what, with which settings, on which day (ISO 8601).

    `device` is what `planner.core.speed.calibration.device_key` calls the one that holds all layers; `settings` have
    the tokens of the prompt and in the cache at which it was measured. `spread` is the fastest run over the slowest.
    """

    device: str
    quantity: Quantity
    model: str
    quant: str
    settings: Settings
    tokens_per_s: float
    spread: float = 1.0
    engine: str
    measured_on: str

    @property
    def key(self) -> tuple[str, ...]:
        """What a later measurement of the same kind replaces."""
        return self.device, self.quantity, self.model.casefold(), self.quant.casefold()


def local_points(
    measurements: Iterable[Measurement],
    find: Callable[[str], Model | None],
    hardware: Hardware,
    calibration: Calibration,
) -> tuple[LocalPoint, ...]:
    """Each measurement beside what `calibration` predicts for it on this hardware.

    Left out is what cannot be predicted any more: a model that `find` does not know, a quant or device that is gone.
    """
    machine = machine_of(hardware, live=False)
    points: list[LocalPoint] = []
    for measured in measurements:
        model = find(measured.model)
        variant = None if model is None else model.variant(measured.quant)
        if model is None or variant is None or model.architecture is None:
            continue
        try:
            expected = estimate(model, variant, measured.settings, hardware, machine, calibration=calibration)
        except (NoResultError, BadDataError):
            continue
        rate = getattr(expected.throughput, measured.quantity)
        if rate is not None:
            points.append(
                LocalPoint(
                    device=measured.device,
                    quantity=measured.quantity,
                    arch=model.architecture,
                    quant=variant.quant,
                    settings=measured.settings,
                    measured_tokens_per_s=measured.tokens_per_s,
                    predicted_tokens_per_s=rate.mid,
                    spread=measured.spread,
                )
            )
    return tuple(points)
