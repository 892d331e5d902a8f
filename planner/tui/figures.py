"""What a recommendation says about memory and speed, arranged for bars and tables. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from planner.core.memory.estimate import Rate
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.units import format_rate

COMPONENTS = ("weights", "KV cache", "compute", "overhead")
"""The four parts of memory, in the order they are drawn and listed."""


@dataclass(frozen=True)
class DeviceBar:
    """One device: bytes by component (in the order of `COMPONENTS`) against what may be taken."""

    device: str
    parts_bytes: tuple[int, int, int, int]
    budget_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """All components together."""
        return sum(self.parts_bytes)

    @property
    def free_bytes(self) -> int | None:
        """What stays free of the budget, None if that is not known."""
        return None if self.budget_bytes is None else max(0, self.budget_bytes - self.total_bytes)


def device_bars(recommendation: Recommendation) -> tuple[DeviceBar, ...]:
    """All processes of a plan together, per device, in the order of the plan's budget."""
    bars = []
    for use in recommendation.memory.devices:
        rows = [
            row
            for choice in recommendation.choices
            for row in choice.estimate.memory.devices
            if row.device == use.device
        ]
        parts = (
            sum(row.weights_bytes for row in rows),
            sum(row.kv_cache_bytes for row in rows),
            sum(row.compute_bytes for row in rows),
            sum(row.overhead_bytes for row in rows),
        )
        bars.append(DeviceBar(use.device, parts, use.budget_bytes))
    return tuple(bars)


def cells_of(parts: Sequence[int], whole: int, width: int) -> tuple[int, ...]:
    """Cells for each part of a bar of `width` cells that stands for `whole`; the rest of the bar is what is left.

    A part that is there at all gets a cell where there is room, so that nothing looks like nothing. The sum is
    `width` when the parts fill the whole, and never more.
    """
    whole = max(whole, sum(parts))
    if whole <= 0 or width <= 0:
        return tuple(0 for _ in parts)
    shares = [part * width / whole for part in parts]
    cells = [int(share) for share in shares]
    room = round(sum(shares)) - sum(cells)
    for index in sorted(range(len(parts)), key=lambda i: (cells[i] - shares[i], i))[: max(0, room)]:
        cells[index] += 1
    for index, part in enumerate(parts):
        if not part or cells[index]:
            continue
        if sum(cells) < width and whole > sum(parts):
            cells[index] = 1
        elif max(cells) > 1:
            cells[cells.index(max(cells))] -= 1
            cells[index] = 1
    return tuple(cells)


def main_rate(choice: Choice | None) -> Rate | None:
    """The speed people ask about: generated tokens, or indexed ones for an embedder."""
    if choice is None:
        return None
    throughput = choice.estimate.throughput
    return throughput.tg or throughput.embed


def range_text(rate: Rate | None, unknown: str) -> str:
    """`25 to 55`, tokens per second, without the unit (the column has it)."""
    return unknown if rate is None else f"{format_rate(rate.low)} to {format_rate(rate.high)}"


def choice_name(choice: Choice | None, unknown: str) -> str:
    """`bge-m3 Q8_0`."""
    return unknown if choice is None else f"{choice.model.name} {choice.variant.quant}"


def plan_name(recommendation: Recommendation) -> str:
    """`bge-m3 Q8_0 + Qwen3-8B Q4_K_M`."""
    return " + ".join(choice_name(choice, "") for choice in recommendation.choices)
