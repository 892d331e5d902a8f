"""Where the bytes of a model's file go: the input tables, each layer, the output layer.

llama.cpp places whole units: the input tables always stay on the host, then come the layers and last the output
layer, `layers + 1` units that `n_gpu_layers` counts from the end.
"""

import msgspec

from planner.core.model import Architecture, Variant
from planner.core.quants import bits_per_weight, table_element_bytes


class WeightTable(msgspec.Struct, frozen=True):
    """Bytes by unit. `active_share` is the part of a layer's bytes that one token reads (1 for dense models).

    `output_bytes` is the output matrix; in a tied model it is a second copy of the token table, which exists only
    when the output layer is on another device than the host.
    """

    input_bytes: int
    layer_bytes: tuple[int, ...]
    output_bytes: int
    tied: bool
    active_share: tuple[float, ...]
    exact: bool

    @property
    def tensor_bytes(self) -> int:
        """All tensors of the file."""
        return self.input_bytes + sum(self.layer_bytes) + (0 if self.tied else self.output_bytes)


def layer_parameters(arch: Architecture, layer: int) -> tuple[int, int]:
    """Parameters of a layer as (all, used per token). Norms and biases are left out: they are below 0.1 %."""
    width = arch.embedding_length
    if arch.kv_lora_rank:
        rope = arch.rope_head_length or 64
        attention = width * arch.head_count * arch.key_length
        attention += width * (arch.kv_lora_rank + rope)
        attention += arch.kv_lora_rank * arch.head_count * (arch.key_length - rope + arch.value_length)
        attention += arch.head_count * arch.value_length * width
    else:
        attention = width * (arch.head_count * arch.key_length + arch.head_count_kv * arch.key_length)
        attention += width * arch.head_count_kv * arch.value_length + arch.head_count * arch.value_length * width
    matrices = 3 if arch.gated_feed_forward else 2
    if not arch.expert_count or layer < arch.leading_dense_layers:
        total = attention + matrices * width * arch.feed_forward_length
        return total, total
    expert = matrices * width * (arch.expert_feed_forward_length or arch.feed_forward_length)
    router = width * arch.expert_count
    used = arch.expert_used_count or arch.expert_count
    return attention + router + expert * arch.expert_count, attention + router + expert * used


def predicted_header_bytes(arch: Architecture) -> int:
    """Size of a GGUF header: the tokenizer is almost all of it.

    21 to 36 bytes per token in the files measured (MiniLM 21, Gemma 25, SmolLM2 with merges 36).
    """
    return 28 * arch.vocab_size + 4096 + 100 * 11 * arch.layers


def predicted_file_bytes(parameters: int, quant: str) -> int | None:
    """Size of a file from its quant type alone, None for an unknown type. Off by several per cent."""
    bits = bits_per_weight(quant)
    return None if bits is None else round(parameters * bits / 8)


def weight_table(arch: Architecture, variant: Variant, parameters: int) -> WeightTable | None:
    """Spread a file's bytes over its units; None if its size is unknown.

    Exact tensor bytes are taken from the variant where a header was read, else the file size less a predicted
    header. The token table counts at the file's mean bits per weight (0.02 % median, 0.5 % p90 error of the GPU
    weights over 99 logs, docs/estimates.md) unless it doubles as the output matrix.
    """
    file_bytes = variant.file_bytes or predicted_file_bytes(parameters, variant.quant)
    tensor_bytes = variant.tensor_bytes
    if tensor_bytes is None:
        if file_bytes is None:
            return None
        tensor_bytes = max(file_bytes - predicted_header_bytes(arch), file_bytes // 2)
    elements = arch.vocab_size * arch.embedding_length
    element_bytes = table_element_bytes(variant.quant, arch.embedding_length)
    mean_bytes = min(tensor_bytes / max(parameters, 1), 4.0)
    output = 0 if not arch.causal else round(elements * element_bytes)
    token_table = variant.token_embedding_bytes
    if token_table is None:
        token_table = output if arch.tied_embeddings else round(elements * min(mean_bytes, element_bytes))
    if arch.tied_embeddings and arch.causal:
        output = token_table
    position = 4 * (arch.position_embeddings + arch.token_types) * arch.embedding_length
    inputs = min(token_table + position, tensor_bytes)
    rest = max(0, tensor_bytes - inputs - (0 if arch.tied_embeddings else output))
    sizes = [layer_parameters(arch, layer) for layer in range(arch.layers)]
    whole = sum(total for total, _ in sizes) or 1
    return WeightTable(
        input_bytes=inputs,
        layer_bytes=tuple(round(rest * total / whole) for total, _ in sizes),
        output_bytes=output,
        tied=arch.tied_embeddings,
        active_share=tuple(active / total for total, active in sizes),
        exact=variant.tensor_bytes is not None,
    )
