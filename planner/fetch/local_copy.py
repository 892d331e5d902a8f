"""A file that is on this machine already under another name: linked or copied instead of fetched again.

It may lie elsewhere in the store (another repository has the same bytes) or in the cache of the Hub's tools. Its
bytes are hashed, wherever they come from. A hard link costs nothing and survives a cleaning of the cache; between
file systems it is a copy. Never the partial file: a download would later write through such a link.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from planner.core.values import Digest, RepoId
from planner.fetch.disk import CHUNK_BYTES, Disk, disk_errors, hash_file, require_space
from planner.fetch.hub_cache import blobs
from planner.fetch.progress import Phase, Progress
from planner.fetch.store import Entry, Expected, FetchedFile, Place, Store


def has_copy(store: Store, place: Place, sha256: Digest, repo: RepoId | None) -> bool:
    """Whether something on this machine claims to have these bytes, in its place or elsewhere; nothing is read."""
    return place.final.exists() or next(_candidates(store, place, sha256, repo), None) is not None


def take_over(
    store: Store, place: Place, expected: Expected, entry: Entry, progress: Progress, *, repo: RepoId | None
) -> FetchedFile | None:
    """The file at `place`, made from a copy on this machine; None without one. The caller holds the lock.

    `entry` is what is noted about it. Raises NoSpaceError when a copy would not fit.
    """
    if expected.sha256 is None:
        return None
    for source, where in _candidates(store, place, expected.sha256, repo):
        with disk_errors(place.final):
            if not source.is_file() or expected.bytes not in (None, source.stat().st_size):
                continue
            _remove(place.scratch)
            place.scratch.parent.mkdir(parents=True, exist_ok=True)
            how = _link_or_copy(source, place.scratch, store.disk, progress)
            right = hash_file(place.scratch, progress) == expected.sha256
        if not right:
            _remove(place.scratch)
            progress.note(f"{source} is damaged: its sha256 is not the one it is named after. It is not used.")
            continue
        progress.note(f"{place.final.name} is in {where} already; {how} instead of downloaded.")
        file = store.commit(place, place.scratch, entry, bytes_transferred=0)
        with disk_errors(place.partial):
            place.partial.unlink(missing_ok=True)
        return file
    return None


def _candidates(store: Store, place: Place, sha256: Digest, repo: RepoId | None) -> Iterator[tuple[Path, str]]:
    for other, entry in store.noted():
        if entry.sha256 == sha256 and other.final != place.final:
            yield other.final, "the store"
    for path in blobs(sha256, repo):
        yield path.resolve(), "the cache of the Hub's tools"


def _link_or_copy(source: Path, target: Path, disk: Disk, progress: Progress) -> str:
    try:
        os.link(source, target)
    except OSError:
        pass  # another file system, or one without links
    else:
        return "linked"
    size = source.stat().st_size
    require_space(disk, target.parent, size_bytes=size)
    done = 0
    with source.open("rb", buffering=0) as reader, target.open("wb", buffering=0) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            disk.write(writer, chunk)
            done += len(chunk)
            progress.update(Phase.COPYING, done, size)
    return "copied"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
