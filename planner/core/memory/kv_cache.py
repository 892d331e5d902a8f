"""What a context keeps of the tokens it has seen: keys and values by layer, recurrent state, in bytes.

As llama.cpp allocates it (`src/llama-kv-cache*.cpp`, `llama-memory-recurrent.cpp`, MIT); the checks are in
docs/estimates.md.
"""

import functools

import msgspec

from planner.core.memory.workload import Settings
from planner.core.models.layers import Mixer, kv_heads, mixers, owns_cache
from planner.core.models.model import Architecture
from planner.core.models.quants import ELEMENT_BYTES

_STATEFUL = frozenset({Mixer.RECURRENT, Mixer.BOTH})
_ATTENDING = frozenset({Mixer.FULL, Mixer.SLIDING, Mixer.BOTH})
_STATE_ELEMENT_BYTES = 4
"""Recurrent state is always kept in F32."""


def ceil_to(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


def micro_batch(settings: Settings) -> int:
    """Tokens of one physical batch: llama.cpp lowers ubatch to batch and to the context."""
    return min(settings.ubatch, settings.batch, settings.context)


class Cells(msgspec.Struct, frozen=True):
    """KV cells per layer, summed over the sequences: full-attention layers and sliding-window layers."""

    full: int
    sliding: int
    per_sequence: int
    sliding_per_sequence: int


def kv_cells(arch: Architecture, settings: Settings) -> Cells:
    """Cells that llama.cpp allocates: every sequence gets its share of the context, rounded up to 256.

    Sliding-window layers hold `window + ubatch` cells rounded up to 256, if that is less (llama.cpp b11434). A
    unified cache is one pool for all slots; its sliding layers hold a window for each of them.
    """
    pools = 1 if settings.kv_unified else settings.parallel
    per_sequence = ceil_to(-(-settings.context // pools), 256)
    sliding = per_sequence
    if arch.sliding_window:
        window = arch.sliding_window * (settings.parallel // pools)
        sliding = min(per_sequence, ceil_to(window + micro_batch(settings), 256))
    return Cells(
        full=per_sequence * pools,
        sliding=sliding * pools,
        per_sequence=per_sequence,
        sliding_per_sequence=sliding,
    )


def kv_row_bytes(arch: Architecture, settings: Settings, kind: Mixer) -> float:
    """Cache bytes of one token in one attention layer of a kind. MLA keeps one compressed row and no V."""
    k_bytes = ELEMENT_BYTES[settings.kv_type_k]
    if arch.kv_lora_rank:
        return (arch.kv_lora_rank + (arch.rope_head_length or 64)) * k_bytes
    heads, key, value = kv_heads(arch, kind)
    values = heads * value
    if not settings.flash_attention:
        # Values then lie transposed, all layers' as long as the longest.
        values = max(kv_heads(arch, other)[0] * kv_heads(arch, other)[2] for other in {*mixers(arch)} & _ATTENDING)
    return heads * key * k_bytes + values * ELEMENT_BYTES[settings.kv_type_v]


def state_bytes(arch: Architecture) -> int:
    """State of one recurrent layer and sequence, whatever the context: the convolution's last inputs and the state.

    llama.cpp's n_embd_r and n_embd_s: (conv - 1)·(inner + 2·groups·state) and state·inner; a short convolution
    keeps (conv - 1)·n_embd.
    """
    if arch.recurrent is None:
        return 0
    part = arch.recurrent
    if part.state_elements is not None:
        return _STATE_ELEMENT_BYTES * part.state_elements
    before = part.convolution_length - 1
    if part.kind == "short-conv":
        return _STATE_ELEMENT_BYTES * before * arch.embedding_length
    inputs = before * (part.inner_length + 2 * part.group_count * part.state_length)
    return _STATE_ELEMENT_BYTES * (inputs + part.state_length * part.inner_length)


def checkpoint_bytes(arch: Architecture, settings: Settings) -> int:
    """What the server copies of a slot to be able to go back: the window of every sliding layer, recurrent state.

    2.506 MiB were reported for six layers of a Gemma 3 270M, five of them sliding: 512 tokens of 5 KiB.
    """
    if not arch.causal:
        return 0
    kinds = mixers(arch)
    window = round(kv_row_bytes(arch, settings, Mixer.SLIDING) * (arch.sliding_window or 0))
    sliding = sum(kind is Mixer.SLIDING and owns_cache(arch, layer) for layer, kind in enumerate(kinds))
    return sliding * window + state_bytes(arch) * sum(kind in _STATEFUL for kind in kinds)


def kv_layer_bytes(arch: Architecture, settings: Settings) -> tuple[int, ...]:
    """Bytes that each layer keeps: its cells times the bytes of a row, or its state. Encoders keep nothing."""
    if not arch.causal:
        return (0,) * arch.layers
    cells = kv_cells(arch, settings)
    layers = _kinds(arch)
    kept = {(kind, owns): _layer_bytes(arch, settings, cells, kind, owns=owns) for kind, owns in set(layers)}
    return tuple(kept[layer] for layer in layers)


@functools.lru_cache(maxsize=512)
def _kinds(arch: Architecture) -> tuple[tuple[Mixer, bool], ...]:
    """What every layer is, and whether it has a cache of its own: layers of a kind are alike in all else."""
    return tuple((kind, owns_cache(arch, layer)) for layer, kind in enumerate(mixers(arch)))


def _layer_bytes(arch: Architecture, settings: Settings, cells: Cells, kind: Mixer, *, owns: bool) -> int:
    kept = state_bytes(arch) * settings.parallel if kind in _STATEFUL else 0
    if kind in _ATTENDING and owns:
        kept += round(kv_row_bytes(arch, settings, kind) * (cells.sliding if kind is Mixer.SLIDING else cells.full))
    return kept


def kv_read_bytes(arch: Architecture, settings: Settings, depth: int) -> tuple[float, ...]:
    """Bytes of the cache that one new token reads in each layer after `depth` tokens.

    A layer that shares a cache reads it all the same; a recurrent one reads and writes its state.
    """
    if not arch.causal:
        return (0.0,) * arch.layers
    kinds = mixers(arch)
    read = {kind: _read_bytes(arch, settings, depth, kind) for kind in set(kinds)}
    return tuple(read[kind] for kind in kinds)


def _read_bytes(arch: Architecture, settings: Settings, depth: int, kind: Mixer) -> float:
    read = 2.0 * state_bytes(arch) if kind in _STATEFUL else 0.0
    if kind in _ATTENDING:
        seen = min(depth, arch.sliding_window or depth) if kind is Mixer.SLIDING else depth
        read += kv_row_bytes(arch, settings, kind) * seen
    return read
