"""One question, one answer: how much memory, where the layers go, and how fast."""

from typing import NamedTuple

from planner.core.machines.hardware import Hardware
from planner.core.memory.cautions import cautions, check_settings
from planner.core.memory.estimate import Estimate, Memory, Placement, Rate, Verdict
from planner.core.memory.memory import ProcessMemory
from planner.core.memory.placement import Machine, place
from planner.core.memory.workload import Settings, Workload
from planner.core.models.model import Model, Pooling, Role, Variant
from planner.core.models.weights import WeightTable, weight_table
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.speed.throughput import estimate_throughput, leading_rates
from planner.core.speed.work import Work, run_of
from planner.errors import NoResultError

_EMBED_PROMPT_TOKENS = 512


def weights_of(model: Model, variant: Variant) -> WeightTable:
    """The weight table of a variant. Raises NoResultError when size or architecture is unknown."""
    if model.architecture is None:
        raise NoResultError(
            f"{model.id} has no architecture data, so its memory cannot be estimated.",
            hint="It can be ranked, not planned.",
            reference="no-architecture",
        )
    table = weight_table(model.architecture, variant)
    if table is None:
        raise NoResultError(
            f"The size of {model.id} as {variant.quant} is unknown.",
            hint="Give its file size, or fetch it first.",
            reference="size-unknown",
        )
    return table


def settings_for(model: Model, workload: Workload, context: int) -> Settings:
    """Engine settings for a role. Embedders and rerankers reserve a row per token, and take an input in one go.

    Mean and CLS pooling cannot split an input over micro-batches, so ubatch = context per slot; last-token pooling
    can, so a small one saves memory (310 against 1,241 MiB at 512 and 2,048 on a 0.6 B model).
    """
    context = min(context, model.context_length)
    parallel = workload.parallel
    if model.role is Role.GENERATION:
        return Settings(
            context=context * parallel,
            batch=2048,
            ubatch=512,
            parallel=parallel,
            kv_type_k=workload.kv_type,
            kv_type_v=workload.kv_type,
        )
    splittable = model.pooling is Pooling.LAST and model.architecture is not None and model.architecture.causal
    longest = min(512, context) if splittable else context
    return Settings(
        context=context,
        batch=longest,
        ubatch=longest,
        parallel=1,
        embedding=True,
        n_prompt=min(_EMBED_PROMPT_TOKENS, context),
    )


def estimate(
    model: Model,
    variant: Variant,
    settings: Settings,
    hardware: Hardware,
    machine: Machine,
    *,
    process: ProcessMemory | None = None,
    table: WeightTable | None = None,
    all_gpus: bool = False,
    calibration: Calibration = GENERIC,
) -> Estimate:
    """Memory, placement and speed of one process on what `machine` has left.

    `process` may be passed in when the same model and settings are placed repeatedly, `table` when the bytes of
    every layer were read from a header; `all_gpus` spreads over every GPU. `calibration` holds the constants of
    speed: without one they are those assumed before any measurement, with wide intervals. Raises NoResultError when
    size or architecture is unknown, BadDataError for settings that llama.cpp refuses.
    """
    check_settings(model.architecture, settings)
    if process is None:
        table = table or weights_of(model, variant)
        assert model.architecture is not None, "weights_of refuses a model without one"
        process = ProcessMemory(model.architecture, table, settings)
    placement, memory = place(
        process, machine, settings.n_gpu_layers, all_gpus=all_gpus, n_cpu_moe=settings.n_cpu_moe
    )
    throughput = estimate_throughput(
        process.arch,
        table=process.table,
        settings=settings,
        hardware=hardware,
        placement=placement,
        memory=memory,
        quant=variant.quant,
        calibration=calibration,
    )
    return Estimate(
        memory=memory,
        placement=placement,
        throughput=throughput,
        warnings=cautions(model, variant, settings, placement, memory),
    )


class Outlook(NamedTuple):
    """What a plan is chosen by: placement, memory, and the rates of generation and prompt, or of embedding.

    None stands for an unknown rate.
    """

    placement: Placement
    memory: Memory
    rate: Rate | None
    prompt: Rate | None = None


def outlook(
    process: ProcessMemory,
    work: Work,
    settings: Settings,
    hardware: Hardware,
    machine: Machine,
    *,
    quant: str,
    calibration: Calibration,
) -> Outlook:
    """The part of an estimate that a search over many candidates needs; `work` is `work_per_token` of the process."""
    placement, memory = place(process, machine, settings.n_gpu_layers, n_cpu_moe=settings.n_cpu_moe)
    if placement.verdict is Verdict.NO_FIT:
        return Outlook(placement, memory, None)
    run = run_of(
        process.arch,
        work,
        settings=settings,
        hardware=hardware,
        placement=placement,
        memory=memory,
        quant=quant,
        calibration=calibration,
    )
    return Outlook(placement, memory, *leading_rates(run))


def default_context(model: Model) -> int:
    """What `estimate` assumes when no context is named: the trained one, at most 8192 tokens."""
    return min(model.context_length, 8192)
