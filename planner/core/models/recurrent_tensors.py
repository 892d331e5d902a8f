"""The tensors of a recurrent layer, in the place of its attention.

Names and shapes as llama.cpp loads them (`src/models/{qwen35,qwen3next,granite-hybrid,nemotron-h,lfm2}.cpp`, MIT).
"""

from planner.core.models.model import Architecture, Recurrent
from planner.core.models.tensor import Tensor


def recurrent_tensors(arch: Architecture, part: Recurrent) -> list[Tensor]:
    """What a recurrent layer holds beside its norms and its feed-forward part."""
    match part.kind:
        case "short-conv":
            return _short_convolution(arch, part)
        case "mamba2":
            return _mamba(arch, part)
        case "delta-net":
            return _delta_net(arch, part)
        case "other":
            # About as many as the attention in its place would have; a header's own bytes are known exactly.
            width = arch.embedding_length
            return [Tensor("time_mix.weight", width, 4 * width)]


def _short_convolution(arch: Architecture, part: Recurrent) -> list[Tensor]:
    width = arch.embedding_length
    return [
        Tensor("shortconv.conv.weight", part.convolution_length, width),
        Tensor("shortconv.in_proj.weight", width, 3 * width),
        Tensor("shortconv.out_proj.weight", width, width),
    ]


def _mamba(arch: Architecture, part: Recurrent) -> list[Tensor]:
    """Mamba-2 (arXiv 2405.21060): one projection to gate, input, B, C and step; B, C and input are convolved."""
    inner, heads = part.inner_length, part.head_count
    mixed = inner + 2 * part.group_count * part.state_length
    return [
        Tensor("ssm_in.weight", arch.embedding_length, inner + mixed + heads),
        Tensor("ssm_conv1d.weight", part.convolution_length, mixed),
        Tensor("ssm_conv1d.bias", mixed),
        Tensor("ssm_dt.bias", heads),
        Tensor("ssm_a", 1, heads),
        Tensor("ssm_d", 1, heads),
        Tensor("ssm_norm.weight", inner // max(1, part.group_count), max(1, part.group_count)),
        Tensor("ssm_out.weight", inner, arch.embedding_length),
    ]


def _delta_net(arch: Architecture, part: Recurrent) -> list[Tensor]:
    """Gated delta net (arXiv 2412.06464): keys and queries in groups, values in heads of the length of the state."""
    width, values, heads = arch.embedding_length, part.inner_length, part.head_count
    mixed = values + 2 * part.group_count * part.state_length
    if arch.name == "qwen3next":
        gates = [Tensor("ssm_ba.weight", width, 2 * heads)]
    else:
        gates = [Tensor(f"ssm_{name}.weight", width, heads) for name in ("alpha", "beta")]
    return [
        Tensor("attn_qkv.weight", width, mixed),
        Tensor("attn_gate.weight", width, values),
        Tensor("ssm_conv1d.weight", part.convolution_length, mixed),
        Tensor("ssm_dt.bias", heads),
        Tensor("ssm_a", heads),
        *gates,
        Tensor("ssm_norm.weight", values // max(1, heads)),
        Tensor("ssm_out.weight", values, width),
    ]
