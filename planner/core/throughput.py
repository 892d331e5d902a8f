"""Tokens per second from bytes and operations: a first roofline, with an 80 % interval.

Generation reads every active weight and the cache once per token:
    1/tg = Σ bytes / (e·q·bandwidth) + layers·t0 (twice for MoE) + 2·active parameters / (c·FP32 peak)
Prompt processing does 2 operations per active parameter and token:
    1/pp = 2·A / (e·peak) + attention
Constants: rounded from least squares over 464 generation and 136 prompt rows of published measurements on 44
devices; what has too few rows for a fit (CPUs, MoE prompts, encoders, offload) is set by hand with a wide interval
(docs/estimates.md).
"""

import math

import msgspec

from planner.core.estimate import Memory, Placement, Rate, Throughput, Verdict
from planner.core.hardware import Backend, BandwidthBasis, Device, DeviceKind, Hardware, Vendor
from planner.core.kv_cache import kv_read_bytes, micro_batch
from planner.core.model import Architecture
from planner.core.parameters import parameter_table
from planner.core.quants import canonical
from planner.core.weights import WeightTable
from planner.core.workload import Settings


class Interval(msgspec.Struct, frozen=True):
    """Measured over predicted: the factors an 80 % interval spans."""

    low: float
    high: float

    def wider(self, other: "Interval") -> "Interval":
        """Both uncertainties together, as independent log errors."""
        return Interval(
            low=math.exp(-math.hypot(math.log(self.low), math.log(other.low))),
            high=math.exp(math.hypot(math.log(self.high), math.log(other.high))),
        )


_TG = Interval(0.73, 1.26)
_TG_MOE = Interval(0.60, 1.60)
_TG_WITHOUT_PEAK = Interval(0.66, 1.40)
_PP = Interval(0.75, 1.40)
_PP_MOE = Interval(0.40, 2.5)
_PP_AMD_SHARED = Interval(0.50, 2.2)
_EMBED_ENCODER = Interval(0.40, 2.2)
_CPU = Interval(0.55, 1.7)
_OFFLOAD = Interval(0.60, 1.6)

# Bandwidth efficiency e by (vendor, backend); µs per layer t0 and compute share c by vendor.
_EFFICIENCY: dict[tuple[Vendor, Backend], float] = {
    (Vendor.NVIDIA, Backend.CUDA): 0.98,
    (Vendor.NVIDIA, Backend.VULKAN): 1.02,
    (Vendor.APPLE, Backend.METAL): 1.05,
    (Vendor.AMD, Backend.ROCM): 0.85,
    (Vendor.AMD, Backend.VULKAN): 1.0,
    (Vendor.INTEL, Backend.VULKAN): 0.72,
}
_DEFAULT_EFFICIENCY = 0.75
_LAYER_SECONDS = {Vendor.NVIDIA: 37e-6, Vendor.APPLE: 130e-6, Vendor.AMD: 85e-6}
_DEFAULT_LAYER_SECONDS = 85e-6
_COMPUTE_SHARE = {Vendor.NVIDIA: 0.19, Vendor.APPLE: 0.29, Vendor.AMD: 0.25}
_DEFAULT_COMPUTE_SHARE = 0.25
_MOE_LAYER_FACTOR = 2.0
_PP_EFFICIENCY: dict[tuple[Vendor, Backend], float] = {
    (Vendor.NVIDIA, Backend.CUDA): 0.40,
    (Vendor.NVIDIA, Backend.VULKAN): 0.33,
    (Vendor.APPLE, Backend.METAL): 0.64,
    (Vendor.AMD, Backend.ROCM): 0.41,
    (Vendor.AMD, Backend.VULKAN): 0.39,
    (Vendor.INTEL, Backend.VULKAN): 0.32,
}
_DEFAULT_PP_EFFICIENCY = 0.30
# NVIDIA by compute capability: the share of the tensor peak falls with board size and power limit. Cards before
# tensor cores reach more of their FP32 peak with integer dot products.
_PP_BY_CAPABILITY = {
    "6.0": 0.86, "6.1": 0.86, "7.0": 0.31, "7.5": 0.35, "8.0": 0.31, "8.6": 0.44, "8.9": 0.28, "9.0": 0.31,
    "10.0": 0.35, "12.0": 0.42,
}  # fmt: skip
# AMD parts with matrix cores, by target: llama.cpp reaches the share of the vector rate that the fit gives for cards
# without them; no published row says more, so the share of the (larger) matrix peak is that much less.
_PP_BY_GFX = {"gfx942": 0.2, "gfx950": 0.1}
# Strix Halo differs from build to build by more than any formula knows: a wide interval, never "calibrated".
_PP_AMD_UNIFIED = {Backend.ROCM: 0.24, Backend.VULKAN: 0.16}
_ATTENTION_SHARE = 0.23
_MOE_PP_SHARE = 0.57
_ENCODER_SHARE = 0.6

# CPUs: 18 to 20 GB/s on a two-channel laptop, 0.5 of theoretical on desktops; per core what dequantising sustains.
_CPU_BANDWIDTH_GBPS = 40.0
_CPU_BANDWIDTH_SHARE = 0.55
_READ_SHARE = 0.78
"""What reading with all cores reaches of the modules' peak: 0.75 to 0.85 on desktops, set by hand in between."""
_CPU_CORE_GBPS = 8.0
_CPU_CORE_GFLOPS = 42.0
_CPU_LAYER_SECONDS = 25e-6


def _quant_share(quant: str) -> float:
    """Share of the bandwidth that a quant class reaches, Q4 = 1 (T6 fit)."""
    base = canonical(quant)
    if base in {"F16", "BF16", "F32"}:
        return 0.86
    if base == "MXFP4":
        return 0.87
    return {"8": 0.95, "6": 0.94, "5": 0.94, "3": 0.80, "2": 0.80}.get(base[1:2], 1.0) if base[0] == "Q" else 1.0


class Work(msgspec.Struct, frozen=True):
    """What one token costs on a model: bytes and parameters by unit, cache bytes by layer at the asked depth."""

    layer_bytes: tuple[float, ...]
    output_bytes: int
    kv_bytes: tuple[float, ...]
    active_layer_parameters: float
    output_parameters: int


def work_per_token(arch: Architecture, table: WeightTable, settings: Settings) -> Work:
    """Bytes read and parameters used by one generated token after `settings.depth` tokens."""
    return Work(
        layer_bytes=tuple(size * share for size, share in zip(table.layer_bytes, table.active_share, strict=True)),
        output_bytes=table.output_bytes,
        kv_bytes=kv_read_bytes(arch, settings, settings.depth),
        active_layer_parameters=float(sum(layer.active for layer in parameter_table(arch).layers)),
        output_parameters=arch.vocab_size * arch.embedding_length if arch.causal else 0,
    )


class _Run(msgspec.Struct, frozen=True):
    """A placed process and what its tokens cost; `device` is the GPU that sets the pace.

    `parts` are the units (layers, then the output layer) of each GPU as (device, first, end).
    """

    arch: Architecture
    work: Work
    settings: Settings
    hardware: Hardware
    placement: Placement
    device: Device | None
    parts: tuple[tuple[Device, int, int], ...]
    quant: str


def estimate_throughput(
    arch: Architecture,
    *,
    table: WeightTable,
    settings: Settings,
    hardware: Hardware,
    placement: Placement,
    memory: Memory,
    quant: str,
) -> Throughput:
    """Rates of a placed process; empty when it does not run or the device's bandwidth is unknown."""
    if placement.verdict is Verdict.NO_FIT:
        return Throughput()
    devices = _devices_used(hardware, placement, memory)
    device = min(devices, key=lambda d: d.memory_bandwidth_gbps or 0.0, default=None)
    if placement.n_gpu_layers and (device is None or not device.memory_bandwidth_gbps):
        return Throughput()
    run = _Run(
        arch=arch,
        work=work_per_token(arch, table, settings),
        settings=settings,
        hardware=hardware,
        placement=placement,
        device=device,
        parts=_parts(devices, placement),
        quant=quant,
    )
    if settings.embedding:
        return Throughput(embed=_prompt_rate(run))
    return Throughput(pp=_prompt_rate(run), tg=_generation_rate(run))


def _devices_used(hardware: Hardware, placement: Placement, memory: Memory) -> tuple[Device, ...]:
    """The GPUs that hold layers, in the order of their parts."""
    if not placement.n_gpu_layers:
        return ()
    by_id = {device.id: device for device in hardware.devices if device.usable}
    used = tuple(by_id[row.device] for row in memory.devices if row.device in by_id)
    if used:
        return used
    # On unified memory everything is in the host's row, and the bandwidth is the host's where no sheet says more.
    shared = next((d for d in by_id.values() if d.memory_budget_bytes), None)
    if shared is None:
        return ()
    bandwidth = shared.memory_bandwidth_gbps or memory_peak_gbps(hardware)
    return (msgspec.structs.replace(shared, memory_bandwidth_gbps=bandwidth),)


def _parts(devices: tuple[Device, ...], placement: Placement) -> tuple[tuple[Device, int, int], ...]:
    """Which units each GPU holds: consecutive runs, in device order, after those that stay on the host."""
    counts = [int(share) for share in placement.tensor_split or () if share] or [placement.n_gpu_layers]
    start = placement.n_layers - placement.n_gpu_layers
    found = []
    for device, count in zip(devices, counts, strict=False):
        found.append((device, start, start + count))
        start += count
    return tuple(found)


def _generation_rate(run: _Run) -> Rate:
    arch, work, placement, device = run.arch, run.work, run.placement, run.device
    on_gpu = placement.n_gpu_layers
    first = placement.n_layers - on_gpu
    seconds = 0.0
    interval = Interval(1.0, 1.0)
    calibrated = True
    for part, start, end in run.parts:
        layers = min(end, arch.layers) - start
        seconds += _part_seconds(run, part, start, end) + layers * _layer_seconds(part, arch)
    if device is not None:
        interval = _TG_MOE if arch.is_moe else _TG
        if not device.fp32_tflops:
            interval = interval.wider(_TG_WITHOUT_PEAK)
        interval, calibrated = _with_device_spread(interval, device)
    if first:
        read = sum(work.layer_bytes[:first]) + sum(work.kv_bytes[:first])
        if not on_gpu:
            read += work.output_bytes
        seconds += read / (cpu_bandwidth_gbps(run.hardware) * 1e9) + first * _CPU_LAYER_SECONDS
        interval = interval.wider(_CPU if not on_gpu else _OFFLOAD)
        calibrated = False
    return _rate(1.0 / seconds, interval, calibrated=calibrated)


def _part_seconds(run: _Run, device: Device, start: int, end: int) -> float:
    """Reading and multiplying the units `start` to `end` once on a GPU."""
    arch, work = run.arch, run.work
    read = sum(work.layer_bytes[start:end]) + sum(work.kv_bytes[start:end])
    parameters = work.active_layer_parameters * (min(end, arch.layers) - start) / arch.layers
    if end > arch.layers:
        read += work.output_bytes
        parameters += work.output_parameters
    efficiency = _EFFICIENCY.get((device.vendor, device.backend), _DEFAULT_EFFICIENCY) * _quant_share(run.quant)
    seconds = read / (efficiency * (device.memory_bandwidth_gbps or 1.0) * 1e9)
    if device.fp32_tflops:
        compute = _COMPUTE_SHARE.get(device.vendor, _DEFAULT_COMPUTE_SHARE)
        seconds += 2 * parameters / (compute * device.fp32_tflops * 1e12)
    return seconds


def _layer_seconds(device: Device, arch: Architecture) -> float:
    """Launches and synchronisation of one layer; a MoE layer has about twice the kernels."""
    factor = _MOE_LAYER_FACTOR if arch.is_moe else 1.0
    return factor * _LAYER_SECONDS.get(device.vendor, _DEFAULT_LAYER_SECONDS)


def _prompt_rate(run: _Run) -> Rate | None:
    arch, work, settings, device = run.arch, run.work, run.settings, run.device
    layers_on_gpu = min(run.placement.n_gpu_layers, arch.layers)
    position = settings.depth + settings.n_prompt / 2
    flops = 2 * work.active_layer_parameters
    attention = 4 * arch.layers * arch.head_count * arch.key_length * position
    seconds = 0.0
    interval = Interval(1.0, 1.0)
    calibrated = True
    if layers_on_gpu and device is not None:
        peak = device.fp16_tflops or device.fp32_tflops
        if not peak:
            return None
        part = layers_on_gpu / arch.layers
        efficiency = _prompt_efficiency(device)
        # On Metal the experts' matrices run as well as dense ones (gpt-oss-20b on three Macs).
        efficiency *= _MOE_PP_SHARE if arch.is_moe and device.vendor is not Vendor.APPLE else 1.0
        efficiency *= 1.0 if arch.causal else _ENCODER_SHARE
        seconds += part * (
            flops / (efficiency * peak * 1e12) + attention / (_ATTENTION_SHARE * efficiency * peak * 1e12)
        )
        launches = _LAYER_SECONDS.get(device.vendor, _DEFAULT_LAYER_SECONDS) * layers_on_gpu
        seconds += launches / min(settings.n_prompt, micro_batch(settings))
        interval = _PP_MOE if arch.is_moe else _PP if arch.causal else _EMBED_ENCODER
        shared = device.vendor is Vendor.AMD and device.kind is DeviceKind.UNIFIED
        if shared:
            interval = interval.wider(_PP_AMD_SHARED)
        interval, calibrated = _with_device_spread(interval, device)
        calibrated = calibrated and arch.causal and not arch.is_moe and not shared
    if layers_on_gpu < arch.layers:
        part = 1 - layers_on_gpu / arch.layers
        seconds += part * (flops + attention) / (cpu_gflops(run.hardware) * 1e9)
        interval = interval.wider(_CPU)
        calibrated = False
    return _rate(1.0 / seconds, interval, calibrated=calibrated)


def _prompt_efficiency(device: Device) -> float:
    """Share of a device's peak that prompt processing reaches."""
    if device.vendor is Vendor.AMD and device.kind is DeviceKind.UNIFIED:
        return _PP_AMD_UNIFIED.get(device.backend, _DEFAULT_PP_EFFICIENCY)
    by_backend = _PP_EFFICIENCY.get((device.vendor, device.backend), _DEFAULT_PP_EFFICIENCY)
    if device.gfx_target in _PP_BY_GFX:
        return _PP_BY_GFX[device.gfx_target]
    if device.backend is Backend.CUDA and device.compute_capability is not None:
        return _PP_BY_CAPABILITY.get(device.compute_capability, by_backend)
    return by_backend


def _with_device_spread(interval: Interval, device: Device) -> tuple[Interval, bool]:
    """An interval widened by what is not known about a device that has only a memory size."""
    spread = device.memory_bandwidth_range_gbps
    if spread is None or not device.memory_bandwidth_gbps:
        return interval, True
    middle = device.memory_bandwidth_gbps
    return interval.wider(Interval(low=min(1.0, spread[0] / middle), high=max(1.0, spread[1] / middle))), False


def memory_peak_gbps(hardware: Hardware) -> float | None:
    """Peak of the host's memory in GB/s, as on a data sheet; from a measured read bandwidth by the usual ratio."""
    host = hardware.host
    if host.memory_bandwidth_gbps is not None and host.memory_bandwidth_basis is BandwidthBasis.MEASURED:
        return host.memory_bandwidth_gbps / _READ_SHARE
    return host.memory_bandwidth_gbps


def cpu_bandwidth_gbps(hardware: Hardware) -> float:
    """GB/s that generation reaches on the CPU: a share of the memory's, bounded by what the cores dequantise.

    Of a peak it is 0.55; of a measured read bandwidth 0.55 / 0.78, about 0.7: both agree on a usual desktop. The
    ratio is set by hand, so a measured bandwidth does not make the interval narrower.
    """
    memory = (memory_peak_gbps(hardware) or _CPU_BANDWIDTH_GBPS) * _CPU_BANDWIDTH_SHARE
    return min(memory, _CPU_CORE_GBPS * max(1, hardware.host.cpu.cores_usable))


def cpu_gflops(hardware: Hardware) -> float:
    """GFLOP/s that prompt processing reaches on the CPU, by cores; a third without AVX2 or NEON."""
    isa = set(hardware.host.cpu.isa)
    factor = 1.0
    if isa and not isa & {"avx2", "avx512f", "neon", "asimd"}:
        factor = 0.3
    return _CPU_CORE_GFLOPS * factor * max(1, hardware.host.cpu.cores_usable)


def _rate(mid: float, interval: Interval, *, calibrated: bool) -> Rate:
    return Rate(
        low=_significant(mid * interval.low),
        mid=_significant(mid),
        high=_significant(mid * interval.high),
        basis="calibrated" if calibrated else "estimated",
    )


def _significant(value: float) -> float:
    """Three significant digits: an estimate has no more."""
    return float(f"{value:.3g}")
