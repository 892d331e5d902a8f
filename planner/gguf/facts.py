"""From a header to the facts that matter for memory, speed and use. Says what the file says, plausible or not.

`planner.gguf.model` turns them into the planner's own types and refuses what cannot be.
"""

import re

import msgspec

from planner.core.models.layers import Mixer
from planner.core.models.model import Recurrent
from planner.gguf.header import Header, LongArray, TensorInfo
from planner.gguf.keys import Keys
from planner.gguf.mixers import layer_kinds, recurrent_part
from planner.gguf.sliding import IGNORED, PERIODS, sliding_layers
from planner.gguf.tensors import (
    MAX_LAYERS,
    active_parameters,
    active_share,
    bytes_by_type,
    is_gated,
    placement,
    rows,
)
from planner.gguf.types import FILE_TYPE_GUESSED, FILE_TYPES, POOLING_TYPES

ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
"""Architectures without an output matrix."""

BIDIRECTIONAL = ENCODERS | {"dream", "gemma-embedding", "llada", "llada-moe", "llama-embed", "rnd1"}
"""Architectures that llama.cpp runs without causal mask and KV cache whatever the file says."""

_GEMMA3N_OWN_CACHES = 20
"""llama.cpp's fixed number of layers of Gemma 3n that keep a cache."""
_SHARD_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


class Shard(msgspec.Struct, frozen=True):
    """A part of a split model: number from 1, of how many."""

    number: int
    count: int


class GgufFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a GGUF says about its model. None means the header does not say. Sizes in bytes, lengths in elements.

    `architecture` is llama.cpp's name for the network. `parameters` counts the elements of all tensors,
    `active_parameters` those that work on one token. `quant` is the recipe's name, or the type of most bytes.
    `token_embedding_bytes` is the input table; without `has_output` a decoder uses it as output matrix too (`tied`).
    `head_count` and `head_count_kv` are the largest of all layers; `head_count_kv_by_layer` is given where they
    differ. `sliding` has one flag per layer, () without a window; `layer_pattern` has a letter per layer where not
    all attend to everything, `recurrent` what the state of recurrent ones follows from. `layer_bytes`, `input_bytes`
    and `output_bytes` add up to `tensor_bytes`. `shard` is set while parts of a split model are missing. `wrong`
    names keys whose value has the wrong type; `notes` are sentences for people.
    """

    file_name: str
    version: int
    size_bytes: int
    header_bytes: int
    name: str | None
    licence: str | None
    architecture: str | None
    parameters: int
    active_parameters: int
    quant: str | None
    quant_source: str
    tensor_count: int
    tensor_bytes: int
    tensor_types: dict[str, int]
    token_embedding_bytes: int
    token_embedding_shape: tuple[int, ...]
    layer_bytes: tuple[int, ...]
    input_bytes: int
    output_bytes: int
    active_share: tuple[float, ...]
    has_output: bool
    tied: bool
    layers: int | None
    embedding_length: int | None
    vector_length: int | None
    feed_forward_length: int | None
    head_count: int | None
    head_count_kv: int | None
    head_count_kv_by_layer: tuple[int, ...]
    key_length: int | None
    value_length: int | None
    context_length: int | None
    vocab: int | None
    pooling: str | None
    causal: bool
    gated_feed_forward: bool
    sliding_window: int | None
    sliding: tuple[bool, ...]
    expert_count: int | None
    expert_used_count: int | None
    expert_feed_forward_length: int | None
    expert_shared_feed_forward_length: int | None
    leading_dense_layers: int
    expert_every: int | None
    q_lora_rank: int | None
    kv_lora_rank: int | None
    rope_length: int | None
    latent_attention: bool
    layer_pattern: str | None
    one_part_layers: bool
    recurrent: Recurrent | None
    sliding_head_count_kv: int | None
    sliding_key_length: int | None
    sliding_value_length: int | None
    shared_kv_layers: int
    feed_forward_lengths: tuple[int, ...]
    per_layer_embedding_length: int | None
    has_dense_projection: bool
    position_embeddings: int
    token_types: int
    shard: Shard | None
    wrong: dict[str, str]
    notes: tuple[str, ...]


def facts(header: Header) -> GgufFacts:
    """The facts of a header. Never fails: what makes no sense is shown as it is."""
    keys = Keys(header.metadata)
    notes: list[str] = []
    tensors = {tensor.name: tensor for tensor in header.tensors}
    arch = keys.architecture or ""
    layers = keys.number("block_count")
    heads = keys.number("attention.head_count")
    kv_heads = keys.numbers("attention.head_count_kv")
    width = keys.number("embedding_length")
    head_length = width // heads if width and heads and heads > 0 else None
    key_mla, value_mla = keys.number("attention.key_length_mla"), keys.number("attention.value_length_mla")
    latent = bool(key_mla and value_mla and keys.number("attention.kv_lora_rank"))
    causal = keys.get("attention.causal") is not False and arch not in BIDIRECTIONAL
    table = tensors.get("token_embd.weight")
    has_output = "output.weight" in tensors
    window, sliding = _sliding(keys, arch, layers, notes)
    split = _shard(header, notes)
    placed = placement(header.tensors, layers)
    tied = table is not None and not has_output and arch not in ENCODERS
    quant, quant_source = _quant(header)
    expert_length = keys.number("expert_feed_forward_length")
    kinds = layer_kinds(header.tensors, layers, sliding) if layers and 0 < layers <= MAX_LAYERS else None
    recurrent = recurrent_part(keys, heads, width)
    if kinds is not None and recurrent is None and {Mixer.RECURRENT, Mixer.BOTH} & set(kinds.pattern):
        notes.append("It has recurrent layers whose state the header does not describe: it is not estimated.")
    by_kind = _heads_by_kind(kv_heads, sliding)
    if by_kind is None and len(set(kv_heads) - {0}) > 1:
        notes.append("Its layers have different numbers of KV heads: all are counted with the most.")
    shared = keys.number("attention.shared_kv_layers") or 0
    if arch == "gemma3n" and layers:
        shared = max(0, layers - _GEMMA3N_OWN_CACHES)
    inner = keys.numbers("feed_forward_length")
    for key, kind in keys.wrong.items():
        notes.append(f"{key} is {kind}, not what it should be.")
    return GgufFacts(
        file_name=re.split(r"[/\\]", header.name)[-1],
        version=header.version,
        size_bytes=header.size_bytes,
        header_bytes=header.data_offset,
        name=keys.text("general.name"),
        licence=keys.text("general.license"),
        architecture=keys.architecture,
        parameters=sum(tensor.n_elements for tensor in header.tensors),
        active_parameters=active_parameters(header.tensors, keys),
        quant=quant,
        quant_source=quant_source,
        tensor_count=len(header.tensors),
        tensor_bytes=sum(tensor.n_bytes for tensor in header.tensors),
        tensor_types=bytes_by_type(header.tensors),
        token_embedding_bytes=table.n_bytes if table else 0,
        token_embedding_shape=table.shape if table else (),
        layer_bytes=placed.layers,
        input_bytes=placed.inputs,
        output_bytes=placed.output,
        active_share=active_share(header.tensors, layers, keys),
        has_output=has_output,
        tied=tied,
        layers=layers,
        embedding_length=width,
        vector_length=_vector_length(keys, tensors, width),
        feed_forward_length=keys.number("feed_forward_length"),
        head_count=heads,
        head_count_kv=(by_kind[0] if by_kind else max(kv_heads)) if kv_heads else heads,
        head_count_kv_by_layer=kv_heads if len(set(kv_heads)) > 1 else (),
        key_length=key_mla if latent else keys.number("attention.key_length") or head_length,
        value_length=value_mla if latent else keys.number("attention.value_length") or head_length,
        context_length=keys.number("context_length"),
        vocab=_vocab(keys, table),
        pooling=_pooling(keys, notes),
        causal=causal,
        gated_feed_forward=is_gated(tensors, keys.number("feed_forward_length")),
        sliding_window=window,
        sliding=sliding,
        expert_count=keys.number("expert_count") or None,
        expert_used_count=keys.number("expert_used_count") or None,
        expert_feed_forward_length=expert_length,
        expert_shared_feed_forward_length=_shared_experts(keys, expert_length),
        leading_dense_layers=keys.number("leading_dense_block_count") or 0,
        expert_every=keys.number("moe_every_n_layers") or None,
        q_lora_rank=keys.number("attention.q_lora_rank"),
        kv_lora_rank=keys.number("attention.kv_lora_rank"),
        rope_length=keys.number("rope.dimension_count"),
        latent_attention=latent,
        layer_pattern=kinds.pattern if kinds else None,
        one_part_layers=kinds.one_part if kinds else False,
        recurrent=recurrent,
        sliding_head_count_kv=by_kind[1] if by_kind else None,
        sliding_key_length=keys.number("attention.key_length_swa") if window else None,
        sliding_value_length=keys.number("attention.value_length_swa") if window else None,
        shared_kv_layers=shared,
        feed_forward_lengths=inner if len(set(inner)) > 1 and 0 not in inner else (),
        per_layer_embedding_length=keys.number("embedding_length_per_layer_input") or None,
        has_dense_projection="dense_2.weight" in tensors,
        position_embeddings=rows(tensors.get("position_embd.weight")),
        token_types=rows(tensors.get("token_types.weight")),
        shard=split,
        wrong=keys.wrong,
        notes=tuple(notes),
    )


def _quant(header: Header) -> tuple[str | None, str]:
    number = header.metadata.get("general.file_type")
    if isinstance(number, int) and not isinstance(number, bool):
        name = FILE_TYPES.get(number & ~FILE_TYPE_GUESSED)
        if name is not None:
            return name, "general.file_type"
    by_type = bytes_by_type(header.tensors)
    return next(iter(by_type), None), "most bytes"


def _vector_length(keys: Keys, tensors: dict[str, TensorInfo], width: int | None) -> int | None:
    """Length of the vectors it returns: a projection after the pooling changes it (EmbeddingGemma, ColBERT)."""
    for name in ("dense_3.weight", "dense_2.weight"):
        if name in tensors and len(tensors[name].shape) > 1:
            return tensors[name].shape[1]
    return keys.number("embedding_length_out") or width


def _vocab(keys: Keys, table: TensorInfo | None) -> int | None:
    tokens = keys.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, LongArray):
        return tokens.count
    if isinstance(tokens, tuple):
        return len(tokens)
    return keys.number("vocab_size") or (rows(table) or None)


def _pooling(keys: Keys, notes: list[str]) -> str | None:
    number = keys.number("pooling_type")
    if number is None:
        return None
    if number not in POOLING_TYPES:
        notes.append(f"Pooling type {number} is unknown.")
    return POOLING_TYPES.get(number)


def _shared_experts(keys: Keys, expert_length: int | None) -> int | None:
    said = keys.number("expert_shared_feed_forward_length")
    if said:
        return said
    count = keys.number("expert_shared_count")
    return count * expert_length if count and expert_length else None


def _sliding(keys: Keys, arch: str, layers: int | None, notes: list[str]) -> tuple[int | None, tuple[bool, ...]]:
    window = keys.number("attention.sliding_window")
    if window is None and arch in PERIODS:
        window = PERIODS[arch].window
    if not window or arch in IGNORED or not layers or not 0 < layers <= MAX_LAYERS:
        return None, ()
    flags = sliding_layers(arch, layers, keys.get("attention.sliding_window_pattern"))
    if flags is None:
        notes.append("It names a sliding window, but not for which layers: all are counted as full attention.")
        return None, ()
    return (window, flags) if any(flags) else (None, ())


def _heads_by_kind(kv_heads: tuple[int, ...], sliding: tuple[bool, ...]) -> tuple[int, int] | None:
    """KV heads of full and of sliding layers, where each kind has one number."""
    if not sliding or len(kv_heads) != len(sliding):
        return None
    full = {count for count, slides in zip(kv_heads, sliding, strict=True) if not slides}
    narrow = {count for count, slides in zip(kv_heads, sliding, strict=True) if slides}
    return (full.pop(), narrow.pop()) if len(full) == len(narrow) == 1 and full != narrow else None


def _shard(header: Header, notes: list[str]) -> Shard | None:
    """The part this is, unless all parts were read together."""
    number, count = header.metadata.get("split.no"), header.metadata.get("split.count")
    shard = None
    if isinstance(number, int) and isinstance(count, int) and count > 1:
        shard = Shard(number + 1, count)
    elif match := _SHARD_NAME.search(header.name):
        shard = Shard(int(match[1]), int(match[2]))
    if shard is None or shard.count <= header.parts:
        return None
    notes.append(
        f"This is part {shard.number} of {shard.count} of a split model: sizes and counts are this part's only."
    )
    return shard
