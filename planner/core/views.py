"""The JSON contract's form of core values, where it is not the value itself (docs/json.md)."""

from planner.core.model import Artifact, Model, Variant


def artifact_view(variant: Variant, artifact: Artifact) -> dict[str, object]:
    """An artifact as scripts see it. `bytes` is the file to be fetched (all shards together), None if unknown.

    `repo` is the Hub repository; an artifact of the Python package index has `package` and `version` instead.
    """
    view: dict[str, object] = {
        "quant": variant.quant,
        "source": artifact.source,
        "repo": artifact.repo,
        "file": artifact.file,
        "revision": artifact.revision,
        "bytes": artifact.bytes,
        "sha256": artifact.sha256,
    }
    if artifact.source == "package":
        view["package"] = artifact.package
        view["version"] = artifact.version
    if artifact.shards:
        view["shards"] = list(artifact.shards)
    return view


def model_view(model: Model) -> dict[str, object]:
    """A model as `planner models --json` lists it, every artifact of every variant in order of preference."""
    return {
        "id": model.id,
        "aliases": list(model.aliases),
        "family": model.family,
        "role": model.role.value,
        "deployable": model.deployable,
        "deploy_note": model.deploy_note,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "context_length": model.context_length,
        "embedding_length": model.embedding_length,
        "licence": {"spdx": model.licence.spdx, "commercial": model.licence.commercial.value},
        "artifacts": [artifact_view(variant, artifact) for variant in model.variants for artifact in variant.artifacts],
    }
