"""The tables of a model's page: its quants, the machine asked about, the grid of devices."""

from collections.abc import Iterator, Sequence

from planner.cli.columns import Cell, Column, lay_out, wrapped
from planner.cli.models_page import VERDICTS, range_cell
from planner.core.costs.own_device import machine_name
from planner.core.fits.device_grid import HOST_RAM_GIB, DeviceRow
from planner.core.fits.fitting import LOSS_TOLERANCE, SPEED_TOLERANCE, Fit, rate_of
from planner.core.memory.estimate import HOST, Verdict
from planner.core.models.model import Model, Role
from planner.core.pages.model_page import VIA, Here, Page, QuantRow, where_from
from planner.units import format_gb, format_gib, format_tokens

_LOSS = {
    True: "Quality loss: the relative rise of perplexity, measured on Llama-3-8B with llama.cpp and carried over to "
    "this model; ? where that table has no such type.",
    False: "Quality loss: the relative rise of perplexity of a text generator (Llama-3-8B, llama.cpp). Nobody "
    "published such a table for models of this kind: it is assumed to be the same.",
}
"""By whether the model generates text: what the loss of a quant rests on."""


def quant_lines(found: Page, width: int | None) -> Iterator[str]:
    """Every quant: file, memory, what it costs in quality, where it comes from."""
    predicted = all(row.predicted for row in found.quants)
    title = f"Quants: memory on a CUDA card (GPU) and its host, context {found.context:,} tokens"
    yield from wrapped(title + ("; no file is known, sizes are predicted" if predicted else ""), width)
    columns = [
        Column("QUANT"),
        Column("FILE", right=True),
        Column("GPU", right=True),
        Column("HOST", right=True, leaves=2),
        Column("BITS/WEIGHT", right=True, leaves=3, short_title="BPW"),
        Column("QUALITY LOSS", right=True, short_title="LOSS"),
        Column("WHERE FROM", minimum=30, leaves=1),
    ]
    yield from table_lines(columns, [_quant_cells(found.model, row) for row in found.quants], width)
    if any(_rounded(row) for row in found.quants) and not predicted:
        yield from note_lines("~ a file size that was rounded or predicted, not read from the file", width)
    if any(where_from(found.model, row).startswith(VIA) for row in found.quants):
        yield from note_lines(f"{VIA}: the file is found by listing the repository when it is fetched", width)
    yield from note_lines(_LOSS[found.model.role is Role.GENERATION], width)


def _rounded(row: QuantRow) -> bool:
    return row.variant.file_bytes is None or row.variant.file_bytes_source != "exact"


def _quant_cells(model: Model, row: QuantRow) -> Sequence[Cell]:
    size = "-" if row.file_bytes is None else ("~" if _rounded(row) else "") + format_gb(row.file_bytes)
    gpu, host = "-", "-"
    if row.fit is not None:
        memory = row.fit.estimate.memory
        on_host = next((item.total_bytes for item in memory.devices if item.device == HOST), 0)
        gpu, host = format_gib(memory.total_bytes - on_host), format_gib(on_host)
    bits = "-" if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}"
    guess = " ?" if model.role is Role.GENERATION and row.loss_basis not in (None, "measured") else ""
    loss = "-" if row.loss is None else f"{100 * row.loss:.1f} %{guess}"
    return row.variant.quant, size, gpu, host, bits, loss, where_from(model, row)


def here_lines(found: Page, here: Here, *, described: bool, width: int | None) -> Iterator[str]:
    """Every quant on the machine asked about: whether it fits, usable context, speed."""
    name = machine_name(here.hardware)
    yield from wrapped(f"On {name}" if described else f"On this machine, {name}, with all of its memory free", width)
    columns = [
        Column("QUANT"),
        Column("VERDICT"),
        Column("MEMORY", right=True, leaves=1),
        Column("USABLE CONTEXT", right=True, short_title="USABLE"),
        Column("TOK/S (80 %)", right=True),
        Column("", minimum=40, leaves=2),
    ]
    rows: list[Sequence[Cell]] = []
    for fit, usable in ((row.fit, row.usable_context) for row in here.rows):
        rate = rate_of(found.model, fit.estimate)
        rows.append(
            (
                fit.variant.quant,
                VERDICTS[fit.verdict],
                format_gib(fit.estimate.memory.total_bytes),
                "-" if usable is None else (f"{usable:,}", format_tokens(usable)),
                range_cell(rate),
                fit.estimate.placement.reason,
            )
        )
    yield from table_lines(columns, rows, width)
    yield from note_lines("Usable context: the longest with which the quant fits whole.", width)
    for text in here.hardware.notes if described else ():
        yield from note_lines(text, width)


def device_lines(found: Page, width: int | None) -> Iterator[str]:
    """The grid: devices that many people have against quants, with the best of each."""
    what = "written" if found.model.role is Role.GENERATION else "read"
    yield from wrapped(f"Devices: tokens {what} per second (80 % interval), context {found.context:,} tokens", width)
    if all(row.best is None for row in found.devices):
        names = ", ".join(row.device.label for row in found.devices)
        yield from note_lines(f"None of these runs it alone: {names}.", width)
        return
    quants = [fit.variant.quant for fit in found.devices[0].fits if fit is not None]
    columns = [Column("DEVICE"), Column("BEST"), Column("TOK/S", right=True)]
    columns += [Column(quant, right=True, leaves=len(quants) - index) for index, quant in enumerate(quants)]
    yield from table_lines(columns, [_device_cells(found.model, row) for row in found.devices], width)
    loss, speed = f"{100 * LOSS_TOLERANCE:.1f} %", f"{100 * SPEED_TOLERANCE:.0f} %"
    yield from note_lines(
        f"~ runs with some layers on the CPU; no: does not fit. Cards sit in a host with {HOST_RAM_GIB} GiB, 8 cores "
        f"and 50 GB/s. BEST: of the quants that fit whole and lose at most {loss} more than the best of them, the "
        f"least lossy within {speed} of the fastest.",
        width,
    )


def _device_cells(model: Model, row: DeviceRow) -> Sequence[Cell]:
    best, speeds = _speed(model, row.best), [_speed(model, fit) for fit in row.fits]
    if model.role is not Role.GENERATION:
        # Reading is bound by arithmetic: where a quant is as fast as the best, only that it fits is news.
        speeds = [
            "fits" if _alike(model, fit, row.best) else text for fit, text in zip(row.fits, speeds, strict=True)
        ]
    return row.device.label, "none" if row.best is None else row.best.variant.quant, best, *speeds


def _alike(model: Model, fit: Fit | None, best: Fit | None) -> bool:
    if fit is None or best is None or fit.verdict is not Verdict.FITS:
        return False
    mine, theirs = rate_of(model, fit.estimate), rate_of(model, best.estimate)
    return mine is not None and theirs is not None and abs(mine.mid / theirs.mid - 1) <= 1.5 * SPEED_TOLERANCE


def _speed(model: Model, fit: Fit | None) -> str:
    if fit is None:
        return "-"
    if fit.verdict is Verdict.NO_FIT:
        return "no"
    cell = range_cell(rate_of(model, fit.estimate))
    part = "" if fit.verdict is Verdict.FITS else "~"
    return part + (cell if isinstance(cell, str) else cell[1])


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None) -> Iterator[str]:
    """A table, two cells in."""
    for line in lay_out(columns, rows, None if width is None else width - 2):
        yield f"  {line}"


def note_lines(text: str, width: int | None) -> list[str]:
    """A paragraph, two cells in, further lines four."""
    return wrapped(text, width, first="  ", indent="    ")
