"""`planner catalog update`: what the Hub holds now of the models in the catalog, shown before it is written."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from planner.cli import output
from planner.cli.diagnostics import ExitCode
from planner.cli.session import Session, common_options
from planner.core.models.file_updates import Change, RepoState, Update
from planner.core.models.file_updates import update as compare
from planner.core.models.model import Model
from planner.core.values import RepoId
from planner.errors import OfflineError, RemoteError, UsageError
from planner.units import format_gb


@dataclass
class _Result:
    """What was found out: by model what is different, and which repositories could not be asked."""

    updates: list[Update] = field(default_factory=list)
    unreachable: dict[str, RemoteError] = field(default_factory=dict)
    asked: int = 0
    written: list[Path] = field(default_factory=list)


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--dry-run", is_flag=True, help="Only show what is different.")
@common_options
def update(session: Session, models: tuple[str, ...], *, yes: bool, dry_run: bool) -> int:
    r"""Compare files of the catalog with the Hub, and take over what changed into your own catalog.

    Sizes, hashes and commits of known files, and quantisations that are new in a model's repositories; what has
    vanished is told and kept. The difference is shown first, the shipped catalog is never changed. Without MODEL
    all models are looked at.

    \b
    Examples:
      planner catalog update Qwen/Qwen3-8B
      planner catalog update --dry-run
      planner catalog update Qwen3-8B --yes --json
    """
    from planner.net.http import require_online

    require_online(session.config, "Asking the Hub what changed")
    chosen = _chosen(session, models)
    result = _compare(session, chosen)
    changed = [update for update in result.updates if update.changes]
    if result.unreachable and not result.asked:
        raise next(iter(result.unreachable.values()))
    if not session.as_json:
        output.write_lines(_lines(result))
    if changed and not dry_run and (yes or _agreed(session)):
        result.written = [_write(session, update.model) for update in changed]
    if session.as_json:
        output.write_json(_body(result, dry_run=dry_run))
    _conclude(session, result, changed, dry_run=dry_run)
    return ExitCode.OK


def _chosen(session: Session, names: Sequence[str]) -> tuple[Model, ...]:
    """The models to look at: as their files have them, without what tables and fetches on this machine add."""
    from planner.catalog.loader import as_written, load

    plain = load(session.config.catalogs, own=session.config.own_catalog_dir)
    found = [plain.find(name) for name in names] if names else list(plain.models)
    given = [model for model in found if not _may_write(session, model)]
    if names and given:
        raise UsageError(
            f"{given[0].id} is described in {plain.files[given[0].id.casefold()]}, given by --catalog or in the "
            "settings: that is not planner's to write.",
            hint="Move the file into your own catalog, or leave out --catalog.",
            reference="not-own-catalog",
        )
    once = {model.id: model for model in found}
    found = [model for model in once.values() if _may_write(session, model) and _repos(model)]
    if not found:
        what = f"{names[0]} names" if len(names) == 1 else "These models name" if names else "The catalog names"
        raise UsageError(
            f"{what} no repository on the Hub, so there is nothing to compare with.",
            hint="planner show MODEL says where its files are.",
            reference="no-repository",
        )
    return tuple(as_written(plain.files[model.id.casefold()], model.id) for model in found)


def _may_write(session: Session, model: Model) -> bool:
    """Whether the entry is ours or in the user's own folder: one given by hand would hide what is written."""
    file = session.catalog.files.get(model.id.casefold())
    given = [path.resolve() for path in session.config.catalogs]
    return file is None or not any(file.resolve() == path or path in file.resolve().parents for path in given)


def _repos(model: Model) -> tuple[RepoId, ...]:
    named = [a.repo for variant in model.variants for a in variant.artifacts if a.source == "hub" and a.repo]
    return tuple(dict.fromkeys((*named, *model.gguf_repos)))


def _compare(session: Session, models: Sequence[Model]) -> _Result:
    from planner.fetch.hub import list_files
    from planner.fetch.progress import Silent
    from planner.fetch.resolve import listed

    result = _Result()
    states: dict[RepoId, RepoState] = {}
    wanted = list(dict.fromkeys(repo for model in models for repo in _repos(model)))
    if len(wanted) > 10:
        session.note(f"Asking the Hub about {len(wanted)} repositories …")
    for repo in wanted:
        try:
            snapshot = list_files(repo, config=session.config, progress=Silent())
        except OfflineError:
            raise
        except RemoteError as error:
            result.unreachable[repo] = error
            if error.reference == "rate-limited" or (error.reference in {"network", "timeout"} and not states):
                break  # the next hundred questions would get the same answer, and wait as long for it
            continue
        states[repo] = RepoState(
            snapshot.commit,
            listed(snapshot),
            {name: expected.bytes for name, expected in snapshot.files.items()},
            {name: expected.sha256 for name, expected in snapshot.files.items()},
        )
    result.asked = len(states)
    result.updates = [compare(model, states) for model in models]
    return result


def _lines(result: _Result) -> Iterable[str]:
    """The difference for people: what is new, what is not what it was, what has gone."""
    for update in result.updates:
        if not update.changes and not update.vanished:
            continue
        yield update.model.id
        for (quant, repo, file), changes in _by_file(update.changes).items():
            yield f"  {quant}  {repo}/{file}"
            yield from (f"    {c.field}: {_value(c.field, c.old)} → {_value(c.field, c.new)}" for c in changes)
        for gone in update.vanished:
            now = f"; {gone.now} is there" if gone.now else ""
            yield f"  {gone.quant}  {gone.repo}/{gone.file}"
            yield f"    vanished: the repository does not hold it any more{now}. The entry keeps it."
    for repo, error in result.unreachable.items():
        yield f"{repo} could not be asked: {error.message}"


def _by_file(changes: Iterable[Change]) -> dict[tuple[str, str, str], list[Change]]:
    files: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        files.setdefault((change.quant, change.repo, change.file), []).append(change)
    return files


def _value(name: str, value: str | int | None) -> str:
    if value is None:
        return "none" if name == "file" else "not known"
    if isinstance(value, int):
        return f"{value:,} bytes ({format_gb(value)})"
    return value


def _agreed(session: Session) -> bool:
    if session.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(f"Write this into {session.config.own_catalog_dir}?", err=True, default=False)


def _write(session: Session, model: Model) -> Path:
    from planner.catalog.writing import write_model

    own = session.config.own_catalog_dir
    file = session.catalog.files.get(model.id.casefold())
    return write_model(own, model, instead_of=file if file is not None and file.parent == own else None)


def _conclude(session: Session, result: _Result, changed: Sequence[Update], *, dry_run: bool) -> None:
    for path in result.written:
        session.note(f"Written to {path}.")
    looked = f"{len(result.updates)} model{'s' * (len(result.updates) != 1)} looked at"
    if not changed:
        vanished = sum(len(update.vanished) for update in result.updates)
        gone = f", {vanished} file{'s' * (vanished != 1)} gone" if vanished else ""
        session.note(f"{looked}: nothing to take over{gone}.")
    elif not result.written:
        how = "" if dry_run else " Take it over with --yes."
        differ = "1 differs" if len(changed) == 1 else f"{len(changed)} differ"
        session.note(f"{looked}, {differ}; nothing was written.{how}")


def _body(result: _Result, *, dry_run: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "dry_run": dry_run,
        "models": [update.model.id for update in result.updates],
        "changes": [{"model": u.model.id, **c._asdict()} for u in result.updates for c in u.changes],
        "vanished": [{"model": u.model.id, **v._asdict()} for u in result.updates for v in u.vanished],
        "unreachable": [
            {"repo": repo, "reference": error.reference, "message": error.message}
            for repo, error in result.unreachable.items()
        ],
        "written": [str(path) for path in result.written],
    }
