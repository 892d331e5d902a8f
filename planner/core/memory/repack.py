"""What the CPU rearranges: a second copy of weights whose blocks are interleaved for its vector instructions.

llama.cpp makes it at start for matrices of four types (x86 with AVX2; other processors know more or fewer). The
mapped originals stay, but nothing reads them again, so the system may drop their pages.
"""

import functools

from planner.core.models.file_size import tensor_table
from planner.core.models.model import Architecture
from planner.core.models.quants import canonical

REPACKED_TYPES = frozenset({"q4_0", "q4_k", "iq4_nl", "mxfp4"})
_KEPT = ("token_embd", "position_embd", "token_types", "per_layer_token_embd")
"""Tables are looked up row by row."""
_STACKED = ("attn_k_b", "attn_v_b")
"""Matrices by head, multiplied in another way."""


@functools.lru_cache(maxsize=512)
def repacked_bytes(arch: Architecture, quant: str) -> int:
    """Bytes of the second copy on a CPU that holds all layers; 0 for a type without a recipe.

    To the rounding what an engine reports (`benchmarks/engine_memory.py`).
    """
    return sum(
        tensor.size_bytes
        for tensor in tensor_table(arch, canonical(quant))
        if tensor.type in REPACKED_TYPES and not tensor.name.startswith(_KEPT) and not _is_stacked(tensor.name)
    )


def _is_stacked(name: str) -> bool:
    return any(f".{part}." in name for part in _STACKED)
