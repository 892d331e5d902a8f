"""What changed about a model's files: the catalog's entry beside what its repositories hold now.

A file whose bytes are the same keeps its commit. What is no longer there is told and stays in the entry: whoever has
it can go on using it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from planner.core.models.model import Artifact, Model, Variant
from planner.core.models.repo_files import Listing, QuantFile, plainest, spelled
from planner.core.values import Digest, RepoId, RepoPath


class RepoState(NamedTuple):
    """A repository now: its commit, its GGUFs by type, and size and sha256 of its files where it says them."""

    commit: str
    listing: Listing
    bytes: Mapping[str, int | None]
    sha256: Mapping[str, Digest | None]


class Change(NamedTuple):
    """A field of a file that is not what it was; None is “not known”. `quant` is new when `file` was None before."""

    quant: str
    repo: str
    file: str
    field: str
    old: str | int | None
    new: str | int | None


class Vanished(NamedTuple):
    """A file that its repository does not hold any more; `now` is one that may have taken its place."""

    quant: str
    repo: str
    file: str
    now: str | None


class Update(NamedTuple):
    """The entry as it would be, and what is different about it."""

    model: Model
    changes: tuple[Change, ...]
    vanished: tuple[Vanished, ...]


_FIELDS = ("bytes", "sha256", "revision", "shards", "shard_sha256")


def update(model: Model, repos: Mapping[RepoId, RepoState]) -> Update:
    """Compare a model with its repositories as far as they could be read; those that are missing change nothing."""
    changes: list[Change] = []
    vanished: list[Vanished] = []
    variants = [_variant(variant, model.gguf_repos, repos, changes, vanished) for variant in model.variants]
    known = {spelled(variant.quant) for variant in variants}
    for repo in model.gguf_repos:
        state = repos.get(repo)
        for quant, candidates in state.listing.quants.items() if state else ():
            file = plainest(candidates)
            if quant not in known and file is not None and state is not None:
                known.add(quant)
                variants.append(_described(Variant(quant=quant, artifacts=()), repo, state, file, changes))
    sources = model.sources
    if changes:
        commits = ", ".join(f"{repo} at {repos[RepoId(repo)].commit[:12]}" for repo in _repos_of(changes))
        sources = {**model.sources, "variants": f"listings on the Hub: {commits}"}
    updated = msgspec.structs.replace(model, variants=tuple(variants), sources=sources) if changes else model
    return Update(updated, tuple(changes), tuple(vanished))


def _repos_of(changes: Sequence[Change]) -> list[str]:
    return list(dict.fromkeys(change.repo for change in changes))


def _variant(
    variant: Variant,
    gguf_repos: Sequence[RepoId],
    repos: Mapping[RepoId, RepoState],
    changes: list[Change],
    vanished: list[Vanished],
) -> Variant:
    if not variant.artifacts:
        for repo in gguf_repos:
            state = repos.get(repo)
            file = plainest(state.listing.find(variant.quant)) if state else None
            if state is not None and file is not None:
                return _described(variant, repo, state, file, changes)
        return variant
    artifacts = tuple(_artifact(variant.quant, artifact, repos, changes, vanished) for artifact in variant.artifacts)
    if artifacts == variant.artifacts:
        return variant
    first, before = artifacts[0], variant.artifacts[0]
    updated = msgspec.structs.replace(variant, artifacts=artifacts)
    if first.source != "hub" or first.bytes is None or first.bytes == variant.file_bytes:
        return updated
    changed = before.bytes is not None and before.bytes != first.bytes
    # What was read from the header of another file says nothing of this one.
    return msgspec.structs.replace(
        updated,
        file_bytes=first.bytes,
        file_bytes_source="exact",
        tensor_bytes=None if changed else variant.tensor_bytes,
        token_embedding_bytes=None if changed else variant.token_embedding_bytes,
    )


def _artifact(
    quant: str,
    artifact: Artifact,
    repos: Mapping[RepoId, RepoState],
    changes: list[Change],
    vanished: list[Vanished],
) -> Artifact:
    state = repos.get(artifact.repo) if artifact.source == "hub" and artifact.repo is not None else None
    if state is None:
        return artifact
    files = _parts(artifact, state)
    if any(name not in state.bytes for name in files):
        vanished.append(Vanished(quant, str(artifact.repo), artifact.file, _successor(quant, artifact, state)))
        return artifact
    now = _facts(state, files)
    if now["bytes"] is None:
        return artifact
    same = artifact.bytes in (None, now["bytes"]) and not _contradict(artifact, now)
    new = {**now, "revision": artifact.revision if same and artifact.revision else state.commit}
    if now["sha256"] is None and same:
        new["sha256"] = artifact.sha256
    updated = msgspec.structs.replace(artifact, **new)
    changes += [
        Change(quant, str(artifact.repo), artifact.file, field, _shown(old), _shown(value))
        for field in _FIELDS
        if (old := getattr(artifact, field)) != (value := getattr(updated, field))
    ]
    return updated


def _parts(artifact: Artifact, state: RepoState) -> tuple[RepoPath, ...]:
    """The names of all parts: as the entry lists them, else as the listing groups them."""
    if artifact.shards:
        return artifact.shards
    for candidates in state.listing.quants.values():
        for candidate in candidates:
            if artifact.file == candidate.files[0]:
                return candidate.files
    return (artifact.file,)


def _facts(state: RepoState, files: tuple[RepoPath, ...]) -> dict[str, object]:
    sizes = [size for name in files if (size := state.bytes[name]) is not None]
    hashes = tuple(digest for name in files if (digest := state.sha256.get(name)) is not None)
    is_split = len(files) > 1
    return {
        "bytes": sum(sizes) if len(sizes) == len(files) else None,
        "sha256": hashes[0] if hashes and not is_split else None,
        "shards": files if is_split else (),
        "shard_sha256": hashes if is_split and len(hashes) == len(files) else (),
    }


def _contradict(artifact: Artifact, now: Mapping[str, object]) -> bool:
    known = (artifact.sha256, now["sha256"]), (artifact.shard_sha256 or None, now["shard_sha256"] or None)
    return any(old is not None and new is not None and old != new for old, new in known)


def _successor(quant: str, artifact: Artifact, state: RepoState) -> str | None:
    same = next((name for name in state.bytes if name.lower() == artifact.file.lower()), None)
    file = plainest(state.listing.find(quant))
    return same or (file.files[0] if file else None)


def _described(variant: Variant, repo: RepoId, state: RepoState, file: QuantFile, changes: list[Change]) -> Variant:
    """A variant with the file that was found for it."""
    artifact = Artifact(
        source="hub",
        repo=repo,
        file=file.files[0],
        revision=state.commit,
        provenance=f"listing of {repo} at {state.commit[:12]}",
    )
    artifact = msgspec.structs.replace(artifact, **_facts(state, file.files))
    changes.append(Change(variant.quant, repo, file.files[0], "file", None, file.files[0]))
    changes += [
        Change(variant.quant, repo, file.files[0], field, None, _shown(value))
        for field in _FIELDS
        if (value := getattr(artifact, field))
    ]
    variant = msgspec.structs.replace(variant, artifacts=(artifact,))
    if artifact.bytes is None:
        return variant
    return msgspec.structs.replace(
        variant, file_bytes=artifact.bytes, file_bytes_source="exact", tensor_bytes=None, token_embedding_bytes=None
    )


def _shown(value: object) -> str | int | None:
    if isinstance(value, tuple):
        return ", ".join(value) or None
    return value if isinstance(value, int) else None if value is None else str(value)
