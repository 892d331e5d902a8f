"""`planner fetch --list`, `--remove`, `--verify` and `--gc`: what lies in the store, and keeping it in order."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli import output
from planner.cli.diagnostics import ExitCode
from planner.cli.session import Session
from planner.cli.store_view import entry_view, file_view
from planner.core.models.model import Model, Variant
from planner.errors import NoResultError, UsageError
from planner.units import format_gb

if TYPE_CHECKING:
    from planner.fetch.store import Entry, Place, Store
    from planner.fetch.upkeep import Removed


def list_store(session: Session) -> None:
    """Everything that was fetched, whose it is, and what is unfinished."""
    from planner.fetch.places import owners
    from planner.fetch.store import Store

    store = Store(session.config.models_dir)
    owned = owners(store, session.catalog.models)
    files = [(store.check(place, entry), entry) for place, entry in store.noted()]
    found = [(file, entry) for file, entry in files if file is not None]
    unfinished = store.unfinished_bytes()
    if session.as_json:
        body = [{**file_view(file), **entry_view(entry, owned.get(file.path))} for file, entry in found]
        output.write_json({"artifacts": body, "unfinished_bytes": unfinished})
        return
    if not found and not unfinished:
        session.note(f"Nothing has been fetched yet; models will go to {session.config.models_dir}.")
        return
    rows = [
        (
            _reference(owned.get(file.path)) or "-",
            format_gb(file.bytes),
            "yes" if file.verified else "no",
            entry.fetched_at[:10],
            str(file.path),
        )
        for file, entry in found
    ]
    if rows:
        output.write_lines(output.table(("MODEL", "SIZE", "CHECKED", "FETCHED", "PATH"), rows, right=frozenset({1})))
    if unfinished:
        session.note(f"Unfinished downloads: {format_gb(unfinished)}; they go on when the model is fetched again.")


def remove(session: Session, reference: str) -> None:
    """Remove a model, one quant of it, or the file at a path in the store. Raises UsageError while it is in use."""
    from planner.fetch.pins import read_pins
    from planner.fetch.places import places_of
    from planner.fetch.store import Store
    from planner.fetch.upkeep import remove as remove_places

    store = Store(session.config.models_dir)
    places = _at_path(store, reference)
    if not places:
        model, variant = session.catalog.parse_model_ref(reference)
        _refuse_running(session, model, variant)
        pins = read_pins(store.root)
        variants = (variant,) if variant is not None else model.variants
        places = tuple(place for one in variants for place in places_of(store, model, one, pins))
    removed = remove_places(store, places)
    if not removed:
        raise NoResultError(
            f"Nothing of {reference} is in the store.",
            hint="What is: planner fetch --list. Files of your own are never removed.",
            reference="nothing-fetched",
        )
    _report(session, removed, "Removed")


def verify(session: Session, reference: str | None) -> int:
    """Hash files again, of one model or all; exit code 4 when one is wrong or gone."""
    from planner.cli.progress import ProgressLine
    from planner.fetch.pins import read_pins
    from planner.fetch.places import places_of
    from planner.fetch.store import Store
    from planner.fetch.upkeep import Health
    from planner.fetch.upkeep import verify as verify_files

    store = Store(session.config.models_dir)
    chosen: Iterable[tuple[Place, Entry]] = store.noted()
    if reference is not None:
        model, variant = session.catalog.parse_model_ref(reference)
        pins = read_pins(store.root)
        variants = (variant,) if variant is not None else model.variants
        wanted = {place.final for one in variants for place in places_of(store, model, one, pins)}
        chosen = [(place, entry) for place, entry in chosen if place.final in wanted]
    with ProgressLine("store", quiet=session.quiet) as progress:
        checked = verify_files(store, chosen, progress)
    bad = [one for one in checked if one.health is not Health.OK]
    if session.as_json:
        output.write_json(
            {
                "artifacts": [
                    {
                        "path": str(one.path),
                        "bytes": one.entry.bytes,
                        "sha256": one.entry.sha256,
                        "health": one.health.value,
                    }
                    for one in checked
                ]
            }
        )
    else:
        rows = [(one.health.value, format_gb(one.entry.bytes), str(one.path)) for one in checked]
        if rows:
            output.write_lines(output.table(("HEALTH", "SIZE", "PATH"), rows, right=frozenset({1})))
        session.note(_told(len(checked), len(bad)))
    return ExitCode.BAD_DATA if bad else ExitCode.OK


def _told(checked: int, bad: int) -> str:
    if not checked:
        return "There is nothing to verify: nothing of that has been fetched."
    if not bad:
        return f"{checked} file{'s' * (checked != 1)} hashed; nothing is damaged or missing."
    return (
        f"{bad} of {checked} are not what was fetched. A damaged file has been set aside: planner fetch MODEL "
        "fetches it again, planner fetch --gc frees its space."
    )


def collect(session: Session, *, yes: bool) -> None:
    """Show what belongs to nobody and remove it, after asking unless `yes`. Raises UsageError without a terminal."""
    from planner.fetch.places import owners
    from planner.fetch.store import Store
    from planner.fetch.upkeep import collect as collect_files
    from planner.fetch.upkeep import unneeded

    store = Store(session.config.models_dir)
    found = unneeded(store, owners(store, session.catalog.models).keys())
    if not found:
        if session.as_json:
            _report(session, found, "Removed")
        else:
            session.note("There is nothing to clear away.")
        return
    if not yes:
        size = sum(removed.bytes for removed in found)
        if session.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            for one in found if not session.as_json else ():
                session.note(f"  {format_gb(one.bytes):>8}  {one.path}: {one.reason}")
            raise UsageError(
                f"{len(found)} files would be removed ({format_gb(size)}), and nobody can be asked here.",
                hint="Remove them with: planner fetch --gc --yes",
                reference="needs-yes",
            )
        for one in found:
            session.note(f"  {format_gb(one.bytes):>8}  {one.path}: {one.reason}")
        if not click.confirm(f"Remove them ({format_gb(size)})?", err=True, default=False):
            session.note("Nothing was removed.")
            return
    collect_files(store, found)
    _report(session, found, "Removed")


def _report(session: Session, removed: "tuple[Removed, ...]", word: str) -> None:
    freed = sum(one.bytes for one in removed)
    if session.as_json:
        body = [{"path": str(one.path), "bytes": one.bytes, "reason": one.reason} for one in removed]
        output.write_json({"removed": body, "freed_bytes": freed})
        return
    output.write_lines(str(one.path) for one in removed)
    session.note(f"{word} {len(removed)} file{'s' * (len(removed) != 1)}; {format_gb(freed)} freed.")


def _at_path(store: "Store", reference: str) -> "tuple[Place, ...]":
    """The place whose file `reference` is a path to; () when it is none in the store."""
    path = Path(reference)
    if not path.exists():
        return ()
    whole = path.resolve()
    return tuple(place for place, _ in store.noted() if place.final.resolve() == whole)


def _refuse_running(session: Session, model: Model, variant: Variant | None) -> None:
    from planner.serve.deployments import list_deployments
    from planner.serve.state import ENDED

    for record in list_deployments(session.config.deployments_dir):
        if record.state in ENDED:
            continue
        for process in record.processes:
            if process.model == model.id and (variant is None or process.variant == variant.quant):
                raise UsageError(
                    f"{model.id}:{process.variant} is what the deployment “{record.name}” runs; nothing was removed.",
                    hint=f"End it first: planner stop {record.name}",
                    reference="in-use",
                )


def _reference(owner: tuple[Model, Variant] | None) -> str:
    return "" if owner is None else f"{owner[0].id}:{owner[1].quant}"
