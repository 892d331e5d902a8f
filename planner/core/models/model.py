"""What a model is: the facts that decide memory, speed, quality and whether one may use it.

These types are the schema of `catalog/models/*.json`: unknown fields are refused where a file is read.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from planner.core.values import Digest, RepoId, RepoPath

Length = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
"""A dimension of a network, a vocabulary or a number of tokens; far above any there is."""
Layers = Annotated[int, msgspec.Meta(ge=1, le=2**12)]
"""A number of layers."""
Rows = Annotated[int, msgspec.Meta(ge=0, le=2**24)]
"""A number that may be 0: rows of an optional table, layers of a kind."""
Size = Annotated[int, msgspec.Meta(ge=1, le=2**50)]
"""Bytes of a file, or weights of a network."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name people type."""


class Role(StrEnum):
    """What a model is for."""

    EMBEDDING = "embedding"
    GENERATION = "generation"
    RERANKER = "reranker"


class Pooling(StrEnum):
    """How token vectors become one vector; the words are llama.cpp's `--pooling` values."""

    NONE = "none"
    MEAN = "mean"
    CLS = "cls"
    LAST = "last"
    RANK = "rank"


class Commercial(StrEnum):
    """May it be used commercially?"""

    YES = "yes"
    NO = "no"
    CONDITIONAL = "conditional"
    UNKNOWN = "unknown"


Pattern = Annotated[str, msgspec.Meta(pattern="^[fsrbn]+$", max_length=2**12)]
"""A letter for each layer, see `Architecture`."""


class Recurrent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recurrent layer: what its state and its tensors follow from. Lengths are element counts.

    `kind`: `mamba2` (arXiv 2405.21060), `delta-net` (gated, arXiv 2412.06464), `short-conv` (LFM2), or `other`, of
    which only `state_elements` is known: the numbers kept for a sequence in one layer. The convolution sees
    `convolution_length` tokens. `state_length` values a channel are kept for `inner_length` channels, in `head_count`
    heads; `group_count` groups share the projections to the state.
    """

    kind: Literal["mamba2", "delta-net", "short-conv", "other"]
    convolution_length: Length
    inner_length: Rows = 0
    state_length: Rows = 0
    group_count: Rows = 0
    head_count: Rows = 0
    state_elements: Size | None = None


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, cache_hash=True):
    """Numbers from the model's config or GGUF header. Lengths are element counts.

    `name` is llama.cpp's `general.architecture`. `sliding_window` (tokens) applies to all layers except
    every `full_attention_every`-th one. `kv_lora_rank` and `rope_head_length` describe MLA, whose cache
    holds their sum per token and layer. `expert_feed_forward_length` is per expert; in a MoE model
    `feed_forward_length` is that of the `leading_dense_layers`; `expert_shared_feed_forward_length` is that of
    all shared experts together, which see every token. With `expert_every` only the last of so many layers has
    experts. `q_lora_rank` is set where MLA compresses queries too. `position_embeddings` is the number of rows of a
    learned position table (BERT), `token_types` likewise.

    `layer_pattern` has a letter for each layer, or for each of a group that repeats: `f` full attention, `s`
    sliding, `r` recurrent, `b` full attention and recurrent side by side, `n` nothing but feed-forward; it takes the
    place of `full_attention_every`. With `one_part_layers` a layer that mixes tokens has no feed-forward part.
    `sliding_…` lengths are those of sliding layers where they differ; the last `shared_kv_layers` have no cache of
    their own. With `values_are_keys` full layers take the keys for values too and have no matrix for them.
    `feed_forward_lengths` has one per layer where they differ. `per_layer_embedding_length` is the row that every
    layer has of its own for each token (Gemma 3n, 4).
    """

    name: Name
    layers: Layers
    embedding_length: Length
    feed_forward_length: Length
    head_count: Length
    head_count_kv: Length
    key_length: Length
    value_length: Length
    vocab_size: Length
    causal: bool = True
    tied_embeddings: bool = False
    gated_feed_forward: bool = True
    sliding_window: Length | None = None
    full_attention_every: Length | None = None
    expert_count: Length | None = None
    expert_used_count: Length | None = None
    expert_feed_forward_length: Length | None = None
    expert_shared_feed_forward_length: Length | None = None
    leading_dense_layers: Rows = 0
    expert_every: Length | None = None
    q_lora_rank: Length | None = None
    kv_lora_rank: Length | None = None
    rope_head_length: Length | None = None
    position_embeddings: Rows = 0
    token_types: Rows = 0
    layer_pattern: Pattern | None = None
    one_part_layers: bool = False
    sliding_head_count_kv: Length | None = None
    sliding_key_length: Length | None = None
    sliding_value_length: Length | None = None
    shared_kv_layers: Rows = 0
    values_are_keys: bool = False
    feed_forward_lengths: tuple[Length, ...] = ()
    per_layer_embedding_length: Length | None = None
    recurrent: Recurrent | None = None

    @property
    def is_moe(self) -> bool:
        """Whether only some of the feed-forward weights work on a token."""
        return bool(self.expert_count)


class Licence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SPDX id (or `LicenseRef-…`) and whether commercial use is allowed."""

    spdx: str
    commercial: Commercial


class Prompts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    r"""Texts to put before the input. `{task}` stands for an instruction the caller may give."""

    query: str = ""
    document: str = ""


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published figure: `pool` or benchmark, value, date (ISO) and where it was read."""

    name: str
    value: float
    date: str
    source: str


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file that can be fetched. What is not known is None; sizes in bytes.

    `source` `hub`: file `file` of Hub repository `repo` at `revision`. `package`: member `file` of the
    wheel of `package` at `version` (wheel hash `package_sha256`); with `convert` it is turned into a GGUF
    by that recipe, and `bytes`/`sha256` describe the member, not the result. `file`: a local path given
    by the user. `shards` names all files of a split model, `file` first; `bytes` is then their sum, `sha256`
    None and `shard_sha256`, where known, has theirs in the same order.
    """

    source: Literal["hub", "package", "file"]
    file: RepoPath
    repo: RepoId | None = None
    revision: str | None = None
    bytes: Size | None = None
    sha256: Digest | None = None
    shards: tuple[RepoPath, ...] = ()
    shard_sha256: tuple[Digest, ...] = ()
    package: str | None = None
    version: str | None = None
    package_sha256: Digest | None = None
    convert: Literal["bert-safetensors"] | None = None
    provenance: str = ""


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One quantisation of a model. `file_bytes` is the size of all its GGUF files together.

    `file_bytes_source` is `exact` (a real file's size), `rounded` (a list that rounds to 0.1 GiB) or
    `computed` (from the recipe); `tensor_bytes` is exact when it is known (header read).
    """

    quant: Name
    artifacts: tuple[Artifact, ...]
    file_bytes: Size | None = None
    file_bytes_source: Literal["exact", "rounded", "computed"] = "exact"
    tensor_bytes: Size | None = None
    token_embedding_bytes: Size | None = None


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A network and everything planning needs to know of it.

    `id` is the Hub id of the original weights, `parameters` counts unique weights (a tied matrix once, no vision
    tower; None for a closed model whose maker does not say),
    `context_length` is the trained context in tokens, `embedding_length` the length of the vectors it
    returns. `matryoshka` lists the shorter lengths its vectors were trained to be cut to, empty if they were not.
    `builds_on` is the lineage: ids of the models it was made from, nearest first. `gguf_repos` are Hub repositories
    known to hold GGUFs of it, whose files are found by listing them when one is fetched.
    `sources` names, per field, where the value comes from.
    """

    id: Name
    family: str
    role: Role
    parameters: Size | None
    context_length: Length
    licence: Licence
    architecture: Architecture | None = None
    aliases: tuple[Name, ...] = ()
    active_parameters: Size | None = None
    embedding_length: Length | None = None
    matryoshka: tuple[Length, ...] = ()
    pooling: Pooling | None = None
    normalize: bool = True
    prompts: Prompts = Prompts()
    languages: tuple[str, ...] = ()
    release_date: str | None = None
    deployable: bool = True
    deploy_note: str = ""
    starter: bool = False
    builds_on: tuple[Name, ...] = ()
    scores: tuple[Score, ...] = ()
    gguf_repos: tuple[RepoId, ...] = ()
    variants: tuple[Variant, ...] = ()
    sources: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The id without its owner."""
        return self.id.rsplit("/", 1)[-1]

    def variant(self, quant: str) -> Variant | None:
        """The variant of that quant type, compared without case."""
        return next((v for v in self.variants if v.quant.lower() == quant.lower()), None)
