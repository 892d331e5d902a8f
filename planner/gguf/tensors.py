"""Sums over the tensor table: by type, by unit of placement, by what one token uses."""

import re
from collections import Counter
from typing import NamedTuple

from planner.gguf.header import TensorInfo
from planner.gguf.keys import Keys

MAX_LAYERS = 4_096
"""More layers than this are not spread out into one value per layer."""

_BLOCK = re.compile(r"blk\.(\d+)\.")
_INPUT_TENSORS = frozenset(
    {"token_embd.weight", "position_embd.weight", "token_types.weight", "per_layer_token_embd.weight"}
)


def bytes_by_type(tensors: tuple[TensorInfo, ...]) -> dict[str, int]:
    """Bytes per tensor type, largest first."""
    sums: Counter[str] = Counter()
    for tensor in tensors:
        sums[tensor.type] += tensor.n_bytes
    return dict(sums.most_common())


def _expert_share(keys: Keys) -> float:
    count, used = keys.number("expert_count"), keys.number("expert_used_count")
    return used / count if count and used and 0 < used <= count else 1.0


def _is_expert(tensor: TensorInfo) -> bool:
    return "_exps." in tensor.name


def active_parameters(tensors: tuple[TensorInfo, ...], keys: Keys) -> int:
    """Elements that work on one token: all but the experts that are not chosen."""
    experts = sum(tensor.n_elements for tensor in tensors if _is_expert(tensor))
    return sum(tensor.n_elements for tensor in tensors) - experts + round(experts * _expert_share(keys))


class Placed(NamedTuple):
    """Bytes by unit, as llama.cpp places whole units on devices."""

    inputs: int
    layers: tuple[int, ...]
    output: int


def _layer_of(tensor: TensorInfo, layers: int) -> int | None:
    match = _BLOCK.match(tensor.name)
    return int(match[1]) if match and len(match[1]) <= 4 and int(match[1]) < layers else None


def placement(tensors: tuple[TensorInfo, ...], layers: int | None) -> Placed:
    """Bytes by unit as llama.cpp places them: input tables, each layer, and everything else with the output."""
    by_layer = [0] * (layers if layers and 0 < layers <= MAX_LAYERS else 0)
    inputs = output = 0
    for tensor in tensors:
        layer = _layer_of(tensor, len(by_layer))
        if layer is not None:
            by_layer[layer] += tensor.n_bytes
        elif tensor.name in _INPUT_TENSORS or tensor.name.startswith("token_embd_norm."):
            inputs += tensor.n_bytes
        else:
            output += tensor.n_bytes
    return Placed(inputs, tuple(by_layer), output)


def active_share(tensors: tuple[TensorInfo, ...], layers: int | None, keys: Keys) -> tuple[float, ...]:
    """Part of each layer's bytes that one token reads."""
    count = layers if layers and 0 < layers <= MAX_LAYERS else 0
    total, experts = [0] * count, [0] * count
    for tensor in tensors:
        layer = _layer_of(tensor, count)
        if layer is not None:
            total[layer] += tensor.n_bytes
            experts[layer] += tensor.n_bytes if _is_expert(tensor) else 0
    idle = 1 - _expert_share(keys)
    return tuple(1 - idle * some / whole if whole else 1.0 for some, whole in zip(experts, total, strict=True))


def rows(tensor: TensorInfo | None) -> int:
    """Rows of a matrix; 0 for a missing tensor or a vector."""
    return tensor.shape[1] if tensor is not None and len(tensor.shape) > 1 else 0


def is_gated(tensors: dict[str, TensorInfo], inner: int | None) -> bool:
    """Whether the feed-forward part has a gate matrix: of its own, or fused into a doubled `ffn_up`."""
    if any(".ffn_gate" in name and "_inp" not in name for name in tensors):
        return True
    up = next((tensor for name, tensor in tensors.items() if name.endswith(".ffn_up.weight")), None)
    return up is None or bool(inner and rows(up) == 2 * inner)
