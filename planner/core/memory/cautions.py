"""What to say beside an estimate: settings that an engine refuses, and what is easily overlooked."""

from planner.core.memory.estimate import Memory, Placement, Verdict
from planner.core.memory.kv_cache import ceil_to, checkpoint_bytes, micro_batch
from planner.core.memory.repack import repacked_bytes
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture, Model, Pooling, Variant
from planner.errors import BadDataError
from planner.units import GIB, format_gib

_PLAIN_TYPES = frozenset({"f16", "bf16", "f32"})
CHECKPOINTS = 4
"""Earlier states of a slot that our servers keep at most (`--ctx-checkpoints`, 32 where nobody says): a chat goes
back one turn, not thirty, and a state of a large model takes hundreds of MiB of host memory."""
_NOTABLE_BYTES = GIB // 4


def check_settings(arch: Architecture | None, settings: Settings) -> None:
    """Raise BadDataError for what llama.cpp refuses or cannot mean."""
    for name in ("context", "batch", "ubatch", "parallel"):
        if getattr(settings, name) < 1:
            raise BadDataError(f"“{name}” must be at least 1, got {getattr(settings, name)}.")
    if settings.parallel > settings.context:
        raise BadDataError(
            f"{settings.parallel} slots cannot share a context of {settings.context} tokens: each needs one.",
            hint="Give a longer context, or fewer slots.",
            reference="slots",
        )
    if settings.kv_type_v not in _PLAIN_TYPES and not settings.flash_attention:
        raise BadDataError(
            f"A V cache of type {settings.kv_type_v} needs flash attention.",
            hint="Leave flash attention on, or use f16.",
            reference="kv-type",
        )
    if arch is not None and arch.kv_lora_rank and settings.kv_type_k != settings.kv_type_v:
        raise BadDataError(
            f"This model keeps keys and values in one row, which cannot be {settings.kv_type_k} and "
            f"{settings.kv_type_v}: llama.cpp does not start.",
            hint="Give one type for both.",
            reference="kv-type",
        )


def cautions(
    model: Model, variant: Variant, settings: Settings, placement: Placement, memory: Memory
) -> tuple[str, ...]:
    """Warnings beside an estimate."""
    found = _about_context(model, settings)
    if settings.embedding and model.pooling is Pooling.MEAN and micro_batch(settings) % settings.parallel:
        found.append(
            f"llama.cpp stops at start where a micro-batch of {micro_batch(settings)} tokens cannot be divided by "
            f"{settings.parallel} slots (mean pooling; seen on a build of October 2026)"
        )
    if variant.file_bytes_source != "exact" and variant.tensor_bytes is None:
        found.append(f"the size of the {variant.quant} file is {variant.file_bytes_source}, not read from a file")
    if placement.verdict is not Verdict.NO_FIT and model.architecture is not None:
        found += _about_host(model.architecture, variant, settings, placement)
    return tuple(found)


def _about_context(model: Model, settings: Settings) -> list[str]:
    found = []
    per_slot = settings.context if settings.kv_unified else settings.context // settings.parallel
    if per_slot > model.context_length:
        found.append(
            f"{per_slot} tokens per slot exceed the trained context of {model.context_length}; "
            "the engine caps it and still reserves the memory"
        )
    if settings.depth + settings.n_prompt > per_slot:
        found.append(
            f"a prompt of {settings.n_prompt} tokens after {settings.depth} does not go into the {per_slot} of a "
            "slot: the engine refuses it"
        )
    if settings.parallel > 1 and not settings.kv_unified and ceil_to(per_slot, 256) != per_slot:
        found.append(f"{settings.parallel} slots get {ceil_to(per_slot, 256)} cells each: rounded up to 256")
    return found


def _about_host(arch: Architecture, variant: Variant, settings: Settings, placement: Placement) -> list[str]:
    found = []
    if placement.n_gpu_layers == 0 and (copied := repacked_bytes(arch, variant.quant)):
        found.append(
            f"on a CPU llama.cpp may rearrange weights: {format_gib(copied)} more at start, of which the original "
            "is reclaimable"
        )
    kept = CHECKPOINTS * settings.parallel * checkpoint_bytes(arch, settings)
    if kept >= _NOTABLE_BYTES and not settings.embedding:
        found.append(
            f"the server may keep up to {CHECKPOINTS} earlier states a slot, {format_gib(kept)} of host memory in "
            "all, which is not in the sum (--ctx-checkpoints; eight times that in a llama-server started by hand)"
        )
    return found
