"""What each layer of a network mixes tokens with, and the lengths that follow from it.

`Architecture.layer_pattern` has a letter a layer, or the letters of a group that repeats. Without one, sliding
windows follow `full_attention_every` and everything else attends to the whole context.
"""

import functools
from enum import StrEnum

from planner.core.models.model import Architecture


class Mixer(StrEnum):
    """How a layer looks at other tokens; the values are the letters of a pattern."""

    FULL = "f"
    """Attention to the whole context."""
    SLIDING = "s"
    """Attention to the last `sliding_window` tokens."""
    RECURRENT = "r"
    """A state of fixed size: Mamba-2, gated delta net, short convolution."""
    BOTH = "b"
    """Attention to the whole context and a state, side by side (Falcon-H1)."""
    NONE = "n"
    """Only a feed-forward part."""


def mixer(arch: Architecture, layer: int) -> Mixer:
    """What a layer is, counted from 0."""
    if arch.layer_pattern is not None:
        return Mixer(arch.layer_pattern[layer % len(arch.layer_pattern)])
    if arch.sliding_window and (not arch.full_attention_every or (layer + 1) % arch.full_attention_every):
        return Mixer.SLIDING
    return Mixer.FULL


@functools.lru_cache(maxsize=512)
def mixers(arch: Architecture) -> tuple[Mixer, ...]:
    """What every layer is. Cached: planning asks for one network many times."""
    return tuple(mixer(arch, layer) for layer in range(arch.layers))


def has_feed_forward(arch: Architecture, layer: int) -> bool:
    """Whether a layer has a feed-forward part: in Nemotron-H every layer is one or the other."""
    return not arch.one_part_layers or mixer(arch, layer) is Mixer.NONE


def has_experts(arch: Architecture, layer: int) -> bool:
    """Whether a layer's feed-forward part is a mixture: not the leading dense ones, and every `expert_every`-th."""
    if not arch.is_moe or layer < arch.leading_dense_layers:
        return False
    return arch.expert_every is None or (layer + 1) % arch.expert_every == 0


def owns_cache(arch: Architecture, layer: int) -> bool:
    """Whether an attention layer keeps keys and values of its own: the last `shared_kv_layers` read earlier ones'."""
    return layer < arch.layers - arch.shared_kv_layers


def kv_heads(arch: Architecture, mixes: Mixer) -> tuple[int, int, int]:
    """KV heads, key and value length of an attention layer: sliding layers may have their own (Gemma 4)."""
    if mixes is Mixer.SLIDING:
        return (
            arch.sliding_head_count_kv or arch.head_count_kv,
            arch.sliding_key_length or arch.key_length,
            arch.sliding_value_length or arch.value_length,
        )
    return arch.head_count_kv, arch.key_length, arch.value_length


def feed_forward_length(arch: Architecture, layer: int) -> int:
    """Inner length of a layer's dense feed-forward part."""
    return arch.feed_forward_lengths[layer] if arch.feed_forward_lengths else arch.feed_forward_length


def widest_feed_forward(arch: Architecture) -> int:
    """The largest inner length of all layers."""
    return max(arch.feed_forward_lengths, default=arch.feed_forward_length)
