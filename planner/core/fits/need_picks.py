"""Which devices to name of many that serve: the smallest of each class, of every vendor, and the next sizes up."""

from collections.abc import Sequence

from planner.core.fits.device_market import DeviceClass, generation, is_common
from planner.core.fits.need_answer import DeviceNeed
from planner.core.memory.estimate import Verdict

_LINES = {
    DeviceClass.CONSUMER: 4,
    DeviceClass.WORKSTATION: 2,
    DeviceClass.DATA_CENTRE: 3,
    DeviceClass.APPLE: 2,
    DeviceClass.SHARED: 2,
}
"""Devices named of a class: with the partial ones 15."""
_PARTIAL_LINES = 2


def best_picks(found: Sequence[DeviceNeed], *, partial: bool) -> list[DeviceNeed]:
    """A few devices of each class that are on sale, hold everything and reach the speed, if one is wanted.

    `partial`: also a few consumer cards that reach it with a part on the CPU.
    """
    on_sale = [
        device for device in found if device.reaches and device.useful and generation(device.chip.spec) is not None
    ]
    whole = [device for device in on_sale if device.verdict is Verdict.FITS]
    picks: list[DeviceNeed] = []
    for kind, lines in _LINES.items():
        picks += _pick([device for device in whole if device.kind is kind], lines)
    if partial:
        part = [d for d in on_sale if d.verdict is Verdict.OFFLOAD and d.kind is DeviceClass.CONSUMER]
        picks += _pick(part, _PARTIAL_LINES)
    return picks


def _pick(devices: Sequence[DeviceNeed], lines: int) -> list[DeviceNeed]:
    """One of each vendor's smallest, then the next sizes; of one vendor, number and size the one easiest to get.

    That is one of the common devices, else of the newest generation; of these the least bandwidth.
    """
    likely: dict[tuple[object, ...], DeviceNeed] = {}
    for device in sorted(devices, key=_likelihood):
        likely.setdefault((device.chip.spec.vendor, device.count, device.memory_gib), device)
    # More than twice as many cards as others need are a curiosity.
    fewest = min((device.count for device in likely.values()), default=1)
    by_size = sorted((device for device in likely.values() if device.count <= 2 * fewest), key=_size)
    smallest: dict[object, DeviceNeed] = {}
    for device in by_size:
        smallest.setdefault(device.chip.spec.vendor, device)
    chosen = sorted(smallest.values(), key=_common_first)
    chosen += sorted((device for device in by_size if device not in chosen), key=_common_first)
    return chosen[:lines]


def _likelihood(device: DeviceNeed) -> tuple[object, ...]:
    spec = device.chip.spec
    newest = 0 if _is_common(device) else -(generation(spec) or 0)
    return not _is_common(device), newest, spec.memory_bandwidth_gbps or 0.0, spec.slug


def _is_common(device: DeviceNeed) -> bool:
    """Of Apple's chips the newest are sold, whatever people have."""
    return is_common(device.chip.spec) and device.kind is not DeviceClass.APPLE


def _common_first(device: DeviceNeed) -> tuple[object, ...]:
    return not _is_common(device), *_size(device)


def _size(device: DeviceNeed) -> tuple[object, ...]:
    spec = device.chip.spec
    return device.count, device.count * device.memory_gib, spec.memory_bandwidth_gbps or 0.0, spec.slug
