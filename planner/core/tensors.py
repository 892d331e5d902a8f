"""The tensors of a GGUF, from a network's shape: name, row length, rows, experts.

One list for everything that needs it: counting weights (`parameters`), choosing their types (`recipe`), adding up
bytes (`file_size`). Names and shapes as llama.cpp loads them (`src/models/*.cpp`, MIT) and its converter writes them
(`conversion/`), both at ggml-org/llama.cpp@0c1e57098. A row is what ggml calls `ne[0]`: blocks never cross its end.
"""

import functools
from typing import NamedTuple

from planner.core.model import Architecture

ENCODERS = frozenset({"bert", "nomic-bert", "jina-bert-v2", "modern-bert"})
_QKV_BIAS = frozenset({"qwen2", "gpt-oss", "glm4moe"})
_HEAD_NORMS = frozenset({"qwen3", "qwen3moe", "gemma3", "gemma-embedding"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma-embedding"})
_ROUTER_BIAS = frozenset({"glm4moe", "gpt-oss"})
_FUSED_QKV = frozenset({"phi3", "nomic-bert", "modern-bert"})
_FUSED_GATE_UP = frozenset({"phi3", "modern-bert", "jina-bert-v2"})


class Tensor(NamedTuple):
    """A tensor of `experts` matrices of `rows` rows of `row` elements; a vector is one row."""

    name: str
    row: int
    rows: int = 1
    experts: int = 1

    @property
    def elements(self) -> int:
        """Weights in it."""
        return self.row * self.rows * self.experts

    @property
    def is_vector(self) -> bool:
        """One dimension: a norm, a bias, a table of one row."""
        return self.rows * self.experts == 1

    @property
    def is_routed(self) -> bool:
        """Whether a token sees only the chosen experts' part of it."""
        return "_exps." in self.name


def input_tensors(arch: Architecture) -> tuple[Tensor, ...]:
    """What turns token ids into vectors: the token table first, then positions, token types and their norm."""
    width = arch.embedding_length
    tensors = [Tensor("token_embd.weight", width, arch.vocab_size)]
    if arch.position_embeddings:
        tensors.append(Tensor("position_embd.weight", width, arch.position_embeddings))
    if arch.token_types:
        tensors.append(Tensor("token_types.weight", width, arch.token_types))
    if arch.name in ENCODERS:
        tensors += _norm(arch, "token_embd_norm")
    return tuple(tensors)


def output_tensors(arch: Architecture) -> tuple[Tensor, ...]:
    """The last norm, and the output matrix of a model that does not use the token table for it."""
    tensors: list[Tensor] = []
    if arch.name not in ENCODERS or arch.name == "modern-bert":
        tensors += _norm(arch, "output_norm")
    if arch.name not in ENCODERS and not arch.tied_embeddings:
        tensors.append(Tensor("output.weight", arch.embedding_length, arch.vocab_size))
    return tuple(tensors)


def layer_tensors(arch: Architecture, index: int) -> tuple[Tensor, ...]:
    """The tensors of a layer, without the `blk.N.` before their names.

    An architecture this module does not know is Llama-like.
    """
    return _layer(arch, arch.is_moe and index >= arch.leading_dense_layers, index == 0)


@functools.lru_cache(maxsize=1024)
def _layer(arch: Architecture, moe: bool, first: bool) -> tuple[Tensor, ...]:
    feed_forward = _mixture(arch) if moe else _feed_forward(arch)
    latent = arch.kv_lora_rank
    attention = _attention(arch) if latent is None else _latent_attention(arch, latent)
    return (*attention, *feed_forward, *_norms(arch, first=first))


def _norm(arch: Architecture, name: str) -> list[Tensor]:
    """A norm's weight, and its bias where the encoders have one."""
    tensors = [Tensor(f"{name}.weight", arch.embedding_length)]
    if arch.name in ENCODERS and arch.name != "modern-bert":
        tensors.append(Tensor(f"{name}.bias", arch.embedding_length))
    return tensors


def _norms(arch: Architecture, *, first: bool) -> list[Tensor]:
    if arch.name == "modern-bert":
        # The first layer has no norm before its attention.
        names = ["ffn_norm"] if first else ["attn_norm", "ffn_norm"]
    elif arch.name in ENCODERS:
        names = ["attn_output_norm", "layer_output_norm"]
    elif arch.name in _FOUR_NORMS:
        names = ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"]
    else:
        names = ["attn_norm", "ffn_norm"]
    return [tensor for name in names for tensor in _norm(arch, name)]


def _attention(arch: Architecture) -> list[Tensor]:
    width = arch.embedding_length
    parts = {
        "attn_q": arch.head_count * arch.key_length,
        "attn_k": arch.head_count_kv * arch.key_length,
        "attn_v": arch.head_count_kv * arch.value_length,
    }
    if arch.name in _FUSED_QKV:
        parts = {"attn_qkv": sum(parts.values())}
    tensors = [Tensor(f"{name}.weight", width, rows) for name, rows in parts.items()]
    tensors.append(Tensor("attn_output.weight", arch.head_count * arch.value_length, width))
    if arch.name in _QKV_BIAS or arch.name in {"bert", "jina-bert-v2"}:
        tensors += [Tensor(f"{name}.bias", rows) for name, rows in parts.items()]
    if arch.name in {"gpt-oss", "bert", "jina-bert-v2"}:
        tensors.append(Tensor("attn_output.bias", width))
    if arch.name == "gpt-oss":
        tensors.append(Tensor("attn_sinks.weight", arch.head_count))
    if arch.name in _HEAD_NORMS:
        tensors += [Tensor(f"attn_{part}_norm.weight", arch.key_length) for part in "qk"]
    if arch.name == "olmo2":
        # Norms over the whole projection, not per head.
        tensors += [Tensor(f"attn_{part}_norm.weight", parts[f"attn_{part}"]) for part in "qk"]
    return tensors


def _latent_attention(arch: Architecture, rank: int) -> list[Tensor]:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): low-rank keys and values, a shared rope part.

    The converter splits what expands the latent row by heads: `attn_k_b` lies transposed, `attn_v_b` does not.
    """
    width, heads, rope = arch.embedding_length, arch.head_count, arch.rope_head_length or 0
    query = heads * arch.key_length
    tensors = [Tensor("attn_q.weight", width, query)]
    if arch.q_lora_rank is not None:
        tensors = [
            Tensor("attn_q_a.weight", width, arch.q_lora_rank),
            Tensor("attn_q_a_norm.weight", arch.q_lora_rank),
            Tensor("attn_q_b.weight", arch.q_lora_rank, query),
        ]
    return [
        *tensors,
        Tensor("attn_kv_a_mqa.weight", width, rank + rope),
        Tensor("attn_kv_a_norm.weight", rank),
        Tensor("attn_k_b.weight", arch.key_length - rope, rank, heads),
        Tensor("attn_v_b.weight", rank, arch.value_length, heads),
        Tensor("attn_output.weight", heads * arch.value_length, width),
    ]


def _feed_forward(arch: Architecture) -> list[Tensor]:
    width, inner = arch.embedding_length, arch.feed_forward_length
    tensors = [Tensor("ffn_down.weight", inner, width)]
    if not arch.gated_feed_forward:
        tensors.append(Tensor("ffn_up.weight", width, inner))
    elif arch.name in _FUSED_GATE_UP:
        tensors.append(Tensor("ffn_up.weight", width, 2 * inner))
    else:
        tensors += [Tensor("ffn_gate.weight", width, inner), Tensor("ffn_up.weight", width, inner)]
    if arch.name == "bert":
        tensors.append(Tensor("ffn_up.bias", inner))
    if arch.name in {"bert", "jina-bert-v2"}:
        tensors.append(Tensor("ffn_down.bias", width))
    return tensors


def _mixture(arch: Architecture) -> list[Tensor]:
    """Router, experts and shared experts. DeepSeek's router has a bias only with q_lora (V3 on)."""
    width, experts = arch.embedding_length, arch.expert_count or 0
    inner = arch.expert_feed_forward_length or arch.feed_forward_length
    tensors = [
        Tensor("ffn_gate_inp.weight", width, experts),
        Tensor("ffn_gate_exps.weight", width, inner, experts),
        Tensor("ffn_down_exps.weight", inner, width, experts),
        Tensor("ffn_up_exps.weight", width, inner, experts),
    ]
    if arch.name in _ROUTER_BIAS or (arch.name == "deepseek2" and arch.q_lora_rank is not None):
        tensors.append(Tensor("ffn_gate_inp.bias" if arch.name == "gpt-oss" else "exp_probs_b.bias", experts))
    if arch.name == "gpt-oss":
        tensors += [Tensor(f"ffn_{part}_exps.bias", inner, experts) for part in ("gate", "up")]
        tensors.append(Tensor("ffn_down_exps.bias", width, experts))
    shared = arch.expert_shared_feed_forward_length
    if shared:
        tensors += [
            Tensor("ffn_gate_shexp.weight", width, shared),
            Tensor("ffn_down_shexp.weight", shared, width),
            Tensor("ffn_up_shexp.weight", width, shared),
        ]
    return tensors
