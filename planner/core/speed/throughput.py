"""Tokens per second of a placed process, each with an 80 % interval and its basis.

The times are in `core.speed`: `generation` and `prompt` for the formulas, `cpu` for the host, `local` for what was
measured here. This module turns them into rates and says how sure they are.
"""

from typing import Literal

import msgspec

from planner.core.machines.hardware import Device, Hardware
from planner.core.machines.tensor_cores import has_tensor_cores
from planner.core.memory.estimate import Memory, Placement, Rate, Seconds, Throughput, Verdict
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture
from planner.core.models.weights import WeightTable
from planner.core.speed.calibration import (
    GENERIC,
    Calibration,
    Known,
    Tiers,
    device_key,
    family_key,
    prompt_class,
)
from planner.core.speed.generation import generation_seconds, step_seconds
from planner.core.speed.interval import NONE, Interval
from planner.core.speed.known_by_size import Ends, ends_of, is_fast, on_less_fast, size_spread
from planner.core.speed.local import Quantity, local_rate
from planner.core.speed.prompt import PromptTime, prompt_time
from planner.core.speed.work import Run, run_of, work_per_token
from planner.errors import BadDataError

_SLOWEST, _FASTEST = 1e-3, 1e6
"""GB/s and TFLOPS beyond which a value cannot be meant."""
UNLISTED = Interval(0.85, 1.18)
"""Of figures that nobody compared with a data sheet: base or boost clock, sold or real bandwidth (set by hand)."""
_NO_WATTS = Interval(0.7, 1.43)
"""Of tensor cores whose power is not known: from an H100's share to that of an RTX 3060 (set by hand)."""


def estimate_throughput(
    arch: Architecture,
    *,
    table: WeightTable,
    settings: Settings,
    hardware: Hardware,
    placement: Placement,
    memory: Memory,
    quant: str,
    calibration: Calibration = GENERIC,
) -> Throughput:
    """Rates of a placed process; empty when it does not run or the device's bandwidth is unknown.

    Raises BadDataError for a bandwidth or peak that cannot be: zero, negative, not a number, beyond all devices.
    """
    if placement.verdict is Verdict.NO_FIT:
        return Throughput()
    check_speeds(hardware)
    run = run_of(
        arch,
        work_per_token(arch, table, settings),
        settings=settings,
        hardware=hardware,
        placement=placement,
        memory=memory,
        quant=quant,
        calibration=calibration,
    )
    if not _paced(run):
        return Throughput()
    ends = ends_of(run)
    if settings.embedding or not arch.causal:
        # An encoder has no next token.
        return Throughput(embed=_prompt_rate(run, "embed", ends))
    prompt, generation = _prompt_rate(run, "pp", ends), _generation_rate(run, ends)
    return Throughput(
        pp=prompt,
        tg=generation,
        tg_slots=_slots_rate(run, generation) if settings.parallel > 1 else None,
        first_token_s=None if prompt is None else _first_token(settings.n_prompt, prompt, generation),
    )


def leading_rates(run: Run) -> tuple[Rate | None, Rate | None]:
    """The rates that a plan is chosen by: of generation and of its prompt, or of embedding alone; None if unknown.

    Nothing is chosen by an upper end: what a card's size leaves open upwards is left out.
    """
    if not _paced(run):
        return None, None
    ends = ends_of(run, both=False)
    if run.settings.embedding or not run.arch.causal:
        return _prompt_rate(run, "embed", ends), None
    return _generation_rate(run, ends), _prompt_rate(run, "pp", ends)


def _paced(run: Run) -> bool:
    """Whether the bandwidth of the device that sets the pace is known."""
    return not run.placement.n_gpu_layers or bool(run.device is not None and run.device.memory_bandwidth_gbps)


def check_speeds(hardware: Hardware) -> None:
    """Raises BadDataError for a bandwidth or peak that cannot be."""
    for device in hardware.devices:
        for field in ("memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops"):
            _check_speed(device.name, field, getattr(device, field))
    _check_speed("The host", "memory_bandwidth_gbps", hardware.host.memory_bandwidth_gbps)


def _check_speed(name: str, field: str, value: float | None) -> None:
    if value is not None and not _SLOWEST <= value <= _FASTEST:
        raise BadDataError(
            f"{name} has {field} = {value:g}: nothing works at that speed.",
            hint=f"Leave it out if it is not known; speeds are {_SLOWEST:g} to {_FASTEST:,.0f} GB/s or TFLOPS.",
            reference="bad-hardware",
        )


def _generation_rate(run: Run, ends: Ends | None) -> Rate:
    spreads = run.calibration.spreads
    tiers = spreads.generation_moe if run.arch.is_moe else spreads.generation
    interval, calibrated = _spread(run, tiers, run.calibration.known_generation)
    if len(run.parts) > 1:
        interval = interval.wider(spreads.split_generation)
    if run.device is not None and not run.device.fp32_tflops:
        interval, calibrated = interval.wider(spreads.no_peak), False
    seconds = generation_seconds(run)
    interval = interval.wider(size_spread(ends, seconds, generation_seconds))
    found = _rate(run, "tg", 1.0 / seconds, interval, calibrated=calibrated)
    slower = None if ends is None else on_less_fast(run)
    if slower is None:
        return found
    return msgspec.structs.replace(
        found, low=max(found.low, _generation_rate(slower, ends_of(slower, both=False)).low)
    )


def _slots_rate(run: Run, one: Rate) -> Rate:
    """All slots together, every one at the asked depth. No row was measured so: the interval is wider."""
    slots = run.settings.parallel
    times = slots * generation_seconds(run) / step_seconds(run, slots)
    mid, wider = one.mid * times, run.calibration.spreads.slots
    interval = Interval(one.low / one.mid, one.high / one.mid).wider(wider) if one.mid else wider
    return _made(mid, interval, "estimated")


def _prompt_rate(run: Run, quantity: Quantity, ends: Ends | None) -> Rate | None:
    time = prompt_time(run)
    if time is None:
        return None
    spreads = run.calibration.spreads
    tiers = spreads.prompt_moe if run.arch.is_moe else spreads.prompt
    interval, calibrated = _spread(run, tiers, run.calibration.known_prompt)
    if len(run.parts) > 1:
        interval = interval.wider(spreads.split)
    for part in run.parts:
        interval, known = _peak_spread(part.device, interval)
        calibrated = calibrated and known
    if any(prompt_class(part.device)[0].startswith("amd-shared") for part in run.parts):
        interval = interval.hull(spreads.prompt_shared)
    if quantity == "embed" and run.arch.causal:
        interval, calibrated = interval.wider(spreads.embed), False
    if not run.arch.causal:
        interval, calibrated = interval.wider(_encoder_spread(run, time)), False
    interval = interval.wider(size_spread(ends, time.seconds, _prompt_seconds))
    return _rate(run, quantity, 1.0 / time.seconds, interval, calibrated=calibrated and not run.arch.is_moe)


def _encoder_spread(run: Run, time: PromptTime) -> Interval:
    """Between that of an encoder and that of a small one, by how much of the time is spent on starting its kernels.

    In steps it would make a faster card the slower one at its low end.
    """
    spreads = run.calibration.spreads
    share = 0.0 if run.device is None else max(0.0, 2.0 * time.fixed / time.seconds - 1.0)
    large, small = spreads.encoder.scaled(1.0 - share), spreads.small_encoder.scaled(share)
    return Interval(low=large.low * small.low, high=large.high * small.high)


def _prompt_seconds(run: Run) -> float | None:
    time = prompt_time(run)
    return None if time is None else time.seconds


def _peak_spread(device: Device, interval: Interval) -> tuple[Interval, bool]:
    """Wider by what is not known of the peak that prompts go by, and whether it is known."""
    if not device.listed and has_tensor_cores(device) and not (device.told_tdp_w or device.power_limit_w):
        interval = interval.wider(_NO_WATTS)
    spread, middle = device.fp16_range_tflops, device.fp16_tflops
    if spread is None or not middle or device.known_by_size:
        return interval, True
    return interval.wider(Interval(low=min(1.0, spread[0] / middle), high=max(1.0, spread[1] / middle))), False


def _spread(run: Run, tiers: Tiers, known: Known) -> tuple[Interval, bool]:
    """The interval of a run's placement, and whether rows of such devices stand behind it.

    The widest of the GPUs counts; layers on the CPU add theirs.
    """
    spreads, interval, calibrated = run.calibration.spreads, NONE, True
    for part in run.parts:
        found, rows = device_spread(part.device, tiers, known)
        calibrated = calibrated and rows
        if found.high / found.low > interval.high / interval.low:
            interval = found
    if run.host_layers or run.moved or not run.settings.kv_offload:
        interval = interval.wider(spreads.offload if run.parts else spreads.host)
        calibrated = False
    return interval, calibrated


def device_spread(device: Device, tiers: Tiers, known: Known) -> tuple[Interval, bool]:
    """By how near the rows come to a device; wider for one that no table lists."""
    if device.known_by_size:  # no row is about what nobody could name
        return tiers.fast if is_fast(device) else tiers.other, False
    if device_key(device) in known.devices:
        interval, calibrated = tiers.device, True
    elif family_key(device) in known.families:
        interval, calibrated = tiers.family, True
    else:
        interval, calibrated = tiers.fast if is_fast(device) else tiers.other, False
    return (interval if device.listed else interval.wider(UNLISTED)), calibrated


def _rate(run: Run, quantity: Quantity, mid: float, interval: Interval, *, calibrated: bool) -> Rate:
    basis: Literal["measured", "calibrated", "estimated"] = "calibrated" if calibrated else "estimated"
    whole = len(run.parts) == 1 and not run.host_layers and not run.moved
    if whole or not run.parts:
        mid, interval, measured = local_rate(
            run.calibration,
            quantity,
            device=device_key(run.device),
            arch=run.arch,
            quant=run.quant,
            settings=run.settings,
            mid=mid,
            interval=interval,
        )
        basis = measured or basis
    return _made(mid, interval, basis)


def _made(mid: float, interval: Interval, basis: Literal["measured", "calibrated", "estimated"]) -> Rate:
    return Rate(
        low=_significant(mid * interval.low),
        mid=_significant(mid),
        high=_significant(mid * interval.high),
        basis=basis,
    )


def _first_token(n_prompt: int, prompt: Rate, generation: Rate) -> Seconds | None:
    """The prompt, then one step; nothing else is waited for."""
    if not (prompt.low and generation.low):
        return None
    return Seconds(
        low=_significant(n_prompt / prompt.high + 1 / generation.high),
        mid=_significant(n_prompt / prompt.mid + 1 / generation.mid),
        high=_significant(n_prompt / prompt.low + 1 / generation.low),
    )


def _significant(value: float) -> float:
    """Three significant digits: an estimate has no more."""
    return float(f"{value:.3g}")
