"""BERT embedders from safetensors to GGUF, without torch.

Keys, tensor names and types follow llama.cpp's own converter (convert_hf_to_gguf.py, class BertModel), checked
tensor by tensor against it for all-MiniLM-L6-v2. Needs the extra `convert`. The same input gives the same bytes.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from planner.errors import BadDataError, PlannerError, UsageError
from planner.fetch.progress import Phase, Progress

if TYPE_CHECKING:
    import types

T = TypeVar("T")
RECIPE = "bert-safetensors/1"
"""Goes into the store's note; raise the number when the output changes, and files are made anew."""

QUANTS = ("F16", "F32", "Q8_0")
_FILE_TYPE = {"F32": 0, "F16": 1, "Q8_0": 7}
_QUANT_VERSION = 2
_WORD_START = "\u2581"
_MAX_JSON_BYTES = 64 * 2**20
_DROPPED = re.compile(r"embeddings\.position_ids|pooler\.dense\.(weight|bias)")
_FIXED = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
_LAYER_NAME = re.compile(r"encoder\.layer\.(\d{1,3})\.([A-Za-z.]+)\.(weight|bias)")
_ALWAYS_F32 = {"position_embd.weight", "token_types.weight"}
_SPECIAL = {
    "bos": "[CLS]",
    "eos": "[SEP]",
    "unknown": "[UNK]",
    "seperator": "[SEP]",  # the key is really spelled like this
    "padding": "[PAD]",
    "mask": "[MASK]",
}


@dataclass(frozen=True)
class BertFolder:
    """The files of a sentence-transformers folder that the conversion reads."""

    weights: Path
    config: Path
    tokenizer: Path
    pooling: Path


class BertConfig(msgspec.Struct, frozen=True):
    """What is needed of `config.json`; other fields are ignored."""

    num_hidden_layers: int
    max_position_embeddings: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    vocab_size: int
    layer_norm_eps: float = 1e-12
    type_vocab_size: int = 2
    model_type: str = "bert"
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"


class _Pooling(msgspec.Struct, frozen=True):
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = False


class _AddedToken(msgspec.Struct, frozen=True):
    id: int
    content: str
    special: bool = False


class _WordPiece(msgspec.Struct, frozen=True):
    vocab: dict[str, int]
    type: str = "WordPiece"


class _Tokenizer(msgspec.Struct, frozen=True):
    model: _WordPiece
    added_tokens: tuple[_AddedToken, ...] = ()


def require_converter() -> None:
    """Raise UsageError unless gguf, numpy and safetensors are there (before anything is downloaded)."""
    _modules()


def convert_bert(
    folder: BertFolder, target: Path, quant: str, *, name: str, licence: str, progress: Progress
) -> None:
    """Write `target`, a GGUF of the model in `folder` with its matrices in `quant` (F16, F32 or Q8_0).

    Vectors, norms, positions and token types stay F32. Raises UsageError without the extra, BadDataError when
    the folder is not a BERT with absolute positions and mean or CLS pooling.
    """
    if quant not in QUANTS:
        raise BadDataError(
            f"There is no conversion to {quant}.", hint=f"Possible: {', '.join(QUANTS)}.", reference="bad-quant"
        )
    gguf, numpy, safetensors = _modules()
    config = _read(folder.config, BertConfig)
    _require_bert(config, folder.config)
    tokens, kinds, special = _vocabulary(_read(folder.tokenizer, _Tokenizer), config, folder.tokenizer)
    with _bad_data(folder.weights):
        writer = gguf.GGUFWriter(target, "bert")
    try:
        _keys(writer, gguf, config, quant, name=name, licence=licence)
        writer.add_pooling_type(_pooling(_read(folder.pooling, _Pooling), folder.pooling, gguf))
        _tokenizer_keys(writer, config, tokens, kinds, special)
        with _bad_data(folder.weights), safetensors.safe_open(folder.weights, framework="numpy") as weights:
            _tensors(writer, (gguf, numpy), weights, config, quant=quant, progress=progress)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except BaseException:
        writer.close()
        target.unlink(missing_ok=True)
        raise
    writer.close()


def _modules() -> "tuple[types.ModuleType, types.ModuleType, types.ModuleType]":
    try:
        import gguf  # noqa: PLC0415  # extra, 225 ms
        import numpy  # noqa: ICN001, PLC0415  # extra, 156 ms; handed on as a module
        import safetensors  # noqa: PLC0415  # extra
    except ImportError as error:
        raise UsageError(
            f"This model is turned into a GGUF on your machine, and the package {error.name} for it is missing.",
            hint="Install it with: pip install 'planner[convert]'",
            reference="missing-extra",
        ) from error
    return gguf, numpy, safetensors


@contextlib.contextmanager
def _bad_data(path: Path) -> Iterator[None]:
    """Whatever numpy, safetensors or gguf find wrong with the weights is wrong with the file."""
    try:
        yield
    except (PlannerError, OSError):
        raise
    except Exception as error:
        raise BadDataError(
            f"{path.name} cannot be converted: {type(error).__name__}: {str(error)[:200]}",
            reference="conversion-failed",
        ) from error


def _read(path: Path, kind: type[T]) -> T:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise BadDataError(f"{path.name} is too large to be what it should be.", reference="conversion-failed")
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise BadDataError(f"{path.name} cannot be read: {error}", reference="conversion-failed") from error


def _require_bert(config: BertConfig, path: Path) -> None:
    plausible = (
        0 < config.num_hidden_layers <= 256
        and 0 < config.hidden_size <= 65_536
        and 0 < config.vocab_size <= 2**22
        and config.num_attention_heads > 0
        and config.hidden_size % config.num_attention_heads == 0
    )
    if (
        not plausible
        or config.model_type != "bert"
        or config.hidden_act != "gelu"
        or config.position_embedding_type != "absolute"
    ):
        raise BadDataError(
            f"{path.name} does not describe a BERT with GELU and absolute positions "
            f"(model_type {config.model_type!r:.40}, hidden_act {config.hidden_act!r:.40}).",
            reference="conversion-failed",
        )


def _pooling(pooling: _Pooling, path: Path, gguf: Any) -> Any:
    modes = (pooling.pooling_mode_mean_tokens, pooling.pooling_mode_cls_token)
    if modes == (True, False):
        return gguf.PoolingType.MEAN
    if modes == (False, True):
        return gguf.PoolingType.CLS
    raise BadDataError(f"{path} asks for a pooling other than mean or CLS.", reference="conversion-failed")


def _vocabulary(tokenizer: _Tokenizer, config: BertConfig, path: Path) -> tuple[list[str], list[int], dict[str, int]]:
    """Tokens in the order of their ids as llama.cpp wants them, their types, and the ids of the special ones.

    WordPiece marks what continues a word (`##x`), llama.cpp what begins one (`▁x`).
    """
    ids = dict(tokenizer.model.vocab)
    special = {token.content: token.id for token in tokenizer.added_tokens if token.special}
    ids.update({token.content: token.id for token in tokenizer.added_tokens})
    if tokenizer.model.type != "WordPiece" or sorted(ids.values()) != list(range(config.vocab_size)):
        raise BadDataError(
            f"{path.name} is not a WordPiece vocabulary of {config.vocab_size} tokens without gaps.",
            reference="conversion-failed",
        )
    missing = sorted(set(_SPECIAL.values()) - set(special))
    if missing:
        raise BadDataError(f"{path.name} lacks the special tokens {missing}.", reference="conversion-failed")
    by_id = {number: text for text, number in ids.items()}
    tokens = [_as_llama_cpp(by_id[number], special) for number in range(config.vocab_size)]
    kinds = [3 if by_id[number] in special else 1 for number in range(config.vocab_size)]
    return tokens, kinds, special


def _as_llama_cpp(token: str, special: Mapping[str, int]) -> str:
    if token in special:
        return token
    return token[2:] if token.startswith("##") else _WORD_START + token


def _keys(writer: Any, gguf: Any, config: BertConfig, quant: str, *, name: str, licence: str) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_license(licence.lower())
    writer.add_file_type(_FILE_TYPE[quant])
    writer.add_quantization_version(_QUANT_VERSION)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)


def _tokenizer_keys(
    writer: Any, config: BertConfig, tokens: list[str], kinds: list[int], special: Mapping[str, int]
) -> None:
    writer.add_tokenizer_model("bert")
    # The converter derives this name from the vocabulary; llama.cpp treats all WordPiece models alike.
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_type_count(config.type_vocab_size)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    for role, token in _SPECIAL.items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", special[token])
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _tensors(
    writer: Any, modules: tuple[Any, Any], weights: Any, config: BertConfig, *, quant: str, progress: Progress
) -> None:
    gguf, numpy = modules
    shapes = _expected_shapes(config)
    names = [key for key in weights.keys() if _DROPPED.fullmatch(key.removeprefix("bert.")) is None]  # noqa: SIM118  # not a mapping
    done = 0
    # In a fixed order: the file then depends on the weights alone, not on how they were laid out.
    for key in sorted(names, key=lambda key: _sort_key(_gguf_name(key))):
        name = _gguf_name(key)
        data = weights.get_tensor(key)
        if shapes.pop(name, None) != data.shape:
            raise BadDataError(
                f"The tensor {key} is not one of this model, or has the wrong shape {data.shape}.",
                reference="conversion-failed",
            )
        full = numpy.ascontiguousarray(data.astype(numpy.float32))
        if name.endswith(".bias") or "_norm." in name or name in _ALWAYS_F32:
            writer.add_tensor(name, full)
        else:
            kind = gguf.GGMLQuantizationType[quant]
            writer.add_tensor(name, gguf.quants.quantize(full, kind), raw_dtype=kind)
        done += int(full.nbytes)
        progress.update(Phase.CONVERTING, done, None)
    if shapes:
        raise BadDataError(
            f"The weights lack {len(shapes)} tensors, among them {min(shapes)}.", reference="conversion-failed"
        )


def _gguf_name(key: str) -> str:
    key = key.removeprefix("bert.")
    if key in _FIXED:
        return _FIXED[key]
    found = _LAYER_NAME.fullmatch(key)
    if found is None or found[2] not in _LAYER:
        raise BadDataError(f"The tensor {key} is not one of a BERT.", reference="conversion-failed")
    return f"blk.{int(found[1])}.{_LAYER[found[2]]}.{found[3]}"


def _sort_key(name: str) -> tuple[int, str]:
    parts = name.split(".")
    return (int(parts[1]), name) if parts[0] == "blk" else (-1, name)


def _expected_shapes(config: BertConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor the model must have: 5 of the embeddings and 16 a layer, with their shapes (rows first)."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (config.vocab_size, width),
        "position_embd.weight": (config.max_position_embeddings, width),
        "token_types.weight": (config.type_vocab_size, width),
        "token_embd_norm.weight": (width,),
        "token_embd_norm.bias": (width,),
    }
    matrices = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
    matrices |= {"ffn_up": (inner, width), "ffn_down": (width, inner)}
    for layer in range(config.num_hidden_layers):
        for part, shape in matrices.items():
            shapes[f"blk.{layer}.{part}.weight"] = shape
            shapes[f"blk.{layer}.{part}.bias"] = shape[:1]
        for part in ("attn_output_norm", "layer_output_norm"):
            shapes[f"blk.{layer}.{part}.weight"] = (width,)
            shapes[f"blk.{layer}.{part}.bias"] = (width,)
    return shapes
