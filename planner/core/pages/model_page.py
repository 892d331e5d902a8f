"""Everything the page of a model says, as values: quants, devices, scores, alternatives, how to run it."""

from collections.abc import Mapping, Sequence

import msgspec

from planner.core.fits.device_grid import DeviceRow, device_rows, reference_hardware
from planner.core.fits.fitting import (
    Fit,
    file_bytes_of,
    fit_on,
    quant_loss,
    quant_loss_basis,
    shown_context,
    shown_variants,
    usable_context,
)
from planner.core.fits.model_list import usual_variant
from planner.core.machines.hardware import DeviceSpec, Hardware
from planner.core.models.model import Model, Role, Variant
from planner.core.pages.alternatives import Alternative, alternatives
from planner.core.pages.difference import Side
from planner.core.pages.quick_start import Step, quick_start
from planner.core.scores.ranking import Ranking
from planner.core.scores.standing import Standing, Unranked, standings, unranked
from planner.core.speed.calibration import GENERIC, Calibration

VIA = "via"
"""How the place of a file begins that is found by listing a repository."""


class QuantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A quant: its file, what it takes on a CUDA card with room (None: not known), and what it costs in quality.

    `predicted`: the catalog knows no such file, its size follows from the architecture.
    """

    variant: Variant
    predicted: bool
    file_bytes: int | None
    bits_per_weight: float | None
    fit: Fit | None
    loss: float | None
    loss_basis: str | None


class HereRow(msgspec.Struct, frozen=True):
    """A quant on the machine asked about, and the longest context with which it fits whole there (or None)."""

    fit: Fit
    usable_context: int | None


class Here(msgspec.Struct, frozen=True):
    """The machine asked about, with the quants whose memory can be estimated."""

    hardware: Hardware
    rows: tuple[HereRow, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A model's page. `variant` is the quant that was named, else the one taken when none is; None without any.

    `context` in tokens is what memory and speed are estimated for.
    """

    model: Model
    variant: Variant | None
    context: int
    quants: tuple[QuantRow, ...]
    devices: tuple[DeviceRow, ...]
    standings: tuple[Standing, ...]
    unranked: tuple[Unranked, ...]
    alternatives: tuple[Alternative, ...]
    quick_start: tuple[Step, ...]
    here: Here | None


def model_page(
    model: Model,
    *,
    models: Sequence[Model],
    specs: Sequence[DeviceSpec],
    rankings: Mapping[str, Ranking],
    variant: Variant | None = None,
    context: int | None = None,
    machine: Hardware | None = None,
    name: str | None = None,
    calibration: Calibration = GENERIC,
    calibration_here: Calibration | None = None,
) -> Page:
    """The page of a model among `models`; with a `machine` also how its quants run there.

    `name` is what the command line takes for the model, its id when None. `calibration_here` is the machine's own.
    """
    tokens = shown_context(model, context)
    variants = shown_variants(model)
    named = variant or usual_variant(model) or _usual_prediction(model, variants)
    reference = reference_hardware(specs)
    quants = tuple(_quant_row(model, shown, reference, tokens, calibration) for shown in variants)
    fit = None if named is None else fit_on(model, named, reference, tokens, calibration=calibration)
    subject = Side(model, fit)
    known = [row.variant for row in quants if row.fit is not None]
    return Page(
        model=model,
        variant=named,
        context=tokens,
        quants=quants,
        devices=device_rows(model, known, tokens, specs, calibration=calibration) if known else (),
        standings=standings(model, rankings),
        unranked=unranked(model, rankings),
        alternatives=alternatives(subject, models, reference, tokens, calibration=calibration),
        quick_start=quick_start(model, None if named is None else named.quant, name=name or model.id),
        here=None
        if machine is None or not known
        else _here(model, known, machine, tokens, calibration_here or calibration),
    )


def _quant_row(
    model: Model, variant: Variant, reference: Hardware, context: int, calibration: Calibration
) -> QuantRow:
    size = file_bytes_of(model, variant)
    return QuantRow(
        variant=variant,
        predicted=variant not in model.variants,
        file_bytes=size,
        bits_per_weight=None if size is None or not model.parameters else 8 * size / model.parameters,
        fit=fit_on(model, variant, reference, context, calibration=calibration),
        loss=quant_loss(model, variant.quant),
        loss_basis=quant_loss_basis(model, variant.quant),
    )


def _usual_prediction(model: Model, variants: Sequence[Variant]) -> Variant | None:
    """Of predicted quants the one that would be taken: what `default_variant` prefers."""
    wanted = "Q4_K_M" if model.role is Role.GENERATION else "Q8_0"
    return next((variant for variant in variants if variant.quant == wanted), None)


def _here(
    model: Model, variants: Sequence[Variant], machine: Hardware, context: int, calibration: Calibration
) -> Here:
    rows = [
        HereRow(fit, usable_context(model, variant, machine))
        for variant in variants
        if (fit := fit_on(model, variant, machine, context, calibration=calibration)) is not None
    ]
    return Here(machine, tuple(rows))


def where_from(model: Model, row: QuantRow) -> str:
    """Where the file of a quant is fetched from, in words."""
    if not row.variant.artifacts:
        if model.gguf_repos:
            return f"{VIA} {', '.join(model.gguf_repos)}"
        return "convert it yourself" if row.predicted else "no file is known"
    first = row.variant.artifacts[0]
    match first.source:
        case "hub":
            text = f"{first.repo}"
        case "package":
            text = f"Python package {first.package} {first.version}"
        case "file":
            text = f"{first.file}"
    shards = f", {len(first.shards)} files" if first.shards else ""
    more = len(row.variant.artifacts) - 1
    return text + shards + (f" and {more} more" if more else "")
