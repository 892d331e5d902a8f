"""`planner recommend`: the best pairs for a machine, with memory by component, speed ranges and reasons."""

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
import msgspec

from planner.cli.columns import terminal_width
from planner.cli.output import write_json, write_lines
from planner.cli.planning import plan, planned_hardware, workload_options
from planner.cli.recommend_page import csv_lines, explained_lines, machine_lines, markdown_lines, table_lines
from planner.cli.session import Session, common_options, hardware_options
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.readings import use_notes
from planner.core.memory.workload import Workload
from planner.core.models.model import Role
from planner.core.pages.views import hardware_view, recommendation_view, workload_view
from planner.core.pairs.changes import Changes, with_changes
from planner.core.pairs.pair import COMFORT_MARGIN
from planner.core.pairs.recommendation import Recommendation
from planner.errors import NoResultError, UsageError

if TYPE_CHECKING:
    from planner.cli.rent_or_run import Costs


@click.command(short_help="The best pairs for this machine, or for one you describe.")
@hardware_options
@workload_options
@click.option(
    "--role",
    type=click.Choice(["rag", "embedding", "generation", "reranker"]),
    default="rag",
    show_default=True,
    help="A pair for retrieval-augmented generation, or one model.",
)
@click.option("--limit", "-n", type=click.IntRange(1, 50), default=5, show_default=True, help="How many plans.")
@click.option("--explain", is_flag=True, help="Terms of the score, memory by process, reasons, what would change it.")
@click.option("--format", "form", type=click.Choice(["table", "md", "csv"]), help="For people.  [default: table]")
@click.option(
    "--free/--total",
    "live",
    default=True,
    help="Plan with the memory that is free now (the default), or with all of it whatever others hold.",
)
@click.option("--with-prices", is_flag=True, help="Ask what renting costs: the cheapest that holds each plan.")
@common_options
def recommend(
    session: Session,
    *,
    workload: Workload,
    role: str,
    limit: int,
    explain: bool,
    form: str | None,
    live: bool,
    with_prices: bool,
) -> None:
    r"""Rank plans for a machine: an embedding and a generation model that fit together.

    Without options this machine is probed and planned with the memory that is free now, less 5 % of every device as
    headroom; --vram, --gpu, --ram describe another machine, and then nothing of this one goes into the answer.
    The first plan has the best score; the others are real choices beside it: better, faster, smaller. Where prices
    of rentals less than an hour old are kept, each plan has what renting and running it cost; --with-prices asks for
    them, and takes a few seconds.

    \b
    Examples:
      planner recommend --vram 8
      planner recommend --gpu "RTX 4090" --prefer quality --licence commercial
      planner recommend --vram 12 --docs 50000 --explain
      planner recommend --total               as if nothing else held memory
      planner recommend --gpu "RTX 3060 12 GB" --with-prices
      planner recommend --ram 32 --json
    """
    workload = msgspec.structs.replace(workload, role="rag" if role == "rag" else Role(role), limit=limit)
    _check(session, workload, form, explain=explain, with_prices=with_prices)
    hardware = planned_hardware(session, live=live)
    if not session.simulated:
        for note in use_notes(session.hardware):
            session.note(note if live else f"{note} --total plans as if it were free.")
    try:
        found = plan(session, workload, live=live)
    except NoResultError as error:
        if error.reference != "nothing-fits":
            raise
        from planner.cli.rent_instead import with_rental

        raise with_rental(session, error, workload) from error
    machine = machine_of(hardware, live=live and not session.simulated, margin=COMFORT_MARGIN)
    found = with_changes(
        found,
        Changes(
            session.catalog.models,
            machine,
            hardware,
            workload,
            session.calibration,
            margin=COMFORT_MARGIN,
            live=live and not session.simulated,
        ),
    )
    found = tuple(_with_catalogs(session, item) for item in found)
    basis = "described" if session.simulated else "free" if live else "total"
    costs = None
    if with_prices or (not session.as_json and form in {None, "table"} and _prices_are_kept(session)):
        from planner.cli.rent_or_run import find_costs

        costs = find_costs(session, found, hardware, workload, ask=with_prices)
    if session.as_json:
        write_json(_document(hardware, basis, workload, found, costs))
    elif form == "csv":
        write_lines(csv_lines(found))
    elif form == "md":
        write_lines(markdown_lines(found))
    else:
        write_lines(_page(hardware, found, basis, workload, explain=explain, costs=costs))


def _with_catalogs(session: Session, plan: Recommendation) -> Recommendation:
    """The plan with the files in its command that its models were read from, as far as they were given by hand."""
    if not session.catalogs:
        return plan
    files = [session.catalog.files.get(choice.model.id.casefold()) for choice in plan.choices]
    needed = [each for each in session.catalogs if any(file and file.is_relative_to(each) for file in files)]
    options = [word for path in dict.fromkeys(needed) for word in ("--catalog", str(path))]
    return msgspec.structs.replace(plan, command=(*plan.command, *options))


def _prices_are_kept(session: Session) -> bool:
    """Whether prices may have been collected within the hour: if not, what would read them need not be imported."""
    folder = session.config.cache_dir / "prices"
    try:
        written = [path.stat().st_mtime for path in folder.glob("*.json")]
    except OSError:
        return False
    if not written:
        return False
    from planner.core.costs.offers import FRESH_S

    return any(abs(time.time() - at) < FRESH_S for at in written)


def _document(
    hardware: Hardware, basis: str, workload: Workload, found: Sequence[Recommendation], costs: "Costs | None"
) -> dict[str, object]:
    """The answer for scripts; with costs only where they were asked for: the same question has the same bytes."""
    plans = [recommendation_view(item, workload.prefer) for item in found]
    document: dict[str, object] = {
        "schema": 1,
        "hardware": hardware_view(hardware),
        "memory_basis": basis,
        "workload": workload_view(workload),
    }
    if costs is None:
        return {**document, "recommendations": plans}
    from planner.cli.rent_or_run import costs_view, prices_view

    priced = [
        {**plan, "rent_or_run": costs_view(costs.by_rank[item.rank])} for plan, item in zip(plans, found, strict=True)
    ]
    return {**document, "recommendations": priced, "prices": prices_view(costs)}


def _check(session: Session, workload: Workload, form: str | None, *, explain: bool, with_prices: bool) -> None:
    """Refuse options that contradict each other."""
    if session.as_json and form is not None:
        raise UsageError("--json and --format are two answers to one question.", hint="Give one of them.")
    if explain and form in {"md", "csv"}:
        raise UsageError(f"--explain has no form in --format {form}.", hint="--json has all of it.")
    if with_prices and form in {"md", "csv"}:
        raise UsageError(f"--with-prices has no form in --format {form}.", hint="--json has all of it.")
    if workload.role in {Role.EMBEDDING, Role.RERANKER}:
        for option, given in (("--min-speed", workload.min_speed), ("--context", workload.context)):
            if given is not None:
                raise UsageError(
                    f"{option} is about generated answers, and --role {workload.role} plans none.",
                    hint=f"Leave out {option}, or plan a pair: --role rag.",
                    reference="contradiction",
                )
    if workload.reranker and workload.role != "rag":
        raise UsageError(
            f"--reranker adds one to a pair, and --role {workload.role} is a single model.",
            hint="Leave out one of them.",
            reference="contradiction",
        )


def _page(
    hardware: Hardware,
    found: Sequence[Recommendation],
    basis: str,
    workload: Workload,
    *,
    explain: bool,
    costs: "Costs | None",
) -> Iterator[str]:
    texts: dict[int, str] = {}
    if costs is not None:
        from planner.cli.rent_or_run import cost_texts

        texts = cost_texts(costs)
    yield from machine_lines(hardware)
    if basis != "described":
        planned = "the memory that is free now" if basis == "free" else "all memory, whatever others hold of it"
        other = "--total plans with all of it" if basis == "free" else "--free plans with what is free now"
        yield f"planned with {planned}, {COMFORT_MARGIN:.0%} of every device kept as headroom; {other}"
    yield ""
    if explain:
        for place, item in enumerate(found):
            if place:
                yield ""
            yield from explained_lines(item, workload.prefer, texts.get(item.rank))
    else:
        yield from table_lines(found, texts)
    if costs is not None:
        from planner.cli.rent_or_run import terms_lines

        yield ""
        yield from terms_lines(costs, workload, terminal_width())
