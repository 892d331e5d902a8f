"""The store of fetched files: where each one lives, and what is known about it.

    models/<owner>--<name>/<file>              a file of a Hub repository
    models/packages/<name>--<version>/<file>   a file out of a Python package
    models/web/<host>--<hash>/<file>           a file from another address
    models/.planner/…/<file>.json|.partial|…   what the store notes about it, under the same relative path

A repository's name cannot contain `--`, so two sources never share a folder, and bookkeeping has a tree of its
own, so no file of a repository can pass for it. Every path is resolved and must still lie in the store.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from planner.core.models.model import Artifact
from planner.core.values import Digest, RepoPath, decode_value, encode_value
from planner.errors import BadDataError
from planner.fetch.convert import RECIPE
from planner.fetch.disk import Disk, disk_errors, hash_file, used_bytes, write_atomically
from planner.fetch.progress import Progress, Silent

Source = Literal["hub", "package", "file"]
BOOKS = ".planner"
"""The folder of the store's own notes."""
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_PART = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.gguf$")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_]{0,63}")


@dataclass(frozen=True)
class FetchedFile:
    """A file that is there. `verified`: its sha256 (or git hash) equals the one promised for it.

    `bytes_transferred` counts what came over the network for it in this run: 0 when it was there already.
    """

    path: Path
    bytes: int
    sha256: Digest
    source: Source
    verified: bool
    bytes_transferred: int = 0


@dataclass(frozen=True)
class FetchedModel:
    """A variant on this machine. `path` is what an engine is given: the first of `files`."""

    path: Path
    files: tuple[FetchedFile, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the store notes about a finished file.

    `origin` says in words where it came from. `revision` is the Hub commit. For a converted file `sha256` is
    that of the result, `source_sha256` that of the file it was made from, `recipe` how.
    """

    bytes: int
    sha256: Digest
    verified: bool
    source: Source
    origin: str
    mtime_ns: int
    fetched_at: str
    revision: str | None = None
    source_sha256: Digest | None = None
    recipe: str | None = None


@dataclass(frozen=True)
class Expected:
    """What is promised about a file before it is there; None where nothing is.

    `git_sha1` is git's blob hash, which the Hub gives for files outside its large-file storage.
    """

    bytes: int | None = None
    sha256: Digest | None = None
    git_sha1: str | None = None


@dataclass(frozen=True)
class Place:
    """Where one file and everything about it lives; all on one file system, all inside the store."""

    final: Path
    entry: Path
    partial: Path
    partial_entry: Path
    partial_map: Path
    lock: Path
    scratch: Path
    damaged: Path


def package_coordinates(artifact: Artifact) -> tuple[str, str]:
    """Name and version of a package artifact, safe as arguments and in paths. Raises BadDataError."""
    name, version = artifact.package or "", artifact.version or ""
    if _PACKAGE.fullmatch(name) is None or _VERSION.fullmatch(version) is None or ".." in name + version:
        raise BadDataError(
            f"“{name}=={version}” is not a Python package at a pinned version.",
            hint="Give package and version as the package index spells them.",
            reference="bad-package",
        )
    return name, version


class Store:
    """A folder of fetched files. Nothing is created before something is fetched."""

    def __init__(self, root: Path, *, disk: Disk | None = None) -> None:
        self.root = root
        self.disk = disk or Disk()

    def place(self, artifact: Artifact, file: RepoPath | None = None) -> Place:
        """Where `file` of the artifact (default: the artifact's own) lives. Raises BadDataError."""
        if artifact.source == "hub" and artifact.repo is not None:
            return self.place_at(artifact.repo.replace("/", "--"), file or artifact.file)
        if artifact.source == "package":
            name, version = package_coordinates(artifact)
            return self.place_at(f"packages/{name}--{version}", file or RepoPath(artifact.file.name))
        raise BadDataError(
            f"{artifact.file} names neither a Hub repository nor a package, so it has no place in the store.",
            reference="bad-artifact",
        )

    def place_at(self, folder: str, file: RepoPath) -> Place:
        """The places for `folder`/`file`. Raises BadDataError when a link leads out of the store."""
        books = self.root / BOOKS / folder / file
        place = Place(
            final=self.root / folder / file,
            entry=books.with_name(f"{books.name}.json"),
            partial=books.with_name(f"{books.name}.partial"),
            partial_entry=books.with_name(f"{books.name}.partial.json"),
            partial_map=books.with_name(f"{books.name}.partial.map"),
            lock=books.with_name(f"{books.name}.lock"),
            scratch=books.with_name(f"{books.name}.tmp"),
            damaged=books.with_name(f"{books.name}.damaged"),
        )
        self._require_inside(*vars(place).values())
        return place

    def _require_inside(self, *paths: Path) -> None:
        try:
            root = self.root.resolve()
            outside = next((path for path in paths if not path.resolve().is_relative_to(root)), None)
        except (OSError, RuntimeError, ValueError) as error:
            raise BadDataError(f"{paths[0]} is not a usable path: {error}.", reference="path-invalid") from error
        if outside is not None:
            raise BadDataError(
                f"{outside} leads out of the store {self.root}. Nothing was read or written there.",
                hint="Remove the link; to keep models elsewhere set data_dir in config.toml.",
                reference="path-outside-store",
            )

    def find(self, artifact: Artifact, file: RepoPath | None = None) -> FetchedFile | None:
        """The artifact's file if it is there and is what the artifact says; None when it must be fetched.

        Quick: size, time stamp and the noted hash are compared. Only a file that was touched since is hashed.
        """
        place = self.place(artifact, file)
        entry = read_entry(place.entry)
        if entry is None or not _answers(entry, artifact, file or artifact.file):
            return None
        return self.check(place, entry)

    def find_at(self, place: Place, expected: Expected) -> FetchedFile | None:
        """The file at `place` if it is what is expected; as quick as `find`."""
        entry = read_entry(place.entry)
        if entry is None or not _agree(entry, expected):
            return None
        return self.check(place, entry)

    def check(self, place: Place, entry: Entry, progress: Progress | None = None) -> FetchedFile | None:
        """Whether the file still is what the store noted; a changed time stamp means it is hashed again."""
        try:
            status = place.final.stat()
            if status.st_size != entry.bytes:
                return None
            if status.st_mtime_ns != entry.mtime_ns:
                if hash_file(place.final, progress or Silent()) != entry.sha256:
                    return None
                with disk_errors(place.entry):
                    self._write_entry(place, replace_entry(entry, mtime_ns=status.st_mtime_ns))
        except OSError:
            return None
        return FetchedFile(
            path=place.final, bytes=entry.bytes, sha256=entry.sha256, source=entry.source, verified=entry.verified
        )

    def adopt(self, place: Place, expected: Expected, entry: Entry, progress: Progress) -> FetchedFile | None:
        """Take over a file that lies in its place without a note, if its sha256 is the promised one."""
        if expected.sha256 is None or not place.final.is_file():
            return None
        with disk_errors(place.final):
            if expected.bytes not in (None, place.final.stat().st_size):
                return None
            if hash_file(place.final, progress) != expected.sha256:
                return None
            self._write_entry(place, replace_entry(entry, mtime_ns=place.final.stat().st_mtime_ns))
        return self.find_at(place, expected)

    def commit(self, place: Place, finished: Path, entry: Entry, *, bytes_transferred: int) -> FetchedFile:
        """Give a checked file its name, so that it survives a power cut: sync, note, rename, sync the folder.

        The note is written first: a finished file never stands there without one.
        """
        with disk_errors(place.final):
            with finished.open("rb") as file:
                self.disk.sync(file)
            place.final.parent.mkdir(parents=True, exist_ok=True)
            self._require_inside(place.final)
            status = finished.stat()
            entry = msgspec.structs.replace(entry, bytes=status.st_size, mtime_ns=status.st_mtime_ns)
            self._write_entry(place, entry)
            finished.replace(place.final)
            self.disk.sync_folder(place.final.parent)
            place.partial_entry.unlink(missing_ok=True)
            place.partial_map.unlink(missing_ok=True)
        return FetchedFile(
            path=place.final,
            bytes=entry.bytes,
            sha256=entry.sha256,
            source=entry.source,
            verified=entry.verified,
            bytes_transferred=bytes_transferred,
        )

    def verify(self, file: FetchedFile, progress: Progress | None = None) -> bool:
        """Hash the whole file and compare: the slow, certain check."""
        with disk_errors(file.path):
            return hash_file(file.path, progress or Silent()) == file.sha256

    def known_hash(self, path: Path) -> Digest | None:
        """The sha256 of a file outside the store, if it was hashed before and has not been touched since."""
        entry = read_entry(self._outside(path))
        try:
            status = path.stat()
        except OSError:
            return None
        same = entry is not None and (entry.bytes, entry.mtime_ns) == (status.st_size, status.st_mtime_ns)
        return entry.sha256 if entry is not None and same else None

    def remember_hash(self, path: Path, sha256: Digest) -> None:
        """Note the sha256 of a file outside the store, so that it need not be hashed every time."""
        with disk_errors(self.root):
            status = path.stat()
            entry = make_entry(
                size_bytes=status.st_size, sha256=sha256, verified=False, source="file", origin=str(path.absolute())
            )
            body = msgspec.json.encode(replace_entry(entry, mtime_ns=status.st_mtime_ns), enc_hook=encode_value)
            write_atomically(self._outside(path), body, self.disk)

    def _outside(self, path: Path) -> Path:
        # Not .json: what is noted here does not lie in the store.
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()
        return self.root / BOOKS / "outside" / f"{name}.note"

    def files(self) -> tuple[FetchedFile, ...]:
        """Every finished file, by path."""
        found = (self.check(place, entry) for place, entry in self.noted())
        return tuple(file for file in found if file is not None)

    def noted(self) -> tuple[tuple[Place, Entry], ...]:
        """Every file that was finished once, by path, and what was noted about it; nothing is hashed or written."""
        books = self.root / BOOKS
        found = []
        for note in sorted(books.rglob("*.json")):
            entry = None if note.name.endswith(".partial.json") else read_entry(note)
            if entry is not None:
                relative = note.relative_to(books)
                place = self.place_at(relative.parent.as_posix(), RepoPath(relative.name.removesuffix(".json")))
                found.append((place, entry))
        return tuple(found)

    def unfinished_bytes(self) -> int:
        """What interrupted downloads take on the disk; they go on where they stopped."""
        return sum(used_bytes(path) for path in (self.root / BOOKS).rglob("*.partial"))

    def _write_entry(self, place: Place, entry: Entry) -> None:
        body = msgspec.json.format(msgspec.json.encode(entry, enc_hook=encode_value), indent=2)
        write_atomically(place.entry, body, self.disk)


def make_entry(
    *,
    size_bytes: int,
    sha256: Digest,
    verified: bool,
    source: Source,
    origin: str,
    revision: str | None = None,
    source_sha256: Digest | None = None,
    recipe: str | None = None,
) -> Entry:
    """A note about a file finished now; its time stamp is filled in when it gets its name."""
    return Entry(
        bytes=size_bytes,
        sha256=sha256,
        verified=verified,
        source=source,
        origin=origin,
        mtime_ns=0,
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        revision=revision,
        source_sha256=source_sha256,
        recipe=recipe,
    )


def replace_entry(entry: Entry, *, mtime_ns: int) -> Entry:
    """The same note with another time stamp."""
    return msgspec.structs.replace(entry, mtime_ns=mtime_ns)


def read_entry(path: Path) -> Entry | None:
    """The note at `path`; None when there is none that can be read, as the file is then fetched anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Entry, dec_hook=decode_value)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _agree(entry: Entry, expected: Expected) -> bool:
    if expected.bytes is not None and entry.bytes != expected.bytes:
        return False
    return expected.sha256 is None or entry.sha256 == expected.sha256


def _answers(entry: Entry, artifact: Artifact, file: RepoPath) -> bool:
    """Whether a noted file is the artifact's. Without a promised hash, the revision it was fetched at counts."""
    if entry.source != artifact.source:
        return False
    if artifact.convert is not None:
        made = entry.recipe is not None and entry.recipe.startswith(f"{RECIPE} ")
        return made and artifact.sha256 in (None, entry.source_sha256)
    if file != artifact.file or _PART.search(file):
        # A part of a split model: size and hash of the artifact describe all parts together.
        parts = dict(zip(artifact.shards, artifact.shard_sha256, strict=False))
        return entry.sha256 == parts[file] if file in parts else artifact.revision in (None, entry.revision)
    if artifact.sha256 is not None or artifact.bytes is not None:
        return _agree(entry, Expected(artifact.bytes, artifact.sha256))
    return artifact.revision in (None, entry.revision)
