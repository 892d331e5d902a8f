"""`planner recommend`: the best pairs for a machine, with memory by component, speed ranges and reasons."""

from collections.abc import Iterator

import click
import msgspec

from planner.cli.output import table, write_json, write_lines
from planner.cli.planning import plan, planned_hardware, workload_options
from planner.cli.session import Session, common_options, hardware_options
from planner.core.estimate import DeviceMemory, Memory, Rate
from planner.core.hardware import Hardware
from planner.core.model import Role
from planner.core.pair import COMFORT_MARGIN
from planner.core.readings import use_notes
from planner.core.reasons import rate_text
from planner.core.recommendation import Choice, Recommendation
from planner.core.views import hardware_view, recommendation_view, workload_view
from planner.core.workload import Workload
from planner.units import format_gb, format_gib


@click.command(short_help="The best pairs for this machine, or for one you describe.")
@hardware_options
@workload_options
@click.option("--role", type=click.Choice(["rag", "embedding", "generation"]), default="rag", show_default=True)
@click.option("--limit", "-n", type=click.IntRange(1, 50), default=5, show_default=True, help="How many plans.")
@click.option(
    "--free/--total",
    "live",
    default=True,
    help="Plan with the memory that is free now (the default), or with all of it whatever others hold.",
)
@common_options
def recommend(session: Session, *, workload: Workload, role: str, limit: int, live: bool) -> None:
    r"""Rank plans for a machine: an embedding and a generation model that fit together.

    Without options this machine is probed and planned with the memory that is free now, less 5 % of every device as
    headroom; --vram, --gpu, --ram describe another machine, and then nothing of this one goes into the answer.

    \b
    Examples:
      planner recommend --vram 8
      planner recommend --gpu "RTX 4090" --prefer quality --licence commercial
      planner recommend --total               as if nothing else held memory
      planner recommend --ram 32 --json
    """
    workload = msgspec.structs.replace(workload, role="rag" if role == "rag" else Role(role), limit=limit)
    hardware = planned_hardware(session, live=live)
    if not session.simulated:
        for note in use_notes(session.hardware):
            session.note(note if live else f"{note} --total plans as if it were free.")
    found = plan(session, workload, live=live)
    basis = "described" if session.simulated else "free" if live else "total"
    if session.as_json:
        write_json(
            {
                "schema": 1,
                "hardware": hardware_view(hardware),
                "memory_basis": basis,
                "workload": workload_view(workload),
                "recommendations": [recommendation_view(item) for item in found],
            }
        )
        return
    write_lines(_page(hardware, found, basis))


def _page(hardware: Hardware, found: tuple[Recommendation, ...], basis: str) -> Iterator[str]:
    yield from machine_lines(hardware)
    if basis != "described":
        planned = "the memory that is free now" if basis == "free" else "all memory, whatever others hold of it"
        other = "--total plans with all of it" if basis == "free" else "--free plans with what is free now"
        yield f"planned with {planned}, {COMFORT_MARGIN:.0%} of every device kept as headroom; {other}"
    for item in found:
        yield ""
        yield from recommendation_lines(item)


def machine_lines(hardware: Hardware) -> Iterator[str]:
    """The machine in a line per device."""
    for device in hardware.devices:
        total = "memory unknown" if not device.memory_total_bytes else format_gib(device.memory_total_bytes)
        free = device.memory_free_bytes
        if free is not None and free < (device.memory_total_bytes or 0):
            total = f"{format_gib(free)} free of {total}"
        speed = f", {device.memory_bandwidth_gbps:g} GB/s" if device.memory_bandwidth_gbps else ""
        yield f"{device.id}: {device.name}, {total}{speed}{'' if device.usable else ', not usable: ' + device.note}"
    host = hardware.host
    memory = format_gib(host.memory_total_bytes) if host.memory_total_bytes else "memory unknown"
    if host.memory_available_bytes is not None and host.memory_available_bytes < (host.memory_total_bytes or 0):
        memory = f"{format_gib(host.memory_available_bytes)} free of {memory}"
    yield f"host: {host.cpu.cores_usable} cores, {memory}"
    for note in hardware.notes:
        yield f"note: {note}"


def recommendation_lines(item: Recommendation) -> Iterator[str]:
    """A plan for people: models, memory by component, speed, reasons, and the command that runs it."""
    yield f"{item.rank}. {item.label}  (score {item.score:.1f})"
    rows = []
    for choice in item.choices:
        parts = choice.estimate.memory
        rows.append(
            (
                f"   {choice.model.role}",
                f"{choice.model.name} {choice.variant.quant}",
                _download(choice),
                str(choice.settings.context // choice.settings.parallel),
                *memory_cells(parts),
                _speed(choice),
            )
        )
    headings = (
        "   role",
        "model",
        "file",
        "context",
        "weights",
        "KV",
        "compute",
        "overhead",
        "total",
        "tok/s (80 %)",
    )
    yield from table(headings, rows, right=frozenset({2, 3, 4, 5, 6, 7, 8, 9}))
    used = ", ".join(
        f"{row.device} {format_gib(row.total_bytes)} of {format_gib(row.budget_bytes or 0)}"
        for row in item.memory.devices
    )
    yield f"   memory: {used}"
    for reason in item.reasons:
        yield f"   + {reason}"
    for warning in item.warnings:
        yield f"   ! {warning}"
    yield f"   run: {' '.join(item.command)}"


def memory_cells(memory: Memory | DeviceMemory) -> tuple[str, ...]:
    """Weights, KV cache, compute, overhead and total as text."""
    return tuple(
        format_gib(size)
        for size in (
            memory.weights_bytes,
            memory.kv_cache_bytes,
            memory.compute_bytes,
            memory.overhead_bytes,
            memory.total_bytes,
        )
    )


def _download(choice: Choice) -> str:
    size = choice.variant.file_bytes
    return format_gb(size) if size else "?"


def _speed(choice: Choice) -> str:
    rate: Rate | None = choice.estimate.throughput.tg or choice.estimate.throughput.embed
    return rate_text(rate).removesuffix(" tok/s") if rate else "unknown"
