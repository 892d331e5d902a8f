"""Why a deployment is slower, faster or larger than was estimated, in words, as far as that can be seen from here."""

from collections.abc import Iterable, Mapping

import psutil

from planner.core.launch.launch_plan import ProcessPlan
from planner.core.memory.estimate import Rate
from planner.core.models.model import Role
from planner.serve.engine.memory_report import MemoryReport
from planner.serve.proof.verify import VerifyReport
from planner.units import format_gib, format_rate

_MEMORY_TOLERANCE = 0.1
"""The estimate's own, as the tests of its accuracy hold it."""
_BUSY = 0.15
"""A share of all processors that others use, from which on it is worth a word."""
_LOOK_S = 0.3


def others_busy(*, look_s: float = _LOOK_S) -> float | None:
    """The share of this machine's processors in use while our engines have nothing to do; None if unknown. Blocks."""
    try:
        return psutil.cpu_percent(interval=look_s) / 100
    except (OSError, psutil.Error, RuntimeError):
        return None


def busy_warning(share: float | None) -> str | None:
    """What a measurement is worth while others use that share of the processors; None when they hardly do."""
    if share is None or share < _BUSY:
        return None
    return (
        f"Other programs keep {share:.0%} of this machine's processors busy: what is measured now is less than it "
        "can do, and later estimates follow it. Measure again when it is quiet; planner bench --forget drops this."
    )


def difference_notes(
    plans: Iterable[ProcessPlan],
    report: VerifyReport,
    *,
    memory: Mapping[Role, MemoryReport] | None = None,
    busy_share: float | None = None,
) -> tuple[str, ...]:
    """A line for each speed outside its estimated range, and for memory that is more than 10 % off.

    `busy_share` is what `others_busy` said before the speeds were measured. A plan that “fits” by swapping pages
    starts and answers like any other; only its speed tells (measured).
    """
    found: list[str] = []
    for plan in plans:
        throughput = plan.estimate.throughput
        measured = {Role.EMBEDDING: report.embed_tokens_per_s, Role.GENERATION: report.tg_tokens_per_s}.get(plan.role)
        rate = throughput.embed if plan.role is Role.EMBEDDING else throughput.tg
        if rate is not None and measured is not None:
            found += _speed(plan, rate, measured, busy_share)
        if memory is not None and (buffers := memory.get(plan.role)) is not None:
            found += _memory(plan, buffers)
    return tuple(found)


def _speed(plan: ProcessPlan, rate: Rate, measured: float, busy_share: float | None) -> list[str]:
    span = f"{format_rate(rate.low)} to {format_rate(rate.high)}"
    if measured > rate.high:
        return [
            f"{plan.model.name} runs at {format_rate(measured)} tok/s, faster than the estimated {span}; "
            "planner bench makes later estimates of this machine better."
        ]
    if measured >= rate.low:
        return []
    far = "far below" if measured < rate.low / 2 else "below"
    said = f"{plan.model.name} runs at {format_rate(measured)} tok/s, {far} the estimated {span}: "
    if busy_share is not None and busy_share >= _BUSY:
        return [said + f"other programs keep {busy_share:.0%} of this machine's processors busy."]
    if busy_share is None:
        return [said + "the machine may be busy, or short of memory."]
    if far == "far below":
        return [
            said + "nothing else is busy, so the machine may be short of memory, or slowed down by heat or a limit."
        ]
    return [said + "nothing else is busy; planner bench measures it longer and makes later estimates better."]


def _memory(plan: ProcessPlan, buffers: MemoryReport) -> list[str]:
    estimated = plan.estimate.memory
    if abs(buffers.total_bytes - estimated.engine_bytes) <= _MEMORY_TOLERANCE * estimated.engine_bytes:
        return []
    parts = {
        "the weights": buffers.weights_bytes - estimated.weights_bytes,
        "the KV cache": buffers.kv_cache_bytes - estimated.kv_cache_bytes,
        "the compute buffers": buffers.compute_bytes - estimated.compute_bytes,
    }
    part = max(parts, key=lambda name: abs(parts[name]))
    more = "more" if parts[part] > 0 else "less"
    return [
        f"The buffers of {plan.model.name} take {format_gib(buffers.total_bytes)} instead of the estimated "
        f"{format_gib(estimated.engine_bytes)}, mostly by {part}: {format_gib(abs(parts[part]))} {more}."
    ]
