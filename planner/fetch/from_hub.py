"""Files of a Hub repository: what they must be, the transfer, and the pin for what the catalog left open."""

import re
from contextlib import closing
from dataclasses import dataclass

import msgspec

from planner.core.models.file_pins import needs_pin
from planner.core.models.model import Artifact
from planner.core.values import Digest, RepoPath
from planner.errors import BadDataError, IntegrityError
from planner.fetch import hub
from planner.fetch.disk import disk_errors, require_space, used_bytes
from planner.fetch.download import Downloader
from planner.fetch.job import Job, shard_names
from planner.fetch.local_copy import has_copy, take_over
from planner.fetch.lock import locked
from planner.fetch.progress import Part, Progress
from planner.fetch.remote import Remote
from planner.fetch.store import Entry, Expected, FetchedFile, Place, Store, make_entry
from planner.net.http import make_session, require_online

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


@dataclass(frozen=True)
class _HubFile:
    """One file of a repository at a commit, what it must be, and where it goes."""

    snapshot: hub.Snapshot
    name: RepoPath
    place: Place
    expected: Expected

    @property
    def url(self) -> str:
        return self.snapshot.url(self.name)

    def entry(self, size_bytes: int, sha256: Digest, *, verified: bool) -> Entry:
        return make_entry(
            size_bytes=size_bytes,
            sha256=sha256,
            verified=verified,
            source="hub",
            origin=f"{self.snapshot.repo}@{self.snapshot.commit}/{self.name}",
            revision=self.snapshot.commit,
        )


def fetch_from_hub(job: Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
    """All parts of a file of a Hub repository, as the catalog and the pins promise them; gaps are pinned."""
    if artifact.repo is None or (artifact.revision and _REVISION.fullmatch(artifact.revision) is None):
        raise BadDataError(f"{artifact.file}: the catalog names no usable Hub repository or revision.")
    names = shard_names(artifact) or (artifact.file,)
    places = [job.store.place(artifact, name) for name in names]
    here = _from_this_machine(job, artifact, names, places)
    if here is not None:
        return here
    require_online(job.config, f"Downloading {artifact.repo}/{artifact.file}")
    snapshot = hub.describe(artifact.repo, artifact.revision, names, config=job.config, progress=job.progress)
    wanted = _pinned(artifact, snapshot, names)
    unpinned = not job.variant.artifacts or needs_pin(artifact)
    if unpinned:
        # Before the download, so that an interrupted one goes on with the very same file.
        artifact = _described(artifact, snapshot, names, wanted)
        job.pin(artifact)
    total = sum(expected.bytes or 0 for expected in wanted)
    have = sum(used_bytes(place.final) or used_bytes(place.partial) for place in places)
    with disk_errors(job.store.root):
        require_space(job.store.disk, job.store.root, size_bytes=total, have_bytes=min(have, total))
    files: list[FetchedFile] = []
    with closing(make_session(job.config, tries=1)) as session:
        for name, place, expected in zip(names, places, wanted, strict=True):
            part: Progress = job.progress
            if len(names) > 1:
                part = Part(job.progress, before_bytes=sum(file.bytes for file in files), total_bytes=total)
            downloader = Downloader(session, progress=part, disk=job.store.disk, patience=job.patience, pace=job.pace)
            one = _HubFile(snapshot, name, place, expected)
            files.append(_hub_file(job.store, downloader, one, part))
    if unpinned and artifact.sha256 is None and len(files) == 1:
        artifact = msgspec.structs.replace(artifact, bytes=files[0].bytes, sha256=files[0].sha256)
        job.pin(artifact)
    return tuple(files)


def _from_this_machine(
    job: Job, artifact: Artifact, names: tuple[RepoPath, ...], places: list[Place]
) -> tuple[FetchedFile, ...] | None:
    """All files, when the catalog pins their hashes and each lies somewhere on this machine: no network at all."""
    hashes = _part_hashes(artifact, len(names)) if len(names) > 1 else (artifact.sha256,)
    files = []
    for name, place, sha256 in zip(names, places, hashes, strict=True):
        if sha256 is None or not has_copy(job.store, place, sha256, artifact.repo):
            return None
        expected = Expected(artifact.bytes if len(names) == 1 else None, sha256)
        entry = make_entry(
            size_bytes=expected.bytes or 0,
            sha256=sha256,
            verified=True,
            source="hub",
            origin=f"{artifact.repo}@{artifact.revision or 'unknown'}/{name}",
            revision=artifact.revision,
        )
        with locked(place, job.progress):
            file = job.store.find_at(place, expected) or take_over(
                job.store, place, expected, entry, job.progress, repo=artifact.repo
            )
        if file is None:
            return None
        files.append(file)
    if not job.variant.artifacts:
        job.pin(artifact)
    return tuple(files)


def _described(
    artifact: Artifact, snapshot: hub.Snapshot, names: tuple[RepoPath, ...], wanted: list[Expected]
) -> Artifact:
    """The artifact with its gaps filled by what the Hub says now."""
    hashes = tuple(expected.sha256 for expected in wanted if expected.sha256 is not None)
    sizes = [expected.bytes for expected in wanted if expected.bytes is not None]
    is_split = len(names) > 1
    return msgspec.structs.replace(
        artifact,
        revision=artifact.revision or snapshot.commit,
        bytes=artifact.bytes or (sum(sizes) if len(sizes) == len(names) else None),
        sha256=artifact.sha256 if is_split else wanted[0].sha256,
        shards=names if is_split else (),
        shard_sha256=artifact.shard_sha256 or (hashes if is_split and len(hashes) == len(names) else ()),
    )


def _hub_file(store: Store, downloader: Downloader, one: _HubFile, progress: Progress) -> FetchedFile:
    with locked(one.place, progress):
        there = _already(store, one, progress)
        if there is not None:
            return there
        remote = Remote(one.url, one.expected, token=one.snapshot.token, refusal=one.snapshot.refusal)
        received = downloader.receive(remote, one.place)
        if not received.verified:
            progress.note(f"{one.name}: the Hub promises no hash, so only its size could be checked.")
        entry = one.entry(received.bytes, received.sha256, verified=received.verified)
        return store.commit(one.place, one.place.partial, entry, bytes_transferred=received.bytes_transferred)


def _already(store: Store, one: _HubFile, progress: Progress) -> FetchedFile | None:
    """The file, if it came while we waited for the lock, or lies there without a note and hashes right."""
    expected = one.expected
    if expected.sha256 is None or expected.bytes is None:
        return None
    entry = one.entry(expected.bytes, expected.sha256, verified=True)
    return (
        store.find_at(one.place, expected)
        or store.adopt(one.place, expected, entry, progress)
        or take_over(store, one.place, expected, entry, progress, repo=one.snapshot.repo)
    )


def _pinned(artifact: Artifact, snapshot: hub.Snapshot, names: tuple[RepoPath, ...]) -> list[Expected]:
    """What each file must be: the catalog's pins where there are some, the Hub's word for the rest.

    Raises IntegrityError when the Hub contradicts a pin: better before the download than after it.
    """
    where = f"{artifact.repo}/{artifact.file}"
    if artifact.revision and _COMMIT.fullmatch(artifact.revision) and snapshot.commit != artifact.revision:
        raise _contradiction(where, "commit", artifact.revision, snapshot.commit)
    wanted = [snapshot.files[name] for name in names]
    total = None if any(e.bytes is None for e in wanted) else sum(e.bytes or 0 for e in wanted)
    if artifact.bytes is not None and total is not None and total != artifact.bytes:
        raise _contradiction(where, "size", f"{artifact.bytes:,} bytes", f"{total:,}")
    if len(names) > 1:
        return [_part_pinned(where, part, wanted[i]) for i, part in enumerate(_part_hashes(artifact, len(names)))]
    if artifact.sha256 is None:
        return wanted
    says = wanted[0].sha256
    if says is not None and says != artifact.sha256:
        raise _contradiction(where, "sha256", artifact.sha256, says)
    return [Expected(bytes=artifact.bytes or wanted[0].bytes, sha256=artifact.sha256)]


def _part_hashes(artifact: Artifact, count: int) -> tuple[Digest | None, ...]:
    return artifact.shard_sha256 if len(artifact.shard_sha256) == count else (None,) * count


def _part_pinned(where: str, promised: Digest | None, offered: Expected) -> Expected:
    if promised is None:
        return offered
    if offered.sha256 not in (None, promised):
        raise _contradiction(where, "sha256", promised, str(offered.sha256))
    return Expected(bytes=offered.bytes, sha256=promised)


def _contradiction(where: str, what: str, pinned: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"The Hub offers another {where} than the catalog pins: {what} {pinned} promised, {got} offered. "
        "Nothing was downloaded.",
        hint="The publisher replaced the file, or something between you and the Hub did. `planner catalog update` "
        "shows what is there now.",
    )
