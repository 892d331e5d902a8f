"""Where the bytes of a model's file go: the input tables, each layer, the output layer.

llama.cpp places whole units: the input tables always stay on the host, then come the layers and last the output
layer, `layers + 1` units that `n_gpu_layers` counts from the end.
"""

import functools

import msgspec

from planner.core.models.file_size import FileSize, file_size, header_bytes
from planner.core.models.model import Architecture, Variant
from planner.core.models.quants import canonical, is_standard

ROUNDING_BYTES = 2**30 // 18
"""Lists that round to 0.1 GiB are off by half of that, and by what an importance matrix adds."""
_OWN_OUTPUT_SHARE = 0.005
"""A file of a tied model that is this near to one with an output matrix of its own has one."""


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


def predicted_file_bytes(arch: Architecture, quant: str) -> int | None:
    """Size of a file of this quant type, None for an unknown one. A vendor's mix counts as its base type."""
    size = file_size(arch, canonical(quant))
    return None if size is None else size.file_bytes


@functools.lru_cache(maxsize=1024)
def weight_table(arch: Architecture, variant: Variant) -> WeightTable | None:
    """Spread a file's bytes over its units; None if neither its size nor a recipe for its quant type is known.

    The recipe says what the input tables and the output matrix take and how layers compare; what a known size has
    more or less is in the layers. A size that was rounded or computed gives way to the recipe where both agree.
    """
    recipe = file_size(arch, canonical(variant.quant))
    tensor_bytes = _known_tensor_bytes(arch, variant, recipe)
    if tensor_bytes is None:
        return None if recipe is None else _spread(arch, recipe, variant, recipe.tensor_bytes)
    if recipe is None:
        return _spread(arch, _scaled(arch, tensor_bytes), variant, tensor_bytes)
    if arch.tied_embeddings and tensor_bytes > recipe.tensor_bytes:
        untied, own = _untied(arch, canonical(variant.quant))
        if own is not None and _has_own_output(tensor_bytes, recipe, own):
            return _spread(untied, own, variant, tensor_bytes)
    return _spread(arch, recipe, variant, tensor_bytes)


class OutputMatrix:
    """Tells which files of a tied model have an output matrix of their own, judged by their size."""

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch
        self._sizes: dict[str, tuple[FileSize, FileSize | None, int] | None] = {}

    def is_in(self, variant: Variant) -> bool:
        """Whether it is in a file; always False for models that are not tied: it is in all of theirs."""
        size, quant = variant.tensor_bytes or variant.file_bytes, variant.quant
        if not self._arch.tied_embeddings or size is None:
            return False
        if quant not in self._sizes:
            self._sizes[quant] = self._usual(canonical(quant))
        usual = self._sizes[quant]
        if usual is None or size <= usual[2]:
            return False
        recipe, own, _ = usual
        tensor_bytes = _known_tensor_bytes(self._arch, variant, recipe)
        return tensor_bytes is not None and _has_own_output(tensor_bytes, recipe, own)

    def _usual(self, quant: str) -> tuple[FileSize, FileSize | None, int] | None:
        """A file without the matrix, one with it, and the tensors' bytes of the first."""
        recipe = file_size(self._arch, quant)
        return None if recipe is None else (recipe, _untied(self._arch, quant)[1], recipe.tensor_bytes)


def _untied(arch: Architecture, quant: str) -> tuple[Architecture, FileSize | None]:
    """A tied model as it is in a file with an output matrix of its own."""
    untied = msgspec.structs.replace(arch, tied_embeddings=False)
    return untied, file_size(untied, quant)


def _has_own_output(tensor_bytes: int, recipe: FileSize, own: FileSize | None) -> bool:
    """Whether a file of a tied model is larger than the recipe says, and by an output matrix."""
    return (
        tensor_bytes > recipe.tensor_bytes * (1 + _OWN_OUTPUT_SHARE)
        and own is not None
        and abs(own.tensor_bytes - tensor_bytes) < _OWN_OUTPUT_SHARE * tensor_bytes
    )


def _known_tensor_bytes(arch: Architecture, variant: Variant, recipe: FileSize | None) -> int | None:
    """Bytes of all tensors: as the header says, else the file less a predicted header; None to take the recipe's."""
    if variant.tensor_bytes is not None:
        return variant.tensor_bytes
    if variant.file_bytes is None:
        return None
    if recipe is not None and variant.file_bytes_source != "exact":
        agrees = abs(recipe.file_bytes - variant.file_bytes) < ROUNDING_BYTES
        if variant.file_bytes_source == "computed" or (is_standard(variant.quant) and agrees):
            return None
    return max(variant.file_bytes - header_bytes(arch), variant.file_bytes // 2)


def _scaled(arch: Architecture, tensor_bytes: int) -> FileSize:
    """A file of an unknown type: tables in proportion to an F16 file's, layers of an F16 file's proportions."""
    plain = file_size(arch, "F16")
    assert plain is not None, "F16 has a recipe"
    scale = tensor_bytes / plain.tensor_bytes
    return plain._replace(
        token_table_bytes=round(plain.token_table_bytes * scale),
        input_bytes=round(plain.input_bytes * scale),
        output_bytes=round(plain.output_bytes * scale),
    )


def _spread(arch: Architecture, recipe: FileSize, variant: Variant, tensor_bytes: int) -> WeightTable:
    """The recipe's parts, with what the file has more or less in the layers."""
    token_table = recipe.token_table_bytes
    if variant.token_embedding_bytes is not None:
        token_table = variant.token_embedding_bytes
    inputs = recipe.input_bytes - recipe.token_table_bytes + token_table
    if arch.per_layer_embedding_length:
        # The embeddings by layer are half the file, and it is there that vendors choose types of their own.
        inputs += tensor_bytes - recipe.tensor_bytes
    inputs = min(inputs, tensor_bytes)
    tied = arch.tied_embeddings
    # The norm before a tied output matrix is no unit of its own: it counts with the last layer.
    output = token_table if tied and arch.causal else 0 if tied else min(recipe.output_bytes, tensor_bytes - inputs)
    rest = tensor_bytes - inputs - (0 if tied else output)
    whole = sum(recipe.layer_bytes)
    sizes = [rest * size // whole for size in recipe.layer_bytes]
    sizes[-1] += rest - sum(sizes)
    return WeightTable(
        input_bytes=inputs,
        layer_bytes=tuple(sizes),
        output_bytes=output,
        tied=tied,
        active_share=tuple(
            active / size for active, size in zip(recipe.active_layer_bytes, recipe.layer_bytes, strict=True)
        ),
        exact=variant.tensor_bytes is not None,
    )
