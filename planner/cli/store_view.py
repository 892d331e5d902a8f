"""Fetched files, and where files come from, as they are shown."""

from typing import TYPE_CHECKING

from planner.core.models.model import Artifact, Model, Variant

if TYPE_CHECKING:
    from planner.fetch.store import Entry, FetchedFile


def file_view(file: "FetchedFile") -> dict[str, object]:
    """One entry of `artifacts` in the JSON contract."""
    return {
        "path": str(file.path),
        "bytes": file.bytes,
        "sha256": file.sha256,
        "source": file.source,
        "verified": file.verified,
        "bytes_transferred": file.bytes_transferred,
    }


def entry_view(entry: "Entry", owner: tuple[Model, Variant] | None) -> dict[str, object]:
    """What the store notes about a file: whose it is, where from, at which commit, when."""
    return {
        "model": None if owner is None else owner[0].id,
        "quant": None if owner is None else owner[1].quant,
        "origin": entry.origin,
        "revision": entry.revision,
        "fetched_at": entry.fetched_at,
    }


def sources(model: Model, variant: Variant) -> list[str]:
    """Where a variant comes from; without a file that is known by name, where it is looked for."""
    if not variant.artifacts:
        return [f"found by listing: {repo}" for repo in model.gguf_repos]
    return [_source(artifact) for artifact in variant.artifacts]


def _source(artifact: Artifact) -> str:
    match artifact.source:
        case "hub":
            return f"hub: {artifact.repo}"
        case "package":
            return f"package: {artifact.package} {artifact.version}"
        case _:
            return f"file: {artifact.file}"
