"""The arithmetic of a speed estimate with its numbers in it, for people: lines of at most 74 columns.

The terms are those of `core.speed.generation` and `core.speed.prompt`, made from the same values: their sum is the
middle of the estimate, unless a measurement of this machine has moved it, which is then said.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from planner.core.memory.estimate import Rate, Throughput, Verdict
from planner.core.pairs.reasons import rate_text
from planner.core.speed.calibration import Known, device_key, family_key, prompt_class
from planner.core.speed.cpu import cpu_bandwidth_gbps, cpu_gflops
from planner.core.speed.generation import layer_seconds, left_on_host, read_bytes, row_flops
from planner.core.speed.prompt import batch_seconds, device_flops, host_quant_share, host_seconds, token_operations
from planner.core.speed.work import Part, Run, attention_flops
from planner.units import MIB, format_count, format_rate

_LABEL = 58
"""Cells before the time of a line."""


class Term(NamedTuple):
    """A part of the time of one token: what takes it, in words with numbers, and how long in seconds."""

    text: str
    seconds: float


def explain_speed(run: Run, throughput: Throughput) -> tuple[str, ...]:
    """Every rate of a placed process: its terms, their sum, the interval and what it rests on."""
    if run.placement.verdict is Verdict.NO_FIT:
        return ("no speed: it does not run",)
    found: list[str] = []
    known = run.calibration
    if throughput.embed is not None:
        found += _lines("indexing", throughput.embed, prompt_terms(run), run, known.known_prompt)
    if throughput.pp is not None:
        title = f"prompt processing of {run.settings.n_prompt} tokens"
        found += _lines(title, throughput.pp, prompt_terms(run), run, known.known_prompt)
    if throughput.tg is not None:
        after = f" after {run.settings.depth} tokens" if run.settings.depth else ""
        found += _lines(f"generation{after}", throughput.tg, generation_terms(run), run, known.known_generation)
    return tuple(found) or ("no speed: the memory bandwidth or the arithmetic of the device is not known",)


def _lines(title: str, rate: Rate, terms: Sequence[Term], run: Run, known: Known) -> Iterator[str]:
    seconds = sum(term.seconds for term in terms)
    yield f"{title}: {rate_text(rate)}, middle {format_rate(rate.mid)}"
    for term in terms:
        yield f"  {term.text:<{_LABEL}} {_time(term.seconds):>12}"
    each = "a token of the prompt" if title.startswith("prompt") else "a token"
    yield f"  {f'= {each}, so {format_rate(1 / seconds)} tok/s':<{_LABEL}} {_time(seconds):>12}"
    moved = rate.mid * seconds
    if rate.basis == "measured":
        yield f"  times {moved:.2f}: this model was measured on this machine"
    elif abs(moved - 1) > 0.006:  # a rate has three digits
        yield f"  times {moved:.2f}: other models were measured on this machine"
    low, high = rate.low / rate.mid, rate.high / rate.mid
    yield f"  80 % interval: {low:.2f} to {high:.2f} times that ({rate.basis})"
    if rate.basis != "measured":
        yield f"    {_basis(run, known)}"


def _basis(run: Run, known: Known) -> str:
    """What the width of an interval rests on."""
    if run.device is None:
        return "a CPU: from what is usual, few were measured"
    if all(device_key(part.device) in known.devices for part in run.parts):
        text = "this device was measured"
    elif all(family_key(part.device) in known.families for part in run.parts):
        text = "devices of its family were measured"
    else:
        text = "no device of its kind was measured"
    if run.host_layers or run.moved or not run.settings.kv_offload:
        text += "; wider: the CPU does a part"
    return text


def generation_terms(run: Run) -> tuple[Term, ...]:
    """The parts of the time of one generated token of one sequence: reading, multiplying, starting layers."""
    found: list[Term] = []
    for part in run.parts:
        found += _part_terms(run, part)
    layers, arch = run.host_layers, run.arch
    read = read_bytes(run, 0, min(layers, arch.layers + 1), 1) + left_on_host(run, 0, arch.layers, 1)
    if layers or read:
        constants = run.calibration.host
        bandwidth = cpu_bandwidth_gbps(run.hardware, constants)
        started = min(layers, arch.layers + 1) + len(run.moved)
        found.append(Term(f"host: read {_mib(read)} / {bandwidth:.1f} GB/s reached", read / (bandwidth * 1e9)))
        found.append(
            Term(f"host: start {started} layers · {constants.layer_us:.0f} µs", started * constants.layer_us * 1e-6)
        )
    return tuple(found)


def _part_terms(run: Run, part: Part) -> Iterator[Term]:
    arch, work, constants, device = run.arch, run.work, run.calibration.generation, part.device
    first, end = part.first, part.end
    layers = min(end, arch.layers) - first
    parameters = work.layer_parameters * layers / arch.layers + (work.output_parameters if end > arch.layers else 0)
    read = read_bytes(run, first, end, 1) - left_on_host(run, first, end, 1)
    bandwidth, flops = device.memory_bandwidth_gbps or 0.0, row_flops(run, device)
    start = layer_seconds(run, device)
    yield Term(
        f"{device.id}: read {_mib(read)} / ({constants.bandwidth_share:.2f} · {bandwidth:,.0f} GB/s)",
        read / (constants.bandwidth_share * bandwidth * 1e9),
    )
    yield Term(
        f"{device.id}: 2 · {format_count(round(parameters))} weights / {_peak(flops, device.fp32_tflops)}",
        2.0 * parameters / flops,
    )
    yield Term(f"{device.id}: start {layers} layers · {start * 1e6:.0f} µs", layers * start)


def prompt_terms(run: Run) -> tuple[Term, ...]:
    """The parts of the time of one token of a prompt or text: arithmetic, and its share of each micro-batch."""
    arch, settings = run.arch, run.settings
    seen = settings.n_prompt / 2 if arch.causal else settings.n_prompt
    attention = attention_flops(arch, settings.depth + seen)
    operations = token_operations(run, attention)
    split = max(1, len(run.parts)) ** run.calibration.prompt.split_gain
    found: list[Term] = []
    for part in run.parts:
        layers = min(part.end, arch.layers) - part.first
        flops = device_flops(run, part.device)
        if layers <= 0 or flops is None:
            continue
        share = layers / arch.layers
        found.append(
            Term(
                f"{part.device.id}: {_billions(share * operations)} / "
                f"{_peak(flops, prompt_class(part.device)[1])}{_times(split)}",
                share * operations / flops / split,
            )
        )
        once = batch_seconds(run, part.device, part.first, min(part.end, arch.layers))
        text = f"{part.device.id}: read and start {layers} layers per {run.micro_batch} tokens{_times(split)}"
        found.append(Term(text, once / split))
    found += _host_terms(run, operations)
    if settings.embedding:
        micros = run.calibration.prompt.embed_batch_us
        found.append(
            Term(f"host: {micros:.0f} µs per {run.micro_batch} tokens, around each", micros * 1e-6 / run.micro_batch)
        )
    return tuple(found)


def _host_terms(run: Run, operations: float) -> Iterator[Term]:
    layers = run.arch.layers
    host = min(run.host_layers, layers)
    gflops, share = cpu_gflops(run.hardware, run.calibration.host), host_quant_share(run)
    where = "the CPU or the GPU" if run.parts else f"({share:.2f} · {gflops:,.0f} GFLOPS)"
    if host:
        work = host / layers * operations
        yield Term(
            f"host: {host} layers, {_billions(work)} / {where}",
            host_seconds(run, work, sum(run.work.layer_bytes[:host])),
        )
    if run.moved:
        moved = len(run.moved)
        work = moved / layers * 2.0 * run.work.expert_parameters
        weights = sum(run.work.expert_bytes[run.moved.start : run.moved.stop])
        yield Term(
            f"host: experts of {moved} layers, {_billions(work)}, {where}",
            host_seconds(run, work, weights, work_counted=True),
        )


def _times(split: float) -> str:
    return f" / {split:.2f}" if split > 1 else ""


def _peak(flops: float, peak_tflops: float | None) -> str:
    """`(0.31 · 29.1 TFLOPS)`; without a known peak what is reached alone."""
    if not peak_tflops:
        return f"{flops / 1e12:.2f} TFLOPS assumed"
    return f"({flops / 1e12 / peak_tflops:.2f} · {peak_tflops:g} TFLOPS)"


def _billions(operations: float) -> str:
    return f"{operations / 1e9:.3g} GFLOP"


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / MIB:,.0f} MiB"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"
