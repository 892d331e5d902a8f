"""How sure a speed is on a card of which only the memory is known: computed for the slowest and fastest it may be."""

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from planner.core.machines.hardware import Device
from planner.core.machines.typical_device import fastest, slowest
from planner.core.speed.calibration import FAST_GBPS
from planner.core.speed.interval import NONE, Interval
from planner.core.speed.work import Run


class Ends(NamedTuple):
    """A run on the slowest that its cards may be, and on the fastest where somebody asks for it."""

    slow: Run
    fast: Run | None


def ends_of(run: Run, *, both: bool = True) -> Ends | None:
    """The ends of a run; None where no card of it is known by its size alone."""
    if not any(part.device.known_by_size for part in run.parts):
        return None
    return Ends(_changed(run, slowest), _changed(run, fastest) if both else None)


def size_spread(ends: Ends | None, middle_s: float, seconds: Callable[[Run], float | None]) -> Interval:
    """What the size leaves open of a rate that takes `middle_s` in the middle: as factors on it."""
    if ends is None:
        return NONE
    slow, fast = seconds(ends.slow), ends.fast and seconds(ends.fast)
    return Interval(
        low=min(1.0, middle_s / slow) if slow else 1.0,
        high=max(1.0, middle_s / fast) if fast else 1.0,
    )


def on_less_fast(run: Run) -> Run | None:
    """The run on cards with the most bandwidth that does not count as fast; None where no card of it does.

    Less is known of fast memory, but a card is not slower for having it.
    """
    if not any(part.device.known_by_size and is_fast(part.device) for part in run.parts):
        return None
    return _changed(run, less_fast)


def is_fast(device: Device) -> bool:
    """Whether a device has so much bandwidth that few rows say what becomes of it."""
    return (device.memory_bandwidth_gbps or 0.0) >= FAST_GBPS


def less_fast(device: Device) -> Device:
    """The card with the most bandwidth that does not count as fast, if it has more."""
    most, spread = math.nextafter(FAST_GBPS, 0.0), device.memory_bandwidth_range_gbps
    return msgspec.structs.replace(
        device,
        memory_bandwidth_gbps=min(device.memory_bandwidth_gbps or 0.0, most),
        memory_bandwidth_range_gbps=spread and (min(spread[0], most), min(spread[1], most)),
    )


def _changed(run: Run, change: Callable[[Device], Device]) -> Run:
    """The run on other cards."""
    device = run.device and change(run.device)
    parts = tuple(
        msgspec.structs.replace(part, device=device if part.device is run.device and device else change(part.device))
        for part in run.parts
    )
    return msgspec.structs.replace(run, device=device, parts=parts)
