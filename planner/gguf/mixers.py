"""How the layers of a file look at other tokens: by attention, by a window, by a recurrent state, or not at all.

Seen from the tensors each layer has; the sizes of states as llama.cpp's `src/llama-hparams.cpp` (n_embd_r, n_embd_s).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from planner.core.models.layers import Mixer
from planner.core.models.model import Recurrent
from planner.gguf.header import TensorInfo
from planner.gguf.keys import Keys

_TENSOR = re.compile(r"blk\.(\d{1,4})\.([^.]+)")
_ATTENDS = frozenset({"attn_k", "attn_q", "attn_qkv", "attn_kv_a_mqa", "attn_kv_b"})
_RECURRENT = ("ssm_", "shortconv", "time_mix_")
_DELTA_NETS = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_STATE_MAX = 2**40


class Layers(NamedTuple):
    """A letter a layer, see `Architecture.layer_pattern`, and whether those that mix have no feed-forward part."""

    pattern: str
    one_part: bool


def layer_kinds(tensors: Sequence[TensorInfo], layers: int, sliding: Sequence[bool]) -> Layers | None:
    """What each layer is; None where all attend to everything, or the file has no tensors to tell by."""
    parts: list[set[str]] = [set() for _ in range(layers)]
    for tensor in tensors:
        match = _TENSOR.match(tensor.name)
        if match and int(match[1]) < layers:
            parts[int(match[1])].add(match[2])
    if not any(parts):
        letters = [Mixer.SLIDING if slides else Mixer.FULL for slides in sliding]
    else:
        letters = [_kind(part, slides) for part, slides in zip(parts, sliding or (False,) * layers, strict=True)]
    if not letters or set(letters) == {Mixer.FULL}:
        return None
    mixes = [part for part, letter in zip(parts, letters, strict=True) if letter is not Mixer.NONE]
    one_part = Mixer.NONE in letters and not any(name.startswith("ffn_") for part in mixes for name in part)
    return Layers("".join(letters), one_part)


def _kind(parts: set[str], slides: bool) -> Mixer:
    recurrent = any(name.startswith(_RECURRENT) for name in parts)
    # A gated delta net has its inputs in attn_qkv, so that with a state only keys of its own mean attention.
    attends = bool(parts & ({"attn_k"} if recurrent else _ATTENDS))
    if recurrent:
        return Mixer.BOTH if attends else Mixer.RECURRENT
    if not attends and parts:
        return Mixer.NONE
    return Mixer.SLIDING if slides else Mixer.FULL


def recurrent_part(keys: Keys, heads: int | None, width: int | None) -> Recurrent | None:
    """The state of the recurrent layers; None where the header does not say enough, or nonsense."""
    convolution = keys.number("ssm.conv_kernel")
    if (cache := keys.number("shortconv.l_cache")) and 1 <= cache <= 2**10:
        return Recurrent(kind="short-conv", convolution_length=cache)
    if (head := keys.number("wkv.head_size")) and width:
        shifts = keys.number("token_shift_count") or 2
        return _other(width * (head + shifts))
    if (head := keys.number("kda.head_dim")) and heads:
        return _other(heads * head * (3 * ((convolution or 4) - 1) + head))
    inner, state = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    lengths = (convolution, inner, state)
    if any(length is None or not 1 <= length <= 2**20 for length in lengths):
        return None
    groups, count = keys.number("ssm.group_count") or 0, keys.number("ssm.time_step_rank") or 0
    if not (0 <= groups <= 2**16 and 0 <= count <= 2**16):
        return None
    return Recurrent(
        kind="delta-net" if keys.architecture in _DELTA_NETS else "mamba2",
        convolution_length=convolution or 1,
        inner_length=inner or 0,
        state_length=state or 0,
        group_count=groups,
        head_count=count,
    )


def _other(elements: int) -> Recurrent | None:
    if not 0 < elements <= _STATE_MAX:
        return None
    return Recurrent(kind="other", convolution_length=1, state_elements=elements)
