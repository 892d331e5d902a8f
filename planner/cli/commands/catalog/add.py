"""`planner catalog add`: a model of the user's, described from its header alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from planner.cli import output
from planner.cli.session import Session, common_options
from planner.core.models.model import Commercial, Model, Pooling, Role
from planner.errors import UsageError
from planner.units import format_count, format_gb, printable

if TYPE_CHECKING:
    from planner.catalog.entry import Answers
    from planner.cli.gguf_sources import Gathered

_POOLINGS = [pooling.value for pooling in Pooling if pooling not in (Pooling.NONE, Pooling.RANK)]


@click.command()
@click.argument("target", metavar="hf:REPO[/FILE]|FILE.gguf|URL")
@click.option("--id", "identity", metavar="ID", help="What it is called; by default like its repository or file.")
@click.option("--role", type=click.Choice([role.value for role in Role]), help="What it is for.")
@click.option("--licence", metavar="SPDX", help="Its licence, e.g. Apache-2.0.")
@click.option("--commercial", type=click.Choice([word.value for word in Commercial]), help="May it be used so?")
@click.option("--pooling", type=click.Choice(_POOLINGS), help="How an embedder's token vectors become one.")
@click.option("--query-prompt", metavar="TEXT", help="Put before a query; {task} stands for an instruction.")
@click.option("--document-prompt", metavar="TEXT", help="Put before a document.")
@click.option("--language", "languages", metavar="CODE", multiple=True, help="A language it knows; repeatable.")
@click.option("--force", is_flag=True, help="Replace an entry of the same id.")
@common_options
def add(
    session: Session,
    target: str,
    *,
    identity: str | None,
    role: str | None,
    licence: str | None,
    commercial: str | None,
    pooling: str | None,
    query_prompt: str | None,
    document_prompt: str | None,
    languages: tuple[str, ...],
    force: bool,
) -> None:
    r"""Add a model to your own catalog; only the header is read, never the weights.

    A repository on the Hub is added with all its quantisations, hf:REPO/FILE with one. A file stays where it is. What
    the header does not hold is asked for, or given by the options; it cannot know an embedder's pooling and prompts
    if nobody wrote them into it.

    \b
    Examples:
      planner catalog add hf:ggml-org/gemma-3-4b-it-GGUF
      planner catalog add ~/models/my-embedder-Q8_0.gguf --pooling last --query-prompt "Query: "
      planner catalog add https://example.org/tiny-Q4_K_M.gguf --id me/tiny
    """
    from planner.catalog.entry import Answers, make_entry, needs_pooling
    from planner.catalog.writing import write_model
    from planner.cli.gguf_sources import default_id, gather, parse_target
    from planner.fetch.pins import forget_pins, write_pin

    where = parse_target(target, session.config.hf_endpoint)
    name = (identity or default_id(where)).strip()
    instead_of = _place(session, name, force=force)
    answers = Answers(
        role=Role(role) if role else None,
        licence=licence,
        commercial=Commercial(commercial) if commercial else None,
        pooling=Pooling(pooling) if pooling else None,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        languages=_languages(languages),
    )
    found = gather(session, where)
    if needs_pooling(found.read, answers):
        answers = _asked(session, found, answers)
    model = make_entry(
        found.read,
        answers,
        identity=name,
        variants=found.variants,
        gguf_repos=found.gguf_repos,
        quants=session.catalog.quants,
    )
    path = write_model(session.config.own_catalog_dir, model, instead_of=instead_of)
    # What an earlier entry of this name was found to be is not what this one is.
    forget_pins(session.config.models_dir, name)
    for pin in found.pins:
        write_pin(session.config.models_dir, msgspec.structs.replace(pin, model=name))
    _report(session, model, path, (*found.notes, *_advice(session, model)))


def _place(session: Session, name: str, *, force: bool) -> Path | None:
    """The file of the user's that describes this id already. Raises UsageError where it may not be replaced."""
    problem = "" if name and len(name) <= 200 else "it must have 1 to 200 characters"
    if any(char.isspace() or char == ":" for char in name):
        problem = "white space and “:” end a name on the command line"
    if problem:
        raise UsageError(f"“{printable(name)[:80]}” cannot be an id: {problem}.", hint="Give another one with --id.")
    file = session.catalog.files.get(name.casefold())
    if file is None:
        return None
    own = file.parent == session.config.own_catalog_dir
    if not force:
        shipped = session.catalog.folder is not None and session.catalog.folder in file.parents
        whose = f"in your catalog, {file}" if own else "in the shipped catalog" if shipped else f"in {file}"
        raise UsageError(
            f"{name} is there already, {whose}.",
            hint="--force replaces it with what the header says; --id OTHER/NAME keeps both.",
            reference="model-exists",
        )
    if not own and file in _given_files(session):
        raise UsageError(
            f"{name} is described in {file}, given by --catalog or in the settings: that wins over your own catalog.",
            hint="Change it there, or give another --id.",
            reference="model-exists",
        )
    return file if own else None


def _given_files(session: Session) -> list[Path]:
    from planner.catalog.loader import user_files

    return [file for path in session.config.catalogs for file in user_files(path)]


def _languages(codes: tuple[str, ...]) -> tuple[str, ...]:
    from planner.core.models.languages import parse_language

    return tuple(dict.fromkeys(parse_language(code) for code in codes))


def _asked(session: Session, found: "Gathered", answers: "Answers") -> "Answers":
    """The answers with a pooling: asked for on a terminal. Raises UsageError elsewhere."""
    import dataclasses

    known = found.read.facts
    if session.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"The header of {found.read.origin} does not say how token vectors become one (no "
            f"{printable(known.architecture or '')}.pooling_type), and an embedder without that answers nonsense.",
            hint=f"Say it: --pooling {'|'.join(_POOLINGS)}, from the model's card (1_Pooling/config.json). Embedders "
            "made from decoders mostly take last. Not an embedder? --role generation.",
            reference="pooling-needed",
        )
    session.note(f"The header of {found.read.origin} does not say how token vectors become one.")
    session.note("The model's card does (1_Pooling/config.json); embedders made from decoders mostly take last.")
    text = click.prompt("Pooling", type=click.Choice(_POOLINGS), err=True)
    return dataclasses.replace(answers, pooling=Pooling(text))


def _advice(session: Session, model: Model) -> list[str]:
    """What the entry leaves open, or changes for other models."""
    from planner.catalog.entry import GIVEN

    notes = []
    if model.licence.commercial is Commercial.UNKNOWN:
        notes.append(
            f"Its licence is {model.licence.spdx.removeprefix('LicenseRef-')}: nobody said whether it may be used "
            "commercially. --licence and --commercial do."
        )
    if model.role is Role.GENERATION and model.sources.get("role") != GIVEN:
        notes.append("Taken for a generator, as its header names no pooling. An embedder? --role embedding.")
    if model.role is Role.EMBEDDING and not model.prompts.query:
        notes.append("No prompt is put before queries; many embedders want one: --query-prompt.")
    same = [
        other.id
        for other in session.catalog.models
        if other.name.casefold() == model.name.casefold() and other.id.casefold() != model.id.casefold()
    ]
    if same:
        notes.append(f"“{model.name}” alone means several models now, {same[0]} too: name it with its owner.")
    return [*notes, *model.notes]


def _report(session: Session, model: Model, path: Path, notes: tuple[str, ...]) -> None:
    if session.as_json:
        from planner.core.pages.views import model_view

        body = {"schema": 1, "model": model_view(model), "file": str(path), "notes": [printable(n) for n in notes]}
        output.write_json(body)
        return
    for note in notes:
        session.note(f"note: {note}")
    parameters = "" if model.parameters is None else f", {format_count(model.parameters)} parameters"
    output.write_lines([f"{model.id}: {model.role.value}{parameters}, {model.context_length:,} tokens of context"])
    rows = [
        (
            f"  {variant.quant}",
            "?" if variant.file_bytes is None else format_gb(variant.file_bytes),
            ", ".join(artifact.file for artifact in variant.artifacts),
        )
        for variant in model.variants
    ]
    output.write_lines(output.table(("  QUANT", "SIZE", "FILE"), rows, right=frozenset({1})))
    output.write_lines([f"Written to {path}.", f"Next: planner estimate {model.id}"])
