"""What a model needs, for people and as a document: what `planner need` prints."""

from collections.abc import Iterator, Sequence

from planner.cli.columns import Cell, Column, lay_out, wrapped
from planner.cli.models_page import range_cell
from planner.cli.show_tables import note_lines, table_lines
from planner.core.fits.device_market import DeviceClass
from planner.core.fits.need_answer import CONTEXT_SIZES_GIB, DESKTOP, SERVER, DeviceNeed, Need, QuantNeed, TypicalHost
from planner.core.fits.need_search import WORTH_A_CARD
from planner.core.machines.hardware import DeviceKind
from planner.core.memory.estimate import Rate, Verdict
from planner.core.models.model import Role
from planner.core.pages.views import model_view, rate_view
from planner.core.pairs.score import READING_TOKENS_PER_S
from planner.units import GIB, format_gb, format_gib, format_rate, format_tokens

_CLASSES = {
    DeviceClass.CONSUMER: "consumer",
    DeviceClass.WORKSTATION: "workstation",
    DeviceClass.DATA_CENTRE: "data centre",
    DeviceClass.APPLE: "Apple",
    DeviceClass.SHARED: "shared memory (APUs and boards)",
    DeviceClass.LAPTOP: "laptop",
    DeviceClass.MINING: "mining",
}
_NOTHING = "-"


def page(found: Need, width: int | None) -> Iterator[str]:
    """The answer in lines of at most `width` cells."""
    question = found.question
    slots = question.workload.parallel if question.model.role is Role.GENERATION else 1
    cache = "" if question.workload.kv_type == "f16" else f", cache {question.workload.kv_type}"
    each = f" in each of {slots} slots" if slots > 1 else ""
    yield question.model.id
    yield from wrapped(f"What it needs for {question.context:,} tokens of context{each}{cache}", width)
    if not question.model.deployable:
        yield from wrapped(f"Cannot be run here: {question.model.deploy_note.rstrip('.')}.", width)
    yield ""
    yield from _quant_lines(found, width)
    yield ""
    yield from _context_lines(found, width)
    yield ""
    yield from _device_lines(found, width)


def _short(rate: Rate | None) -> str:
    cell = range_cell(rate)
    return cell if isinstance(cell, str) else cell[1]


def _gib(gib: float | None) -> str:
    return _NOTHING if gib is None else f"{gib:g} GiB"


def _rounded(quant: QuantNeed) -> bool:
    return quant.predicted or quant.variant.file_bytes_source != "exact"


def _quant_lines(found: Need, width: int | None) -> Iterator[str]:
    quants = found.quants
    partial = any(quant.partial is not None for quant in quants)
    yield from wrapped("Memory by quant: all on a CUDA card (GPU) and its host, or without a GPU (RAM)", width)
    columns = [
        Column("QUANT"),
        Column("FILE", right=True, leaves=1),
        Column("GPU", right=True),
        Column("HOST", right=True, leaves=2),
        Column("RAM", right=True),
        Column("TOK/S", right=True),
        *((Column("PART ON A CARD", right=True, short_title="CARD+HOST"), Column("TOK/S", right=True)) * partial),
    ]
    yield from table_lines(columns, [_quant_cells(quant, partial=partial) for quant in quants], width)
    if any(_rounded(quant) for quant in quants):
        yield from note_lines("~ a file size that was rounded or predicted, not read from the file", width)
    hosts = [host for host in (DESKTOP, SERVER) if any(quant.cpu_only.host == host for quant in quants)]
    if hosts:
        described = "; where that has too little memory a ".join(_host_words(host) for host in hosts)
        yield from note_lines(f"Assumed without a GPU: a {described}.", width)
    if any(quant.cpu_only.host is None for quant in quants):
        yield from note_lines("No usual machine has the memory to run those without RAM on the CPU alone.", width)
    if partial:
        wanted = found.question.workload.min_speed or READING_TOKENS_PER_S
        yield from note_lines(
            "CARD+HOST: the smallest size of card, with the rest in the memory of that machine, that makes "
            f"{format_rate(wanted)} tok/s and {WORTH_A_CARD:g} times what the CPU does alone.",
            width,
        )


def _host_words(host: TypicalHost) -> str:
    return f"{host.name} ({host.bandwidth_gbps:g} GB/s, {host.cores} cores)"


def _quant_cells(quant: QuantNeed, *, partial: bool) -> Sequence[Cell]:
    cpu, part = quant.cpu_only, quant.partial
    mark = "~" if _rounded(quant) else ""
    cells: list[Cell] = [
        quant.variant.quant,
        _NOTHING if quant.file_bytes is None else mark + format_gb(quant.file_bytes),
        format_gib(quant.gpu_bytes),
        format_gib(quant.host_bytes),
        _gib(cpu.ram_gib),
        _short(cpu.rate),
    ]
    if partial and part is None:
        cells += [_NOTHING, _NOTHING]
    elif part is not None:
        host = format_gib(part.host_bytes)
        cells += [(f"{part.card_gib} GiB card + {host}", f"{part.card_gib} + {host}"), _short(part.rate)]
    return cells


def _context_lines(found: Need, width: int | None) -> Iterator[str]:
    trained = found.question.model.context_length
    if all(tokens == trained for quant in found.quants for tokens in quant.contexts):
        yield from wrapped(
            f"A card of {CONTEXT_SIZES_GIB[0]} GiB holds the whole context of {trained:,} tokens", width
        )
        return
    yield from wrapped("Longest context that fits whole on a CUDA card, in tokens", width)
    columns = [Column("QUANT"), *(Column(f"{gib} GiB", right=True) for gib in CONTEXT_SIZES_GIB)]
    rows: list[Sequence[Cell]] = [
        (quant.variant.quant, *(_NOTHING if tokens is None else _tokens(tokens) for tokens in quant.contexts))
        for quant in found.quants
    ]
    yield from table_lines(columns, rows, width)


def _tokens(tokens: int) -> Cell:
    return f"{tokens:,}", format_tokens(tokens)


def _device_lines(found: Need, width: int | None) -> Iterator[str]:
    question = found.question
    writes = question.model.role is Role.GENERATION
    wanted = question.workload.min_speed
    reach = "" if wanted is None else f", {'writing' if writes else 'reading'} {format_rate(wanted)} tok/s or more"
    yield from wrapped(
        f"Devices for {question.variant.quant}{reach}: tokens {'written' if writes else 'read'} per second "
        "(80 % range)",
        width,
    )
    several = len(found.quants) > 1
    if not found.devices:
        yield from note_lines("None of those on sale; what is possible without stands above.", width)
        return
    columns = [
        Column("DEVICE", minimum=24),
        Column("MEMORY", right=True),
        Column("TAKES", right=True),
        Column("HOST", right=True, leaves=1),
        Column("TOK/S", right=True),
        *((Column("HOLDS UP TO", short_title="UP TO"),) * several),
    ]
    lines = lay_out(
        columns,
        [_device_cells(device, several=several) for device in found.devices],
        None if width is None else width - 4,
    )
    yield f"    {lines[0]}"
    group: tuple[DeviceClass, Verdict] | None = None
    for device, line in zip(found.devices, lines[1:], strict=True):
        if (device.kind, device.verdict) != group:
            group = device.kind, device.verdict
            yield f"  {_CLASSES[device.kind]}{_VERDICT[device.verdict]}"
        yield f"    {line}"
    yield from note_lines(_notes(found, several=several), width)


_VERDICT = {
    Verdict.FITS: "",
    Verdict.OFFLOAD: ", the rest on the CPU",
    Verdict.NO_FIT: ", too small",
}


def _notes(found: Need, *, several: bool) -> str:
    notes = []
    if any(device.count > 1 for device in found.devices):
        notes.append("A number before a card: so many of it, each with that memory.")
    if several:
        notes.append("UP TO: the largest quant that fits whole.")
    if found.question.model.role is Role.GENERATION:
        notes.append("Speeds are those of an empty cache; a long text is slower.")
    notes.append(f"HOST is memory beside the device, in a {_host_words(DESKTOP)}.")
    if not found.complete:
        notes.append("Laptops, older and unusual ones: --all.")
    return " ".join(notes)


def _device_cells(device: DeviceNeed, *, several: bool) -> Sequence[Cell]:
    count = f"{device.count}x " if device.count > 1 else ""
    more = f" (also {', '.join(device.chip.others)})" if device.chip.others else ""
    name = device.chip.spec.name.removeprefix("GeForce ")
    runs = device.verdict is not Verdict.NO_FIT
    shared = device.chip.spec.kind is DeviceKind.UNIFIED
    cells: list[Cell] = [
        (count + device.chip.spec.name + more, count + name),
        _gib(device.memory_gib),
        format_gib(device.device_bytes) if runs else _NOTHING,
        "shared" if shared else format_gib(device.host_bytes) if runs else _NOTHING,
        range_cell(device.rate),
    ]
    if several:
        cells.append(_NOTHING if device.largest is None else device.largest.quant)
    return cells


def document(found: Need) -> dict[str, object]:
    """The answer for scripts (docs/json.md)."""
    question = found.question
    return {
        "schema": 1,
        "model": model_view(question.model),
        "context": question.context,
        "parallel": question.workload.parallel,
        "kv_type": question.workload.kv_type,
        "min_speed": question.workload.min_speed,
        "assumed_host": _host_view(DESKTOP),
        "quants": [_quant_view(quant, generates=question.model.role is Role.GENERATION) for quant in found.quants],
        "devices": [_device_view(device, found) for device in found.devices],
        "contexts": [
            {
                "memory_gib": gib,
                "quants": [
                    {"quant": quant.variant.quant, "context": quant.contexts[position]} for quant in found.quants
                ],
            }
            for position, gib in enumerate(CONTEXT_SIZES_GIB)
        ],
    }


def _rates(rate: Rate | None, *, generates: bool) -> dict[str, object]:
    return {"tg": rate_view(rate) if generates else None, "embed": None if generates else rate_view(rate)}


def _quant_view(quant: QuantNeed, *, generates: bool) -> dict[str, object]:
    cpu, part = quant.cpu_only, quant.partial
    return {
        "quant": quant.variant.quant,
        "predicted": quant.predicted,
        "file_bytes": quant.file_bytes,
        "file_bytes_source": quant.variant.file_bytes_source,
        "gpu_bytes": quant.gpu_bytes,
        "host_bytes": quant.host_bytes,
        "cpu_only_bytes": cpu.total_bytes,
        "cpu_only": None
        if cpu.host is None
        else {"machine": _host_view(cpu.host), "ram_gib": cpu.ram_gib, **_rates(cpu.rate, generates=generates)},
        "partial": None
        if part is None
        else {
            "card_gib": part.card_gib,
            "gpu_bytes": part.gpu_bytes,
            "host_bytes": part.host_bytes,
            "n_gpu_layers": part.n_gpu_layers,
            "n_cpu_moe": part.n_cpu_moe,
            **_rates(part.rate, generates=generates),
        },
    }


def _host_view(host: TypicalHost) -> dict[str, object]:
    return {
        "id": host.id,
        "name": host.name,
        "memory_bandwidth_gbps": host.bandwidth_gbps,
        "cores": host.cores,
        "memory_max_bytes": host.ram_gib[-1] * GIB,
        "basis": "assumed",
    }


def _device_view(device: DeviceNeed, found: Need) -> dict[str, object]:
    runs = device.verdict is not Verdict.NO_FIT
    placement = device.estimate.placement
    return {
        "slug": device.chip.spec.slug,
        "name": device.chip.spec.name,
        "also": list(device.chip.others),
        "class": device.kind.value,
        "memory_gib": device.memory_gib,
        "memory_bandwidth_gbps": device.chip.spec.memory_bandwidth_gbps,
        "count": device.count,
        "quant": found.question.variant.quant,
        "verdict": device.verdict.value,
        "reaches_speed": None if found.question.workload.min_speed is None else device.reaches and runs,
        "device_bytes": device.device_bytes if runs else None,
        "host_bytes": device.host_bytes if runs else None,
        "n_gpu_layers": placement.n_gpu_layers,
        "n_cpu_moe": placement.n_cpu_moe,
        "largest_quant": None if device.largest is None else device.largest.quant,
        **_rates(device.rate, generates=found.question.model.role is Role.GENERATION),
    }
