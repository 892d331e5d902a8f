"""`planner models`: what the catalog knows."""

import difflib
from collections import Counter
from typing import Any

import click

from planner.cli import models_page, output
from planner.cli.columns import terminal_width
from planner.cli.machine import asked_machine
from planner.cli.models_page import COLUMN_NAMES
from planner.cli.session import Session, common_options, hardware_options
from planner.core.costs.own_device import machine_name
from planner.core.fits.model_fit import Fitted, fitted
from planner.core.fits.model_list import SORT_KEYS, Query, ordered
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Role
from planner.core.models.wishes import Wishes
from planner.core.pages.views import hardware_view
from planner.errors import NoResultError, UsageError
from planner.units import parse_count, parse_disk


@click.command()
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Only models for this purpose.")
@click.option("--search", metavar="TEXT", help="Every word is in id, alias, family, licence or a language.")
@click.option(
    "--licence",
    type=click.Choice(["any", "commercial"]),
    default="any",
    help="commercial: only licences that allow commercial use without conditions.",
)
@click.option("--language", metavar="CODE", help="Only models that know this language: en, de, German.")
@click.option("--family", metavar="NAME", help="Only this family: qwen3, bge.")
@click.option("--min-params", metavar="N", help="At least so many parameters: 335M, 8B.")
@click.option("--max-params", "--max-parameters", metavar="N", help="At most so many parameters.")
@click.option("--max-size", metavar="SIZE", help="Only models with a file of at most this size in GB: 2, 500MB.")
@click.option("--deployable", is_flag=True, help="Only models that can be run here.")
@click.option(
    "--fits", is_flag=True, help="Only models that run on this machine, and how; --vram and others imply it."
)
@click.option(
    "--context", type=click.IntRange(1, 2**24), metavar="TOKENS", help="Context for --fits; default: 8192 at most."
)
@click.option(
    "--sort",
    type=click.Choice(SORT_KEYS),
    help="mtr, quality: best first; context, speed: largest; date: newest; the others: smallest.",
)
@click.option("--reverse", is_flag=True, help="The other way round; what is unknown stays last.")
@click.option("--columns", metavar="NAMES", help=f"Of these, separated by commas: {', '.join(COLUMN_NAMES)}.")
@hardware_options
@common_options
def models(
    session: Session,
    *,
    fits: bool,
    sort: str | None,
    reverse: bool,
    columns: str | None,
    context: int | None,
    **wanted: Any,
) -> None:
    r"""List the models of the catalog, those that can be ranked but not run included.

    Columns that do not fit the terminal are left out; piped, all are there. MTR % is the mean task rank in pool
    results_2026-08-20, lower is better. With --fits the quant shown is the best one on the machine.

    \b
    Examples:
      planner models --role embedding --sort mtr
      planner models --search "qwen3 8b"
      planner models --vram 8 --role generation --sort quality
      planner models --columns name,vector,pooling,languages --role embedding
      planner models --licence commercial --json
    """
    query = _query(session, **wanted)
    fits = fits or session.simulated
    names = models_page.chosen_columns(columns, fits=fits)
    if sort == "speed" and not fits:
        raise UsageError(
            "--sort speed is about a machine, and none was asked about.",
            hint="Add --fits for this machine, or describe one: --vram 8.",
            reference="no-machine",
        )
    chosen = [model for model in session.catalog.models if query.admits(model)]
    hardware = asked_machine(session) if fits else None
    found: dict[str, Fitted] = {}
    if hardware is not None:
        speed = session.calibration
        pairs = ((model.id, fitted(model, hardware, context, calibration=speed)) for model in chosen)
        found = {name: best for name, best in pairs if best is not None and best.fit.verdict is not Verdict.NO_FIT}
        fitting = [model for model in chosen if model.id in found]
        if chosen and not fitting:
            raise NoResultError(
                f"None of the {len(chosen)} models that match runs on {machine_name(hardware)}.",
                hint="`planner models` without --fits lists them.",
                reference="nothing-fits",
            )
        chosen = fitting
    if not chosen:
        raise _none_matches(session, query)
    runs = {key: best.fit for key, best in found.items()}
    if session.as_json:
        if sort is not None or reverse:
            chosen = ordered(chosen, sort or "name", runs, reverse=reverse)
        document: dict[str, object] = {"schema": 1}
        if hardware is not None:
            document["hardware"] = hardware_view(hardware)
        document["models"] = [models_page.view(model, found.get(model.id), with_fit=fits) for model in chosen]
        output.write_json(document)
        return
    if hardware is not None:
        session.note(f"On {machine_name(hardware)}, all of its memory free; the best quant of each model:")
    counts = Counter(model.name.casefold() for model in session.catalog.models)
    unique = frozenset(name for name, count in counts.items() if count == 1)
    chosen = ordered(chosen, sort, runs, reverse=reverse)
    output.write_lines(models_page.page(chosen, found, names, unique, terminal_width()))


def _query(
    session: Session,
    *,
    role: str | None,
    search: str | None,
    licence: str,
    language: str | None,
    family: str | None,
    min_params: str | None,
    max_params: str | None,
    max_size: str | None,
    deployable: bool,
) -> Query:
    from planner.core.models.languages import parse_language

    least = parse_count(min_params) if min_params is not None else None
    most = parse_count(max_params) if max_params is not None else None
    if least is not None and most is not None and least > most:
        raise UsageError(f"No model has at least {min_params} and at most {max_params} parameters.")
    if family is not None:
        _check_family(session, family)
    return Query(
        role=Role(role) if role is not None else None,
        search=search or "",
        family=family,
        min_parameters=least,
        wishes=Wishes(
            commercial=licence == "commercial",
            language=parse_language(language) if language is not None else None,
            max_parameters=most,
            max_file_bytes=parse_disk(max_size) if max_size is not None else None,
            deployable=deployable,
        ),
    )


def _check_family(session: Session, family: str) -> None:
    families = sorted({model.family for model in session.catalog.models})
    if family.casefold() in {name.casefold() for name in families}:
        return
    near = difflib.get_close_matches(family.casefold()[:100], families, n=3, cutoff=0.5)
    raise UsageError(
        f"There is no family “{family[:40]}” in the catalog.",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(families)}.",
        reference="unknown-family",
    )


def _none_matches(session: Session, query: Query) -> NoResultError:
    from planner.catalog.references import nearest_models

    near = nearest_models(session.catalog.models, query.search) if query.search else ()
    return NoResultError(
        "No model of the catalog matches.",
        hint=f"Did you mean {' or '.join(near)}?" if near else "`planner models` without filters lists them all.",
        reference="no-models",
    )
