"""The tensors of a GGUF, from a network's shape: name, row length, rows, experts.

One list for everything that needs it: counting weights (`parameters`), choosing their types (`recipe`), adding up
bytes (`file_size`). Names and shapes as llama.cpp loads them (`src/models/*.cpp`, MIT) and its converter writes them
(`conversion/`), both at ggml-org/llama.cpp@0c1e57098. A row is what ggml calls `ne[0]`: blocks never cross its end.
"""

import functools

from planner.core.models.layers import Mixer, feed_forward_length, has_experts, has_feed_forward, kv_heads, mixer
from planner.core.models.model import Architecture
from planner.core.models.recurrent_tensors import recurrent_tensors
from planner.core.models.tensor import Tensor

ENCODERS = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert"})
_BIASED = frozenset({"bert", "nomic-bert-moe", "jina-bert-v2"})
"""Attention and feed-forward part have biases; the experts of nomic-bert-moe have none in a GGUF."""
_QKV_BIAS = frozenset({"qwen2", "gpt-oss", "glm4moe"})
_GATED_QUERY = frozenset({"qwen35", "qwen35moe", "qwen3next"})
"""The query projection makes a gate for the attention's output too."""
_HEAD_NORMS = frozenset(
    {"qwen3", "qwen3moe", "gemma3", "gemma-embedding", "gemma4", "lfm2", "lfm2moe", *_GATED_QUERY}
)
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma-embedding", "gemma4"})
_NORM_AFTER_ATTENTION = frozenset({"gpt-oss", "glm4moe", *_GATED_QUERY})
"""The norm before the feed-forward part goes by this name."""
_ROUTER_BIAS = frozenset({"glm4moe", "gpt-oss", "lfm2moe", "nemotron_h_moe"})
_SHARED_EXPERT_GATE = frozenset({"qwen35moe", "qwen3next"})
_FUSED_QKV = frozenset({"phi3", "nomic-bert", "nomic-bert-moe", "modern-bert"})
_FUSED_GATE_UP = frozenset({"phi3", "modern-bert", "jina-bert-v2"})


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
    if own := arch.per_layer_embedding_length:
        tensors.append(Tensor("per_layer_token_embd.weight", own * arch.layers, arch.vocab_size))
    return tuple(tensors)


def output_tensors(arch: Architecture) -> tuple[Tensor, ...]:
    """The last norm, the output matrix of a model that does not use the token table for it, and what has no layer."""
    tensors: list[Tensor] = []
    if arch.name not in ENCODERS or arch.name == "modern-bert":
        tensors += _norm(arch, "token_embd_norm" if arch.name in {"lfm2", "lfm2moe"} else "output_norm")
    if arch.name not in ENCODERS and not arch.tied_embeddings:
        tensors.append(Tensor("output.weight", arch.embedding_length, arch.vocab_size))
    if own := arch.per_layer_embedding_length:
        # llama.cpp keeps these with the first layer.
        tensors.append(Tensor("per_layer_model_proj.weight", arch.embedding_length, own * arch.layers))
        tensors.append(Tensor("per_layer_proj_norm.weight", own))
    return tuple(tensors)


def layer_tensors(arch: Architecture, index: int) -> tuple[Tensor, ...]:
    """The tensors of a layer, without the `blk.N.` before their names.

    An architecture this module does not know is Llama-like.
    """
    return _layer(arch, *_kind(arch, index))


def _kind(arch: Architecture, index: int) -> tuple[Mixer, int, bool, bool]:
    """What decides the tensors of a layer, as `_layer` takes it."""
    inner = feed_forward_length(arch, index) if has_feed_forward(arch, index) else 0
    return mixer(arch, index), inner, has_experts(arch, index), index == 0


@functools.lru_cache(maxsize=512)
def tensors_by_layer(arch: Architecture) -> tuple[tuple[Tensor, ...], ...]:
    """`layer_tensors` of every layer; those of one kind are one tuple. Cached: planning asks for one often."""
    kinds = [_kind(arch, index) for index in range(arch.layers)]
    known = {kind: _layer(arch, *kind) for kind in dict.fromkeys(kinds)}
    return tuple(known[kind] for kind in kinds)


def _layer(arch: Architecture, mixes: Mixer, inner: int, mixture: bool, first: bool) -> tuple[Tensor, ...]:
    """A layer of a kind; `inner` is the length of its feed-forward part, 0 for none."""
    tensors = _mixer(arch, mixes)
    if inner:
        tensors += _mixture(arch, inner) if mixture else _feed_forward(arch, inner)
    return (*tensors, *_norms(arch, first=first), *_beside(arch))


def _mixer(arch: Architecture, mixes: Mixer) -> list[Tensor]:
    if mixes is Mixer.NONE:
        return []
    if mixes is Mixer.RECURRENT and arch.recurrent is not None:
        return recurrent_tensors(arch, arch.recurrent)
    if mixes is Mixer.BOTH and arch.recurrent is not None:
        return [*recurrent_tensors(arch, arch.recurrent), *_attention(arch, mixes)]
    latent = arch.kv_lora_rank
    return _attention(arch, mixes) if latent is None else _latent_attention(arch, latent)


def _beside(arch: Architecture) -> list[Tensor]:
    """What Gemma 4 has beside attention and feed-forward: a scale, and the way in for the layer's own embedding."""
    if arch.name != "gemma4":
        return []
    tensors = [Tensor("layer_output_scale.weight", 1)]
    if own := arch.per_layer_embedding_length:
        width = arch.embedding_length
        tensors += [Tensor("inp_gate.weight", width, own), Tensor("proj.weight", own, width)]
        tensors.append(Tensor("post_norm.weight", width))
    return tensors


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
    elif arch.one_part_layers:
        names = ["attn_norm"]
    elif arch.name in _NORM_AFTER_ATTENTION:
        names = ["attn_norm", "post_attention_norm"]
    elif arch.name == "olmo2":
        names = ["post_attention_norm", "post_ffw_norm"]
    else:
        names = ["attn_norm", "ffn_norm"]
    if arch.name == "gemma4" and arch.is_moe:
        names += ["pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"]
    return [tensor for name in names for tensor in _norm(arch, name)]


def _attention(arch: Architecture, mixes: Mixer) -> list[Tensor]:
    width = arch.embedding_length
    heads, key, value = kv_heads(arch, mixes)
    query = arch.head_count * key
    parts = {
        "attn_q": 2 * query if arch.name in _GATED_QUERY else query,
        "attn_k": heads * key,
        "attn_v": heads * value,
    }
    if arch.values_are_keys and mixes is Mixer.FULL:
        parts.pop("attn_v", None)
    if arch.name in _FUSED_QKV:
        parts = {"attn_qkv": sum(parts.values())}
    tensors = [Tensor(f"{name}.weight", width, rows) for name, rows in parts.items()]
    tensors.append(Tensor("attn_output.weight", arch.head_count * value, width))
    if arch.name in _QKV_BIAS | _BIASED:
        tensors += [Tensor(f"{name}.bias", rows) for name, rows in parts.items()]
    if arch.name == "gpt-oss" or arch.name in _BIASED:
        tensors.append(Tensor("attn_output.bias", width))
    if arch.name == "gpt-oss":
        tensors.append(Tensor("attn_sinks.weight", arch.head_count))
    if arch.name in _HEAD_NORMS:
        tensors += [Tensor(f"attn_{part}_norm.weight", key) for part in "qk"]
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


def _feed_forward(arch: Architecture, inner: int) -> list[Tensor]:
    width = arch.embedding_length
    tensors = [Tensor("ffn_down.weight", inner, width)]
    if not arch.gated_feed_forward:
        tensors.append(Tensor("ffn_up.weight", width, inner))
    elif arch.name in _FUSED_GATE_UP:
        tensors.append(Tensor("ffn_up.weight", width, 2 * inner))
    else:
        tensors += [Tensor("ffn_gate.weight", width, inner), Tensor("ffn_up.weight", width, inner)]
    if arch.name in {"bert", "nomic-bert-moe"}:
        tensors.append(Tensor("ffn_up.bias", inner))
    if arch.name in _BIASED:
        tensors.append(Tensor("ffn_down.bias", width))
    return tensors


def _mixture(arch: Architecture, dense: int) -> list[Tensor]:
    """Router, experts and shared experts. DeepSeek's router has a bias only with q_lora (V3 on).

    Gemma 4 has a dense part of length `dense` beside them, and gate and up of an expert in one matrix.
    """
    width, experts = arch.embedding_length, arch.expert_count or 0
    inner = arch.expert_feed_forward_length or arch.feed_forward_length
    tensors = [Tensor("ffn_gate_inp.weight", width, experts), Tensor("ffn_down_exps.weight", inner, width, experts)]
    if arch.name == "gemma4":
        tensors += [
            *_feed_forward(arch, dense),
            Tensor("ffn_gate_inp.scale", width),
            Tensor("ffn_gate_up_exps.weight", width, 2 * inner, experts),
            Tensor("ffn_down_exps.scale", experts),
        ]
        return tensors
    ways = ("gate", "up") if arch.gated_feed_forward else ("up",)
    tensors += [Tensor(f"ffn_{way}_exps.weight", width, inner, experts) for way in ways]
    if arch.name in _ROUTER_BIAS or (arch.name == "deepseek2" and arch.q_lora_rank is not None):
        tensors.append(Tensor("ffn_gate_inp.bias" if arch.name == "gpt-oss" else "exp_probs_b.bias", experts))
    if arch.name == "gpt-oss":
        tensors += [Tensor(f"ffn_{part}_exps.bias", inner, experts) for part in ("gate", "up")]
        tensors.append(Tensor("ffn_down_exps.bias", width, experts))
    if shared := arch.expert_shared_feed_forward_length:
        tensors += [Tensor(f"ffn_{way}_shexp.weight", width, shared) for way in ways]
        tensors.append(Tensor("ffn_down_shexp.weight", shared, width))
        if arch.name in _SHARED_EXPERT_GATE:
            tensors.append(Tensor("ffn_gate_inp_shexp.weight", width))
    return tensors
