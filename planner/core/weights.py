"""Where the bytes of a model's file go: the input tables, each layer, the output layer.

llama.cpp places whole units: the input tables always stay on the host, then come the layers and last the output
layer, `layers + 1` units that `n_gpu_layers` counts from the end.
"""

import msgspec

from planner.core.model import Architecture, Variant
from planner.core.parameters import parameter_table
from planner.core.quants import bits_per_weight, table_element_bytes, token_table_element_bytes


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
    header. The token table counts in its quant's base type, or at the file's mean bits per weight where no rule is
    known, and in the output matrix's type where it doubles as one.
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
        own = token_table_element_bytes(variant.quant, arch.embedding_length) or min(mean_bytes, element_bytes)
        token_table = output if arch.tied_embeddings else round(elements * own)
    if arch.tied_embeddings and arch.causal:
        output = token_table
    position = 4 * (arch.position_embeddings + arch.token_types) * arch.embedding_length
    inputs = min(token_table + position, tensor_bytes)
    output = min(output, token_table if arch.tied_embeddings else tensor_bytes - inputs)
    rest = max(0, tensor_bytes - inputs - (0 if arch.tied_embeddings else output))
    layers = parameter_table(arch).layers
    whole = sum(layer.total for layer in layers) or 1
    sizes = [round(rest * layer.total / whole) for layer in layers]
    sizes[-1] += rest - sum(sizes)
    return WeightTable(
        input_bytes=inputs,
        layer_bytes=tuple(sizes),
        output_bytes=output,
        tied=arch.tied_embeddings,
        active_share=tuple(layer.active / layer.total for layer in layers),
        exact=variant.tensor_bytes is not None,
    )
