"""`catalog/quants.json`: how many bits a weight takes, by block type and by whole file."""

import math
from typing import Literal

import msgspec


class BlockType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor type of ggml: `block_size` weights are stored in `block_bytes` bytes."""

    type: str
    block_size: int
    block_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Bits per weight of a tensor of this type."""
        return self.block_bytes * 8 / self.block_size


class FileType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A quant type of whole files, which mix block types.

    Bits per weight as measured on an 8 B and a 70 B model (`nominal`: derived, not measured);
    `perplexity_increase` over F16, absolute, of Llama-3-8B, None where nobody published it; `imatrix`: measured with
    an importance matrix.
    """

    quant: str
    bits_per_weight_8b: float | None = None
    bits_per_weight_70b: float | None = None
    perplexity_increase: float | None = None
    imatrix: bool = False
    nominal: bool = False


Pair = tuple[float, float]


class SizeEffect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Perplexities of a smaller and a larger model of one family in a quant type, beside `unquantised`.

    `billions` are the nominal sizes, `source` is a key of the table's sources.
    """

    quant: str
    source: str
    billions: Pair
    perplexity: Pair
    unquantised: Pair

    @property
    def exponent(self) -> float:
        """By which power of the size the logarithm of the perplexity ratio falls."""
        small, large = (
            math.log(quantised / plain) for quantised, plain in zip(self.perplexity, self.unquantised, strict=True)
        )
        return math.log(small / large) / math.log(self.billions[1] / self.billions[0])


class QuantTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    schema: Literal[1]
    as_of: str
    sources: dict[str, str]
    block_types: tuple[BlockType, ...]
    file_types: tuple[FileType, ...]
    size_effect: tuple[SizeEffect, ...] = ()

    def bits_per_weight(self, quant: str) -> float | None:
        """Whole-file bits per weight at 8 B, None for a quant type that is not in the table."""
        wanted = quant.upper()
        return next((entry.bits_per_weight_8b for entry in self.file_types if entry.quant == wanted), None)

    def perplexity_increase(self, quant: str) -> float | None:
        """Absolute perplexity increase over F16 of Llama-3-8B, None where it is not published."""
        wanted = quant.upper()
        return next((entry.perplexity_increase for entry in self.file_types if entry.quant == wanted), None)
