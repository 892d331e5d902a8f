"""Measurements on this machine outrank the formula, and one of them improves the others for the same device.

The formula's log error has a part that a whole device shares (variance between devices) and a part of each row
(within). After k local points with a mean log error m the best guess of the device's part is m · w, with
w = between / (between + within / k): the mean of a normal distribution with a normal prior. The interval narrows from
between + within to between · (1 - w) + within.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec

from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture
from planner.core.speed.calibration import Calibration, Deviation
from planner.core.speed.interval import Interval
from planner.errors import BadDataError

Quantity = Literal["pp", "tg", "embed"]

MEASURED = Interval(0.87, 1.15)
"""Of a measurement repeated on the same machine with the same settings: clocks, heat, others (set by hand).

Three rounds of `planner bench` within ten minutes on a shared virtual machine of two cores, the deployment started
anew for each, lay up to 1.06 times from their middle for embedding, 1.16 for prompts and 1.17 for generation.
"""


class LocalPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A rate measured on this machine and what was predicted for it, in tokens per second.

    `device` is what `device_key` calls the device that holds all layers. `predicted_tokens_per_s` is the middle of
    an estimate made without any local point. `spread` is the fastest run over the slowest.
    """

    device: str
    quantity: Quantity
    arch: Architecture
    quant: str
    settings: Settings
    measured_tokens_per_s: float
    predicted_tokens_per_s: float
    spread: float = 1.0

    @property
    def log_error(self) -> float:
        """log(measured ÷ predicted)."""
        return math.log(self.measured_tokens_per_s / self.predicted_tokens_per_s)


class LocalFactor(msgspec.Struct, frozen=True):
    """What local points say of a device: a factor on its rates, and how much narrower their intervals are in logs."""

    factor: float
    narrowing: float


class LocalCalibration(Calibration, frozen=True, kw_only=True):
    """A calibration that knows measurements of this machine, by device and quantity."""

    factors: dict[tuple[str, str], LocalFactor]
    points: tuple[LocalPoint, ...]


def with_local(calibration: Calibration, points: Sequence[LocalPoint]) -> LocalCalibration:
    """The calibration with these points (all there are: earlier ones are not kept).

    Raises BadDataError for a rate that is not a positive number.
    """
    groups: defaultdict[tuple[str, str], list[LocalPoint]] = defaultdict(list)
    for point in points:
        for rate in (point.measured_tokens_per_s, point.predicted_tokens_per_s):
            if not (math.isfinite(rate) and rate > 0):
                raise BadDataError(
                    f"A measurement of {point.quantity} on {point.device} has a rate of {rate} tok/s.",
                    hint="Measure again: planner bench.",
                    reference="bad-measurement",
                )
        groups[point.device, point.quantity].append(point)
    known = {name: getattr(calibration, name) for name in Calibration.__struct_fields__}
    return LocalCalibration(
        **known,
        factors={key: _factor(group, _deviation(calibration, *key)) for key, group in groups.items()},
        points=tuple(points),
    )


def _deviation(calibration: Calibration, device: str, quantity: str) -> Deviation:
    if device == "cpu":
        return calibration.host_deviation
    return calibration.generation_deviation if quantity == "tg" else calibration.prompt_deviation


def _factor(points: Sequence[LocalPoint], deviation: Deviation) -> LocalFactor:
    between, within = deviation.between**2, deviation.within**2
    weight = between / (between + within / len(points))
    mean = sum(point.log_error for point in points) / len(points)
    left = math.sqrt((between * (1 - weight) + within) / (between + within))
    return LocalFactor(factor=math.exp(weight * mean), narrowing=left)


def local_rate(
    calibration: Calibration,
    quantity: Quantity,
    *,
    device: str,
    arch: Architecture,
    quant: str,
    settings: Settings,
    mid: float,
    interval: Interval,
) -> tuple[float, Interval, Literal["measured"] | None]:
    """A rate of `mid` tok/s and its interval in the light of what was measured here, if anything was.

    The same model, quant and quantity at other settings is the measurement, carried over by the formula's ratio; it
    widens with the way it is carried.
    """
    if not isinstance(calibration, LocalCalibration):
        return mid, interval, None
    same = [
        point
        for point in calibration.points
        if (point.device, point.quantity, point.quant, point.arch) == (device, quantity, quant, arch)
        and point.settings.kv_type_k == settings.kv_type_k
        and point.settings.flash_attention == settings.flash_attention
    ]
    if same:
        nearest = min(same, key=lambda point: abs(math.log(mid / point.predicted_tokens_per_s)))
        carried = abs(math.log(mid / nearest.predicted_tokens_per_s))
        spread = MEASURED.wider(Interval(math.exp(-carried / 4), math.exp(carried / 4)))
        spread = spread.wider(Interval(1 / nearest.spread, nearest.spread))
        return mid * math.exp(nearest.log_error), spread, "measured"
    found = calibration.factors.get((device, quantity))
    if found is None:
        return mid, interval, None
    return mid * found.factor, interval.scaled(found.narrowing), None
