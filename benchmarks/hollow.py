"""GGUF files with a header and a hole: everything an engine asks of a model but its weights.

A hollow file takes no room on the disk, and an engine that maps it reads zeros. Buffers are as large as with weights.
"""

from pathlib import Path

import gguf
import numpy as np

from planner.core.models.file_size import tensor_table
from planner.core.models.layers import Mixer, feed_forward_length, has_feed_forward, kv_heads, mixer
from planner.core.models.model import Architecture, Recurrent
from planner.core.models.tensor import Tensor
from planner.core.models.tensors import input_tensors, layer_tensors, output_tensors

_ALIGNMENT = 32
_CONTEXT = 2**17


def tensors_of(arch: Architecture) -> list[tuple[str, Tensor]]:
    """All tensors with their full names."""
    found = [(tensor.name, tensor) for tensor in (*input_tensors(arch), *output_tensors(arch))]
    for index in range(arch.layers):
        found += [(f"blk.{index}.{tensor.name}", tensor) for tensor in layer_tensors(arch, index)]
    return found


def write_hollow_gguf(arch: Architecture, path: Path, *, quant: str = "F16", vocabulary: bool = False) -> None:
    """A file of this shape and quant type; with `vocabulary` an engine can start with it."""
    writer = gguf.GGUFWriter(path, arch.name)
    write_keys(arch, writer)
    if vocabulary:
        _write_vocabulary(arch, writer)
    types = {tensor.name: (tensor.type, tensor.size_bytes) for tensor in tensor_table(arch, quant)}
    size = 0
    for name, tensor in tensors_of(arch):
        kind, size_bytes = types[name]
        shape = [tensor.experts, tensor.rows, tensor.row][
            2 if tensor.is_vector else 1 if tensor.experts == 1 else 0 :
        ]
        raw = gguf.GGMLQuantizationType[kind.upper()]
        if kind in {"f32", "f16"}:
            plain = np.dtype(np.float32 if kind == "f32" else np.float16)
            writer.add_tensor_info(name, shape, plain, size_bytes)
        else:
            block, block_bytes = gguf.GGML_QUANT_SIZES[raw]
            shape[-1] = shape[-1] // block * block_bytes
            writer.add_tensor_info(name, shape, np.dtype(np.uint8), size_bytes, raw_dtype=raw)
        size += -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
    if arch.name == "gemma4":
        # A table of the rotations, too small to count.
        length = arch.key_length // 2
        writer.add_tensor_info("rope_freqs.weight", [length], np.dtype(np.float32), 4 * length)
        size += 4 * length
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size + 2 * _ALIGNMENT)


def write_keys(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    """What llama.cpp asks of a header before it looks at tensors."""
    # The rows of a learned position table are the trained context.
    writer.add_context_length(arch.position_embeddings or _CONTEXT)
    writer.add_block_count(arch.layers)
    writer.add_vocab_size(arch.vocab_size)
    writer.add_embedding_length(arch.embedding_length)
    writer.add_layer_norm_eps(1e-5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_causal_attention(arch.causal)
    writer.add_logit_scale(1.0)
    _write_layers(arch, writer)
    _write_attention(arch, writer)
    if arch.is_moe:
        _write_experts(arch, writer)
    if arch.recurrent is not None:
        _write_recurrent(arch, arch.recurrent, writer)


def _write_layers(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    """What may differ from layer to layer; one number where it does not."""
    kinds = [mixer(arch, layer) for layer in range(arch.layers)]
    attends = {Mixer.FULL, Mixer.SLIDING, Mixer.BOTH}
    latent = bool(arch.kv_lora_rank)
    heads = [(1 if latent else kv_heads(arch, kind)[0]) if kind in attends else 0 for kind in kinds]
    inner = [feed_forward_length(arch, i) if has_feed_forward(arch, i) else 0 for i in range(arch.layers)]
    # The converters write one number for a delta net's layers and every number for the others.
    even = len(set(heads)) == 1 or (arch.recurrent is not None and arch.recurrent.kind == "delta-net")
    writer.add_head_count_kv(max(heads) if even else heads)
    writer.add_feed_forward_length(inner[0] if len(set(inner)) == 1 else inner)
    writer.add_head_count(arch.head_count)
    if arch.sliding_window:
        writer.add_sliding_window(arch.sliding_window)
    if arch.layer_pattern is not None and Mixer.SLIDING in kinds:
        writer.add_sliding_window_pattern([kind is Mixer.SLIDING for kind in kinds])
        writer.add_shared_kv_layers(arch.shared_kv_layers)
        writer.add_key_length_swa(arch.sliding_key_length or arch.key_length)
        writer.add_rope_dimension_count_swa(arch.sliding_key_length or arch.key_length)
        writer.add_value_length_swa(arch.sliding_value_length or arch.value_length)
    elif arch.sliding_window:
        writer.add_sliding_window_pattern(arch.full_attention_every or 1)
    if arch.name == "gemma4":
        writer.add_embedding_length_per_layer_input(arch.per_layer_embedding_length or 0)


def _write_attention(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    latent, rope = arch.kv_lora_rank, arch.rope_head_length or 0
    writer.add_key_length(latent + rope if latent else arch.key_length)
    writer.add_value_length(latent or arch.value_length)
    writer.add_rope_dimension_count(arch.rope_head_length or arch.key_length)
    if latent:
        writer.add_kv_lora_rank(latent)
        writer.add_key_length_mla(arch.key_length)
        writer.add_value_length_mla(arch.value_length)
        if arch.q_lora_rank:
            writer.add_q_lora_rank(arch.q_lora_rank)


def _write_experts(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    inner = arch.expert_feed_forward_length or arch.feed_forward_length
    shared = arch.expert_shared_feed_forward_length or 0
    writer.add_expert_count(arch.expert_count or 0)
    writer.add_expert_used_count(arch.expert_used_count or 0)
    writer.add_expert_feed_forward_length(inner)
    writer.add_expert_shared_feed_forward_length(shared)
    writer.add_leading_dense_block_count(arch.leading_dense_layers)
    writer.add_expert_shared_count(max(1, shared // inner))
    writer.add_expert_weights_scale(1.0)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_nextn_predict_layers(0)


def _write_recurrent(arch: Architecture, part: Recurrent, writer: gguf.GGUFWriter) -> None:
    if part.kind == "short-conv":
        writer.add_shortconv_l_cache(part.convolution_length)
        return
    writer.add_ssm_conv_kernel(part.convolution_length)
    writer.add_ssm_inner_size(part.inner_length)
    writer.add_ssm_state_size(part.state_length)
    writer.add_ssm_time_step_rank(part.head_count)
    writer.add_ssm_group_count(part.group_count)
    if part.kind == "delta-net":
        writer.add_uint32(f"{arch.name}.full_attention_interval", len(arch.layer_pattern or "rrrf"))
        quarter = arch.key_length // 8
        writer.add_rope_dimension_sections([quarter, quarter, quarter, 0])


def _write_vocabulary(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    """The least that a tokenizer needs: three special tokens, all bytes, and names for the rest."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    tokens += [f"t{index}" for index in range(len(tokens), arch.vocab_size)]
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    types += [gguf.TokenType.BYTE] * 256
    types += [gguf.TokenType.NORMAL] * (arch.vocab_size - len(types))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * arch.vocab_size)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if arch.token_types:
        writer.add_token_type_count(arch.token_types)
