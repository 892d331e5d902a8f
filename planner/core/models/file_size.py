"""How large a GGUF of a quant type is, part by part, from the network's shape.

Every tensor's type comes from `recipe`, its shape from `tensors`; the vocabulary makes the header. How far the sum is
from real files: docs/estimates.md, `python benchmarks/quant_sizes.py`.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from planner.core.models.model import Architecture
from planner.core.models.quants import BLOCKS
from planner.core.models.recipe import Place, Recipe, has_recipe, is_kept, places
from planner.core.models.tensor import Tensor
from planner.core.models.tensors import input_tensors, output_tensors, tensors_by_layer


class QuantizedTensor(NamedTuple):
    """A tensor of a quantised file: `type` is ggml's name in lower case, `size_bytes` without padding."""

    name: str
    elements: int
    type: str
    size_bytes: int


class FileSize(NamedTuple):
    """Bytes of a file by part. `active_layer_bytes` is what one token reads of each layer.

    `token_table_bytes` is part of `input_bytes`; `output_bytes` holds the output matrix (0 when it is tied) and
    its norm.
    """

    token_table_bytes: int
    input_bytes: int
    layer_bytes: tuple[int, ...]
    active_layer_bytes: tuple[int, ...]
    output_bytes: int
    header_bytes: int

    @property
    def tensor_bytes(self) -> int:
        """All tensors."""
        return self.input_bytes + sum(self.layer_bytes) + self.output_bytes

    @property
    def file_bytes(self) -> int:
        """The whole file."""
        return self.tensor_bytes + self.header_bytes


@functools.lru_cache(maxsize=2048)
def file_size(arch: Architecture, quant: str, *, imatrix: bool = False) -> FileSize | None:
    """Bytes of a file by part; None for a type without a recipe. Cached: planning asks for one file many times."""
    if not has_recipe(quant):
        return None
    recipe = Recipe(arch, quant, imatrix=imatrix)
    inputs = [_size_bytes(tensor, recipe.type(tensor)) for tensor in input_tensors(arch)]
    share = (arch.expert_used_count or 0) / (arch.expert_count or 1)
    sizes: dict[tuple[int, Place], tuple[int, int]] = {}
    layers = []
    for kind, place in _layer_kinds(arch):
        key = (id(kind), place & recipe.asks)
        if (found := sizes.get(key)) is None:
            total, routed = kind.kept_bytes, kind.kept_routed_bytes
            for tensor in kind.matrices:
                size = _size_bytes(tensor, recipe.matrix_type(tensor, place))
                total += size
                routed += size if tensor.is_routed else 0
            found = sizes[key] = total, total - routed + round(routed * share)
        layers.append(found)
    return FileSize(
        token_table_bytes=inputs[0],
        input_bytes=sum(inputs),
        layer_bytes=tuple(total for total, _ in layers),
        active_layer_bytes=tuple(active for _, active in layers),
        output_bytes=sum(_size_bytes(tensor, recipe.type(tensor)) for tensor in output_tensors(arch)),
        header_bytes=header_bytes(arch),
    )


@functools.lru_cache(maxsize=256)
def _layers(arch: Architecture) -> tuple[tuple[tuple[Tensor, ...], Place], ...]:
    """Tensors and place of every layer: the same for all quant types."""
    return tuple(zip(tensors_by_layer(arch), places(arch), strict=True))


class _LayerKind(NamedTuple):
    """Layers of the same tensors; `kept_bytes` are of those that no quant type changes."""

    matrices: tuple[Tensor, ...]
    kept_bytes: int
    kept_routed_bytes: int


@functools.lru_cache(maxsize=256)
def _layer_kinds(arch: Architecture) -> tuple[tuple[_LayerKind, Place], ...]:
    """The kind and the place of every layer: the same for all quant types. Layers of one kind share one object."""
    kinds: dict[int, _LayerKind] = {}
    found = []
    for tensors, place in _layers(arch):
        key = id(tensors)  # `_layers` keeps them alive, and a kind's tensors are one tuple
        if key not in kinds:
            kept = [tensor for tensor in tensors if is_kept(tensor)]
            kinds[key] = _LayerKind(
                tuple(tensor for tensor in tensors if not is_kept(tensor)),
                sum(_size_bytes(tensor, "f32") for tensor in kept),
                sum(_size_bytes(tensor, "f32") for tensor in kept if tensor.is_routed),
            )
        found.append((kinds[key], place))
    return tuple(found)


def tensor_table(arch: Architecture, quant: str, *, imatrix: bool = False) -> tuple[QuantizedTensor, ...]:
    """Every tensor of a file with its type; empty for a type without a recipe."""
    if not has_recipe(quant):
        return ()
    recipe = Recipe(arch, quant, imatrix=imatrix)
    rows = _quantized((*input_tensors(arch), *output_tensors(arch)), recipe, frozenset())
    known: dict[tuple[int, Place], list[QuantizedTensor]] = {}
    for index, (tensors, place) in enumerate(_layers(arch)):
        key = (id(tensors), place & recipe.asks)
        if key not in known:
            known[key] = _quantized(tensors, recipe, place)
        rows += [row._replace(name=f"blk.{index}.{row.name}") for row in known[key]]
    return tuple(rows)


def _quantized(tensors: Iterable[Tensor], recipe: Recipe, place: Place) -> list[QuantizedTensor]:
    typed = [(tensor, recipe.type(tensor, place)) for tensor in tensors]
    return [QuantizedTensor(tensor.name, tensor.elements, kind, _size_bytes(tensor, kind)) for tensor, kind in typed]


def _size_bytes(tensor: Tensor, kind: str) -> int:
    """Whole blocks: no block crosses the end of a row, and the recipe sees to it that rows are whole blocks."""
    block, block_bytes = BLOCKS[kind]
    return tensor.elements // block * block_bytes


@functools.lru_cache(maxsize=1024)
def header_bytes(arch: Architecture) -> int:
    """Size of a GGUF header: the vocabulary is almost all of it.

    Bytes per token as in llama.cpp's vocabulary files (`models/ggml-vocab-*.gguf`): a token with its type takes 21
    (WordPiece), with a score 23 to 27 (SentencePiece), with byte-pair merges 35 to 39, 60 to 65 where there are two
    merges a token (from whole files). The rest is 60 bytes a tensor, and keys and chat template.
    """
    layers = tensors_by_layer(arch)
    tensors = (len(layers[0]) + len(layers[-1])) * arch.layers // 2
    return round(arch.vocab_size * _token_bytes(arch)) + 60 * tensors + 6000


def most_header_bytes(arch: Architecture) -> int:
    """No less than `header_bytes`, without looking at the layers' tensors: no layer has so many."""
    return round(arch.vocab_size * _token_bytes(arch)) + 60 * _MOST_TENSORS * arch.layers + 6000


_MOST_TENSORS = 50
_OWN_TOKEN_BYTES = {65_536: 36.0, 128_256: 61.0, 131_072: 60.1, 201_088: 64.6}
"""Vocabularies known from whole files: LFM2's, and with two merges a token Llama 3's, Mistral's Tekken, gpt-oss's."""


def _token_bytes(arch: Architecture) -> float:
    vocab = arch.vocab_size
    if arch.name == "gemma4":
        return 60.2
    if arch.name.startswith("gemma"):
        return 24.9
    if not arch.causal and not 40_000 < vocab <= 200_000:
        return 20.6 if vocab <= 40_000 else 27.3
    if arch.causal and vocab <= 33_000:
        return 22.6
    return _OWN_TOKEN_BYTES.get(vocab, 35.1 if vocab < 66_000 else 39.1)
