"""What `planner recommend` prints: a table that fits 80 columns, the reasons behind it, Markdown, CSV."""

import io
import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence

from planner.cli.columns import cells, terminal_width, wrapped
from planner.cli.output import table
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import DeviceMemory, Memory, Rate
from planner.core.memory.workload import Prefer
from planner.core.pages.views import terms_view
from planner.core.pairs.reasons import rate_text
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.units import duration_range, format_gb, format_gib

_WIDTH = 80
"""The width without a terminal."""
_MEMORY, _SPEED, _CONTEXT = 8, 15, 7
_LEFT = "          "
"""Under rank and score."""
_NO_COSTS: Mapping[int, str] = {}


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
        yield from wrapped(note, _width(), first="note: ", indent="  ")


def table_lines(plans: Sequence[Recommendation], costs: Mapping[int, str] = _NO_COSTS) -> Iterator[str]:
    """The plans with their models, memory, speed and context, each with the command that launches it.

    `costs` has a sentence by a plan's rank.
    """
    width = _width()
    yield _row("#  SCORE  MODELS", _figures_of("MEMORY", "TOK/S (80 %)", "CONTEXT"), width)
    for plan in plans:
        total = format_gib(plan.memory.total_bytes)
        head = f"{plan.rank:<2} {plan.score:5.1f}  {plan.label}"
        figures = _figures_of(total, "", "")
        if len(plan.choices) == 1:
            yield head
        else:
            yield _row(head, figures, width) if cells(head) + cells(figures) <= width else f"{head}  {total}"
        for choice in plan.choices:
            memory = format_gib(choice.estimate.memory.total_bytes)
            figures = _figures_of(memory, _speed(choice), str(_context(choice)))
            name = _shortened(choice, width - len(_LEFT) - cells(figures))
            yield _row(f"{_LEFT}{name}", figures, width)
        equal = next((other.rank for other in plans if other.rank < plan.rank and other.score == plan.score), None)
        yield from _times(plan, equal)
        if cost := costs.get(plan.rank):
            yield from wrapped(cost, width, first=_LEFT, indent=f"{_LEFT}  ")
        yield from command_lines(plan)


def _times(plan: Recommendation, equal: int | None) -> Iterator[str]:
    found = [] if equal is None else [f"as good as plan {equal} by its score"]
    if plan.indexing_s is not None:
        found.append(f"indexes in {duration_range(plan.indexing_s.low, plan.indexing_s.high)}")
    if plan.first_word_s is not None:
        found.append(f"first word after {duration_range(plan.first_word_s.low, plan.first_word_s.high)}")
    if found:
        yield from wrapped("; ".join(found), _width(), first=_LEFT, indent=_LEFT)


def command_lines(plan: Recommendation) -> Iterator[str]:
    """The command, in lines that a shell reads as one."""
    line = "   run: planner"
    for word in _words([shlex.quote(word) for word in plan.command[1:]]):
        if cells(line) + cells(word) + 3 > _width() and line.strip() != "\\":
            yield f"{line} \\"
            line = f"       {word}"
        else:
            line = f"{line} {word}"
    yield line


def _words(command: Sequence[str]) -> Iterator[str]:
    """Words of a command; an option stays with its value."""
    pairs = itertools.pairwise((*command, "--"))
    skip = False
    for word, following in pairs:
        if skip:
            skip = False
        elif word.startswith("--") and not following.startswith("--"):
            skip = True
            yield f"{word} {following}"
        else:
            yield word


def explained_lines(plan: Recommendation, prefer: Prefer, cost: str | None = None) -> Iterator[str]:
    """Where a plan's score comes from, its memory by process, its reasons, what would change it, its cost."""
    width = _width()
    yield f"{plan.rank}. {plan.label}  (score {plan.score:.1f})"
    terms = terms_view(plan.terms, prefer) or {}
    rows = [
        (f"   {name.replace('_', ' ')}", f"{row['value']:.2f}", f"{row['weight']:.2f}", f"{row['points']:.1f}")
        for name, row in terms.items()
    ]
    yield from table(("   term", "value", "weight", "points"), rows, right=frozenset({1, 2, 3}))
    yield ""
    headings = ("   process", "file", "weights", "KV", "compute", "overhead", "total")
    processes = [
        (f"   {choice.model.role}", _download(choice), *memory_cells(choice.estimate.memory))
        for choice in plan.choices
    ]
    yield from table(headings, processes, right=frozenset({1, 2, 3, 4, 5, 6}))
    used = ", ".join(
        f"{row.device} {format_gib(row.total_bytes)} of {format_gib(row.budget_bytes or 0)}"
        for row in plan.memory.devices
    )
    yield from wrapped(f"memory: {used}", width, first="   ", indent="     ")
    for mark, texts in (("+", plan.reasons), ("~", plan.changes), ("!", plan.warnings)):
        for text in texts:
            yield from wrapped(text, width, first=f"   {mark} ", indent="     ")
    if cost is not None:
        yield from wrapped(cost, width, first="   $ ", indent="     ")
    yield from command_lines(plan)


def short_lines(plan: Recommendation) -> Iterator[str]:
    """One plan with its models, reasons and command."""
    yield from table_lines([plan])
    for text in plan.reasons:
        yield from wrapped(text, _width(), first="   + ", indent="     ")


def markdown_lines(plans: Sequence[Recommendation]) -> Iterator[str]:
    """The plans as a Markdown table, and their commands."""
    yield "| # | pick | embedder | generator | reranker | memory | tok/s (80 %) | context | score |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for plan in plans:
        names = [_name(choice) for choice in (plan.embedding, plan.generation, plan.reranker)]
        main = plan.generation or plan.choices[0]
        values = (
            str(plan.rank),
            plan.label,
            *names,
            format_gib(plan.memory.total_bytes),
            _speed(main),
            str(_context(main)),
            f"{plan.score:.1f}",
        )
        yield f"| {' | '.join(value.replace('|', chr(92) + '|') for value in values)} |"
    yield ""
    yield "```sh"
    for plan in plans:
        yield f"{shlex.join(plan.command)}  # {plan.rank}"
    yield "```"


_CSV = (
    *("rank", "label", "score", "embedding", "embedding_quant", "generation", "generation_quant", "reranker"),
    *("reranker_quant", "memory_bytes", "budget_bytes", "tg_low", "tg_mid", "tg_high", "embed_low", "embed_mid"),
    *("embed_high", "context", "indexing_s", "first_word_s", "download_bytes", "command"),
)


def csv_lines(plans: Sequence[Recommendation]) -> Iterator[str]:
    """The plans as CSV: sizes in bytes, speeds in tokens per second, times in seconds; empty means unknown."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for plan in plans:
        tg = None if plan.generation is None else plan.generation.estimate.throughput.tg
        embed = None if plan.embedding is None else plan.embedding.estimate.throughput.embed
        named = [
            (choice.model.id, choice.variant.quant) if choice is not None else ("", "")
            for choice in (plan.embedding, plan.generation, plan.reranker)
        ]
        sizes = [choice.variant.file_bytes for choice in plan.choices]
        writer.writerow(
            [
                *(plan.rank, plan.label, plan.score),
                *itertools.chain.from_iterable(named),
                *(plan.memory.total_bytes, plan.memory.budget_bytes, *_figures(tg), *_figures(embed)),
                _context(plan.generation or plan.choices[0]),
                "" if plan.indexing_s is None else plan.indexing_s.mid,
                "" if plan.first_word_s is None else plan.first_word_s.mid,
                "" if None in sizes else sum(size or 0 for size in sizes),
                shlex.join(plan.command),
            ]
        )
    yield from text.getvalue().splitlines()


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


def _width() -> int:
    return max(60, terminal_width() or _WIDTH)


def _figures_of(memory: str, speed: str, context: str) -> str:
    """The right part of a row; what is wider than its column takes room from the names."""
    return f" {memory:>{_MEMORY}} {speed:>{_SPEED}} {context:>{_CONTEXT}}"


def _row(left: str, figures: str, width: int) -> str:
    return f"{left}{' ' * max(0, width - cells(left) - cells(figures))}{figures}".rstrip()


def _shortened(choice: Choice, room: int) -> str:
    """Name and quant; where they do not fit the name is cut: the command below has it in full."""
    name, quant = choice.model.name, choice.variant.quant
    left = room - cells(quant) - 1
    if cells(name) > left:
        name = f"{name[: max(1, left - 1)]}…"
    return f"{name} {quant}"


def _name(choice: Choice | None) -> str:
    return "" if choice is None else f"{choice.model.id} {choice.variant.quant}"


def _context(choice: Choice) -> int:
    return choice.settings.context // choice.settings.parallel


def _figures(rate: Rate | None) -> tuple[object, object, object]:
    return ("", "", "") if rate is None else (rate.low, rate.mid, rate.high)


def _download(choice: Choice) -> str:
    size = choice.variant.file_bytes
    return format_gb(size) if size else "?"


def _speed(choice: Choice) -> str:
    rate: Rate | None = choice.estimate.throughput.tg or choice.estimate.throughput.embed
    return rate_text(rate).removesuffix(" tok/s") if rate else "unknown"
