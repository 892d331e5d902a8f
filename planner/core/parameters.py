"""How many weights a network has, from its shape: by layer and by tensor group.

Three uses: the catalog's architecture numbers are checked against the published parameter count (they must give
it exactly), weights are placed layer by layer (layers differ in size), and a MoE model's active share is known.

Shapes as in llama.cpp's `src/llama-model.cpp` (MIT) and the publishers' modelling code. Counts are elements.
"""

import functools
from dataclasses import dataclass

from planner.core.model import Architecture

_ENCODERS = frozenset({"bert", "nomic-bert", "jina-bert-v2", "modern-bert"})
_QKV_BIAS = frozenset({"qwen2", "gpt-oss", "glm4moe"})
_HEAD_NORMS = frozenset({"qwen3", "qwen3moe", "gemma3", "gemma-embedding"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma-embedding"})
_ROUTER_BIAS = frozenset({"glm4moe", "gpt-oss"})


@dataclass(frozen=True)
class LayerParameters:
    """Elements of one layer. `experts` holds all routed experts, `experts_active` those that see a token."""

    attention: int
    feed_forward: int
    norms: int
    experts: int = 0
    experts_active: int = 0

    @property
    def total(self) -> int:
        """Everything that is resident."""
        return self.attention + self.feed_forward + self.norms + self.experts

    @property
    def active(self) -> int:
        """Everything that is read for a token."""
        return self.total - self.experts + self.experts_active


@dataclass(frozen=True)
class ParameterTable:
    """Elements of a whole network.

    `token_embedding` is the vocabulary table; `input_tables` the learned positions, token types and their norm.
    `output` is the output matrix (0 when it is tied to the vocabulary table), `output_norm` the norm before it.
    `pooler` is part of the published count of BERT models and never of a GGUF.
    """

    token_embedding: int
    input_tables: int
    layers: tuple[LayerParameters, ...]
    output_norm: int
    output: int
    pooler: int = 0

    @property
    def total(self) -> int:
        """Unique weights as published: a tied matrix once, BERT's pooler included."""
        return self.resident + self.pooler

    @property
    def resident(self) -> int:
        """Unique weights that a GGUF holds."""
        layers = sum(layer.total for layer in self.layers)
        return self.token_embedding + self.input_tables + layers + self.output_norm + self.output

    @property
    def active(self) -> int:
        """`total` less the experts that do not see a token."""
        return self.total - sum(layer.total - layer.active for layer in self.layers)


def count_parameters(arch: Architecture) -> int:
    """Unique weights as published (elements). An architecture this module does not know counts as Llama-like."""
    return parameter_table(arch).total


@functools.lru_cache(maxsize=1024)
def parameter_table(arch: Architecture) -> ParameterTable:
    """Elements of the network by tensor group and layer. Cached: planning asks for one shape many times."""
    width = arch.embedding_length
    encoder = arch.name in _ENCODERS
    norm = width * (2 if encoder and arch.name != "modern-bert" else 1)
    layers = tuple(_layer(arch, index) for index in range(arch.layers))
    tables = (arch.position_embeddings + arch.token_types) * width
    return ParameterTable(
        token_embedding=arch.vocab_size * width,
        input_tables=tables + (norm if encoder else 0),
        layers=layers,
        output_norm=0 if encoder and arch.name != "modern-bert" else norm,
        output=0 if encoder or arch.tied_embeddings else arch.vocab_size * width,
        pooler=width * (width + 1) if arch.name in {"bert", "jina-bert-v2"} else 0,
    )


def _layer(arch: Architecture, index: int) -> LayerParameters:
    if arch.name in _ENCODERS:
        return _encoder_layer(arch, index)
    dense = not arch.is_moe or index < arch.leading_dense_layers
    if dense:
        experts = active = 0
        feed_forward = (3 if arch.gated_feed_forward else 2) * arch.embedding_length * arch.feed_forward_length
    else:
        one, router = _expert(arch), _router(arch)
        experts = one * (arch.expert_count or 0)
        active = one * (arch.expert_used_count or 0)
        feed_forward = router + 3 * arch.embedding_length * (arch.expert_shared_feed_forward_length or 0)
    return LayerParameters(
        attention=_attention(arch),
        feed_forward=feed_forward,
        norms=(4 if arch.name in _FOUR_NORMS else 2) * arch.embedding_length,
        experts=experts,
        experts_active=active,
    )


def _expert(arch: Architecture) -> int:
    """One routed expert: gate, up and down matrices; gpt-oss gives each a bias."""
    width, inner = arch.embedding_length, arch.expert_feed_forward_length or arch.feed_forward_length
    return 3 * width * inner + (2 * inner + width if arch.name == "gpt-oss" else 0)


def _router(arch: Architecture) -> int:
    """The gate that chooses experts, with its bias where the family has one (DeepSeek: only with q_lora, V3 on)."""
    experts = arch.expert_count or 0
    bias = arch.name in _ROUTER_BIAS or (arch.name == "deepseek2" and arch.q_lora_rank is not None)
    return experts * (arch.embedding_length + (1 if bias else 0))


def _attention(arch: Architecture) -> int:
    if arch.kv_lora_rank is not None:
        return _latent_attention(arch, arch.kv_lora_rank)
    width = arch.embedding_length
    query = arch.head_count * arch.key_length
    key, value = arch.head_count_kv * arch.key_length, arch.head_count_kv * arch.value_length
    mixed = arch.head_count * arch.value_length
    elements = width * (query + key + value) + mixed * width
    if arch.name in _QKV_BIAS:
        elements += query + key + value
    if arch.name == "gpt-oss":
        elements += width + arch.head_count  # bias of the output matrix, one attention sink per head
    if arch.name in _HEAD_NORMS:
        elements += 2 * arch.key_length
    if arch.name == "olmo2":
        elements += query + key  # norms over the whole projection, not per head
    return elements


def _latent_attention(arch: Architecture, rank: int) -> int:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): low-rank keys and values, a shared rope part."""
    width, rope = arch.embedding_length, arch.rope_head_length or 0
    query = arch.head_count * arch.key_length
    elements = width * query
    if arch.q_lora_rank is not None:
        elements = width * arch.q_lora_rank + arch.q_lora_rank + arch.q_lora_rank * query
    elements += width * (rank + rope) + rank
    elements += rank * arch.head_count * (arch.key_length - rope + arch.value_length)
    return elements + arch.head_count * arch.value_length * width


def _encoder_layer(arch: Architecture, index: int) -> LayerParameters:
    width, inner = arch.embedding_length, arch.feed_forward_length
    matrices = (3 if arch.gated_feed_forward else 2) * width * inner
    attention = 4 * width * width
    match arch.name:
        case "bert":
            return LayerParameters(attention + 4 * width, matrices + inner + width, 4 * width)
        case "jina-bert-v2":
            return LayerParameters(attention + 4 * width, matrices + width, 4 * width)
        case "modern-bert":
            # The first layer has no norm before its attention.
            return LayerParameters(attention, matrices, width * (1 if index == 0 else 2))
        case _:
            return LayerParameters(attention, matrices, 4 * width)
