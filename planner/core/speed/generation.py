"""Seconds per generated token.

Every token reads all active weights and the cache up to it, starts the kernels of every layer, and multiplies:
    1/tg = Σ bytes / (share · bandwidth) + layers · t0 + 2 · active parameters / (share · FP32 peak)
The terms add up because none hides behind another in what was measured; layers on several devices run one after
another, so their times add up too.
"""

from planner.core.machines.hardware import Device, Vendor
from planner.core.machines.tensor_cores import capability
from planner.core.speed.calibration import Generation, device_class
from planner.core.speed.cpu import cpu_bandwidth_gbps
from planner.core.speed.work import Run


def generation_seconds(run: Run) -> float:
    """Seconds of one token of one sequence at `settings.depth`."""
    return step_seconds(run, 1)


def step_seconds(run: Run, slots: int) -> float:
    """Seconds of one step that gives each of `slots` sequences a token.

    Weights are read once for all of them, every sequence's cache on its own. Of the experts more are read: those that
    at least one of the sequences is sent to, if they choose independently.
    """
    seconds = sum(_part_seconds(run, part.device, part.first, part.end, slots) for part in run.parts)
    layers = run.host_layers
    read = read_bytes(run, 0, min(layers, run.arch.layers + 1), slots) + left_on_host(run, 0, run.arch.layers, slots)
    if layers or read:
        constants = run.calibration.host
        started = min(layers, run.arch.layers + 1) + len(run.moved)
        seconds += read / (cpu_bandwidth_gbps(run.hardware, constants) * 1e9) + started * constants.layer_us * 1e-6
    return seconds


def read_bytes(run: Run, first: int, end: int, slots: int) -> float:
    """Bytes of weights and caches that the units `first` to before `end` read in a step, wherever these are."""
    work, layers = run.work, run.arch.layers
    read = sum(work.active_bytes[first:end]) + slots * sum(work.kv_bytes[first:end])
    if slots > 1 and work.expert_bytes:
        more = experts_read(run, slots) - run.chosen_experts
        read += more * sum(work.expert_bytes[first : min(end, layers)])
    return read + (work.output_bytes if end > layers else 0)


def left_on_host(run: Run, first: int, end: int, slots: int) -> float:
    """What units of a GPU read on the host: experts that are moved there, caches that are kept there."""
    start = max(first, run.host_layers)
    left = 0.0
    if run.moved:
        moved = run.work.expert_bytes[max(start, run.moved.start) : min(end, run.moved.stop)]
        left = experts_read(run, slots) * sum(moved)
    if not run.settings.kv_offload:
        left += slots * sum(run.work.kv_bytes[start:end])
    return left


def experts_read(run: Run, tokens: int) -> float:
    """Share of the experts that at least one of some tokens is sent to, if they choose independently."""
    return 1.0 - (1.0 - run.chosen_experts) ** tokens


def _part_seconds(run: Run, device: Device, first: int, end: int, slots: int) -> float:
    """A GPU's share of a step: reading, multiplying and launching the units `first` to before `end`."""
    arch, work, constants = run.arch, run.work, run.calibration.generation
    layers = min(end, arch.layers) - first
    parameters = work.layer_parameters * layers / arch.layers
    if end > arch.layers:
        parameters += work.output_parameters
    bandwidth = (device.memory_bandwidth_gbps or 0.0) * 1e9
    read = read_bytes(run, first, end, slots) - left_on_host(run, first, end, slots)
    seconds = read / (constants.bandwidth_share * bandwidth)
    seconds += slots * 2.0 * parameters / row_flops(run, device)
    return seconds + layers * layer_seconds(run, device)


def row_flops(run: Run, device: Device) -> float:
    """FLOP/s that a device reaches while it multiplies one row."""
    return flops_by_row(run.calibration.generation, device)


def layer_seconds(run: Run, device: Device) -> float:
    """Launches and synchronisation of one layer of the model on a device."""
    return launch_seconds(run.calibration.generation, device, moe=run.arch.is_moe)


def flops_by_row(constants: Generation, device: Device) -> float:
    """FLOP/s that a device reaches while it multiplies one row."""
    share = constants.arithmetic_share.get(device.vendor.value, constants.arithmetic_share_default)
    version = capability(device)
    if device.vendor is Vendor.NVIDIA and version is not None and version < 7:
        share *= constants.before_volta
    peak = (device.fp32_tflops or 0.0) * 1e12
    return share * (peak or constants.flops_per_byte * (device.memory_bandwidth_gbps or 0.0) * 1e9)


def launch_seconds(constants: Generation, device: Device, *, moe: bool) -> float:
    """Launches and synchronisation of one layer on a device."""
    micros = constants.layer_us.get(device_class(device), constants.layer_us_default)
    return micros * 1e-6 * (constants.moe_layers if moe else 1.0)
