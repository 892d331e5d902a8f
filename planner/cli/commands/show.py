"""`planner show`: a model's page."""

from typing import TYPE_CHECKING

import click

from planner.cli.columns import terminal_width
from planner.cli.machine import asked_machine
from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options, hardware_options
from planner.core.models.model import Model

if TYPE_CHECKING:
    from planner.core.scores.ranking import Ranking


@click.command(short_help="A model's page: quants, devices, scores, licence, alternatives.")
@click.argument("model", metavar="MODEL[:QUANT]")
@click.option(
    "--context",
    type=click.IntRange(1, 2**24),
    metavar="TOKENS",
    help="Context to estimate for; default: 8192 at most.",
)
@click.option(
    "--here/--no-here",
    default=None,
    help="How it runs on this machine; without --json that is shown unless --no-here says otherwise.",
)
@hardware_options
@common_options
def show(session: Session, *, model: str, context: int | None, here: bool | None) -> None:
    r"""Show what a model is, what it needs, where it runs how well, and what else there is.

    Memory and speed are those of the whole devices, whatever else uses them. The machine described by --gpu, --vram
    and the others is shown in place of this one.

    \b
    Examples:
      planner show bge-m3
      planner show Qwen3-8B:Q4_K_M --gpu "RTX 3060 12 GB" --context 16384
      planner show Linq-Embed-Mistral --json
    """
    from planner.core.pages.model_page import model_page

    found, variant = session.catalog.parse_model_ref(model)
    wanted = session.simulated or (not session.as_json if here is None else here)
    if context is not None and context > found.context_length:
        session.note(f"{found.name} was trained on {found.context_length:,} tokens: shown with those.")
    page = model_page(
        found,
        models=session.catalog.models,
        specs=session.catalog.devices,
        rankings=rankings_of(session, [found]),
        variant=variant,
        context=context,
        machine=asked_machine(session) if wanted and found.architecture is not None else None,
        name=short_name(session, found),
        calibration=session.catalog.speed,
        calibration_here=session.calibration if wanted else None,
    )
    from planner.cli.rentals_block import find_rentals, rental_lines, rentals_view

    rentals = find_rentals(session, found, page.variant, context=context)
    if session.as_json:
        from planner.cli.show_document import document

        write_json({**document(page), "rentals": rentals_view(rentals)})
    else:
        from planner.cli.show_page import page as lines

        width = terminal_width()
        names = {spec.slug: spec.name for spec in session.catalog.devices}
        block = (
            ()
            if rentals is None or page.variant is None
            else rental_lines(rentals, found, page.variant, names, width)
        )
        write_lines(lines(page, described=session.simulated, width=width, rentals=block))


def rankings_of(session: Session, models: list[Model]) -> dict[str, "Ranking"]:
    """The pools that the models quote and those that are trusted most; one that is broken is said and left out."""
    from planner.catalog.evals import rankings_of as read

    return read(models, session.catalog.folder, note=session.note)


def short_name(session: Session, model: Model) -> str:
    """The name without owner where it is this model's alone, else the id."""
    same = [other for other in session.catalog.models if other.name.casefold() == model.name.casefold()]
    return model.name if len(same) == 1 else model.id
