"""A card of which only the memory is known: what the cards of that size on the market are like."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from planner.core.machines.device_names import same_memory
from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.units import GIB, format_gib

_SIZE_WINDOW = 0.12
_OLDEST_TYPICAL = 6.0
"""Compute capability of the oldest cards that count as typical (Pascal, 2016)."""


def anonymous_device(memory_bytes: int, specs: Sequence[DeviceSpec], index: int) -> Device:
    """A card known only by its memory (`--vram 8`): what cards of that size are like.

    NVIDIA with CUDA is assumed. Bandwidth (GB/s) and peaks (TFLOPS) are medians over the NVIDIA cards within
    12 % of each size on the market, smoothed so that more memory is never slower (isotonic regression), then
    interpolated; `memory_bandwidth_range_gbps` holds their 10th and 90th percentiles.
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
    low, high = typical.at("low", gib), typical.at("high", gib)
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
        memory_bandwidth_range_gbps=(low, high) if low is not None and high is not None else None,
        source={
            "memory_total_bytes": "--vram",
            "vendor": "assumed: NVIDIA with CUDA",
            "memory_bandwidth_gbps": how,
            "fp32_tflops": how,
            "fp16_tflops": how,
        },
    )


class _Typical:
    """Smoothed curves over memory size in GiB: `sizes` ascending, one non-decreasing list per figure."""

    def __init__(self, cards: Sequence[DeviceSpec]) -> None:
        self.sizes = sorted({s.memory_gib for s in cards if s.memory_gib})
        self.curves: dict[str, list[float]] = {}
        picks: dict[str, tuple[Callable[[DeviceSpec], float | None], float]] = {
            "bandwidth": (lambda s: s.memory_bandwidth_gbps, 0.5),
            "low": (lambda s: s.memory_bandwidth_gbps, 0.1),
            "high": (lambda s: s.memory_bandwidth_gbps, 0.9),
            "fp32": (lambda s: s.fp32_tflops, 0.5),
            "fp16": (lambda s: s.fp16_tflops, 0.5),
        }
        by_size = {size: [card for card in cards if card.memory_gib == size] for size in self.sizes}
        near = [
            [card for other in self.sizes if same_memory(other, size, _SIZE_WINDOW) for card in by_size[other]]
            for size in self.sizes
        ]
        for figure, (pick, share) in picks.items():
            points = [(_percentile([pick(card) for card in group], share), len(group)) for group in near]
            self.curves[figure] = _isotonic(points)

    def at(self, figure: str, gib: float) -> float | None:
        """The figure for that size, linear between sizes, constant beyond the ends; None without any card."""
        curve = self.curves[figure]
        if not curve:
            return None
        after = next((i for i, size in enumerate(self.sizes) if size >= gib), None)
        if after is None or after == 0:
            return round(curve[-1 if after is None else 0], 2)
        left, right = self.sizes[after - 1], self.sizes[after]
        share = (gib - left) / (right - left)
        return round(curve[after - 1] + share * (curve[after] - curve[after - 1]), 2)


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


def _percentile(values: Sequence[float | None], share: float) -> float:
    """Linear between the neighbours; None values are left out."""
    known = sorted(v for v in values if v is not None)
    place = share * (len(known) - 1)
    low = math.floor(place)
    high = min(low + 1, len(known) - 1)
    return known[low] + (place - low) * (known[high] - known[low])


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
