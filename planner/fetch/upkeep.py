"""Keeping the store in order: hash it again, remove a model, clear away what belongs to nobody."""

import contextlib
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from planner.core.values import RepoPath
from planner.errors import UsageError
from planner.fetch.disk import disk_errors, hash_file, used_bytes
from planner.fetch.lock import is_locked
from planner.fetch.partial import discard
from planner.fetch.progress import Part, Progress
from planner.fetch.store import BOOKS, Entry, Place, Store


class Health(StrEnum):
    """What a second look at a file came to."""

    OK = "ok"
    DAMAGED = "damaged"
    MISSING = "missing"


@dataclass(frozen=True)
class Checked:
    """A file that was hashed again. A damaged one has lost its name."""

    path: Path
    entry: Entry
    health: Health


@dataclass(frozen=True)
class Removed:
    """What was, or would be, removed, why, and the bytes that become free: 0 for one of several names of a file."""

    path: Path
    bytes: int
    reason: str


def verify(store: Store, places: Iterable[tuple[Place, Entry]], progress: Progress) -> tuple[Checked, ...]:
    """Hash files from end to end, whatever their time stamps say.

    A wrong file is set aside, so that nothing finds it under its name; `collect` clears it away.
    """
    chosen = tuple(places)
    total = sum(entry.bytes for _, entry in chosen)
    checked: list[Checked] = []
    before = 0
    for place, entry in chosen:
        part = Part(progress, before_bytes=before, total_bytes=total)
        before += entry.bytes
        with disk_errors(place.final):
            if not place.final.is_file():
                health = Health.MISSING
            elif place.final.stat().st_size == entry.bytes and hash_file(place.final, part) == entry.sha256:
                health = Health.OK
            else:
                health = Health.DAMAGED
                place.damaged.parent.mkdir(parents=True, exist_ok=True)
                place.final.replace(place.damaged)
                place.entry.unlink(missing_ok=True)
        checked.append(Checked(place.final, entry, health))
    return tuple(checked)


def remove(store: Store, places: Iterable[Place]) -> tuple[Removed, ...]:
    """Remove files and all that is kept about them, finished or not; other names of the same bytes stay.

    Raises UsageError while another process fetches one of them: nothing is removed then.
    """
    removed: list[Removed] = []
    places = tuple(places)
    busy = next((place for place in places if is_locked(place)), None)
    if busy is not None:
        raise UsageError(
            f"{busy.final.name} is being fetched by another process; nothing was removed.",
            hint="End that process, or wait for it.",
            reference="in-use",
        )
    for place in places:
        with disk_errors(place.final):
            if place.final.exists():
                removed.append(Removed(place.final, _freed(place.final), "asked for"))
                place.final.unlink()
            if place.partial.exists():
                removed.append(Removed(place.partial, _freed(place.partial), "asked for"))
                discard(place)
            place.entry.unlink(missing_ok=True)
            _clear(place.scratch)
            place.damaged.unlink(missing_ok=True)
            _prune(store, place)
    return tuple(removed)


def unneeded(store: Store, owned: Collection[Path]) -> tuple[Removed, ...]:
    """What `collect` would remove: unfinished downloads and files of no known model, and what went wrong.

    `owned` are the paths that belong to a model. What another process works on at this moment is left alone, and so
    is the unfinished download of a known model: it goes on.
    """
    found: list[Removed] = []
    for place in _places(store):
        if is_locked(place):
            continue
        mine = place.final in owned
        if place.damaged.exists():
            found.append(Removed(place.damaged, _freed(place.damaged), "its sha256 was wrong"))
        if place.scratch.exists():
            found.append(Removed(place.scratch, _freed(place.scratch), "left by a fetch that was interrupted"))
        if place.partial.exists() and (not mine or place.final.exists()):
            found.append(Removed(place.partial, _freed(place.partial), "an unfinished download of no known model"))
        if place.final.exists() and not mine:
            found.append(Removed(place.final, _freed(place.final), "of no model in the catalog"))
    return tuple(found)


def collect(store: Store, chosen: Iterable[Removed]) -> None:
    """Remove what `unneeded` found."""
    wanted = {removed.path for removed in chosen}
    for place in _places(store):
        with disk_errors(place.final):
            if place.damaged in wanted:
                place.damaged.unlink(missing_ok=True)
            if place.scratch in wanted:
                _clear(place.scratch)
            if place.partial in wanted:
                discard(place)
            if place.final in wanted:
                place.final.unlink(missing_ok=True)
                place.entry.unlink(missing_ok=True)
            _prune(store, place)


def _places(store: Store) -> tuple[Place, ...]:
    """Every place the store has noted anything about."""
    books = store.root / BOOKS
    names: set[tuple[str, str]] = set()
    for path in books.rglob("*"):
        if path.parent == books or path.relative_to(books).parts[0] == "outside":
            continue
        for ending in (".partial.json", ".partial.map", ".partial", ".damaged", ".tmp", ".json"):
            if path.name.endswith(ending):
                names.add((path.parent.relative_to(books).as_posix(), path.name.removesuffix(ending)))
                break
    places = []
    for folder, name in sorted(names):
        with contextlib.suppress(ValueError):  # no name of ours: not ours to clear away
            places.append(store.place_at(folder, RepoPath(name)))
    return tuple(places)


def _freed(path: Path) -> int:
    if path.is_dir():
        return sum(_freed(child) for child in path.iterdir())
    return used_bytes(path) if path.stat().st_nlink < 2 else 0


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _prune(store: Store, place: Place) -> None:
    """Remove the folders of a place that have become empty. Its lock stays: somebody may be waiting for it."""
    for folder in place.final.parents:
        if folder == store.root or not folder.is_dir() or any(folder.iterdir()):
            return
        folder.rmdir()
