"""A card of which only the memory is known: what the cards of that size on the market are like.

The cards of a size differ by more than their middle tells: 6 GiB came without tensor cores (GTX 1660) and with ones
that are ten times as fast (RTX 2060). So every figure has a range, and speeds are computed at its ends. All curves
rise with memory, the lower ends as well: an unknown card is never worse for being larger.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from planner.core.machines.device_names import same_memory
from planner.core.machines.hardware import ESTIMATED, Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.units import GIB, format_gib

_SIZE_WINDOW = 0.12
_OLDEST_TYPICAL = 7.5
"""Compute capability of the oldest cards that count as typical (Turing, 2018): CUDA 13 builds for none before it."""
_SHARES = (0.1, 0.5, 0.9)


def anonymous_device(memory_bytes: int, specs: Sequence[DeviceSpec], index: int) -> Device:
    """A card known only by its memory (`--vram 8`): what cards of that size are like.

    NVIDIA with CUDA is assumed. Bandwidth (GB/s), peaks (TFLOPS) and power (W) are medians over the NVIDIA cards
    within 12 % of each size on the market, smoothed so that more memory is never slower (isotonic regression), then
    interpolated; the ranges hold their 10th and 90th percentiles.
    """
    gib = memory_bytes / GIB
    typical = _typical(tuple(specs))
    count = sum(1 for s in _comparable(tuple(specs)) if s.memory_gib and same_memory(s.memory_gib, gib, _SIZE_WINDOW))
    size = format_gib(memory_bytes)
    how = (
        f"median of {count} NVIDIA cards with about {size}"
        if count
        else f"between the NVIDIA card sizes around {size}"
    ) + "; name yours with --gpu"
    return Device(
        id=f"cuda:{index}",
        name=f"{gib:.3g} GiB GPU",
        slug=f"gpu-{gib:.3g}gib".replace(".", "-"),
        vendor=Vendor.NVIDIA,
        backend=Backend.CUDA,
        kind=DeviceKind.DISCRETE,
        memory_total_bytes=memory_bytes,
        memory_free_bytes=memory_bytes,
        memory_budget_bytes=memory_bytes,
        memory_bandwidth_gbps=typical.at("bandwidth", gib),
        fp32_tflops=typical.at("fp32", gib),
        fp16_tflops=typical.at("fp16", gib),
        tdp_w=typical.at("watts", gib),
        memory_bandwidth_range_gbps=typical.range_at("bandwidth", gib),
        fp32_range_tflops=typical.range_at("fp32", gib),
        fp16_range_tflops=typical.range_at("fp16", gib),
        tdp_range_w=typical.range_at("watts", gib),
        source={
            "memory_total_bytes": "--vram",
            "vendor": "assumed: NVIDIA with CUDA",
            "memory_bandwidth_gbps": how,
            "fp32_tflops": how,
            "fp16_tflops": how,
            "tdp_w": f"{ESTIMATED}{how}",
        },
    )


def slowest(device: Device) -> Device:
    """The slowest that a card known by its size may be (80 % are within); any other device as it is.

    A file may tell no more than how bandwidths differ: its peaks then differ as much.
    """
    return _end(device, min)


def fastest(device: Device) -> Device:
    """The fastest that it may be."""
    return _end(device, max)


def _end(device: Device, pick: Callable[..., float]) -> Device:
    if not device.known_by_size:
        return device
    bandwidth, spread = device.memory_bandwidth_gbps, device.memory_bandwidth_range_gbps
    share = pick(bandwidth, *spread) / bandwidth if bandwidth and spread else 1.0

    def figure(middle: float | None, ends: tuple[float, float] | None) -> float | None:
        if middle is None:
            return None
        return middle * share if ends is None else pick(middle, *ends)

    return msgspec.structs.replace(
        device,
        memory_bandwidth_gbps=figure(bandwidth, spread),
        fp32_tflops=figure(device.fp32_tflops, device.fp32_range_tflops),
        fp16_tflops=figure(device.fp16_tflops, device.fp16_range_tflops),
        tdp_w=figure(device.tdp_w, device.tdp_range_w),
    )


class _Curve(NamedTuple):
    """A figure over memory: at each of the ascending sizes in GiB its 10th percentile, median and 90th percentile."""

    sizes: list[float]
    values: tuple[list[float], ...]


class _Typical:
    """What cards are like by their memory; none of the curves ever falls."""

    def __init__(self, cards: Sequence[DeviceSpec]) -> None:
        by_size: dict[float, list[DeviceSpec]] = {}
        for card in cards:
            by_size.setdefault(card.memory_gib or 0.0, []).append(card)
        sizes = sorted(by_size)
        near = [[other for other in sizes if same_memory(other, size, _SIZE_WINDOW)] for size in sizes]
        self._curves: dict[str, _Curve] = {}
        for figure, pick in _FIGURES.items():
            values = {size: [v for card in by_size[size] if (v := pick(card)) is not None] for size in sizes}
            ranked = [sorted(v for other in others for v in values[other]) for others in near]
            known = [(size, group) for size, group in zip(sizes, ranked, strict=True) if group]
            self._curves[figure] = _Curve(
                [size for size, _ in known],
                tuple(
                    _isotonic([(_percentile(group, share), len(group)) for _, group in known]) for share in _SHARES
                ),
            )

    def at(self, figure: str, gib: float) -> float | None:
        """The median of a figure for that size; None without any card."""
        return self._at(figure, 1, gib)

    def range_at(self, figure: str, gib: float) -> tuple[float, float] | None:
        """The 10th and 90th percentile for that size; None without any card."""
        low, high = self._at(figure, 0, gib), self._at(figure, 2, gib)
        return None if low is None or high is None else (low, high)

    def _at(self, figure: str, which: int, gib: float) -> float | None:
        """Linear between sizes, constant beyond the ends."""
        sizes, curve = self._curves[figure].sizes, self._curves[figure].values[which]
        if not sizes:
            return None
        after = bisect.bisect_left(sizes, gib)
        if after in (0, len(sizes)):
            return round(curve[0 if after == 0 else -1], 2)
        left, right = sizes[after - 1], sizes[after]
        share = (gib - left) / (right - left)
        return round(curve[after - 1] + share * (curve[after] - curve[after - 1]), 2)


_FIGURES: dict[str, Callable[[DeviceSpec], float | None]] = {
    "bandwidth": lambda card: card.memory_bandwidth_gbps,
    "fp32": lambda card: card.fp32_tflops,
    "fp16": lambda card: card.fp16_tflops,
    "watts": lambda card: card.tdp_w,
}


@lru_cache(maxsize=4)
def _typical(specs: tuple[DeviceSpec, ...]) -> _Typical:
    """The curves of a device list; made once per list."""
    return _Typical(_comparable(specs))


def _comparable(specs: tuple[DeviceSpec, ...]) -> list[DeviceSpec]:
    """The discrete NVIDIA cards that are complete and not too old for today's CUDA builds."""
    return [
        s
        for s in specs
        if s.vendor is Vendor.NVIDIA
        and s.kind is DeviceKind.DISCRETE
        and s.memory_gib
        and s.memory_bandwidth_gbps
        and s.fp32_tflops
        and s.fp16_tflops
        and float(s.compute_capability or 0) >= _OLDEST_TYPICAL
    ]


def _percentile(ranked: Sequence[float], share: float) -> float:
    """Linear between the neighbours."""
    place = share * (len(ranked) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


def _isotonic(points: Sequence[tuple[float, int]]) -> list[float]:
    """Non-decreasing weighted least squares through (value, weight): pool adjacent violators."""
    blocks: list[tuple[float, int, int]] = []
    for value, weight in points:
        block = (value, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            before = blocks.pop()
            total = before[1] + block[1]
            block = ((before[0] * before[1] + block[0] * block[1]) / total, total, before[2] + block[2])
        blocks.append(block)
    return [value for value, _, length in blocks for _ in range(length)]
