"""From a recommendation to what is started: one process per model, with the settings the estimate was made for.

Rules for the argument lists: docs/engines.md. Every value whose default is wrong, moving or overridable from
outside is passed explicitly; a flag that the engine's own `--help` does not name is never passed.
"""

from collections.abc import Set as AbstractSet
from enum import StrEnum

import msgspec

from planner.core.machines.hardware import Backend
from planner.core.memory.cautions import CHECKPOINTS
from planner.core.memory.estimate import HOST, Estimate
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Role, Variant
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.errors import EngineError


class EngineKind(StrEnum):
    """The programs that can serve a GGUF."""

    LLAMAFILE = "llamafile"
    LLAMA_SERVER = "llama-server"
    EMBEDDED = "embedded"


class ProcessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One engine process: a model in a role. `backend` is `cpu` when no layer goes to a GPU.

    The experts of the first `n_cpu_moe` layers stay on the host. `threads` bounds the CPU threads; None leaves it to
    the engine, which does not know cgroup quotas.
    """

    role: Role
    model: Model
    variant: Variant
    settings: Settings
    n_gpu_layers: int
    tensor_split: tuple[float, ...] | None
    backend: Backend
    estimate: Estimate
    threads: int | None = None
    n_cpu_moe: int = 0


class LaunchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `up` starts under one name."""

    name: str
    processes: tuple[ProcessPlan, ...]


def plan_process(choice: Choice, *, gpu_backend: Backend, threads: int | None = None) -> ProcessPlan:
    """The process for a choice; `gpu_backend` is used when the placement puts a layer on a GPU."""
    placement = choice.estimate.placement
    return ProcessPlan(
        role=choice.model.role,
        model=choice.model,
        variant=choice.variant,
        settings=choice.settings,
        n_gpu_layers=placement.n_gpu_layers,
        tensor_split=placement.tensor_split,
        n_cpu_moe=placement.n_cpu_moe,
        backend=gpu_backend if placement.n_gpu_layers else Backend.CPU,
        estimate=choice.estimate,
        threads=threads,
    )


def launch_plan(
    recommendation: Recommendation, *, name: str, gpu_backend: Backend, threads: int | None = None
) -> LaunchPlan:
    """What to start for a recommendation, embedder first: it loads faster."""
    processes = tuple(
        plan_process(choice, gpu_backend=gpu_backend, threads=threads) for choice in recommendation.choices
    )
    return LaunchPlan(name=name, processes=processes)


SHELL = "/bin/sh"
"""By its full path: whatever `sh` is first on PATH is not ours to run."""
CPU_MOE_FLAG = "--n-cpu-moe"
"""Leaving it out would put the experts on the GPU, where there is no room for them."""
_LLAMAFILE_GPU = {
    Backend.CUDA: "nvidia",
    Backend.ROCM: "amd",
    Backend.VULKAN: "vulkan",
    Backend.METAL: "apple",
    Backend.CPU: "disable",
}


def engine_argv(
    kind: EngineKind,
    process: ProcessPlan,
    *,
    binary: str,
    model_path: str,
    key_file: str,
    flags: AbstractSet[str],
    port: int = 0,
) -> tuple[str, ...]:
    """Argument list of an external engine.

    `flags` are the long flags its `--help` names; one that is missing is left out with its value. A llamafile
    goes through `sh`, as its format is not executable everywhere. Not for the embedded engine, which takes
    its parameters from `embedded_parameters`. Raises EngineError for a plan that the engine cannot keep to.
    """
    settings = process.settings
    if process.n_cpu_moe and CPU_MOE_FLAG not in flags:
        raise EngineError(
            f"The plan keeps experts on the host, and {binary} does not know {CPU_MOE_FLAG}.",
            hint="Use a newer llama.cpp, or a smaller quant or context.",
            reference="engine-lacks-flag",
        )
    wanted: list[tuple[str, str | None]] = [
        ("--alias", process.role.value),
        ("--host", "127.0.0.1"),
        ("--port", str(port)),
        ("--api-key-file", key_file),
        ("--cors-origins", "localhost"),
        ("--no-slots", None),
        ("--no-webui", None),
        ("--offline", None),
        ("--fit", "off"),
        ("--parallel", str(settings.parallel)),
        ("--cache-ram", "0"),
        ("--ctx-checkpoints", str(CHECKPOINTS)),
        ("--n-gpu-layers", str(process.n_gpu_layers)),
        ("--ctx-size", str(settings.context)),
        ("--batch-size", str(settings.batch)),
        ("--ubatch-size", str(settings.ubatch)),
        ("--cache-type-k", settings.kv_type_k),
        ("--cache-type-v", settings.kv_type_v),
        ("--flash-attn", "on" if settings.flash_attention else "off"),
        ("--log-verbosity", "4"),
    ]
    wanted += _placement_flags(process)
    wanted += _device_flags(process, flags)
    wanted += _role_flags(process)
    head: list[str] = [binary]
    if kind is EngineKind.LLAMAFILE:
        head = [SHELL, binary, "--server", "--gpu", _LLAMAFILE_GPU[process.backend]]
    argv = [*head, "-m", model_path]
    for flag, value in wanted:
        if flag in flags:
            argv += [flag] if value is None else [flag, value]
    return tuple(argv)


def _role_flags(process: ProcessPlan) -> list[tuple[str, str | None]]:
    """What a process is for."""
    match process.role:
        case Role.EMBEDDING:
            pooling = process.model.pooling
            return [("--embeddings", None), *([("--pooling", pooling.value)] if pooling is not None else [])]
        case Role.RERANKER:
            return [("--reranking", None)]
        case Role.GENERATION:
            return [("--jinja", None)]


def _placement_flags(process: ProcessPlan) -> list[tuple[str, str | None]]:
    """What of a process stays on the host, and how many threads work there."""
    found: list[tuple[str, str | None]] = []
    if process.n_cpu_moe:
        found.append((CPU_MOE_FLAG, str(process.n_cpu_moe)))
    if not process.settings.kv_offload:
        found.append(("--no-kv-offload", None))
    if process.threads:
        found.append(("--threads", str(process.threads)))
    if process.backend is Backend.CPU:
        # Zero layers alone would still let a GPU build take memory of the card for its work buffers.
        found.append(("--device", "none"))
    return found


def _device_flags(process: ProcessPlan, flags: AbstractSet[str]) -> list[tuple[str, str | None]]:
    """Which GPUs take layers, and in which proportion.

    CUDA cards are named (`cuda:1` is the engine's CUDA1), so that no runtime context is made on a card that the
    plan leaves alone; other backends name theirs differently from build to build and get the proportions only.
    """
    split = process.tensor_split or ()
    used = [row.device for row in process.estimate.memory.devices if row.device != HOST]
    numbers = [name.removeprefix("cuda:") for name in used]
    found: list[tuple[str, str | None]] = []
    known = bool(numbers) and all(number.isdigit() for number in numbers)
    if process.backend is Backend.CUDA and "--device" in flags and known:
        found.append(("--device", ",".join(f"CUDA{number}" for number in numbers)))
        split = tuple(share for share in split if share)
    if len(split) > 1:
        found.append(("--tensor-split", ",".join(f"{share:g}" for share in split)))
    return found


def embedded_parameters(process: ProcessPlan, *, model_path: str, api_key: str, port: int = 0) -> dict[str, object]:
    """What the embedded engine's child process reads from its stdin, as JSON: llama.cpp's `CommonParams` names."""
    settings = process.settings
    return {
        "model": model_path,
        "alias": process.role.value,
        "n_ctx": settings.context,
        "n_batch": settings.batch,
        "n_ubatch": settings.ubatch,
        "n_parallel": settings.parallel,
        "n_gpu_layers": process.n_gpu_layers,
        "tensor_split": process.tensor_split,
        "tensor_overrides": _expert_override(process.n_cpu_moe),
        "kv_offload": settings.kv_offload,
        "threads": process.threads,
        "checkpoints": CHECKPOINTS,
        "cache_type_k": settings.kv_type_k,
        "cache_type_v": settings.kv_type_v,
        "flash_attention": settings.flash_attention,
        "embedding": process.role is Role.EMBEDDING,
        "reranking": process.role is Role.RERANKER,
        "pooling": process.model.pooling.value if process.model.pooling else None,
        "api_key": api_key,
        "port": port,
    }


def _expert_override(layers: int) -> str | None:
    """llama.cpp's own rule behind `--n-cpu-moe`: which tensors go to which kind of buffer."""
    if not layers:
        return None
    return rf"^blk\.({'|'.join(map(str, range(layers)))})\.ffn_(up|down|gate|gate_up)_exps=CPU"
