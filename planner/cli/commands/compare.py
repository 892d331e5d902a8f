"""`planner compare`: models side by side."""

import click

from planner.cli.columns import terminal_width
from planner.cli.commands.show import rankings_of
from planner.cli.machine import asked_machine
from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options, hardware_options
from planner.errors import UsageError

_MOST = 6


@click.command(short_help="Models side by side, the better value marked.")
@click.argument("models", metavar="MODEL[:QUANT]...", nargs=-1)
@click.option(
    "--context",
    type=click.IntRange(1, 2**24),
    metavar="TOKENS",
    help="Context to compare at; default: what all were trained on, 8192 at most.",
)
@click.option(
    "--here/--no-here",
    default=None,
    help="Memory and speed on this machine; without --json that is so unless --no-here says otherwise.",
)
@hardware_options
@common_options
def compare(session: Session, *, models: tuple[str, ...], context: int | None, here: bool | None) -> None:
    r"""Compare two to six models: one fact a row, the better value marked, the differences in numbers.

    Models are compared in one quant where the catalog has it of all of them, unless quants are named. Ranks are
    compared within one pool of scores only, and tested for significance.

    \b
    Examples:
      planner compare Qwen3-8B Qwen3-4B --vram 8
      planner compare Linq-Embed-Mistral SFR-Embedding-Mistral
      planner compare Qwen3-8B:Q4_K_M Qwen3-8B:Q8_0 --gpu "RTX 4090" --json
    """
    from planner.cli.compare_page import document, page
    from planner.core.fits.device_grid import reference_hardware
    from planner.core.pages.side_by_side import compared_variants, side_by_side

    if not 2 <= len(models) <= _MOST:
        raise UsageError(
            f"Two to {_MOST} models can be compared, not {len(models)}.",
            hint="planner compare MODEL MODEL; planner models lists them.",
            reference="wrong-count",
        )
    asked = [session.catalog.parse_model_ref(reference) for reference in models]
    seen: set[tuple[str, str | None]] = set()
    for (model, _), variant in zip(asked, compared_variants(asked), strict=True):
        key = (model.id, None if variant is None else variant.quant)
        if key in seen:
            raise UsageError(
                f"{model.id} was named twice{f' as {variant.quant}' if variant is not None else ''}.",
                hint=f"Name another model, or another quant of it: {model.name}:QUANT.",
                reference="same-model",
            )
        seen.add(key)
    wanted = session.simulated or (not session.as_json if here is None else here)
    machine = asked_machine(session) if wanted else None
    found = side_by_side(
        asked,
        machine or reference_hardware(session.catalog.devices),
        rankings_of(session, [model for model, _ in asked]),
        context=context,
        limited=machine is not None,
        calibration=session.catalog.speed if machine is None else session.calibration,
    )
    if session.as_json:
        write_json(document(found, machine))
    else:
        write_lines(page(found, machine, width=terminal_width()))
