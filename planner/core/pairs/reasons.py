"""Why a plan was chosen, in sentences that name the figure they rest on."""

from planner.core.memory.estimate import Rate
from planner.core.memory.workload import Workload
from planner.core.models.model import Commercial, Role
from planner.core.pairs.recommendation import Choice, MemoryPlan
from planner.core.pairs.score import COMFORT_TOKENS_PER_S, READING_TOKENS_PER_S, RERANKED
from planner.core.scores.quality import quality
from planner.units import duration_range, format_gib, format_rate


def reasons_of(choices: tuple[Choice, ...], memory: MemoryPlan, workload: Workload) -> tuple[str, ...]:
    """Reasons in the order people ask: how good, where it runs, how fast, how much text, how much room."""
    found: list[str] = []
    for choice in choices:
        placement = choice.estimate.placement
        evidence = quality(choice.model, choice.variant.quant).evidence
        found.append(f"{choice.model.name} {choice.variant.quant}: {evidence}; {placement.reason}")
        match choice.model.role:
            case Role.GENERATION:
                found += _speed_reasons(choice, workload)
                found.append(_context_reason(choice, workload.needed_context, workload))
            case Role.EMBEDDING:
                found += _indexing_reason(choice, workload)
            case Role.RERANKER:
                found += _reranking_reason(choice, workload)
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


def _speed_reasons(choice: Choice, workload: Workload) -> list[str]:
    rate, prompt = choice.estimate.throughput.tg, choice.estimate.throughput.pp
    if rate is None:
        return ["speed unknown: the device's memory bandwidth is not known (--bandwidth or --gpu would tell)"]
    if rate.low >= COMFORT_TOKENS_PER_S:
        feeling = "faster than anyone reads"
    elif rate.low >= READING_TOKENS_PER_S:
        feeling = "as fast as reading"
    elif rate.high >= READING_TOKENS_PER_S:
        feeling = "it may be slower than reading"
    else:
        feeling = "slower than reading: answers are waited for"
    found = [f"answers at {rate_text(rate)}, {feeling}"]
    if prompt is not None:
        wait = _time_text(workload.prompt_tokens, prompt)
        found.append(f"the first word comes {wait} after a question with its chunks, {workload.prompt_tokens} tokens")
    return found


def _indexing_reason(choice: Choice, workload: Workload) -> list[str]:
    rate = choice.estimate.throughput.embed
    if rate is None:
        return []
    corpus = f"{workload.docs} {'document' if workload.docs == 1 else 'documents'} of {workload.doc_tokens} tokens"
    return [f"indexes {corpus} in {_time_text(workload.corpus_tokens, rate)}, at {rate_text(rate)}"]


def _reranking_reason(choice: Choice, workload: Workload) -> list[str]:
    rate = choice.estimate.throughput.embed
    if rate is None:
        return []
    chunks = RERANKED * workload.chunks
    time = _time_text(chunks * workload.chunk_tokens, rate)
    return [f"reranks {chunks} found chunks in {time}; the largest that is soon done, as no scores can be compared"]


def _time_text(tokens: int, rate: Rate) -> str:
    """How long some tokens take, for people: `6 to 18 min`."""
    return duration_range(tokens / rate.high, tokens / rate.low)


def _context_reason(choice: Choice, needed: int, workload: Workload) -> str:
    context = choice.settings.context // choice.settings.parallel
    ask = f"{workload.chunks} chunks of {workload.chunk_tokens} tokens with question and answer ({needed} tokens)"
    if context >= needed:
        return f"context {context} holds {ask}"
    return f"context {context} is too short for {ask}: fewer chunks will be used"


def rate_text(rate: Rate) -> str:
    """A range for people: `53 to 92 tok/s`."""
    return f"{format_rate(rate.low)} to {format_rate(rate.high)} tok/s"
