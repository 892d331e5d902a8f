"""What the machine is wanted for."""

from typing import Literal

import msgspec

from planner.core.models.model import Role

KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
Prefer = Literal["quality", "speed", "balanced"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one engine process is started: llama.cpp's own settings.

    `context` is the total in tokens (`parallel` slots divide it), `batch`/`ubatch` in tokens.
    `n_gpu_layers` None = as many as fit, `n_cpu_moe` likewise: the layers, counted from the first, whose experts
    stay on the host. `embedding` reserves output rows for every token of a micro-batch. `kv_unified`: one pool of
    cells for all slots instead of a part each; without `kv_offload` the cache stays on the host. `depth` tokens are
    in the cache when speed is asked for; `n_prompt` follow.
    """

    context: int
    batch: int = 2048
    ubatch: int = 512
    parallel: int = 1
    kv_type_k: KvType = "f16"
    kv_type_v: KvType = "f16"
    flash_attention: bool = True
    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    embedding: bool = False
    kv_unified: bool = False
    kv_offload: bool = True
    depth: int = 0
    n_prompt: int = 512


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The wish: which roles, how much context, what matters more.

    `context` None = chosen by the planner. `chunks` retrieved pieces of `chunk_tokens` must fit into the
    answer's context. `min_speed` in generated tokens per second. `docs` documents of `doc_tokens` (three pages) are
    to be indexed. `max_download_bytes` bounds the files of a plan together. `reranker`: one beside the pair.
    """

    role: Role | Literal["rag"] = "rag"
    context: int | None = None
    parallel: int = 1
    kv_type: KvType = "f16"
    prefer: Prefer = "balanced"
    min_speed: float | None = None
    language: str | None = None
    licence: Literal["any", "commercial"] = "any"
    chunks: int = 6
    chunk_tokens: int = 512
    answer_tokens: int = 512
    limit: int = 5
    docs: int = 1_000
    doc_tokens: int = 1_500
    max_download_bytes: int | None = None
    reranker: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that a plan fills; a reranker only where one fits beside the pair."""
        if self.role != "rag":
            return (self.role,)
        return (Role.EMBEDDING, Role.GENERATION, *((Role.RERANKER,) if self.reranker else ()))

    @property
    def needed_context(self) -> int:
        """Tokens an answer needs: the retrieved chunks, the question with its instructions, the answer."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def prompt_tokens(self) -> int:
        """Tokens of an answer's prompt: the retrieved chunks and the question with its instructions."""
        return self.chunks * self.chunk_tokens + 512

    @property
    def corpus_tokens(self) -> int:
        """Tokens of all documents."""
        return self.docs * self.doc_tokens
