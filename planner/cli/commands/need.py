"""`planner need`: the reverse of `estimate`, from a model to the memory and the devices it takes."""

import click

from planner.cli.columns import terminal_width
from planner.cli.numbers import FiniteRange
from planner.cli.output import write_json, write_lines
from planner.cli.planning import KV_TYPES
from planner.cli.session import Session, common_options
from planner.core.memory.workload import KvType, Workload
from planner.core.models.model import Role
from planner.errors import UsageError


@click.command(short_help="What a model needs: memory by quant, and which devices have it.")
@click.argument("model", metavar="MODEL[:QUANT]")
@click.option(
    "--context", type=click.IntRange(1, 2**24), metavar="TOKENS", help="Context per slot; default: 8192 at most."
)
@click.option("--parallel", type=click.IntRange(1, 64), default=1, show_default=True, help="Concurrent answers.")
@click.option("--kv-type", type=click.Choice(KV_TYPES), default="f16", show_default=True, help="KV cache type.")
@click.option(
    "--min-speed",
    type=FiniteRange(min=0, min_open=True),
    metavar="TOK/S",
    help="Tokens written per second; of an embedder, tokens read.",
)
@click.option("--quant", metavar="QUANT", help="Only this quant, e.g. Q4_K_M.")
@click.option("--all", "everything", is_flag=True, help="Every device of the table, those that are too small too.")
@common_options
def need(
    session: Session,
    *,
    model: str,
    context: int | None,
    parallel: int,
    kv_type: KvType,
    min_speed: float | None,
    quant: str | None,
    everything: bool,
) -> None:
    r"""Say how much memory a model takes in each quant, and which devices hold it, fast enough if a speed is named.

    Nothing of this machine is looked at. A device counts as fast enough by the middle of its range.

    \b
    Examples:
      planner need Llama-3.3-70B
      planner need gemma-3-27b:Q4_K_M --context 131072 --kv-type q8_0
      planner need bge-m3 --min-speed 20000 --json
    """
    from planner.cli.need_page import document, page
    from planner.core.fits.fitting import shown_context
    from planner.core.fits.need import need as find_need
    from planner.core.fits.need import sized_variants, wanted_variant
    from planner.core.fits.need_answer import Question

    name, named = _parted(model, quant)
    found = session.catalog.find(name)
    if context is not None and context > found.context_length:
        session.note(f"{found.name} was trained on {found.context_length:,} tokens: answered for those.")
    if found.role is not Role.GENERATION and (parallel > 1 or kv_type != "f16"):
        session.note("--parallel and --kv-type are about generators: they change nothing here.")
        parallel, kv_type = 1, "f16"
    variant = wanted_variant(found, named)
    question = Question(
        model=found,
        variants=(variant,) if named else sized_variants(found),
        variant=variant,
        context=shown_context(found, context),
        workload=Workload(parallel=parallel, kv_type=kv_type, min_speed=min_speed),
    )
    answer = find_need(question, session.catalog.devices, calibration=session.catalog.speed, everything=everything)
    from planner.cli.rentals_block import find_rentals, rental_lines, rentals_view

    rentals = find_rentals(
        session, found, variant, context=question.context, parallel=parallel, kv_type=kv_type, min_speed=min_speed
    )
    if session.as_json:
        write_json({**document(answer), "rentals": rentals_view(rentals)})
        return
    width = terminal_width()
    write_lines(page(answer, width))
    if rentals is not None:
        names = {spec.slug: spec.name for spec in session.catalog.devices}
        write_lines(["", *rental_lines(rentals, found, variant, names, width)])


def _parted(model: str, quant: str | None) -> tuple[str, str | None]:
    """Name and quant of what was typed; the quant may stand in either place."""
    name, colon, named = model.rpartition(":")
    if not colon:
        return model, quant
    if quant is not None and quant.casefold() != named.casefold():
        raise UsageError(f"Two quants are named: {named[:40]} and {quant[:40]}.", hint="Name one, in either place.")
    return name, named
