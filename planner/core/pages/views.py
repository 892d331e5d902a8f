"""The JSON contract's form of core values, where it is not the value itself (docs/json.md)."""

import msgspec

from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Estimate, Rate, Seconds
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Artifact, Model, Variant
from planner.core.pairs.recommendation import Choice, Recommendation
from planner.core.pairs.score import WEIGHTS, Terms


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
        "artifacts": [
            artifact_view(variant, artifact) for variant in model.variants for artifact in variant.artifacts
        ],
        "gguf_repos": list(model.gguf_repos),
        "release_date": model.release_date,
        "languages": list(model.languages),
        "pooling": None if model.pooling is None else model.pooling.value,
        "normalize": model.normalize,
        "matryoshka": list(model.matryoshka),
        "prompts": {"query": model.prompts.query, "document": model.prompts.document},
        "builds_on": list(model.builds_on),
        "scores": [
            {"name": score.name, "value": score.value, "date": score.date, "source": score.source}
            for score in model.scores
        ],
    }


def estimate_view(estimate: Estimate) -> dict[str, object]:
    """An estimate in the contract's form."""
    memory = estimate.memory
    parts = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes", "total_bytes")
    return {
        "memory": {
            **{name: getattr(memory, name) for name in parts},
            "devices": [
                {
                    "device": row.device,
                    **{name: getattr(row, name) for name in parts},
                    "budget_bytes": row.budget_bytes,
                }
                for row in memory.devices
            ],
        },
        "placement": {
            "verdict": estimate.placement.verdict.value,
            "n_gpu_layers": estimate.placement.n_gpu_layers,
            "n_cpu_moe": estimate.placement.n_cpu_moe,
            "n_layers": estimate.placement.n_layers,
            "tensor_split": None
            if estimate.placement.tensor_split is None
            else list(estimate.placement.tensor_split),
            "reason": estimate.placement.reason,
        },
        "throughput": {
            "pp": rate_view(estimate.throughput.pp),
            "tg": rate_view(estimate.throughput.tg),
            "embed": rate_view(estimate.throughput.embed),
        },
        "tg_slots": rate_view(estimate.throughput.tg_slots),
        "first_token_s": _seconds_view(estimate.throughput.first_token_s),
        "warnings": list(estimate.warnings),
    }


def _seconds_view(seconds: Seconds | None) -> dict[str, float] | None:
    return None if seconds is None else {"low": seconds.low, "mid": seconds.mid, "high": seconds.high}


def rate_view(rate: Rate | None) -> dict[str, object] | None:
    """A rate in the contract's form, None for an unknown one."""
    if rate is None:
        return None
    return {"low": rate.low, "mid": rate.mid, "high": rate.high, "unit": rate.unit, "basis": rate.basis}


def choice_view(choice: Choice | None) -> dict[str, object] | None:
    """A model of a recommendation in the contract's form; `settings` are what its engine is started with."""
    if choice is None:
        return None
    settings = choice.settings
    return {
        "model": choice.model.id,
        "variant": choice.variant.quant,
        "artifacts": [artifact_view(choice.variant, artifact) for artifact in choice.variant.artifacts],
        "gguf_repos": list(choice.model.gguf_repos),
        "context": settings.context // settings.parallel,
        "settings": {
            "parallel": settings.parallel,
            "batch": settings.batch,
            "ubatch": settings.ubatch,
            "kv_type_k": settings.kv_type_k,
            "kv_type_v": settings.kv_type_v,
        },
        "estimate": estimate_view(choice.estimate),
        "quality": dict(choice.quality),
        "licence": {"spdx": choice.model.licence.spdx, "commercial": choice.model.licence.commercial.value},
    }


def terms_view(terms: Terms | None, prefer: Prefer) -> dict[str, dict[str, float]] | None:
    """What a score is the sum of: 0..1 by term, its weight, and the points of 100 that they give."""
    if terms is None:
        return None
    values, weights = msgspec.structs.asdict(terms), msgspec.structs.asdict(WEIGHTS[prefer])
    return {
        name: {"value": round(value, 4), "weight": weights[name], "points": round(100 * value * weights[name], 2)}
        for name, value in values.items()
    }


def recommendation_view(recommendation: Recommendation, prefer: Prefer) -> dict[str, object]:
    """A plan in the contract's form; `prefer` is what its terms were weighed by."""
    memory = recommendation.memory
    return {
        "rank": recommendation.rank,
        "label": recommendation.label,
        "embedding": choice_view(recommendation.embedding),
        "generation": choice_view(recommendation.generation),
        "reranker": choice_view(recommendation.reranker),
        "memory": {
            "total_bytes": memory.total_bytes,
            "budget_bytes": memory.budget_bytes,
            "headroom_bytes": memory.headroom_bytes,
            "devices": [
                {"device": row.device, "total_bytes": row.total_bytes, "budget_bytes": row.budget_bytes}
                for row in memory.devices
            ],
        },
        "score": recommendation.score,
        "terms": terms_view(recommendation.terms, prefer),
        "relatives": list(recommendation.relatives),
        "indexing_s": _seconds_view(recommendation.indexing_s),
        "first_word_s": _seconds_view(recommendation.first_word_s),
        "reasons": list(recommendation.reasons),
        "changes": list(recommendation.changes),
        "warnings": list(recommendation.warnings),
        "command": list(recommendation.command),
    }


def workload_view(workload: Workload) -> dict[str, object]:
    """The question as it was understood, defaults included."""
    return {name: getattr(workload, name) for name in Workload.__struct_fields__}


def hardware_view(hardware: Hardware) -> dict[str, object]:
    """A machine in the contract's form; `planner.core.machines.overrides.hardware_from_json` reads it back."""
    return {"schema": 1, **msgspec.to_builtins(hardware)}
