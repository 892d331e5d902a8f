"""Valid files to read: written by the `gguf` package's own writer, so that two implementations meet."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

GgufMaker = Callable[..., Path]

LLAMA: dict[str, int | float] = {
    "block_count": 2,
    "context_length": 2048,
    "embedding_length": 64,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}


@pytest.fixture
def make_gguf(tmp_path: Path) -> GgufMaker:
    """`make_gguf(name, arch=…, keys=…, tensors=…)` writes a file; `keys` get the architecture's prefix."""

    def make(
        name: str = "model.gguf",
        *,
        arch: str = "llama",
        keys: Mapping[str, Any] = LLAMA,
        tensors: Mapping[str, tuple[int, ...]] | None = None,
        quantised: Mapping[str, tuple[tuple[int, ...], gguf.GGMLQuantizationType]] | None = None,
        whole_keys: Mapping[str, Any] | None = None,
        big_endian: bool = False,
        vocab: int = 32,
    ) -> Path:
        order = gguf.GGUFEndian.BIG if big_endian else gguf.GGUFEndian.LITTLE
        path = tmp_path / name
        writer = gguf.GGUFWriter(path, arch, endianess=order)
        for key, value in {**{f"{arch}.{key}": value for key, value in keys.items()}, **(whole_keys or {})}.items():
            match value:
                case bool():
                    writer.add_bool(key, value)
                case int():
                    writer.add_uint32(key, value)
                case float():
                    writer.add_float32(key, value)
                case str():
                    writer.add_string(key, value)
                case _:
                    writer.add_array(key, value)
        writer.add_token_list([f"token-{index}" for index in range(vocab)])
        if tensors is None and quantised is None:
            tensors = llama_tensors(vocab)
        for tensor, shape in (tensors or {}).items():
            writer.add_tensor(tensor, np.zeros(shape, dtype=np.float32))
        for tensor, (shape, kind) in (quantised or {}).items():
            block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
            row_bytes = shape[-1] // block * block_bytes
            writer.add_tensor(tensor, np.zeros((*shape[:-1], row_bytes), dtype=np.uint8), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make


def llama_tensors(
    vocab: int = 32, *, layers: int = 2, width: int = 64, inner: int = 128
) -> dict[str, tuple[int, ...]]:
    """Shapes (slowest dimension first, as numpy has them) of a small untied Llama."""
    tensors: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocab, width)}
    for layer in range(layers):
        tensors |= {
            f"blk.{layer}.attn_q.weight": (width, width),
            f"blk.{layer}.attn_k.weight": (width // 2, width),
            f"blk.{layer}.attn_v.weight": (width // 2, width),
            f"blk.{layer}.attn_output.weight": (width, width),
            f"blk.{layer}.ffn_gate.weight": (inner, width),
            f"blk.{layer}.ffn_up.weight": (inner, width),
            f"blk.{layer}.ffn_down.weight": (width, inner),
            f"blk.{layer}.attn_norm.weight": (width,),
        }
    return {**tensors, "output_norm.weight": (width,), "output.weight": (vocab, width)}
