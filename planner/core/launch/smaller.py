"""The plan to fall back to when an engine runs out of memory for all that its estimate said: made beside the first.

Only what the planner chose by itself gives way: the context, if the user named none, and how many layers lie on a
GPU. Never the model, its quant, the cache's type or the slots.
"""

import msgspec

from planner.core.estimates.estimator import estimate, settings_for
from planner.core.launch.launch_plan import ProcessPlan
from planner.core.machines.hardware import Backend, Hardware
from planner.core.memory.estimate import Memory, Verdict
from planner.core.memory.memory import Pool
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Workload
from planner.core.models.model import Role
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import BadDataError, NoResultError
from planner.units import format_gib

LEAST_CONTEXT = 2048
"""A generator with less is of little use for questions about documents."""
GPU_SHARE = 0.85
"""Of what the plan took of a GPU, as much is asked for the second time: others hold more of it than was seen."""


def smaller_plan(
    process: ProcessPlan,
    *,
    hardware: Hardware,
    machine: Machine,
    workload: Workload,
    calibration: Calibration = GENERIC,
) -> ProcessPlan | None:
    """The same model with half the context and fewer layers on GPUs, as far as either was automatic; None if neither.

    `machine` is the one the plan was made for, GPUs in the same order. Takes at most `GPU_SHARE` of the GPU memory.
    """
    context = _smaller_context(process, workload)
    settings = settings_for(process.model, workload, context)
    settings = msgspec.structs.replace(
        settings,
        kv_type_k=process.settings.kv_type_k,
        kv_type_v=process.settings.kv_type_v,
        flash_attention=process.settings.flash_attention,
        kv_offload=process.settings.kv_offload,
    )
    for room in (_less_gpu(machine, process.estimate.memory), machine):
        try:
            found = estimate(process.model, process.variant, settings, hardware, room, calibration=calibration)
        except (NoResultError, BadDataError):
            return None
        if found.placement.verdict is not Verdict.NO_FIT:
            break
    else:
        return None
    placement = found.placement
    smaller = msgspec.structs.replace(
        process,
        settings=settings,
        n_gpu_layers=placement.n_gpu_layers,
        tensor_split=placement.tensor_split,
        n_cpu_moe=placement.n_cpu_moe,
        backend=process.backend if placement.n_gpu_layers else Backend.CPU,
        estimate=found,
    )
    gives_way = (
        settings.context < process.settings.context
        or smaller.n_gpu_layers < process.n_gpu_layers
        or smaller.n_cpu_moe > process.n_cpu_moe
    )
    return smaller if gives_way else None


def difference(before: ProcessPlan, after: ProcessPlan) -> str:
    """What gave way, in words: `context 4096 instead of 8192, 20 instead of 33 layers on the GPU`."""
    found = []
    if after.settings.context < before.settings.context:
        slots = max(1, after.settings.parallel)
        found.append(f"context {after.settings.context // slots} instead of {before.settings.context // slots}")
    if after.n_gpu_layers < before.n_gpu_layers:
        found.append(f"{after.n_gpu_layers} instead of {before.n_gpu_layers} layers on the GPU")
    if after.n_cpu_moe > before.n_cpu_moe:
        found.append(f"the experts of {after.n_cpu_moe} instead of {before.n_cpu_moe} layers on the host")
    return ", ".join(found)


def need_against_have(plan: ProcessPlan) -> str:
    """What the plan was estimated to take, and what each place had to give when it was made, as a sentence."""
    rows = [
        f"{format_gib(row.total_bytes)} of {row.device}"
        + ("" if row.budget_bytes is None else f", which had {format_gib(row.budget_bytes)} to give")
        for row in plan.estimate.memory.devices
        if row.total_bytes
    ]
    return f"Its estimate: {'; '.join(rows)}." if rows else ""


def _smaller_context(process: ProcessPlan, workload: Workload) -> int:
    """Tokens of a slot: half, down to what is still of use; the same when the user named it."""
    now = process.settings.context // max(1, process.settings.parallel)
    if process.role is Role.GENERATION:
        return now if workload.context is not None else max(min(now, LEAST_CONTEXT), now // 2)
    return max(min(now, workload.chunk_tokens), now // 2)


def _less_gpu(machine: Machine, memory: Memory) -> Machine:
    """The machine with a share of what the plan takes of each GPU, and nothing of those it leaves alone.

    On unified memory it stays as it is: layers that move to the CPU free nothing there.
    """
    if machine.unified:
        return machine
    taken = {row.device: row.total_bytes for row in memory.devices}

    def reduced(pool: Pool) -> Pool:
        return msgspec.structs.replace(pool, budget_bytes=int(GPU_SHARE * taken.get(pool.id, 0)))

    return msgspec.structs.replace(machine, gpus=tuple(map(reduced, machine.gpus)))
