"""Seconds per prompt token, and per token of a text to embed.

A prompt does 2 operations per active parameter and token on a share of the device's peak, attention over what came
before, and reads the weights and starts the kernels once per micro-batch:
    1/pp = (2 · (dense + experts / filled) + attention / efficiency) / (share · peak)
           + (weights / bandwidth + launches) / micro-batch
A token's experts are small matrices that only `micro-batch · used / count` tokens share; `filled = b / (b + b0)` of
the speed is left at b tokens per expert. No output row is computed but the last.
"""

import math
from typing import NamedTuple

from planner.core.machines.hardware import Device
from planner.core.machines.tensor_cores import has_tensor_cores
from planner.core.models.quants import canonical
from planner.core.speed.calibration import Prompt, prompt_class
from planner.core.speed.cpu import cpu_gflops
from planner.core.speed.generation import layer_seconds
from planner.core.speed.work import Run, attention_flops


class PromptTime(NamedTuple):
    """Seconds per token: `operations` grow with the tokens, `fixed` is a token's part of what a micro-batch costs."""

    operations: float
    fixed: float

    @property
    def seconds(self) -> float:
        """Both."""
        return self.operations + self.fixed


def prompt_time(run: Run) -> PromptTime | None:
    """Time per token, the mean over `settings.n_prompt` tokens after `settings.depth`; None without a peak.

    A token of a decoder sees those before it, half of the prompt on average; one of an encoder sees them all.
    """
    arch, settings = run.arch, run.settings
    seen = settings.n_prompt / 2 if arch.causal else settings.n_prompt
    each = token_operations(run, attention_flops(arch, settings.depth + seen)) / arch.layers
    operations = fixed = 0.0
    for part in run.parts:
        first, end = part.first, min(part.end, arch.layers)
        if end <= first:
            continue
        flops = device_flops(run, part.device)
        if flops is None:
            return None
        operations += (end - first) * each / flops
        fixed += batch_seconds(run, part.device, first, end)
    split = math.pow(max(1, len(run.parts)), run.calibration.prompt.split_gain)
    operations, fixed = operations / split, fixed / split
    host = min(run.host_layers, arch.layers)
    if host:
        weights = sum(run.work.layer_bytes[:host])
        operations += host_seconds(run, host * each, weights)
    if run.moved:
        # On the GPU they count as if they were there: what comes on top is sending them, or doing them on the CPU.
        share = len(run.moved) / arch.layers
        weights = sum(run.work.expert_bytes[run.moved.start : run.moved.stop])
        operations += host_seconds(run, share * 2.0 * run.work.expert_parameters, weights, work_counted=True)
    if settings.embedding:
        fixed += run.calibration.prompt.embed_batch_us * 1e-6 / run.micro_batch
    return PromptTime(operations, fixed)


def token_operations(run: Run, attention: float) -> float:
    """Operations of one token in all layers, weighted by how slow each kind is beside a large matrix."""
    arch, work, constants = run.arch, run.work, run.calibration.prompt
    experts = work.expert_parameters
    if arch.is_moe:
        tokens = run.micro_batch * (arch.expert_used_count or 1) / (arch.expert_count or 1)
        experts *= (tokens + constants.expert_batch) / tokens
    efficiency = constants.attention_flash if run.settings.flash_attention else constants.attention_plain
    return 2.0 * (work.dense_parameters + experts) + attention / efficiency


def quant_share(run: Run) -> float:
    """Speed of a quant type's kernels beside that of 32-weight blocks."""
    constants, base = run.calibration.prompt, canonical(run.quant)
    if base in {"F16", "BF16", "F32"}:
        return constants.float_share
    return constants.k_share if "_K" in base or base.startswith(("IQ", "TQ")) else 1.0


def host_quant_share(run: Run) -> float:
    """The same on a CPU, where looking weights up in a codebook costs most."""
    constants, base = run.calibration.host, canonical(run.quant)
    if base in {"F16", "BF16", "F32"}:
        return constants.float_share
    if base.startswith(("IQ1", "IQ2", "IQ3")):
        return constants.iq_share
    return constants.k_share if "_K" in base else 1.0


def block_flops(device: Device, constants: Prompt) -> float | None:
    """FLOP/s that a device reaches on large matrices of 32-weight blocks; None without a peak."""
    name, peak = prompt_class(device)
    if not peak:
        return None
    share = constants.share.get(name, constants.share_default)
    watts = device.power_limit_w or device.tdp_w
    if watts and has_tensor_cores(device):
        share *= (watts / peak / constants.power_reference) ** constants.power_exponent
    return share * peak * 1e12


def device_flops(run: Run, device: Device) -> float | None:
    """The same for the run's quant type and kind of model."""
    constants = run.calibration.prompt
    flops = block_flops(device, constants)
    if flops is None:
        return None
    flops *= quant_share(run)
    return flops if run.arch.causal else flops * constants.encoder_share


def batch_seconds(run: Run, device: Device, first: int, end: int) -> float:
    """A token's part of what happens once per micro-batch: reading all weights, starting the kernels."""
    share = run.calibration.generation.bandwidth_share
    read = sum(run.work.layer_bytes[first:end]) / (share * (device.memory_bandwidth_gbps or 0.0) * 1e9)
    return (read + (end - first) * layer_seconds(run, device)) / run.micro_batch


def host_seconds(run: Run, work: float, weights: int, *, work_counted: bool = False) -> float:
    """Operations of a token on weights that are on the host: the CPU does them, or the GPU after reading them.

    llama.cpp sends batches of 32 tokens and more to the GPU (op offload); the sooner done counts. `work_counted`: the
    GPU's own time is in the sum already.
    """
    on_cpu = work / (host_quant_share(run) * cpu_gflops(run.hardware, run.calibration.host) * 1e9)
    device = run.device
    flops = None if device is None else device_flops(run, device)
    if device is None or flops is None or run.micro_batch < 32:
        return on_cpu
    link = link_gbps(device) or run.calibration.host.link_gbps_default
    sent = weights / (link * 1e9) / run.micro_batch
    return min(on_cpu, sent + (0.0 if work_counted else work / flops))


def link_gbps(device: Device) -> float | None:
    """Bandwidth of a card's slot in GB/s: 80 % of 1 GB/s a lane at generation 3, twice that with each later one."""
    link = device.pcie_link
    if link is None:
        return None
    generation, lanes = link.max_generation or link.generation, link.max_lanes or link.lanes
    return None if not generation or not lanes else 0.8 * lanes * 2.0 ** (generation - 3)
