"""The type of every tensor as llama.cpp's quantize chooses it, beside the type `planner.core.recipe` gives it.

Run: python benchmarks/quantize_types.py path/to/llama-quantize        (needs the package gguf)

For every shape in the catalog an F16 GGUF is written that has a header and a hole instead of weights; quantize's
`--dry-run` needs no more to say what it would do with each tensor, for every quant type with and without an
importance matrix. Experts of gpt-oss are left out: they are in MXFP4 from the start and are never quantised again.
"""

import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

from planner.catalog.loader import load
from planner.core.file_size import tensor_table
from planner.core.model import Architecture
from planner.core.recipe import quant_types
from planner.core.tensor import Tensor
from planner.core.tensors import input_tensors, layer_tensors, output_tensors

_CONVERTED = {"F32", "F16", "BF16"}
_NEEDS_IMATRIX = re.compile(r"IQ[12]|IQ3_XXS|Q2_K_S")
_LINE = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[[^]]*\], type = +(\w+), size = .*?(?:\((\w+)\))?$", re.MULTILINE)


def tensors_of(arch: Architecture) -> list[tuple[str, Tensor]]:
    """All tensors with their full names."""
    found = [(tensor.name, tensor) for tensor in (*input_tensors(arch), *output_tensors(arch))]
    for index in range(arch.layers):
        found += [(f"blk.{index}.{tensor.name}", tensor) for tensor in layer_tensors(arch, index)]
    return found


def write_hollow_gguf(arch: Architecture, path: Path) -> None:
    """An F16 file of this shape: header, tensor list, and a hole where the weights would be."""
    writer = gguf.GGUFWriter(path, arch.name)
    write_keys(arch, writer)
    kept = {tensor.name for tensor in tensor_table(arch, "F16") if tensor.type == "f32"}
    size = 0
    for name, tensor in tensors_of(arch):
        kind = np.dtype(np.float32 if name in kept else np.float16)
        shape = [tensor.experts, tensor.rows, tensor.row][
            2 if tensor.is_vector else 1 if tensor.experts == 1 else 0 :
        ]
        writer.add_tensor_info(name, shape, kind, tensor.elements * kind.itemsize)
        size += -(-tensor.elements * kind.itemsize // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + size + 64)


def write_keys(arch: Architecture, writer: gguf.GGUFWriter) -> None:
    """What llama.cpp asks of a header before it looks at tensors."""
    latent, rope = arch.kv_lora_rank, arch.rope_head_length or 0
    writer.add_block_count(arch.layers)
    writer.add_context_length(4096)
    writer.add_vocab_size(arch.vocab_size)
    writer.add_embedding_length(arch.embedding_length)
    writer.add_feed_forward_length(arch.feed_forward_length)
    writer.add_head_count(arch.head_count)
    writer.add_head_count_kv(1 if latent else arch.head_count_kv)
    writer.add_key_length(latent + rope if latent else arch.key_length)
    writer.add_value_length(latent or arch.value_length)
    writer.add_rope_dimension_count(arch.rope_head_length or arch.key_length)
    writer.add_layer_norm_eps(1e-5)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_causal_attention(arch.causal)
    writer.add_sliding_window(arch.sliding_window or 512)
    writer.add_sliding_window_pattern(arch.full_attention_every or 3)
    writer.add_logit_scale(1.0)
    if arch.expert_count and arch.expert_used_count:
        writer.add_expert_count(arch.expert_count)
        writer.add_expert_used_count(arch.expert_used_count)
        writer.add_expert_feed_forward_length(arch.expert_feed_forward_length or arch.feed_forward_length)
        writer.add_leading_dense_block_count(arch.leading_dense_layers)
        writer.add_expert_shared_count(1)
        writer.add_expert_weights_scale(1.0)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_nextn_predict_layers(0)
    if latent:
        writer.add_kv_lora_rank(latent)
        writer.add_key_length_mla(arch.key_length)
        writer.add_value_length_mla(arch.value_length)
        if arch.q_lora_rank:
            writer.add_q_lora_rank(arch.q_lora_rank)


def write_imatrix(path: Path) -> None:
    """An importance matrix of one tensor that no model has: enough for quantize to count as having one."""
    name = b"nothing.weight"
    entry = struct.pack(f"<i{len(name)}sii4f", len(name), name, 1, 4, 1, 1, 1, 1)
    path.write_bytes(struct.pack("<i", 1) + entry + struct.pack("<ii3s", 1, 3, b"abc"))


def asked(quantize: str, model: Path, quant: str, imatrix: Path | None) -> dict[str, str]:
    """What quantize would make of each tensor."""
    matrix = [] if imatrix is None else ["--imatrix", str(imatrix)]
    name = "MXFP4_MOE" if quant == "MXFP4" else quant
    done = subprocess.run(
        [quantize, *matrix, "--dry-run", str(model), name], capture_output=True, text=True, timeout=120, check=False
    )
    found = {match[1]: (match[3] or match[2]).lower() for match in _LINE.finditer(done.stdout + done.stderr)}
    if not found:
        sys.exit(f"{quantize} says nothing of {quant}:\n{(done.stdout + done.stderr)[-1000:]}")
    return found


def main() -> None:
    """Compare every shape, and print what differs."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shapes = {model.architecture: model.id for model in load().models if model.architecture is not None}
    tensors = different = 0
    with tempfile.TemporaryDirectory() as folder:
        path, matrix = Path(folder) / "model.gguf", Path(folder) / "imatrix.dat"
        write_imatrix(matrix)
        for arch, name in shapes.items():
            write_hollow_gguf(arch, path)
            for quant in quant_types():
                for imatrix in (None, matrix):
                    if quant in _CONVERTED or (imatrix is None and _NEEDS_IMATRIX.match(quant)):
                        continue
                    given = tensor_table(arch, quant, imatrix=imatrix is not None)
                    ours = {t.name: t.type for t in given if not (arch.name == "gpt-oss" and "_exps." in t.name)}
                    theirs = asked(sys.argv[1], path, quant, imatrix)
                    wrong = [tensor for tensor, kind in ours.items() if theirs.get(tensor) != kind]
                    tensors, different = tensors + len(ours), different + len(wrong)
                    for tensor in wrong[:3]:
                        print(f"{name} {quant}: {tensor} is {ours[tensor]}, quantize says {theirs.get(tensor)}")
    print(f"{len(shapes)} shapes, {tensors:,} tensors compared, {different} differ")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
