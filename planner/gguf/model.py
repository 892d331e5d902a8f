"""From GGUF facts to the planner's own types, so that a user's own file can be estimated like a catalog model.

Here, and not in the reader, implausible numbers are refused: a header may say 2^32 layers, an estimate may not.
"""

import re

from planner.core.models.model import Architecture, Artifact, Commercial, Licence, Model, Pooling, Role, Variant
from planner.core.models.weights import WeightTable
from planner.core.values import RepoPath
from planner.errors import GgufError
from planner.gguf.cursor import shown
from planner.gguf.facts import GgufFacts
from planner.gguf.tensors import MAX_LAYERS

_LICENCES = {"apache-2.0": ("Apache-2.0", Commercial.YES), "mit": ("MIT", Commercial.YES)}

_LIMITS: tuple[tuple[str, str, int], ...] = (
    ("layers", "block_count", MAX_LAYERS),
    ("embedding_length", "embedding_length", 2**20),
    ("feed_forward_length", "feed_forward_length", 2**24),
    ("head_count", "attention.head_count", 2**16),
    ("head_count_kv", "attention.head_count_kv", 2**16),
    ("key_length", "attention.key_length", 2**16),
    ("value_length", "attention.value_length", 2**16),
    ("context_length", "context_length", 2**28),
    ("vocab", "vocab_size", 2**24),
)
"""Fact, key and largest plausible value; the smallest is 1. Far above every model there is."""

_OPTIONAL_LIMITS: tuple[tuple[str, str, int], ...] = (
    ("expert_count", "expert_count", 2**16),
    ("expert_used_count", "expert_used_count", 2**16),
    ("expert_feed_forward_length", "expert_feed_forward_length", 2**24),
    ("expert_shared_feed_forward_length", "expert_shared_feed_forward_length", 2**24),
    ("sliding_window", "attention.sliding_window", 2**28),
    ("q_lora_rank", "attention.q_lora_rank", 2**20),
    ("kv_lora_rank", "attention.kv_lora_rank", 2**20),
    ("rope_length", "rope.dimension_count", 2**16),
    ("sliding_head_count_kv", "attention.head_count_kv", 2**16),
    ("sliding_key_length", "attention.key_length_swa", 2**16),
    ("sliding_value_length", "attention.value_length_swa", 2**16),
    ("per_layer_embedding_length", "embedding_length_per_layer_input", 2**20),
)

_OF_ATTENTION = frozenset({"head_count", "head_count_kv", "key_length", "value_length", "feed_forward_length"})
"""What a network of recurrent layers alone (Mamba) may lack."""


def architecture(facts: GgufFacts) -> Architecture:
    """The architecture for an estimate. Raises GgufError naming the key that is missing or implausible."""
    name = facts.architecture
    if name is None:
        raise _refuse(facts, "general.architecture", "is missing")
    attends = facts.layer_pattern is None or not set(facts.layer_pattern).isdisjoint("fsb")
    for field, key, limit in (*_LIMITS, *_OPTIONAL_LIMITS):
        value = getattr(facts, field)
        full_key = f"{shown(name)}.{key}"
        if value is None and (field, key, limit) in _OPTIONAL_LIMITS:
            continue
        if value is None and field == "feed_forward_length" and facts.expert_feed_forward_length:
            continue
        if not value and not attends and field in _OF_ATTENTION:
            continue
        if value is None:
            raise _refuse(facts, full_key, facts.wrong.get(f"{name}.{key}", "missing").join(("is ", "")))
        if not 1 <= value <= limit:
            raise _refuse(facts, full_key, f"is {value:,}, which cannot be (1 to {limit:,})")
    # A network without attention has no heads; one of length 1 stands for none.
    layers, width, heads = _known(facts.layers), _known(facts.embedding_length), facts.head_count or 1
    _check_consistency(facts, name, layers, width, heads)
    expert_length = facts.expert_feed_forward_length
    if facts.expert_count and expert_length is None:
        expert_length = facts.feed_forward_length
    return Architecture(
        name=name,
        layers=layers,
        embedding_length=width,
        feed_forward_length=facts.feed_forward_length or expert_length or 1,
        head_count=heads,
        head_count_kv=facts.head_count_kv or 1,
        key_length=facts.key_length or 1,
        value_length=facts.value_length or 1,
        vocab_size=facts.token_embedding_shape[1] if len(facts.token_embedding_shape) > 1 else _known(facts.vocab),
        causal=facts.causal,
        tied_embeddings=facts.tied,
        gated_feed_forward=facts.gated_feed_forward,
        sliding_window=facts.sliding_window,
        expert_count=facts.expert_count,
        expert_used_count=facts.expert_used_count if facts.expert_count else None,
        expert_feed_forward_length=expert_length if facts.expert_count else None,
        expert_shared_feed_forward_length=facts.expert_shared_feed_forward_length if facts.expert_count else None,
        leading_dense_layers=facts.leading_dense_layers if facts.expert_count else 0,
        expert_every=facts.expert_every if facts.expert_count else None,
        q_lora_rank=facts.q_lora_rank if facts.latent_attention else None,
        kv_lora_rank=facts.kv_lora_rank if facts.latent_attention else None,
        rope_head_length=facts.rope_length if facts.latent_attention else None,
        position_embeddings=facts.position_embeddings,
        token_types=facts.token_types,
        layer_pattern=facts.layer_pattern,
        one_part_layers=facts.one_part_layers,
        sliding_head_count_kv=facts.sliding_head_count_kv,
        sliding_key_length=facts.sliding_key_length,
        sliding_value_length=facts.sliding_value_length,
        shared_kv_layers=facts.shared_kv_layers,
        feed_forward_lengths=facts.feed_forward_lengths,
        per_layer_embedding_length=facts.per_layer_embedding_length,
        recurrent=facts.recurrent if facts.layer_pattern else None,
    )


def weight_table(facts: GgufFacts) -> WeightTable:
    """The exact bytes of every layer, for an estimate that need not predict them. Raises GgufError as above.

    In a tied model small tensors beside the output matrix (its norm) count with the last layer.
    """
    architecture(facts)
    layers = list(facts.layer_bytes)
    output = facts.output_bytes
    if facts.tied:
        layers[-1] += output
        output = facts.token_embedding_bytes
    return WeightTable(
        input_bytes=facts.input_bytes,
        layer_bytes=tuple(layers),
        output_bytes=output,
        tied=facts.tied,
        active_share=facts.active_share,
        exact=True,
    )


def model_from_facts(facts: GgufFacts, *, name: str, role: Role | None = None) -> tuple[Model, Variant]:
    """A model and its one variant for a user's own GGUF. `name` becomes the model's id.

    Raises GgufError naming the field for implausible numbers, a lone part of a split model, or no weights.
    """
    arch = architecture(facts)
    if facts.shard is not None:
        raise GgufError(
            f"{facts.file_name} is part {facts.shard.number} of {facts.shard.count} of a split model.",
            hint="Put all parts into one folder.",
            reference="gguf-incomplete",
        )
    if not facts.tensor_count:
        raise GgufError(
            f"{facts.file_name} holds no weights: it is only a vocabulary.",
            hint="Use the model's own file.",
            reference="gguf-incomplete",
        )
    spdx, commercial = _LICENCES.get((facts.licence or "").lower(), (facts.licence or "LicenseRef-unknown", None))
    variant = Variant(
        quant=facts.quant or "unknown",
        artifacts=(Artifact(source="file", file=_safe_path(facts.file_name), bytes=facts.size_bytes),),
        file_bytes=facts.size_bytes,
        tensor_bytes=facts.tensor_bytes,
        token_embedding_bytes=facts.token_embedding_bytes or None,
    )
    model = Model(
        id=name,
        family=arch.name,
        role=role or _role(facts),
        parameters=facts.parameters,
        active_parameters=facts.active_parameters if arch.is_moe else None,
        context_length=_known(facts.context_length),
        licence=Licence(spdx, commercial or Commercial.UNKNOWN),
        architecture=arch,
        embedding_length=facts.vector_length,
        pooling=Pooling(facts.pooling) if facts.pooling else None,
        variants=(variant,),
        sources={"architecture": "GGUF header"},
        notes=facts.notes,
    )
    return model, variant


def _role(facts: GgufFacts) -> Role:
    if facts.pooling == "rank":
        return Role.RERANKER
    if facts.pooling in {"mean", "cls", "last"} or (not facts.causal and not facts.has_output):
        return Role.EMBEDDING
    return Role.GENERATION


def _check_consistency(facts: GgufFacts, name: str, layers: int, width: int, heads: int) -> None:
    """Numbers that contradict each other or the tensors: llama.cpp would refuse to load these too."""
    prefix = shown(name)
    if (facts.head_count_kv or 1) > heads:
        raise _refuse(
            facts, f"{prefix}.attention.head_count_kv", f"is {facts.head_count_kv}, more than the {heads} heads"
        )
    if any(count < 0 for count in facts.head_count_kv_by_layer):
        raise _refuse(facts, f"{prefix}.attention.head_count_kv", f"has {min(facts.head_count_kv_by_layer)} in it")
    table = facts.token_embedding_shape
    if len(table) > 1 and table[0] != width:
        raise _refuse(facts, f"{prefix}.embedding_length", f"is {width}, but the token table has rows of {table[0]}")
    if facts.leading_dense_layers < 0 or facts.leading_dense_layers > layers:
        raise _refuse(
            facts, f"{prefix}.leading_dense_block_count", f"is {facts.leading_dense_layers} of {layers} layers"
        )
    if not 0 <= facts.shared_kv_layers < layers:
        raise _refuse(
            facts, f"{prefix}.attention.shared_kv_layers", f"is {facts.shared_kv_layers} of {layers} layers"
        )
    if facts.feed_forward_lengths and (
        len(facts.feed_forward_lengths) != layers or not all(1 <= n <= 2**24 for n in facts.feed_forward_lengths)
    ):
        raise _refuse(
            facts, f"{prefix}.feed_forward_length", f"does not have one plausible number for {layers} layers"
        )
    if facts.expert_count and (facts.expert_used_count or 1) > facts.expert_count:
        raise _refuse(
            facts, f"{prefix}.expert_used_count", f"is {facts.expert_used_count} of {facts.expert_count} experts"
        )
    present = sum(1 for size in facts.layer_bytes if size)
    # A few layers may be empty on purpose (skipped blocks, dropped prediction layers), most may not.
    if facts.shard is None and 0 < present < layers / 2:
        raise _refuse(facts, f"{prefix}.block_count", f"is {layers}, but only {present} layers have tensors")


def _refuse(facts: GgufFacts, key: str, what: str) -> GgufError:
    return GgufError(
        f"{facts.file_name}: {key} {what}.",
        hint="The header can be read, but no estimate can be made of it.",
        reference="gguf-implausible",
    )


def _known(value: int | None) -> int:
    assert value is not None, "checked against the limits"
    return value


def _safe_path(file_name: str) -> RepoPath:
    """The file's own name as a value that is safe everywhere; a user's name may hold anything."""
    try:
        return RepoPath(file_name)
    except ValueError:
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", file_name).strip(". ")
        return RepoPath(f"model-{safe[-80:].removesuffix('.gguf')}.gguf")
