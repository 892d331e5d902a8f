"""Files that the user brought: somewhere on this machine, or at an address that is no Hub.

The catalog says what such a file is, never where: a catalog may come from anywhere, and a path in it would be
somebody else's. Where it is stands in the pins of this machine, put there by `planner catalog add`.
"""

import hashlib
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from planner.config import Config
from planner.core.models.file_pins import FilePin
from planner.core.models.model import Artifact
from planner.core.values import Digest, RepoPath
from planner.errors import AccessError, BadDataError
from planner.fetch.disk import hash_file
from planner.fetch.download import Downloader
from planner.fetch.lock import locked
from planner.fetch.pins import write_pin
from planner.fetch.progress import Progress
from planner.fetch.remote import Pace, Patience, Remote
from planner.fetch.store import Expected, FetchedFile, Place, Store, make_entry
from planner.gguf.shards import shard_paths
from planner.net.http import make_session, require_online


def is_address(location: str) -> bool:
    """Whether a pin's location is on the web."""
    return "://" in location


def local_paths(artifact: Artifact, names: tuple[RepoPath, ...], pin: FilePin | None) -> tuple[Path, ...]:
    """Where the files are on this machine: as pinned, else by their names from the current folder."""
    if pin is None or pin.location is None or is_address(pin.location):
        return tuple(Path(name).absolute() for name in names)
    path = Path(pin.location)
    return shard_paths(path) if artifact.shards else (path,)


def find_local(store: Store, artifact: Artifact, paths: tuple[Path, ...]) -> tuple[FetchedFile, ...] | None:
    """The files if they are as they were when they were hashed; None when they must be looked at again."""
    files = []
    for path in paths:
        digest = store.known_hash(path)
        if digest is None or (len(paths) == 1 and artifact.sha256 not in (None, digest)):
            return None
        promised = artifact.sha256 is not None and len(paths) == 1
        files.append(FetchedFile(path, path.stat().st_size, digest, "file", verified=promised))
    return tuple(files)


def use_local(
    store: Store, artifact: Artifact, paths: tuple[Path, ...], progress: Progress
) -> tuple[FetchedFile, ...]:
    """The user's files, used where they lie and hashed unless that was done before.

    Raises AccessError for one that cannot be read, BadDataError for one that is not what the entry says.
    """
    files = []
    for path in paths:
        try:
            size = path.stat().st_size
            digest = store.known_hash(path)
            if digest is None:
                digest = hash_file(path, progress)
                store.remember_hash(path, digest)
        except OSError as error:
            raise AccessError(
                f"{path} cannot be read: {error.strerror}.",
                hint="Where it is now: planner catalog add FILE.gguf --force. Otherwise “file” artifacts are looked "
                "for in the folder the command is run in.",
                reference="not-found",
            ) from error
        promised: Digest | None = artifact.sha256 if len(paths) == 1 else None
        wrong = ""
        if promised not in (None, digest):
            wrong = f"sha256 {promised} promised, {digest} found"
        elif len(paths) == 1 and artifact.bytes not in (None, size):
            wrong = f"{artifact.bytes:,} bytes promised, {size:,} found"
        if wrong:
            raise BadDataError(
                f"{path} is not the file the catalog describes: {wrong}.",
                hint="If you changed it, describe it anew: planner catalog add FILE.gguf --force.",
                reference="wrong-file",
            )
        files.append(FetchedFile(path, size, digest, "file", verified=promised is not None))
    return tuple(files)


def web_place(store: Store, address: str, file: RepoPath) -> Place:
    """Where a file from an address is kept: a folder of its own for each address."""
    host = "".join(c if c.isalnum() or c in ".-" else "_" for c in urlsplit(address).hostname or "host")
    return store.place_at(f"web/{host}--{hashlib.sha256(address.encode()).hexdigest()[:12]}", RepoPath(file.name))


def find_from_web(store: Store, artifact: Artifact, pin: FilePin) -> FetchedFile | None:
    """The file if it was fetched from its address."""
    assert pin.location is not None
    return store.find_at(web_place(store, pin.location, artifact.file), Expected(artifact.bytes, artifact.sha256))


def fetch_from_web(
    store: Store,
    artifact: Artifact,
    pin: FilePin,
    *,
    config: Config,
    progress: Progress,
    patience: Patience,
    pace: Pace,
) -> FetchedFile:
    """Download the file from its address; its hash is pinned, so that it stays what it was the first time."""
    address = pin.location
    assert address is not None
    require_online(config, f"Downloading {artifact.file}")
    place = web_place(store, address, artifact.file)
    expected = Expected(artifact.bytes, artifact.sha256)
    with locked(place, progress):
        there = store.find_at(place, expected)
        if there is not None:
            return there
        with closing(make_session(config, tries=1)) as session:
            downloader = Downloader(session, progress=progress, disk=store.disk, patience=patience, pace=pace)
            received = downloader.receive(Remote(address, expected), place)
        if not received.verified:
            progress.note(f"{artifact.file}: its address promises no hash, so only its size could be checked.")
        entry = make_entry(
            size_bytes=received.bytes,
            sha256=received.sha256,
            verified=received.verified,
            source="file",
            origin=address,
        )
        file = store.commit(place, place.partial, entry, bytes_transferred=received.bytes_transferred)
    described = msgspec.structs.replace(artifact, bytes=file.bytes, sha256=file.sha256)
    write_pin(store.root, msgspec.structs.replace(pin, artifact=described), store.disk)
    return file
