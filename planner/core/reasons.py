"""Why a plan was chosen, in sentences that name the figure they rest on."""

from planner.core.estimate import Rate
from planner.core.model import Commercial, Role
from planner.core.quality import quality
from planner.core.recommendation import Choice, MemoryPlan
from planner.core.score import COMFORT_TOKENS_PER_S, READING_TOKENS_PER_S
from planner.core.workload import Workload
from planner.units import format_gib, format_rate


def reasons_of(choices: tuple[Choice, ...], memory: MemoryPlan, workload: Workload) -> tuple[str, ...]:
    """Reasons in the order people ask: how good, where it runs, how fast, how much text, how much room."""
    found: list[str] = []
    for choice in choices:
        placement = choice.estimate.placement
        evidence = quality(choice.model, choice.variant.quant).evidence
        found.append(f"{choice.model.name} {choice.variant.quant}: {evidence}; {placement.reason}")
        if choice.model.role is Role.GENERATION:
            found.append(_speed_reason(choice))
            found.append(_context_reason(choice, workload.needed_context, workload))
    free = ", ".join(
        f"{row.device} {format_gib((row.budget_bytes or 0) - row.total_bytes)}" for row in memory.devices
    )
    found.append(f"left beside the comfort margin: {free}")
    return tuple(found)


def warnings_of(choices: tuple[Choice, ...]) -> tuple[str, ...]:
    """Warnings of the estimates and of the licences, each with the model's name."""
    found: list[str] = []
    for choice in choices:
        name = choice.model.name
        found += [f"{name}: {warning}" for warning in choice.estimate.warnings]
        match choice.model.licence.commercial:
            case Commercial.NO:
                found.append(f"{name}: licence {choice.model.licence.spdx}, no commercial use")
            case Commercial.CONDITIONAL:
                found.append(f"{name}: licence {choice.model.licence.spdx} sets conditions for use")
            case Commercial.UNKNOWN:
                found.append(f"{name}: licence not known")
            case Commercial.YES:
                pass
    return tuple(found)


def _speed_reason(choice: Choice) -> str:
    rate = choice.estimate.throughput.tg
    if rate is None:
        return "speed unknown: the device's memory bandwidth is not known (--bandwidth or --gpu would tell)"
    if rate.mid >= COMFORT_TOKENS_PER_S:
        feeling = "faster than anyone reads"
    elif rate.mid >= READING_TOKENS_PER_S:
        feeling = "as fast as reading"
    else:
        feeling = "slower than reading: answers are waited for"
    return f"answers at {rate_text(rate)}, {feeling}"


def _context_reason(choice: Choice, needed: int, workload: Workload) -> str:
    context = choice.settings.context // choice.settings.parallel
    ask = f"{workload.chunks} chunks of {workload.chunk_tokens} tokens with question and answer ({needed} tokens)"
    if context >= needed:
        return f"context {context} holds {ask}"
    return f"context {context} is too short for {ask}: fewer chunks will be used"


def rate_text(rate: Rate) -> str:
    """A range for people: `53 to 92 tok/s`."""
    return f"{format_rate(rate.low)} to {format_rate(rate.high)} tok/s"
